//! The `supportal` binary: signals, flags, config, telemetry, server, drain, exit code.

mod cli;
mod signals;

use signals::Signals;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use supportal::banner::{Line, MachineFacts, Memory, banner};
use supportal::budget::worst_case_memory;
use supportal::config::Config;
use supportal::config::load::Loaded;
use supportal::internal::telemetry;
use supportal::node::{Ending, Node};
use tokio::runtime::{Builder, Runtime};
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for work that blocks or computes: the `faq` assistant's ranking, and the wait for the
/// workers at the end. Each keeps a heap of its own, so 64 of them cost 35 MB in a soak.
const BLOCKING_THREADS: usize = 4;

/// Exit codes: 0 clean, also when a second signal cut the drain short; 64 flags or configuration; 1 the rest.
fn main() -> ExitCode {
    // First of all, so that no signal finds the process with the system's defaults.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => return cli::fail(&format!("cannot block signals: {error}")),
    };
    let loader = match cli::read(std::env::args_os(), std::env::vars_os()) {
        cli::Action::Serve(loader) => loader,
        cli::Action::Once(work) => {
            return match signals.unblock() {
                Ok(()) => work(),
                Err(error) => cli::fail(&format!("cannot unblock signals: {error}")),
            };
        }
    };
    let loaded = match loader.load() {
        Ok(loaded) => loaded,
        Err(error) => return cli::refuse(&error),
    };
    let _guard = match telemetry::init(&loaded.config.log) {
        Ok(guard) => guard,
        Err(error) => return cli::fail(&chain(&error)),
    };
    match start(&loaded, signals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(loaded: &Loaded, signals: Signals) -> Result<(), Box<dyn Error>> {
    let (drain, stop) = signals.wait()?;
    let facts = MachineFacts::gather();
    let config = facts.resolve(&loaded.config);
    let memory = worst_case_memory(&config, config.limits.connections, config.server.workers);
    let memory = Memory {
        total: memory.total,
        per_connection: memory.per_connection,
    };
    for Line { is_warning, text } in banner(loaded, &facts, memory) {
        if is_warning {
            warn!("{text}");
        } else {
            info!("{text}");
        }
    }
    serve(Arc::new(config), drain, stop)
}

/// Binds, says where, and serves until a signal: the first drains, the second stops.
fn serve(
    config: Arc<Config>,
    drain: impl Future<Output = Ending> + Send + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let runtime = runtime(config.server.control_threads)?;
    let outcome = runtime.block_on(async {
        let node = Node::start(config).await?;
        info!(public = %node.address(), admin = %node.admin_address()?, "listening");
        // A task of its own: with several control threads the main one only waits.
        Ok(tokio::spawn(node.run(drain, stop)).await??)
    });
    // Prompts still being answered have nobody to go to.
    runtime.shutdown_background();
    outcome
}

/// The control plane. One control thread is the main thread itself: nothing is woken to pass work on.
fn runtime(control_threads: usize) -> io::Result<Runtime> {
    let mut runtime = if control_threads > 1 {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    runtime
        .worker_threads(control_threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
}

/// An error with its causes: the one place that joins them.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
