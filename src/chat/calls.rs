//! Which worker is in a call of a consumer of the program's own, and since when.
//!
//! A thread cannot be interrupted: a consumer that never returns holds its worker for good. But whoever looks after the
//! node can see it, say whose call it is, and send new clients elsewhere. A call costs two stores for that.

use crate::clock::Millis;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bits of a word that name the route, from 1; the others are when the call began.
const ROUTE_BITS: u32 = 16;

/// What a worker is at; 0 for nothing of the program's own. On a line of its own: each worker writes to its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(AtomicU64);

/// The calls of all workers.
#[derive(Debug)]
pub(crate) struct Calls {
    /// How long a call may take (`consumers.timeout`).
    timeout: Duration,
    places: Box<[Place]>,
    /// Template and consumer of each route.
    routes: Vec<(String, &'static str)>,
}

/// A call under way; over when dropped, also by a panic.
pub(super) struct Call<'a>(Option<&'a Place>);

/// Whose call has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overdue<'a> {
    /// The template of the route.
    pub(crate) route: &'a str,
    /// The type of the consumer.
    pub(crate) consumer: &'static str,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(Place(word)) = self.0 {
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// The calls of nobody, which may take for ever.
impl Default for Calls {
    fn default() -> Self {
        Self::new(0, Vec::new(), Duration::MAX)
    }
}

impl Calls {
    /// The calls of so many workers; template and consumer of each route, in the order of their numbers from 1.
    pub(super) fn new(
        workers: usize,
        routes: Vec<(String, &'static str)>,
        timeout: Duration,
    ) -> Self {
        Self {
            timeout,
            places: (0..workers).map(|_| Place::default()).collect(),
            routes,
        }
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.places.len()
    }

    /// A worker calls the consumer of the route with this number.
    pub(super) fn begin(&self, worker: usize, now: Millis, route: u16) -> Call<'_> {
        let place = self.places.get(worker);
        if let Some(Place(word)) = place {
            word.store(now.0 << ROUTE_BITS | u64::from(route), Ordering::Relaxed);
        }
        Call(place)
    }

    /// Has a call that began then taken too long?
    pub(super) fn is_late(&self, began: Millis, now: Millis) -> bool {
        now.since(began) >= self.timeout
    }

    /// The call that a worker has been in for too long.
    pub(crate) fn overdue(&self, worker: usize, now: Millis) -> Option<Overdue<'_>> {
        let Place(word) = self.places.get(worker)?;
        let word = word.load(Ordering::Relaxed);
        let number = usize::from(word as u16).checked_sub(1)?;
        let began = Millis(word >> ROUTE_BITS);
        let (route, consumer) = self.routes.get(number)?;
        self.is_late(began, now)
            .then_some(Overdue { route, consumer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_call_is_overdue_while_it_has_not_returned_and_names_its_route() {
        let routes = ["/a", "/b"].map(|path| (path.to_owned(), "Board"));
        let calls = Calls::new(2, routes.to_vec(), Duration::from_secs(1));
        let overdue = |worker, now| calls.overdue(worker, Millis(now));
        assert_eq!(overdue(1, 5_000), None);
        let call = calls.begin(1, Millis(5_000), 2);
        assert_eq!(overdue(1, 5_999), None);
        let found = overdue(1, 6_000).expect("a second");
        assert_eq!((found.route, found.consumer), ("/b", "Board"));
        assert_eq!(overdue(0, 6_000), None, "another worker");
        drop(call);
        assert_eq!(overdue(1, 9_000), None);
        drop(calls.begin(7, Millis(0), 1));
    }
}
