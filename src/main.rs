//! The `supportal` binary: flags, config, telemetry, server, drain, exit code.

mod cli;

use std::error::Error;
use std::process::ExitCode;
use supportal::banner::{Line, MachineFacts, Memory, banner};
use supportal::budget::worst_case_memory;
use supportal::config::load::{Loaded, Loader};
use supportal::internal::telemetry;
use supportal::node::{self, InheritedSockets, Server, Signals};
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 clean, also when a second signal cut the drain short; 64 flags or configuration; 1 the rest.
fn main() -> ExitCode {
    // First of all, so that no signal finds the process with the system's defaults.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => return cli::fail(&format!("cannot block signals: {error}")),
    };
    // Before there is a second thread, since the environment is changed.
    let inherited = match InheritedSockets::take() {
        Ok(inherited) => inherited,
        Err(error) => return cli::fail(&format!("cannot take sockets: {error}")),
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
    let loaded = match loader.clone().load() {
        Ok(loaded) => loaded,
        Err(error) => return cli::refuse(&error),
    };
    let _guard = match telemetry::init(&loaded.config.log) {
        Ok(guard) => guard,
        Err(error) => return cli::fail(&chain(&error)),
    };
    match start(&loaded, loader, signals, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(
    loaded: &Loaded,
    loader: Loader,
    signals: Signals,
    inherited: InheritedSockets,
) -> Result<(), node::Error> {
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
    Server::builder()
        .config(loaded.config.clone())
        .inherited(inherited)
        .reload(move || {
            let Loaded {
                config, warnings, ..
            } = loader.clone().load()?;
            for warning in warnings {
                warn!("{warning}");
            }
            Ok(config)
        })
        .serve(signals)
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
