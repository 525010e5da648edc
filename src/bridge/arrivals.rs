//! What comes from one Redis: checked, numbered against loss and repetition, delivered.
//!
//! One task for each session, on its own so that fred's bounded channel is emptied whatever else the
//! link does. A message that fred threw away because this was too slow shows twice: in
//! `bridge_lagged`, and exactly in the gaps, once the room's next number or mark comes.
//!
//! A full mailbox of a worker is waited for as long as the [`Patience`] lasts; after that its
//! publications are dropped and counted.

use super::deployment::{Failure, wall_millis};
use super::envelope::{Entry, Envelope, Head, Poison};
use super::link::Link;
use super::notice::Notices;
use super::origins::{Arrival, Origins};
use super::outbox::{Outgoing, What};
use super::patience::Patience;
use crate::broker::room::Room;
use crate::broker::{Broker, Publication};
use crate::clock::Millis;
use crate::metrics::count;
use bytes::Bytes;
use fred::types::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The reader of one session.
pub(super) struct Arrivals {
    link: Arc<Link>,
    broker: Arc<Broker>,
    patience: Patience,
    /// Of poison.
    notices: Notices,
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
    pub(super) fn new(link: Arc<Link>, broker: Arc<Broker>) -> Self {
        let patience = Patience::new(link.clock);
        Self {
            link,
            broker,
            patience,
            notices: Notices::default(),
        }
    }

    /// Reads until the connection is gone.
    pub(super) async fn run(mut self, mut messages: Receiver<Message>) -> Failure {
        loop {
            match messages.recv().await {
                Ok(message) => self.take(&message).await,
                Err(RecvError::Lagged(count)) => {
                    self.link.metrics.bridge_lagged.inc_by(count);
                    if let Some(streams) = &self.link.streams {
                        streams.doubt_all(&self.link);
                    }
                }
                Err(RecvError::Closed) => return Failure::Ended,
            }
        }
    }

    async fn take(&mut self, message: &Message) {
        let channel: &str = &message.channel;
        let Some(bytes) = message.value.as_bytes() else {
            return;
        };
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
            .hear(name, |origins| hear(origins, &envelope, now));
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
        if !self.patience.wait(is_full).await {
            count(&self.link.metrics.bridge_dropped, "cause", "mailbox");
            return;
        }
        // Another node's clock or settings must not keep it here for longer than ours do.
        let left = Duration::from_millis(left).min(self.link.expiry);
        let publication = Publication {
            // A copy: a slice would keep the library's whole read buffer alive.
            frame: Bytes::copy_from_slice(frame),
            deadline: self.link.clock.now() + left,
            event: None,
        };
        self.broker.deliver_remote(room, &publication);
        self.link.metrics.bridge_delivered.inc();
    }

    /// Not from one of us: counted, and told at most once a second, without a byte of it: it may be what somebody said.
    pub(super) fn poison(&mut self, poison: Poison, bytes: &[u8]) {
        count(&self.link.metrics.bridge_dropped, "cause", "poison");
        if !self.notices.is_due(self.link.clock.now()) {
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
