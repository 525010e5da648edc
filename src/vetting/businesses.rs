//! What businesses take of the vetting: one of which much is said keeps the others' messages neither waiting nor out.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One business holds at most this part of all the bytes.
const SHARES: usize = 2;

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

    /// Takes in a message of so many bytes, more than none; `None` if they are too many, of all or of this business.
    pub(super) fn enter(self: &Arc<Self>, name: &str, bytes: usize) -> Option<Visit> {
        let mut held = self.held.lock();
        let before = held.shares.get(name).map_or(0, |share| share.bytes);
        if held.all.saturating_add(bytes) > self.bytes_max
            || before.saturating_add(bytes) > self.bytes_max / SHARES
        {
            return None;
        }
        held.all += bytes;
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
    fn one_business_has_half_of_the_bytes_and_nothing_is_kept_of_who_left() {
        let businesses = Arc::new(Businesses::new(1, 100));
        let enter = |name, bytes| businesses.enter(name, bytes);
        assert!(enter("7", 51).is_none() && enter("7", usize::MAX).is_none());
        let one = enter("7", 30).expect("room");
        let two = enter("7", 20).expect("room");
        assert!(enter("7", 1).is_none());
        let other = enter("8", 50).expect("the other half");
        assert!(enter("9", 1).is_none(), "all are taken");
        drop(two);
        assert!(enter("7", 21).is_none());
        drop(enter("7", 20).expect("room again"));
        drop((one, other));
        let held = businesses.held.lock();
        assert_eq!((held.all, held.shares.len()), (0, 0));
    }
}
