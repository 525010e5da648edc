//! The thread on which everything about Redis runs.
//!
//! A thread with a runtime of its own, so that a flood from other nodes competes with the operator's
//! requests for a core at most, never for a runtime. One thread: a message passes through several
//! tasks of fred and ours, and with two threads each step woke the other one.

use super::error::Error;
use super::supervise::Deadline;
use crate::clock::Millis;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// What runs there until the node's end.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the node's end is known.
#[derive(Clone, Debug)]
pub struct NodeEnd {
    /// True once the node goes down.
    pub(crate) stop: watch::Receiver<bool>,
    /// When all must be over.
    pub(crate) deadline: Arc<Deadline>,
}

/// The thread, and its end.
#[derive(Debug)]
pub struct Runtime {
    stop: watch::Sender<bool>,
    deadline: Arc<Deadline>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            stop: watch::Sender::new(false),
            deadline: Arc::new(Deadline::new()),
            thread: Mutex::new(None),
        }
    }
}

impl Runtime {
    /// How what runs here knows of the node's end.
    #[must_use]
    pub fn end(&self) -> NodeEnd {
        NodeEnd {
            stop: self.stop.subscribe(),
            deadline: Arc::clone(&self.deadline),
        }
    }

    /// Starts the thread, unless there is nothing to run.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn run(&self, tasks: Vec<Running>) -> Result<(), Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        // Built on its own thread: the caller is on another runtime, where none may be dropped.
        let (built, outcome) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("bridge".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let (runtime, result) = match runtime {
                    Ok(runtime) => (Some(runtime), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // The caller waits for this.
                drop(built.send(result));
                let Some(runtime) = runtime else {
                    return;
                };
                runtime.block_on(async {
                    let mut running = tokio::task::JoinSet::new();
                    for task in tasks {
                        running.spawn(task);
                    }
                    while running.join_next().await.is_some() {}
                });
                runtime.shutdown_background();
            })?;
        *self.thread.lock() = Some(thread);
        match outcome.recv() {
            Ok(result) => Ok(result?),
            Err(gone) => Err(io::Error::other(gone).into()),
        }
    }

    /// Has what is left sent and Django's groups left, for at most three times
    /// `bridge.command_timeout` and not beyond `deadline`, and ends the thread. Blocks.
    pub fn shutdown(&self, deadline: Millis) {
        self.deadline.set(deadline);
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the bridge's thread panicked");
        }
    }
}
