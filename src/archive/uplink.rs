//! The broker's end of the archive.

use super::queue::ArchiveQueue;
use crate::broker::room::Room;
use crate::broker::uplink::Uplink;
use crate::protocol::Event;
use std::sync::Arc;

/// Events, on their way to the journal. Nothing comes back by it.
#[derive(Debug)]
pub(super) struct ArchiveUplink(pub(super) Arc<ArchiveQueue>);

impl Uplink for ArchiveUplink {
    fn reads_events(&self) -> bool {
        true
    }

    fn keeps_events(&self) -> bool {
        true
    }

    fn keep(&self, room: &Arc<Room>, event: &Arc<Event<'static>>) -> bool {
        self.0.take(room, event)
    }

    fn refuses(&self) -> bool {
        self.0.refuses()
    }
}
