//! The lock and the atomics of code that loom checks: `parking_lot` and `std`, or loom's.
//!
//! loom's are chosen by `--cfg queue_model` and only in this crate's own unit tests, which is where
//! the models live. The cfg is not named `loom` because tokio reacts to that name by dropping
//! `tokio::net`, and nothing would compile.

#[cfg(not(all(test, queue_model)))]
pub use parking_lot::Mutex;
#[cfg(not(all(test, queue_model)))]
pub use std::sync::atomic;

#[cfg(all(test, queue_model))]
pub use loom::sync::atomic;

/// loom's mutex with the face of `parking_lot`'s: no poisoning.
#[cfg(all(test, queue_model))]
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(all(test, queue_model))]
impl<T> Mutex<T> {
    /// A free lock round `value`.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0
            .lock()
            .expect("invariant: a model ends at its first panic")
    }
}
