//! Places of businesses: one that says much keeps the others' messages waiting no longer.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The businesses of which something is being vetted, and their places.
#[derive(Debug)]
pub(super) struct Businesses {
    /// Places of each.
    most: usize,
    places: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
}

/// Somebody who has, or waits for, a place of a business.
struct Visit<'b> {
    businesses: &'b Businesses,
    name: &'b str,
    places: Arc<Semaphore>,
}

impl Businesses {
    /// Businesses of which each has so many places.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            places: Mutex::default(),
        }
    }

    /// Does something in a place of this business, in the order asked.
    pub(super) async fn within<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        let visit = self.visit(name);
        // The semaphore is never closed.
        let _place = visit.places.acquire().await;
        work.await
    }

    fn visit<'b>(&'b self, name: &'b str) -> Visit<'b> {
        let mut places = self.places.lock();
        let places = match places.get(name) {
            Some(places) => Arc::clone(places),
            None => {
                let new = Arc::new(Semaphore::new(self.most));
                places.insert(name.into(), Arc::clone(&new));
                new
            }
        };
        Visit {
            businesses: self,
            name,
            places,
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut places = self.businesses.places.lock();
        // This one and the map's: nobody else is there, or comes while the map is locked.
        if Arc::strong_count(&self.places) <= 2 {
            places.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use tokio::sync::Notify;

    #[test]
    fn a_business_has_its_places_and_is_forgotten_once_nobody_is_there() {
        let (businesses, end) = (Businesses::new(2), Notify::new());
        let mut cx = Context::from_waker(Waker::noop());
        let work = |name| businesses.within(name, async { end.notified().await });
        let (mut one, mut two, mut three) = (pin!(work("7")), pin!(work("7")), pin!(work("7")));
        let mut other = pin!(work("8"));
        assert!(one.as_mut().poll(&mut cx).is_pending());
        assert!(two.as_mut().poll(&mut cx).is_pending());
        assert!(three.as_mut().poll(&mut cx).is_pending());
        assert!(other.as_mut().poll(&mut cx).is_pending());
        // Those who work are told so; the third of a business does not yet.
        end.notify_waiters();
        assert!(one.as_mut().poll(&mut cx).is_ready());
        assert!(two.as_mut().poll(&mut cx).is_ready());
        assert!(other.as_mut().poll(&mut cx).is_ready());
        assert!(three.as_mut().poll(&mut cx).is_pending());
        end.notify_waiters();
        assert!(three.as_mut().poll(&mut cx).is_ready());
        assert!(businesses.places.lock().is_empty());
    }

    #[test]
    fn who_stops_waiting_leaves_nothing_behind() {
        let businesses = Businesses::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut one = pin!(businesses.within("7", std::future::pending::<()>()));
            let mut two = pin!(businesses.within("7", std::future::pending::<()>()));
            assert!(one.as_mut().poll(&mut cx).is_pending());
            assert!(two.as_mut().poll(&mut cx).is_pending());
            assert_eq!(businesses.places.lock().len(), 1);
        }
        assert!(businesses.places.lock().is_empty());
    }
}
