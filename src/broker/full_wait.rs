//! Tasks that wait for a full mailbox to have room again. Workers wait by a bit each ([`Mailbox::wait`]); tasks are many and
//! come and go, and so have wakers, under the one bit of the mailbox that its own worker does not need: that never waits for
//! itself.
//!
//! Bounded by those who wait: each has one waker here, from its first poll until it is woken or dropped.
//!
//! [`Mailbox::wait`]: super::mailbox::Mailbox::wait

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Wakers of the tasks that wait for one mailbox.
#[derive(Debug, Default)]
pub(super) struct WaitingTasks(Mutex<NumberedWakers>);

#[derive(Debug, Default)]
struct NumberedWakers {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl WaitingTasks {
    /// Wakes those who have waited longest, so many of them: each looks for itself whether there is room for it. Are others
    /// left?
    pub(super) fn wake(&self, most: usize) -> bool {
        let mut tasks = self.0.lock();
        let rest = match tasks.wakers.keys().nth(most).copied() {
            Some(first) => tasks.wakers.split_off(&first),
            None => BTreeMap::new(),
        };
        let are_left = !rest.is_empty();
        let woken = mem::replace(&mut tasks.wakers, rest);
        drop(tasks);
        woken.into_values().for_each(Waker::wake);
        are_left
    }

    fn enter(&self, waker: &Waker) -> u64 {
        let mut tasks = self.0.lock();
        let number = tasks.next;
        tasks.next += 1;
        tasks.wakers.insert(number, waker.clone());
        number
    }

    /// Is this one to wait on? Then this is its waker from here on.
    fn stay(&self, number: u64, waker: &Waker) -> bool {
        let mut tasks = self.0.lock();
        let known = tasks.wakers.get_mut(&number);
        known.map(|known| known.clone_from(waker)).is_some()
    }

    fn leave(&self, number: u64) {
        self.0.lock().wakers.remove(&number);
    }
}

/// A wait until a mailbox may have room.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(super) struct FullWait<'m, R> {
    tasks: &'m WaitingTasks,
    /// Registers for a release of the mailbox; false if it has room.
    register: R,
    /// `None`: not polled yet.
    number: Option<u64>,
}

impl<'m, R> FullWait<'m, R> {
    pub(super) fn new(tasks: &'m WaitingTasks, register: R) -> Self {
        Self {
            tasks,
            register,
            number: None,
        }
    }
}

impl<R: Fn() -> bool + Unpin> Future for FullWait<'_, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let is_waiting = if let Some(number) = self.number {
            self.tasks.stay(number, cx.waker())
        } else {
            // In this order: whoever sees the bit and clears it finds the waker.
            self.number = Some(self.tasks.enter(cx.waker()));
            (self.register)()
        };
        if is_waiting {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl<R> Drop for FullWait<'_, R> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.tasks.leave(number);
        }
    }
}

#[cfg(all(test, not(queue_model)))]
mod tests {
    use super::*;
    use crate::broker::mailboxes::Mailboxes;
    use crate::broker::parcel::{ConnectionKey, Parcel};
    use crate::clock::{Clock, Millis};
    use crate::config::BrokerSettings;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread::{self, Thread};

    /// A waker that counts.
    #[derive(Default)]
    struct WakeCount(AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One task, which waits for the mailbox of worker 0.
    struct Task<'m> {
        wait: Pin<Box<dyn Future<Output = ()> + 'm>>,
        wakes: Arc<WakeCount>,
    }

    impl<'m> Task<'m> {
        fn begin(mailboxes: &'m Mailboxes) -> Self {
            let mut task = Self {
                wait: Box::pin(mailboxes.wait_while_full(0)),
                wakes: Arc::default(),
            };
            assert!(!task.is_done());
            task
        }

        fn is_done(&mut self) -> bool {
            let waker = Arc::clone(&self.wakes).into();
            let polled = self.wait.as_mut().poll(&mut Context::from_waker(&waker));
            polled.is_ready()
        }
    }

