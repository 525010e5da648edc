//! Buffers that a thread's sessions share while they work, so that none of them has its own.

use std::cell::RefCell;

/// Read from a socket at once: a few records.
pub(super) const INPUT_BYTES: usize = 64 * 1024;

/// A record's plaintext at most (RFC 8446 section 5.1).
pub(super) const FRAGMENT_BYTES: usize = 16 * 1024;

/// What encryption adds to a record, and a message of the handshake that may stand before it.
const OVERHEAD_BYTES: usize = 1024;

/// The buffers of one thread.
pub(crate) const SCRATCH_BYTES: usize = INPUT_BYTES + 2 * FRAGMENT_BYTES + OVERHEAD_BYTES;

/// One thread's buffers.
#[derive(Debug)]
pub(super) struct Scratch {
    /// What has been read, encrypted.
    pub(super) input: Vec<u8>,
    /// Pieces of plaintext that become one record.
    pub(super) plain: Vec<u8>,
    /// A record on its way out.
    pub(super) output: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; INPUT_BYTES],
        plain: Vec::with_capacity(FRAGMENT_BYTES),
        output: vec![0; FRAGMENT_BYTES + OVERHEAD_BYTES],
    });
}

/// Lends the buffers of this thread; not to be asked for again meanwhile.
pub(super) fn lend<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(work)
}
