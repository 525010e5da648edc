//! The order of all nodes in one room, decided: where this node is in the room's stream, and what of its own has
//! not come back yet. Pure; [`streams`](super::streams) reads and writes.
//!
//! | Module | |
//! |---|---|
//! | [`follower`] | where a node is in a stream |
//! | [`unconfirmed`] | what waits to come back |
//! | `room_order` | both, for one room |
//! | `page` | what comes back of a stream |

pub mod follower;
mod page;
mod room_order;
pub mod unconfirmed;

pub use follower::Position;
pub(super) use follower::{SeenPlace, Turned};
pub use page::Announcement;
pub(super) use page::{Page, canary};
pub(super) use room_order::{HearContext, HearTally, RoomOrder};
pub(super) use unconfirmed::Placed;
