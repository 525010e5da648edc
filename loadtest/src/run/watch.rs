//! Looks at the server from a thread of its own: a ledger that answers late, or ten thousand descriptors to count, must not stall the loop.

use crate::ledger::{self, Ledger};
use crate::measure::{self, Process};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What one look saw.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerLook {
    pub(super) process: Option<Process>,
    pub(super) ledger: Option<Result<Ledger, String>>,
    pub(super) tcp_buffer_bytes: Option<u64>,
}

/// The thread's two ends.
#[derive(Debug)]
pub(super) struct ServerWatch {
    ask: Sender<()>,
    looks: Receiver<ServerLook>,
    last: ServerLook,
}

impl ServerWatch {
    /// Starts the thread; it ends with the run.
    pub(super) fn start(pids: Vec<u32>, admin: Option<String>) -> Self {
        let (ask, asked) = channel::<()>();
        let (tell, looks) = channel();
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                let look = ServerLook {
                    process: Process::sum(pids.iter().map(|&pid| measure::process_tree(pid))),
                    ledger: admin.as_deref().map(ledger::fetch),
                    tcp_buffer_bytes: measure::tcp_memory(),
                };
                if tell.send(look).is_err() {
                    return;
                }
            }
        });
        Self {
            ask,
            looks,
            last: ServerLook::default(),
        }
    }

    /// Looks soon.
    pub(super) fn ask(&self) {
        // The thread ends only with this struct.
        self.ask.send(()).ok();
    }

    /// The newest look; each is told as new once.
    pub(super) fn newest(&mut self) -> (&ServerLook, bool) {
        let mut new = false;
        while let Ok(look) = self.looks.try_recv() {
            (self.last, new) = (look, true);
        }
        (&self.last, new)
    }
}
