//! The way to one Redis of the site: down, or up. It tries for as long as the node lives.
//!
//! A session has two connections: one for commands, one that waits for messages. Either one's end
//! ends the session; the next one joins every group again, so whatever Redis forgot meanwhile, Django
//! finds this node again. Each change of the state is one log line and one count.
//!
//! A canary goes out every second and must come back by the connection that waits. In layer `core` a
//! marker stands beside it: when that is gone (`flush` of a Python layer, FLUSHALL, a restart without
//! its data), so are the memberships, and all are made again.

use super::host::{Host, confirm};
use super::layer::Layer;
use super::session::HostSession;
use crate::broker::Broker;
use crate::metrics::count;
use crate::redis::failure::Failure;
use crate::redis::supervise::{Pauses, stopped, supervise};
use crate::redis::{NodeEnd, Randomness};
use std::sync::Arc;

/// The way to one Redis of the site.
#[derive(Clone, Debug)]
pub(super) struct HostLink {
    host: Arc<Host>,
}

impl HostLink {
    /// Over which nothing runs yet.
    pub(super) fn new(host: &Arc<Host>) -> Self {
        let host = Arc::clone(host);
        Self { host }
    }

    /// Holds the way open until the node's end, whatever happens in it.
    pub(super) async fn supervise(self, layer: Arc<Layer>, broker: Arc<Broker>, ending: NodeEnd) {
        let begin = || {
            let (layer, broker) = (Arc::clone(&layer), Arc::clone(&broker));
            self.clone().run(layer, broker, ending.clone())
        };
        let on_panic = || {
            tracing::error!(
                host = self.host.label,
                "the channel layer's code panicked; it begins anew"
            );
            self.host.client.lock().take();
            self.went_down(&broker, &Failure::Ended);
        };
        supervise(&self.host.metrics, layer.pause_max, begin, on_panic).await;
    }

    /// Runs sessions until the node's end; then users' messages go out, and the groups are left.
    async fn run(self, layer: Arc<Layer>, broker: Arc<Broker>, mut ending: NodeEnd) {
        let mut pauses = Pauses::new(layer.pause_max, Randomness::default());
        loop {
            let started = self.host.clock.now();
            let failure = self.session(&layer, &broker, &mut ending).await;
            self.host.client.lock().take();
            if matches!(failure, Failure::Stopped) {
                return;
            }
            self.went_down(&broker, &failure);
            // Rooms come and go while it is down; those that went are forgotten.
            drop(self.host.rooms.due(self.host.clock.now()));
            let held = self.host.clock.now().since(started);
            if !pauses.pause(held, &mut ending.stop).await {
                return;
            }
        }
    }

    async fn session(
        &self,
        layer: &Arc<Layer>,
        broker: &Arc<Broker>,
        ending: &mut NodeEnd,
    ) -> Failure {
        let opened = tokio::select! {
            opened = HostSession::open(&self.host, layer, broker) => opened,
            () = stopped(&mut ending.stop) => return Failure::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return failure,
        };
        self.host.rooms.begin();
        *self.host.client.lock() = Some(session.client());
        self.went_up();
        let ended = tokio::select! {
            failure = session.run(&self.host, layer, broker) => Some(failure),
            () = stopped(&mut ending.stop) => None,
        };
        if let Some(failure) = ended {
            return failure;
        }
        let mut done = layer.done.subscribe();
        let destinations = layer.destinations();
        let finished = async {
            // The sender lives in the layer: this ends when they are done.
            drop(done.wait_for(|done| *done >= destinations).await);
        };
        // Whatever is not out by then is lost with the node.
        let patience = ending.deadline.left(self.host.clock, layer.timeout * 2);
        drop(tokio::time::timeout(patience, finished).await);
        let left = session.leave_all(&self.host, layer);
        let patience = ending.deadline.left(self.host.clock, layer.timeout);
        drop(tokio::time::timeout(patience, left).await);
        Failure::Stopped
    }

    fn went_up(&self) {
        let down = self.host.health.mark_up();
        count(&self.host.metrics.channels_changes, "state", "up");
        tracing::info!(
            host = self.host.label,
            address = self.host.deployment.shown,
            ?down,
            "the channel layer is up: Django is reached over this Redis"
        );
    }

    fn went_down(&self, broker: &Broker, failure: &Failure) {
        for name in self.host.rooms.end() {
            confirm(broker, &name);
        }
        if !self.host.health.mark_down(failure) {
            return;
        }
        count(&self.host.metrics.channels_changes, "state", "down");
        tracing::warn!(
            host = self.host.label,
            address = self.host.deployment.shown,
            reason = %failure,
            "the channel layer is down: rooms go on without Django"
        );
    }
}
