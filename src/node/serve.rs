//! A node as a whole process: its control plane, and its end by a signal.

use super::builder::Builder;
use super::signals::{Signals, SignalsHeard};
use super::{Error, Node, Reloader};
use std::io;
use std::sync::Arc;
use tokio::runtime::{self, Runtime};
use tokio::task::spawn_blocking;
use tracing::info;

/// Threads for work that blocks or computes: the `faq` assistant's ranking, and the wait for the
/// workers at the end. Each keeps a heap of its own, so 64 of them cost 35 MB in a soak.
const BLOCKING_THREADS: usize = 4;

impl Builder {
    /// Starts the node on a control plane of its own (`server.control_threads`), says where it listens, and serves until
    /// a signal: the first drains, the second stops. What the binary does; without a tokio runtime around it.
    ///
    /// # Errors
    /// As [`Builder::start`] and [`Node::run`].
    pub fn serve(self, signals: Signals) -> Result<(), Error> {
        let signals = signals.wait().map_err(Error::Control)?;
        let runtime = control_plane(self.config.server.control_threads).map_err(Error::Control)?;
        let outcome = runtime.block_on(async {
            let node: Node = Box::pin(self.start()).await?;
            let admin = node.admin_address().map_err(Error::Control)?;
            info!(public = %node.address(), %admin, "listening");
            if let Some(api) = node.api_address().map_err(Error::Control)? {
                info!(%api, "the HTTP API listens");
            }
            tokio::spawn(reload(signals.clone(), node.reloader()));
            // A task of its own: with several control threads the main one only waits.
            tokio::spawn(node.run(signals.clone().drain(), signals.stop())).await?
        });
        // Prompts still being answered have nobody to go to.
        runtime.shutdown_background();
        outcome
    }
}

/// Has settings read again whenever a signal asks for it.
async fn reload(mut signals: SignalsHeard, reloader: Option<Arc<Reloader>>) {
    let mut seen = 0;
    loop {
        signals.reload(&mut seen).await;
        match &reloader {
            Some(reloader) => {
                let reloader = Arc::clone(reloader);
                // The outcome is logged there.
                drop(spawn_blocking(move || reloader.reload()).await);
            }
            None => info!("nothing is read again: this program does not say how; going on"),
        }
    }
}

/// The control plane. One control thread is the main thread itself: nothing is woken to pass work on.
fn control_plane(control_threads: usize) -> io::Result<Runtime> {
    let mut runtime = if control_threads > 1 {
        runtime::Builder::new_multi_thread()
    } else {
        runtime::Builder::new_current_thread()
    };
    runtime
        .worker_threads(control_threads.max(1))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
}
