//! What businesses take of the vetting: one of which much is said keeps the others' messages neither waiting nor out.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The businesses of which something is being vetted.
#[derive(Debug)]
pub(super) struct Businesses {
    /// Messages of one business at the site.
    concurrency: usize,
    /// Bytes of all messages.
    bytes_max: usize,
    held: Mutex<HeldBytes>,
}

#[derive(Debug, Default)]
struct HeldBytes {
    all: usize,
    shares: HashMap<Box<str>, BusinessShare>,
}

#[derive(Debug)]
struct BusinessShare {
    bytes: usize,
    places: Arc<Semaphore>,
}

/// One message of a business, and its bytes until this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    businesses: Arc<Businesses>,
    name: Box<str>,
    bytes: usize,
    places: Arc<Semaphore>,
}

impl Businesses {
    /// Businesses of which each has so many messages at the site, and all together so many bytes.
    pub(super) fn new(concurrency: usize, bytes_max: usize) -> Self {
        Self {
            concurrency,
            bytes_max,
            held: Mutex::default(),
        }
    }

    /// Takes in a message of so many bytes, more than none; `None` if they are too many. A business has at most as many as are
    /// then free: half of them alone, a third each of two. Customers may make up businesses; however many take what they get,
    /// one more finds as much as each of them, once what they had before is decided.
    pub(super) fn enter(self: &Arc<Self>, name: &str, bytes: usize) -> Option<Visit> {
        let mut held = self.held.lock();
        let before = held.shares.get(name).map_or(0, |share| share.bytes);
        let all = held.all.saturating_add(bytes);
        let free = self.bytes_max.checked_sub(all)?;
        if before.saturating_add(bytes) > free {
            return None;
        }
        held.all = all;
        let share = held.shares.entry(name.into());
        let share = share.or_insert_with(|| BusinessShare {
            bytes: 0,
            places: Arc::new(Semaphore::new(self.concurrency)),
        });
        share.bytes += bytes;
        Some(Visit {
            businesses: Arc::clone(self),
            name: name.into(),
            bytes,
            places: Arc::clone(&share.places),
        })
    }
}

impl Visit {
    /// Waits for a place of the business, in the order asked; `None` never, as they are not taken away.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut held = self.businesses.held.lock();
        held.all -= self.bytes;
        if let Some(share) = held.shares.get_mut(&self.name) {
            share.bytes -= self.bytes;
            if share.bytes == 0 {
                held.shares.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn a_business_has_its_places_in_the_order_asked() {
        let businesses = Arc::new(Businesses::new(1, 1_000));
        let enter = |name| businesses.enter(name, 1).expect("room");
        let [one, two, three, other] = ["7", "7", "7", "8"].map(enter);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (pin!(one.place()), Box::pin(two.place()));
        let (mut third, mut of_other) = (pin!(three.place()), pin!(other.place()));
        let place = first.as_mut().poll(&mut cx);
        assert!(place.is_ready() && of_other.as_mut().poll(&mut cx).is_ready());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        // Who stops waiting keeps nobody from their turn.
        drop(second);
        drop(place);
        assert!(third.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn however_many_businesses_are_full_one_more_has_as_much_as_each_of_them() {
        let businesses = Arc::new(Businesses::new(1, 1_000));
        let mut visits = Vec::new();
        for number in 1..=9 {
            // Each takes what it can get, again and again.
            for _ in 0..1_000 {
                for name in 0..number {
                    visits.extend(businesses.enter(&name.to_string(), 1));
                }
                if businesses.held.lock().all >= 1_000 * number / (number + 1) {
                    break;
                }
            }
            let free = 1_000 - businesses.held.lock().all;
            assert!(free >= 1_000 / (number + 1), "{free} of {number}");
            visits.clear();
        }
    }

    #[test]
    fn a_business_has_as_many_bytes_as_it_leaves_free_and_nothing_is_kept_of_who_left() {
        let businesses = Arc::new(Businesses::new(1, 100));
        let enter = |name, bytes| businesses.enter(name, bytes);
        assert!(enter("7", 51).is_none() && enter("7", usize::MAX).is_none());
        let one = enter("7", 30).expect("room");
        let two = enter("7", 20).expect("room");
        assert!(enter("7", 1).is_none());
        assert!(enter("8", 26).is_none());
        let other = enter("8", 25).expect("half of the rest");
        drop(two);
        assert!(enter("7", 8).is_none());
        drop(enter("7", 7).expect("room again"));
        drop((one, other));
        let held = businesses.held.lock();
        assert_eq!((held.all, held.shares.len()), (0, 0));
    }
}
