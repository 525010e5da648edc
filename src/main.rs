//! The `supportal` binary: flags, config, telemetry, server, signal, drain, exit code.

mod cli;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use supportal::config::Config;
use supportal::config::banner::{Facts, Line, banner};
use supportal::config::load::Loaded;
use supportal::telemetry;
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 clean, 64 flags or configuration, 1 the rest.
fn main() -> ExitCode {
    let loader = match cli::run(std::env::args_os(), std::env::vars_os()) {
        cli::Action::Serve(loader) => loader,
        cli::Action::Done(code) => return code,
    };
    let loaded = match loader.load() {
        Ok(loaded) => loaded,
        Err(error) => return cli::refuse(&error),
    };
    let _guard = match telemetry::init(&loaded.config.log) {
        Ok(guard) => guard,
        Err(error) => return cli::fail(&chain(&error)),
    };
    match start(&loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(loaded: &Loaded) -> Result<(), Box<dyn Error>> {
    let facts = Facts::gather();
    for Line { is_warning, text } in banner(loaded, &facts) {
        if is_warning {
            warn!("{text}");
        } else {
            info!("{text}");
        }
    }
    serve(Arc::new(facts.resolve(&loaded.config)))
}

fn serve(_config: Arc<Config>) -> Result<(), Box<dyn Error>> {
    Err("server not linked yet".into())
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
