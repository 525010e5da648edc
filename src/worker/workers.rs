//! All worker threads of a node: started, given connections, asked for their accounts, drained, joined.

use super::client::UNWATCHED;
use super::connection::{PINGS, STALL};
use super::handle::{AnyWorker, ConnectionList, Instruction, Reply, Report, Whom};
use super::handle::{WorkerHandle, WorkerSlot};
use super::handoff::Handoff;
use super::listener::Listener;
use super::live::LiveSettings;
use super::port::{Port, TcpPort};
use super::slow_reader::SlowReader;
use super::supplies::{OnClose, Supplies};
use super::turn::Worker;
use super::{affinity, memory};
use crate::broker::Consumers;
use crate::broker::ledger::Cause;
use crate::broker::placement::Passage;
use crate::clock::Millis;
use crate::metrics::{Metrics, declare};
use crate::name::RoomName;
use crate::protocol::{CloseReason, ErrorCode};
use crate::shedding::SheddingStep;
use crate::transport::ViolationKind;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest an audit or a list waits for one worker: a worker answers within a turn.
const AUDIT_MAX: Duration = Duration::from_secs(2);

/// The workers of one node.
pub struct Workers {
    handles: Vec<Arc<dyn AnyWorker>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What each of them was given.
    supplies: Supplies,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("count", &self.handles.len())
            .finish_non_exhaustive()
    }
}

/// Makes every series of the closed sets appear at zero.
fn declare_all(metrics: &Metrics) {
    let closed = &metrics.connections_closed;
    let dropped = &metrics.deliveries_dropped;
    let violations = &metrics.violations;
    declare(dropped, "cause", Cause::ALL.map(Cause::label));
    declare(closed, "reason", CloseReason::ALL.map(CloseReason::label));
    declare(closed, "reason", ["asked", "gone", "shutdown", UNWATCHED]);
    let given_up = &metrics.slow_readers_closed;
    declare(given_up, "cause", SlowReader::ALL.map(SlowReader::label));
    let refused = &metrics.commands_refused;
    declare(refused, "reason", ErrorCode::ALL.map(ErrorCode::label));
    let kinds = ViolationKind::ALL.map(ViolationKind::label);
    declare(violations, "kind", kinds);
    declare(violations, "kind", [PINGS, STALL]);
    declare(&metrics.commands, "kind", ["user", "system"]);
    declare(&metrics.reads_paused, "reason", ["mailbox", "bytes"]);
}

/// Starts worker number `id` on its own thread, which ends after [`Instruction::Drain`].
fn spawn<P: Port + Send>(
    id: usize,
    slot: WorkerSlot<P>,
    supplies: Supplies,
    consumers: impl Consumers,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("worker-{id}"))
        .stack_size(memory::STACK_BYTES)
        .spawn(move || {
            if supplies.config.server.pin_workers {
                affinity::pin(id);
            }
            Worker::new(id, slot, &supplies, consumers).run();
        })
}

/// There is no worker to listen.
#[derive(Debug, thiserror::Error)]
#[error("the worker that was to listen has ended")]
pub struct NobodyListens;

/// The way to the workers of one node for connections, which are of their port.
pub struct WorkerHandles<P: Port = TcpPort> {
    handles: Vec<Arc<WorkerHandle<P>>>,
    on_close: OnClose,
}

impl<P: Port> fmt::Debug for WorkerHandles<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandles")
            .field("count", &self.handles.len())
            .finish_non_exhaustive()
    }
}

impl<P: Port> WorkerHandles<P> {
    /// The way to workers that are about to be started. What a connection held is given back through `on_close`.
    #[must_use]
    pub fn of(slots: &[WorkerSlot<P>], on_close: OnClose) -> Self {
        let handles = slots.iter().map(|slot| Arc::clone(&slot.handle));
        Self {
            handles: handles.collect(),
            on_close,
        }
    }

    /// Has a worker accept connections until the drain.
    ///
    /// # Errors
    /// When that worker has ended.
    pub fn listen(&self, listener: Listener<P>) -> Result<(), NobodyListens> {
        let instruction = Instruction::Listen(Box::new(listener));
        let refused = self
            .handles
            .first()
            .is_none_or(|handle| handle.send(instruction).is_some());
        if refused { Err(NobodyListens) } else { Ok(()) }
    }

    /// Gives a connection to the worker that its passage leads to, or its socket back if that worker has ended.
    pub fn hand_over(&self, handoff: Handoff<P::Socket>) -> Option<P::Socket> {
        let handle = self.handles.get(handoff.passage.worker())?;
        match handle.send(Instruction::Open(Box::new(handoff)))? {
            Instruction::Open(handoff) => {
                (self.on_close)(handoff.counted);
                Some(handoff.socket)
            }
            _ => None,
        }
    }