    fn push(mailboxes: &Mailboxes) {
        let connection = ConnectionKey(0);
        mailboxes.push(0, Parcel::Resume { connection }, None);
    }

    /// One worker, with a full mailbox of three.
    fn full() -> Mailboxes {
        let settings = BrokerSettings {
            mailbox_capacity: 3,
            ..BrokerSettings::default()
        };
        let mailboxes = Mailboxes::new(&settings, vec![Box::new(|| {})]);
        (0..3).for_each(|_| push(&mailboxes));
        mailboxes
    }

    fn waiting(mailboxes: &Mailboxes) -> usize {
        mailboxes.tasks(0).expect("worker 0").0.lock().wakers.len()
    }

    fn woken(tasks: &[Task<'_>]) -> Vec<usize> {
        let wakes = tasks
            .iter()
            .map(|task| task.wakes.0.load(Ordering::Relaxed));
        wakes.collect()
    }

    #[test]
    fn as_many_tasks_wake_as_there_is_room_for_and_the_others_sleep() {
        let mailboxes = full();
        let mut tasks: Vec<_> = (0..8).map(|_| Task::begin(&mailboxes)).collect();
        // Whoever is looked at for another reason waits on, with one waker.
        assert!(tasks.iter_mut().all(|task| !task.is_done()));
        assert_eq!((waiting(&mailboxes), woken(&tasks)), (8, vec![0; 8]));
        let mut parcels = Vec::new();
        let bytes = mailboxes.swap(0, &mut parcels);
        mailboxes.release(0, 2, bytes / 3 * 2);
        assert_eq!(woken(&tasks), [1, 1, 0, 0, 0, 0, 0, 0], "first come");
        // Who leaves in its sleep takes its waker along.
        drop(tasks.pop());
        assert_eq!(waiting(&mailboxes), 5);
        mailboxes.release(0, 1, bytes - bytes / 3 * 2);
        assert_eq!(woken(&tasks), [1; 7], "no other release is to come: all");
        assert!(tasks.iter_mut().all(Task::is_done));
        assert_eq!(waiting(&mailboxes), 0);
    }

    #[test]
    fn tasks_that_wait_for_a_worker_that_is_gone_wait_no_longer() {
        let mailboxes = full();
        let mut tasks: Vec<_> = (0..3).map(|_| Task::begin(&mailboxes)).collect();
        assert_eq!(mailboxes.close(0).len(), 3);
        assert_eq!(woken(&tasks), [1; 3]);
        assert!(tasks.iter_mut().all(Task::is_done));
    }

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn whoever_waits_on_whatever_thread_gets_its_turn_in_the_end() {
        const PUBLISHERS: usize = 8;
        const EACH: usize = 200;
        /// When this gives up: on a busy machine.
        const LAST: Millis = Millis(60_000);
        let mailboxes = full();
        let publish = || {
            let waker = Arc::new(Unpark(thread::current())).into();
            for _ in 0..EACH {
                let mut wait = Box::pin(mailboxes.wait_while_full(0));
                while wait
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
                {
                    thread::park();
                }
                push(&mailboxes);
            }
        };
        thread::scope(|scope| {
            for _ in 0..PUBLISHERS {
                scope.spawn(publish);
            }
            let (mut taken, mut parcels) = (0, Vec::new());
            let clock = Clock::start();
            while taken < 3 + PUBLISHERS * EACH && clock.now() < LAST {
                let bytes = mailboxes.swap(0, &mut parcels);
                taken += parcels.len();
                mailboxes.release(0, parcels.drain(..).count(), bytes);
                thread::yield_now();
            }
            // Whoever still sleeps is let go, so that the test can say so.
            drop(mailboxes.close(0));
            assert_eq!(taken, 3 + PUBLISHERS * EACH);
        });
    }
}
