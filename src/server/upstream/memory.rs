//! What a request at the site, and a WebSocket passed through, hold.

/// Bytes of each direction of a WebSocket that is passed through.
pub(crate) const PASS_BYTES: usize = 2 * 1024;

/// A connection to the site beside its two buffers: hyper's state machine and its task.
pub(crate) const CONNECTION_BYTES: usize = 16 * 1024;

/// A WebSocket passed through: two buffers, a task, and what is left of hyper's.
pub(crate) const WEBSOCKET_BYTES: usize = 2 * PASS_BYTES + CONNECTION_BYTES;
