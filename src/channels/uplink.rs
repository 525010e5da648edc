//! The broker's end of the channel layer: pushes and returns.

use super::layer::Layer;
use crate::broker::room::Room;
use crate::broker::uplink::{Author, Uplink, Way};
use crate::clock::Millis;
use crate::name::RoomName;
use crate::protocol::Event;
use std::sync::Arc;

/// What users say and which rooms are wanted, on their way to Django: what else a room is shown stays here.
#[derive(Debug)]
pub(super) struct DjangoUplink(pub(super) Arc<Layer>);

impl Uplink for DjangoUplink {
    fn way(&self) -> Way {
        Way::Django
    }

    fn reads_events(&self) -> bool {
        self.0.destinations() > 0
    }

    fn said(
        &self,
        room: &Arc<Room>,
        author: Author,
        event: &Arc<Event<'static>>,
        deadline: Millis,
    ) {
        self.0.said(room, author, event, deadline);
    }

    fn watch(&self, name: &RoomName) -> bool {
        self.0.watch(name)
    }

    fn unwatch(&self, name: &RoomName) {
        self.0.unwatch(name);
    }
}