    /// A worker's handle, so that a test decides who gets what.
    #[cfg(test)]
    pub(super) fn handle(&self, worker: usize) -> &WorkerHandle<P> {
        self.handles.get(worker).expect("a worker of this node")
    }
}

impl Workers {
    /// Starts a thread for each of the `slots`, with consumers of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start<P: Port + Send, C: Consumers>(
        slots: Vec<WorkerSlot<P>>,
        supplies: Supplies,
        consumers: impl Fn() -> C,
    ) -> io::Result<Self> {
        declare_all(&supplies.metrics);
        let handles = slots.iter().map(|slot| Arc::clone(&slot.handle) as _);
        let handles = handles.collect();
        let threads = slots
            .into_iter()
            .enumerate()
            .map(|(id, slot)| spawn(id, slot, supplies.clone(), consumers()))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            handles,
            threads: Mutex::new(threads),
            supplies,
        })
    }

    /// How many there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Chooses the worker of a new connection, which counts there from now on.
    #[must_use]
    pub fn place(&self, room: Option<&RoomName>) -> Passage {
        self.supplies.broker.place(room, self.supplies.clock.now())
    }

    /// Do all worker threads run? Without one, the rooms that live on it cannot be joined.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.threads.lock().iter().any(JoinHandle::is_finished)
    }

    /// Closes the listener and all connections, these spread over `grace`; worker threads end when theirs are
    /// gone, at the latest when the grace is over. Called again, the last grace counts.
    pub fn drain(&self, reason: CloseReason, grace: Duration) {
        let deadline: Millis = self.supplies.clock.now() + grace;
        for handle in &self.handles {
            handle.drain(reason, deadline);
        }
    }

    /// Has all workers go by these settings: each from its next turn on.
    pub fn take_settings(&self, settings: LiveSettings) {
        let settings = Arc::new(settings);
        for handle in &self.handles {
            // A worker that has ended needs none.
            handle.take_settings(Arc::clone(&settings));
        }
    }

    /// Has all workers give up what these steps say, until told otherwise: each from its next turn on. Told again, readers
    /// are closed again. A worker whose queues hold less than its part of `least` bytes takes nothing from readers.
    pub fn shed(&self, steps: &'static [SheddingStep], least: u64) {
        let part = least / self.handles.len().max(1) as u64;
        for handle in &self.handles {
            handle.shed(steps, part);
        }
    }

    /// Waits for the worker threads to end, which they do after [`Workers::drain`]. Blocks.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
                self.supplies.metrics.panics.inc();
            }
        }
    }

    /// The workers' accounts, of one room or of everything; a worker that does not answer within two seconds
    /// is left out.
    ///
    /// # Cancel safety
    /// Nothing is changed, so nothing is lost.
    pub async fn audit(&self, room: Option<&RoomName>) -> Vec<Report> {
        let audit = |worker: &dyn AnyWorker, reply| worker.audit(room.cloned(), reply);
        let reports = self.ask(0..self.handles.len(), audit).await;
        reports.into_iter().map(|(_, report)| report).collect()
    }

    /// The members of a room, or one connection of a worker, if it is open: at most so many of each worker, with its
    /// number. A worker that does not answer within two seconds is left out.
    ///
    /// # Cancel safety
    /// As [`Workers::audit`].
    pub async fn list(
        &self,
        whom: &Whom,
        worker: Option<usize>,
        most: usize,
    ) -> Vec<(usize, ConnectionList)> {
        let workers = match worker {
            Some(worker) => worker..worker.saturating_add(1),
            None => 0..self.handles.len(),
        };
        let list = |worker: &dyn AnyWorker, reply| worker.list(whom.clone(), most, reply);
        self.ask(workers, list).await
    }

    /// What each of these workers answers to what `question` asks.
    async fn ask<T: Send + 'static>(
        &self,
        workers: Range<usize>,
        question: impl Fn(&dyn AnyWorker, Reply<T>),
    ) -> Vec<(usize, T)> {
        let handles = workers.filter_map(|worker| Some((worker, self.handles.get(worker)?)));
        let answers: Vec<_> = handles
            .map(|(worker, handle)| {
                let (sender, receiver) = oneshot::channel();
                let reply = Box::new(move |answer| {
                    // The asker may have gone away; then nobody needs the answer.
                    drop(sender.send(answer));
                });
                // A worker that has ended does not answer: its end of the channel goes here.
                question(&**handle, reply);
                (worker, receiver)
            })
            .collect();
        let mut given = Vec::with_capacity(answers.len());
        for (worker, answer) in answers {
            if let Ok(Ok(answer)) = tokio::time::timeout(AUDIT_MAX, answer).await {
                given.push((worker, answer));
            }
        }
        given
    }
}
