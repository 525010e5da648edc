//! What a worker and one of its connections occupy at most, beside what the settings bound: the data
//! plane's addends of `budget`.

use super::client::Client;
use super::gathering::GATHER_BYTES_MAX;
use super::slab::Slab;

/// A worker's stack.
pub(crate) const STACK_BYTES: usize = 2 * 1024 * 1024;

/// The lent read buffer. Larger than a default message with its header, so that one is usually
/// decoded in place.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// The events of its poll, its timer wheel and its work lists.
const TABLES_BYTES: usize = 64 * 1024;

/// A worker without connections: beside stack and tables the read buffer, lent to a connection for the length
/// of one event, and what is gathered of a room's frames before they are written.
pub(crate) const WORKER_BYTES: usize = STACK_BYTES + TABLES_BYTES + BUFFER_BYTES + GATHER_BYTES_MAX;

/// A connection's slab entry, its place in the room and in the timer wheel.
pub(crate) const CONNECTION_BYTES: usize = Slab::<Client<mio::net::TcpStream>>::PLACE_BYTES + 96;

/// One read: what a connection keeps of it while it must wait, beside a partial message.
pub(crate) const KEPT_BACK_BYTES: usize = BUFFER_BYTES;
