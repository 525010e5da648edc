//! The broker's end of the channel layer: pushes and returns.

use super::layer::Layer;
use crate::broker::room::Room;
use crate::broker::uplink::{Author, Uplink, Way};
use crate::clock::Millis;
use crate::name::RoomName;
use crate::protocol::Event;
use std::sync::Arc;

/// What members say and which rooms are wanted, on their way to Django: what else a room is shown stays here.
#[derive(Debug)]
pub(super) struct DjangoUplink(pub(super) Arc<Layer>);

impl Uplink for DjangoUplink {
    fn way(&self) -> Option<Way> {
        Some(Way::Django)
    }

    fn reads_events(&self) -> bool {
        !self.0.queues.is_empty()
    }

    fn said(
        &self,
        room: &Arc<Room>,
        author: Author,
        event: &Arc<Event<'static>>,
        deadline: Millis,
    ) {
        if self.0.senders.contains(&event.sender) {
            for queue in &self.0.queues {
                queue.take(room, author, event, deadline);
            }
        }
    }

    fn watch(&self, name: &RoomName) -> bool {
        let now = self.0.clock.now();
        self.0
            .host(name)
            .is_none_or(|host| host.rooms.watch(name, now, || ()))
    }

    fn unwatch(&self, name: &RoomName) {
        if let Some(host) = self.0.host(name) {
            host.rooms.unwatch(name, self.0.clock.now());
        }
    }
}
