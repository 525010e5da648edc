//! What comes from one Redis: checked, numbered against loss and repetition, delivered.
//!
//! One task for each session, on its own so that fred's bounded channel is emptied whatever else the
//! link does. A message that fred threw away because this was too slow shows twice: in
//! `bridge_lagged`, and exactly in the gaps, once the room's next number or mark comes.
//!
//! A full mailbox of a worker is waited for as long as the [`WaitBudget`] lasts; after that its
//! publications are dropped and counted.

use crate::bridge::envelope::{Entry, Envelope, Head, Poison};
use crate::bridge::link::RedisLink;
use crate::bridge::origins::{Arrival, Origins};
use crate::bridge::outbox::{Outgoing, What};
use crate::bridge::wall::wall_millis;
use crate::broker::room::Room;
use crate::broker::{Broker, Publication};
use crate::clock::Millis;
use crate::metrics::count;
use crate::redis::client::{Messages, Received};
use crate::redis::failure::Failure;
use crate::redis::log_limiter::LogLimiter;
use crate::redis::wait_budget::WaitBudget;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The reader of one session.
pub(in crate::bridge) struct Arrivals {
    link: Arc<RedisLink>,
    broker: Arc<Broker>,
    budget: WaitBudget,
    poison_lines: LogLimiter,
}

/// What one envelope said.
#[derive(Default)]
struct Heard<'a> {
    fresh: Vec<(u64, &'a [u8])>,
    received: u64,
    duplicates: u64,
    missed: u64,
    hello: bool,
}

impl Arrivals {
    pub(in crate::bridge) fn new(link: Arc<RedisLink>, broker: Arc<Broker>) -> Self {
        let budget = WaitBudget::new(link.clock);
        Self {
            link,
            broker,
            budget,
            poison_lines: LogLimiter::default(),
        }
    }

    /// Reads until the connection is gone.
    pub(in crate::bridge) async fn run(mut self, mut messages: Box<dyn Messages>) -> Failure {
        loop {
            match messages.next().await {
                Received::Message { channel, bytes } => self.take(&channel, &bytes).await,
                Received::Lagged(count) => {
                    self.link.metrics.bridge_lagged.inc_by(count);
                    if let Some(streams) = &self.link.streams {
                        streams.doubt_all(&self.link);
                    }
                }
                Received::Ended => return Failure::Ended,
            }
        }
    }

    async fn take(&mut self, channel: &str, bytes: &[u8]) {
        if channel == self.link.nodes_channel {
            let link = &self.link;
            return link.company.hear(link.place, bytes, link.clock.now());
        }
        if self.link.streams.is_some() {
            let (link, broker) = (Arc::clone(&self.link), Arc::clone(&self.broker));
            if let Some(streams) = &link.streams {
                streams.hear(&link, &broker, self, (channel, bytes));
            }
            return;
        }
        if channel == self.link.canary_channel {
            self.link.see_canary(bytes);
            return;
        }
        let Some(name) = channel.strip_prefix(self.link.room_prefix.as_str()) else {
            return;
        };
        let envelope = match Envelope::read(bytes) {
            Ok(envelope) => envelope,
            Err(poison) => return self.poison(poison, bytes),
        };
        if envelope.head().node == self.link.node {
            self.link.metrics.bridge_echoes.inc();
            return;
        }
        let now = self.link.clock.now();
        let link = Arc::clone(&self.link);
        let heard = link
            .rooms
            .visit(name, |state| hear(&mut state.origins, &envelope, now));
        // Unsubscribed a moment ago: nobody here is in that room.
        let Some(heard) = heard else {
            return;
        };
        let metrics = &link.metrics;
        metrics.bridge_received.inc_by(heard.received);
        metrics.bridge_duplicates.inc_by(heard.duplicates);
        metrics.bridge_gaps.inc_by(heard.missed);
        let Some(room) = self.broker.named(name) else {
            return;
        };
        if heard.hello {
            // Whatever the room has forwarded so far is in the outbox, in front of this.
            link.outbox.push(Outgoing {
                number: room.forwarded(),
                room: Arc::clone(&room),
                what: What::Mark,
            });
        }
        for (deadline, frame) in heard.fresh {
            self.deliver(&room, deadline, frame).await;
        }
    }

    async fn deliver(&mut self, room: &Arc<Room>, deadline: u64, frame: &[u8]) {
        let metrics = &self.link.metrics;
        let left = deadline.saturating_sub(wall_millis());
        if left == 0 {
            count(&metrics.bridge_dropped, "cause", "late");
            return;
        }
        let is_full = || self.broker.full_mailbox(room).is_some();
        if !self.budget.wait(is_full).await {
            count(&self.link.metrics.bridge_dropped, "cause", "mailbox");
            return;
        }
        // Another node's clock or settings must not keep it here for longer than ours do.
        let left = Duration::from_millis(left).min(self.link.expiry);
        let publication = Publication {
            // A copy: a slice would keep the library's whole read buffer alive.
            frame: Bytes::copy_from_slice(frame),
            deadline: self.link.clock.now() + left,
        };
        self.broker.deliver_remote(room, &publication);
        self.link.metrics.bridge_delivered.inc();
    }

    /// Not from one of us: counted, and told at most once a second, without a byte of it: it may be what somebody said.
    pub(in crate::bridge) fn poison(&mut self, poison: Poison, bytes: &[u8]) {
        count(&self.link.metrics.bridge_dropped, "cause", "poison");
        if !self.poison_lines.is_due(self.link.clock.now()) {
            return;
        }
        tracing::warn!(
            redis = self.link.label,
            length = bytes.len(),
            "dropped what is no envelope of ours: {poison}"
        );
    }
}

/// Sorts the entries of an envelope into fresh and known ones.
fn hear<'a>(origins: &mut Origins, envelope: &Envelope<'a>, now: Millis) -> Heard<'a> {
    let head: &Head = envelope.head();
    let mut heard = Heard::default();
    for entry in envelope.entries() {
        match entry {
            Entry::Message {
                number,
                deadline,
                frame,
                class: _,
            } => {
                heard.received += 1;
                match origins.message(head, number, now) {
                    Arrival::Fresh { missed } => {
                        heard.missed += missed;
                        heard.fresh.push((deadline, frame));
                    }
                    Arrival::Duplicate => heard.duplicates += 1,
                }
            }
            Entry::Mark { number } => heard.missed += origins.mark(head, number, now),
            Entry::Hello => heard.hello = true,
        }
    }
    heard
}
