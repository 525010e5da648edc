//! From Django to the browser: what a message means for a room of this node.
//!
//! Members of the room on other nodes get it from their own node, which is a member of the group
//! too: nothing that comes from here is forwarded. Whatever cannot be read is dropped and counted,
//! and that is logged at most once a second, without a byte of it: it may be what somebody said.

use super::codec::value::Map;
use super::codec::{DjangoMessage, Poison};
use super::event::Outcome;
use super::keys::Local;
use super::layer::Layer;
use crate::broker::{Broker, Publication};
use crate::clock;
use crate::metrics::count;
use crate::protocol::{CloseReason, Event, Stamp};
use crate::redis::log_limiter::LogLimiter;
use crate::transport::{Opcode, encoder};
use std::borrow::Cow;
use std::sync::Arc;

/// A payload buffer that has grown past this is given back.
const KEPT_BYTES: usize = 64 * 1024;

/// The reader of one connection's messages.
pub(super) struct Inbound {
    pub(super) layer: Arc<Layer>,
    pub(super) broker: Arc<Broker>,
    stamp: Stamp,
    /// What was decrypted.
    scratch: Vec<u8>,
    payload: Vec<u8>,
    poison_lines: LogLimiter,
}

impl Inbound {
    pub(super) fn new(layer: Arc<Layer>, broker: Arc<Broker>) -> Self {
        Self {
            layer,
            broker,
            stamp: Stamp::new(0, 0),
            scratch: Vec::new(),
            payload: Vec::new(),
            poison_lines: LogLimiter::default(),
        }
    }

    /// Layer `core`: a message says which of our memberships it is for.
    pub(super) fn take(&mut self, message: &[u8]) {
        self.read(message, |inbound, arrival| {
            let layer = Arc::clone(&inbound.layer);
            for to in &arrival.to {
                let group: Option<Cow<'_, str>> = match layer.own.group_of(to) {
                    Some(Local::Group(group)) => Some(group.into()),
                    Some(Local::Digest(digest)) => layer.digested(digest).map(Cow::Owned),
                    None => None,
                };
                inbound.deliver(group.as_deref().unwrap_or_default(), &arrival.event);
            }
        });
    }

    /// Layer `pubsub`: the channel of Redis says it.
    pub(super) fn hear(&mut self, group: &str, message: &[u8]) {
        self.read(message, |inbound, arrival| {
            inbound.deliver(group, &arrival.event);
        });
    }

    fn read(&mut self, message: &[u8], deliver: impl FnOnce(&mut Self, &DjangoMessage<'_>)) {
        let layer = Arc::clone(&self.layer);
        let mut scratch = std::mem::take(&mut self.scratch);
        layer.metrics.channels_received.inc();
        let codec = layer.commands.codec();
        match codec.decode(message, self.tell_time(), &mut scratch) {
            Ok(arrival) => deliver(self, &arrival),
            Err(poison) => self.poison(poison, message),
        }
        if scratch.capacity() <= KEPT_BYTES {
            self.scratch = scratch;
        }
    }

    /// Takes the time, and says its second.
    fn tell_time(&mut self) -> u64 {
        let (second, micros) = clock::wall();
        self.stamp.set(second, micros);
        second
    }

    fn deliver(&mut self, group: &str, event: &Map<'_>) {
        let layer = &*self.layer;
        let metrics = &layer.metrics;
        // No other text than a room's name finds a room.
        let Some(room) = self.broker.named(group) else {
            count(&metrics.channels_ignored, "reason", "no_room");
            return;
        };
        self.payload.clear();
        match layer.mapping.read(event, &self.stamp, &mut self.payload) {
            Outcome::Frame => {
                let publication = Publication {
                    frame: encoder::frame(Opcode::Text, &self.payload),
                    deadline: layer.clock.now() + layer.expiry.get(),
                    event: self.kept(event),
                };
                self.broker.deliver_remote(&room, &publication);
                metrics.channels_delivered.inc();
            }
            Outcome::Close(code) => {
                self.broker
                    .close_room(&room, CloseReason::Asked(code), None);
                metrics.channels_delivered.inc();
            }
            Outcome::Ignored(ignored) => {
                count(&metrics.channels_ignored, "reason", ignored.label());
            }
        }
        if self.payload.capacity() > KEPT_BYTES {
            self.payload = Vec::new();
        }
    }

    /// What the site said, for those who keep it.
    fn kept(&self, event: &Map<'_>) -> Option<Arc<Event<'static>>> {
        if !self.broker.keeps_events() {
            return None;
        }
        let said = self.layer.mapping.said(event, self.stamp.moment())?;
        Some(Arc::new(said.into_owned()))
    }

    fn poison(&mut self, poison: Poison, message: &[u8]) {
        let metrics = &self.layer.metrics;
        count(&metrics.channels_poison, "reason", poison.label());
        if !self.poison_lines.is_due(self.layer.clock.now()) {
            return;
        }
        tracing::warn!(
            length = message.len(),
            "dropped what is no message of this channel layer: {poison}"
        );
    }
}
