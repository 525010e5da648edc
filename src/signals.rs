//! SIGTERM and SIGINT: the first asks for a drain, the second for a stop.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Listens from its creation on.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals. Must be called on the runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Two futures: done at the first signal, and at the second.
    pub(crate) fn split(mut self) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
        let (count, drain) = watch::channel(0_u32);
        let stop = drain.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => {}
                    _ = self.interrupt.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        (reached(drain, 1), reached(stop, 2))
    }
}

async fn reached(mut count: watch::Receiver<u32>, number: u32) {
    if count.wait_for(|count| *count >= number).await.is_err() {
        // Nobody counts any more: the runtime is going down, and the process with it.
        std::future::pending::<()>().await;
    }
}
