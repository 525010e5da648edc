//! All ways off this node as the broker's one.

use crate::broker::Publication;
use crate::broker::room::Room;
use crate::broker::uplink::{Author, Forwarded, Uplink, Way};
use std::sync::Arc;

/// The other nodes, Django, or both.
#[derive(Debug)]
pub(super) struct Uplinks(Vec<Box<dyn Uplink>>);

impl Uplinks {
    /// `None` if there is no way off this node.
    pub(super) fn together(ways: [Option<Box<dyn Uplink>>; 2]) -> Option<Box<dyn Uplink>> {
        let mut ways: Vec<_> = ways.into_iter().flatten().collect();
        match ways.len() {
            0 | 1 => ways.pop(),
            _ => Some(Box::new(Self(ways))),
        }
    }
}

impl Uplink for Uplinks {
    fn forward(&self, room: &Arc<Room>, number: u64, publication: &Publication) -> Forwarded {
        // One of them forwards, the other hears what users say.
        for uplink in &self.0 {
            match uplink.forward(room, number, publication) {
                Forwarded::Dropped => {}
                forwarded => return forwarded,
            }
        }
        Forwarded::Dropped
    }

    fn ways(&self) -> u8 {
        let ways = self.0.iter().map(|uplink| uplink.ways());
        ways.fold(Way::NONE, |all, way| all | way)
    }

    fn said(&self, room: &Arc<Room>, author: Author, publication: &Publication) {
        for uplink in &self.0 {
            uplink.said(room, author, publication);
        }
    }

    fn watch(&self, room: &Arc<Room>) -> u8 {
        let waits = self.0.iter().map(|uplink| uplink.watch(room));
        waits.fold(Way::NONE, |all, way| all | way)
    }

    fn unwatch(&self, room: &Arc<Room>) {
        for uplink in &self.0 {
            uplink.unwatch(room);
        }
    }
}
