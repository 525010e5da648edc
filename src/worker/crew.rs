//! All workers of a node and what they share: the one thing that the server and the admin listener
//! both hold.

use super::connection::{PINGS, STALL};
use super::{Door, Handoff, Link, OnClose, Order, Post, Report, Supplies, spawn};
use crate::assistant::Dispatcher;
use crate::bridge::{self, Bridge};
use crate::broker::ledger::Cause;
use crate::broker::placement::Passage;
use crate::broker::{Broker, Consumers, WORKERS_MAX, Wake};
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::metrics::{Labelled, Metrics};
use crate::name::RoomName;
use crate::protocol::{CloseReason, ErrorCode};
use crate::transport::ViolationKind;
use mio::net::TcpStream;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Longest an audit waits for one worker: a worker answers at the end of its turn.
const AUDIT_MAX: Duration = Duration::from_secs(2);

/// The workers of one node.
pub struct Crew {
    /// Settings.
    pub config: Arc<Config>,
    /// The node's time.
    pub clock: Clock,
    /// Rooms.
    pub broker: Arc<Broker>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who answers.
    pub assistant: Dispatcher,
    /// The way to other nodes, if there is one.
    pub bridge: Option<Bridge>,
    links: Vec<Arc<Link>>,
    on_close: OnClose,
    threads: Mutex<Vec<JoinHandle<()>>>,
    draining: AtomicBool,
    closing: watch::Sender<bool>,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("workers", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// Makes every series of the closed sets appear at zero: an alert on a rate must not wait for the
/// first event.
fn declare(metrics: &Metrics) {
    let all = |metric: &Labelled, name: &'static str, values: &[&'static str]| {
        for value in values {
            drop(metric.get_or_create(&[(name, value)]));
        }
    };
    all(
        &metrics.deliveries_dropped,
        "cause",
        &Cause::ALL.map(Cause::label),
    );
    all(
        &metrics.connections_closed,
        "reason",
        &CloseReason::ALL.map(CloseReason::label),
    );
    all(
        &metrics.connections_closed,
        "reason",
        &["asked", "gone", "shutdown"],
    );
    all(
        &metrics.commands_refused,
        "reason",
        &ErrorCode::ALL.map(ErrorCode::label),
    );
    all(
        &metrics.violations,
        "kind",
        &ViolationKind::ALL.map(ViolationKind::label),
    );
    all(&metrics.violations, "kind", &[PINGS, STALL]);
    all(&metrics.commands, "kind", &["user", "system"]);
    all(&metrics.reads_paused, "reason", &["mailbox", "bytes"]);
}

/// Why the workers cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gives no descriptor or no thread.
    #[error("cannot start the workers")]
    Workers(#[from] io::Error),
    /// The bridge cannot be built.
    #[error(transparent)]
    Bridge(#[from] bridge::Error),
    /// There is no worker to listen.
    #[error("the worker that was to listen has ended")]
    Ended,
}

impl Crew {
    /// Starts the worker threads, and the bridge's.
    ///
    /// # Errors
    /// When the system gives no descriptor or no thread, or an address of Redis is none.
    pub fn start<C: Consumers>(
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        assistant: Dispatcher,
        on_close: OnClose,
        consumers: impl Fn() -> C,
    ) -> Result<Arc<Self>, Error> {
        declare(&metrics);
        let clock = Clock::start();
        let bridge = Bridge::new(&config, &metrics, clock)?;
        let posts = (0..config.server.workers.clamp(1, WORKERS_MAX))
            .map(|_| Post::new())
            .collect::<io::Result<Vec<_>>>()?;
        let links: Vec<_> = posts.iter().map(|post| Arc::clone(&post.link)).collect();
        let wake = |link: &Arc<Link>| {
            let link = Arc::clone(link);
            Box::new(move || link.wake()) as Wake
        };
        let broker = Arc::new(Broker::new(
            &config.broker,
            links.iter().map(wake).collect(),
            bridge.as_ref().map(Bridge::uplink),
        ));
        if let Some(bridge) = &bridge {
            bridge.run(&broker)?;
        }
        let supplies = Supplies {
            config: Arc::clone(&config),
            clock,
            broker: Arc::clone(&broker),
            metrics: Arc::clone(&metrics),
            on_close: Arc::clone(&on_close),
        };
        let threads = posts
            .into_iter()
            .enumerate()
            .map(|(id, post)| spawn(id, post, supplies.clone(), consumers()))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            config,
            clock,
            broker,
            metrics,
            assistant,
            bridge,
            links,
            on_close,
            threads: Mutex::new(threads),
            draining: AtomicBool::new(false),
            closing: watch::Sender::new(false),
        }))
    }

    /// Worker threads.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Never: there is at least one worker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Has a worker accept connections until the drain.
    ///
    /// # Errors
    /// When that worker has ended.
    pub fn listen(&self, door: Door) -> Result<(), Error> {
        let order = Order::Listen(Box::new(door));
        let refused = self
            .links
            .first()
            .is_none_or(|link| link.send(order).is_some());
        if refused { Err(Error::Ended) } else { Ok(()) }
    }

    /// Chooses the worker of a new connection.
    #[must_use]
    pub fn place(&self, room: Option<&RoomName>) -> Passage {
        self.broker.place(room, self.clock.now())
    }

    /// Gives a connection to its worker, or its socket back if that worker has ended.
    pub fn hand_over(&self, mut handoff: Handoff) -> Option<TcpStream> {
        let place = || self.place(handoff.room.as_ref());
        let passage = handoff.passage.take().unwrap_or_else(place);
        let link = self.links.get(passage.worker())?;
        handoff.passage = Some(passage);
        match link.send(Order::Open(Box::new(handoff)))? {
            Order::Open(handoff) => {
                (self.on_close)(handoff.peer);
                Some(handoff.socket)
            }
            _ => None,
        }
    }

    /// A worker's link, so that a test decides who gets what.
    #[cfg(test)]
    pub(super) fn link(&self, worker: usize) -> &Link {
        self.links.get(worker).expect("a worker of this crew")
    }

    /// Do all worker threads run? Without one, the rooms that live on it cannot be joined.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.threads.lock().iter().any(JoinHandle::is_finished)
    }

    /// Has the drain begun? Then this node is not ready, and still takes who comes until it is
    /// [closing](Crew::is_closing).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says that this node is not ready for more. All goes on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Does this node take nobody new any more?
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Done when this node takes nobody new any more.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn closing(&self) {
        // The sender is this crew's: it lives as long as this borrows it.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// Takes nobody new any more and closes all connections, spread over `grace`; worker threads end when theirs
    /// are gone, at the latest when the grace is over. Called again, the last grace counts.
    pub fn close_all(&self, reason: CloseReason, grace: Duration) {
        self.begin_drain();
        self.closing.send_replace(true);
        if let Some(bridge) = &self.bridge {
            bridge.close(&self.broker);
        }
        let deadline: Millis = self.clock.now() + grace;
        for link in &self.links {
            // A worker that has ended has nobody left to close.
            drop(link.send(Order::Drain { reason, deadline }));
        }
    }

    /// Waits for the worker threads to end, then for the bridge's, which ends by `deadline`. Blocks; they end after
    /// [`Crew::close_all`].
    pub fn join(&self, deadline: Millis) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
                self.metrics.panics.inc();
            }
        }
        // Last: what the members said to the end is on its way to the other nodes.
        if let Some(bridge) = &self.bridge {
            bridge.shutdown(deadline);
        }
    }

    /// The workers' accounts, of one room or of everything; a worker that does not answer in time
    /// is left out.
    ///
    /// # Cancel safety
    /// Nothing is changed, so nothing is lost.
    pub async fn audit(&self, room: Option<&RoomName>) -> Vec<Report> {
        let answers: Vec<_> = self
            .links
            .iter()
            .map(|link| {
                let (sender, receiver) = oneshot::channel();
                let reply = Box::new(move |report| {
                    // The asker may have gone away; then nobody needs the report.
                    drop(sender.send(report));
                });
                // A worker that has ended does not answer: its end of the channel goes here.
                drop(link.send(Order::Audit(room.cloned(), reply)));
                receiver
            })
            .collect();
        let mut reports = Vec::with_capacity(answers.len());
        for answer in answers {
            if let Ok(Ok(report)) = tokio::time::timeout(AUDIT_MAX, answer).await {
                reports.push(report);
            }
        }
        reports
    }
}
