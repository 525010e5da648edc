//! The way to one Redis of the site: down, or up. The link tries for as long as the node lives.
//!
//! A session has two connections: one for commands, one that waits for messages. Either one's end
//! ends the session; the next one joins every group again, so whatever Redis forgot meanwhile, Django
//! finds this node again. Each change of the state is one log line and one count.
//!
//! A canary goes out every second and must come back by the connection that waits. In layer `core` a
//! marker stands beside it: when that is gone (`flush` of a Python layer, FLUSHALL, a restart without
//! its data), so are the memberships, and all are made again.

use super::host::LayerHost;
use super::layer::Layer;
use super::session::HostSession;
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::metrics::count;
use crate::redis::failure::LinkFailure;
use crate::redis::supervise::{Pauses, stopped};
use crate::redis::{NodeEnd, Randomness};
use std::sync::Arc;

impl LayerHost {
    /// The code of this way panicked; it is to begin anew.
    pub(super) fn panicked(&self, broker: &Broker) {
        tracing::error!(
            host = self.name,
            address = self.deployment.shown,
            "the channel layer's code panicked; it begins anew"
        );
        self.client.lock().take();
        self.went_down(broker, &LinkFailure::Ended);
    }

    /// Runs sessions until the node's end; then users' messages go out, and the groups are left.
    pub(super) async fn run(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        mut ending: NodeEnd,
    ) {
        let mut pauses = Pauses::new(layer.pause_max, Randomness::default());
        loop {
            let started = self.clock.now();
            let failure = self.session(&layer, &broker, &mut ending).await;
            self.client.lock().take();
            if matches!(failure, LinkFailure::Stopped) {
                return;
            }
            self.went_down(&broker, &failure);
            // Rooms come and go while it is down; those that went are left in the next session.
            let due = self.rooms.due(self.clock.now());
            self.memberships.lock().give_up(&due.idle);
            let held = self.clock.now().since(started);
            if !pauses.pause(held, &mut ending.stop).await {
                return;
            }
        }
    }

    async fn session(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        broker: &Arc<Broker>,
        ending: &mut NodeEnd,
    ) -> LinkFailure {
        let opened = tokio::select! {
            opened = HostSession::open(self, layer, broker) => opened,
            () = stopped(&mut ending.stop) => return LinkFailure::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return failure,
        };
        self.rooms.begin();
        *self.client.lock() = Some(session.client());
        self.went_up();
        let ended = tokio::select! {
            failure = session.run(self, layer, broker) => Some(failure),
            () = stopped(&mut ending.stop) => None,
        };
        if let Some(failure) = ended {
            return failure;
        }
        let mut done = layer.done.subscribe();
        let destinations = layer.queues.len();
        let finished = async {
            // The sender lives in the layer: this ends when they are done.
            drop(done.wait_for(|done| *done >= destinations).await);
        };
        // Whatever is not out by then is lost with the node.
        let time = ending.deadline.left(self.clock, layer.timeout * 2);
        drop(tokio::time::timeout(time, finished).await);
        let left = session.leave_all(self, layer);
        let time = ending.deadline.left(self.clock, layer.timeout);
        drop(tokio::time::timeout(time, left).await);
        LinkFailure::Stopped
    }

    fn went_up(&self) {
        let down = self.health.mark_up();
        count(&self.metrics.channels_changes, "state", "up");
        tracing::info!(
            host = self.name,
            address = self.deployment.shown,
            down = down.map(tracing::field::debug),
            "the channel layer is up: Django is reached over this Redis"
        );
    }

    fn went_down(&self, broker: &Broker, failure: &LinkFailure) {
        if self.unheard.end_pop() {
            count(&self.metrics.channels_dropped, "cause", "cut");
        }
        self.memberships.lock().forget_refusals();
        for name in self.rooms.end() {
            broker.confirm(&name, Way::Django);
        }
        if !self.health.mark_down(failure) {
            return;
        }
        count(&self.metrics.channels_changes, "state", "down");
        tracing::warn!(
            host = self.name,
            address = self.deployment.shown,
            reason = %failure,
            "the channel layer is down: rooms go on without Django"
        );
    }
}
