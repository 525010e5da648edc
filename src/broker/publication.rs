//! What is published.

use super::queue::Delivery;
use crate::clock::Millis;
use crate::protocol::Event;
use bytes::Bytes;
use std::sync::Arc;

/// One event on its way to the members of a room: as the frame that the node's own dialect makes of
/// it, and, where somebody reads events, as a value.
///
/// Whoever publishes renders at once, since every member on the node is written this frame: it is
/// made once and shared. The event itself is kept only if [`Broker::wants_events`](super::Broker::wants_events): to keep it is an
/// allocation and a copy of the text for each message, and on a node without a Django site nobody
/// would look at it.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Header and payload, encoded once and shared by all members.
    pub frame: Bytes,
    /// When it stops being worth delivering; set at ingress.
    pub deadline: Millis,
    /// What the frame says. `None` where nobody on this node reads it, and of what came as a frame:
    /// from another node, from Django.
    pub event: Option<Arc<Event<'static>>>,
}

impl Publication {
    /// What a worker is given of it: nobody there reads the event, which mailboxes need not keep alive.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        Delivery {
            frame: self.frame.clone(),
            deadline: self.deadline,
        }
    }

    /// What it keeps alive, in bytes, as every bounded queue counts it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |event| event.bytes());
        self.frame.len() + event
    }
}
