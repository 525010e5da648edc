//! The broker's end of the channel layer: pushes and returns.

use super::layer::Layer;
use crate::broker::Publication;
use crate::broker::room::Room;
use crate::broker::uplink::{Author, Forwarded, Uplink, Way};
use std::sync::Arc;

/// What rooms say and when they are wanted, on their way to Django.
#[derive(Debug)]
pub(super) struct DjangoUplink(pub(super) Arc<Layer>);

impl Uplink for DjangoUplink {
    /// Django hears what users say, not everything that a room is shown.
    fn forward(&self, _room: &Arc<Room>, _number: u64, _publication: &Publication) -> Forwarded {
        Forwarded::Dropped
    }

    fn ways(&self) -> u8 {
        Way::Django.bit()
    }

    fn said(&self, room: &Arc<Room>, author: Author, publication: &Publication) {
        self.0.said(room, author, publication);
    }

    fn watch(&self, room: &Arc<Room>) -> u8 {
        if self.0.watch(room.name()) {
            Way::NONE
        } else {
            Way::Django.bit()
        }
    }

    fn unwatch(&self, room: &Arc<Room>) {
        self.0.unwatch(room.name());
    }
}
