//! What happens to one publication under its room's lock where it may leave the node: the uplinks, a
//! number, the mailboxes.

use super::mailboxes::Mailboxes;
use super::publication::Publication;
use super::room::Room;
use super::uplink::{Author, Forwarded, Uplink};
use crate::protocol::Event;
use std::sync::Arc;

/// What came of a publication.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    /// Number of the room's last publication.
    pub(super) sequence: u64,
    /// Members it is for.
    pub(super) members: u64,
    /// Publications given to them: with it earlier ones, or none.
    pub(super) count: u64,
    /// An uplink took it.
    pub(super) is_forwarded: bool,
    /// An uplink keeps it.
    pub(super) is_kept: bool,
}

/// Whom what is published by a room's name reaches, so far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Members on this node that are given it now: none yet, if an uplink gives it back in an order of its own.
    pub members: u64,
    /// An uplink took it.
    pub is_forwarded: bool,
    /// An uplink keeps it, for whoever reads what was said.
    pub is_kept: bool,
}

impl Reach {
    /// Does it reach anybody: a member here, or an uplink?
    #[must_use]
    pub const fn is_anybody(self) -> bool {
        self.members > 0 || self.is_forwarded
    }
}

/// Numbers a publication and puts it into the mailbox of every worker with members, in the room's
/// order. What an uplink takes to give it back in an order of its own is not put anywhere now.
/// `author`: a member said it by that connection.
pub(super) fn publish(
    room: &Arc<Room>,
    publication: &Publication,
    mailboxes: &Mailboxes,
    from: Option<usize>,
    uplinks: &[Box<dyn Uplink>],
    author: Option<Author>,
) -> Published {
    room.in_order(|state| {
        let mut published = Published::default();
        let mut is_now = true;
        state.forwarded += u64::from(!uplinks.is_empty());
        for uplink in uplinks {
            match uplink.forward(room, state.forwarded, publication) {
                // A drop is the uplink's to count; the local order does not depend on it.
                Forwarded::Dropped => continue,
                Forwarded::Queued => {}
                Forwarded::Returns => is_now = false,
                Forwarded::Recalled(earlier) => {
                    for publication in &earlier {
                        state.put(publication, mailboxes, from);
                    }
                    published.count += earlier.len() as u64;
                }
            }
            published.is_forwarded = true;
        }
        if is_now {
            published.members = state.put(publication, mailboxes, from);
            published.count += 1;
        }
        published.sequence = state.sequence;
        if let Some(event) = &publication.event {
            published.is_kept = keep(room, uplinks, event);
        }
        if let Some(author) = author {
            tell(room, uplinks, publication, author);
        }
        published
    })
}

/// Gives an event to the uplinks that keep it. True if one did.
pub(super) fn keep(
    room: &Arc<Room>,
    uplinks: &[Box<dyn Uplink>],
    event: &Arc<Event<'static>>,
) -> bool {
    let kept = uplinks.iter().map(|uplink| uplink.keep(room, event));
    kept.fold(false, |is_any, is_kept| is_any | is_kept)
}

/// Tells the uplinks what a member said.
pub(super) fn tell(
    room: &Arc<Room>,
    uplinks: &[Box<dyn Uplink>],
    publication: &Publication,
    author: Author,
) {
    if let Some(event) = &publication.event {
        for uplink in uplinks {
            uplink.said(room, author, event, publication.deadline);
        }
    }
}
