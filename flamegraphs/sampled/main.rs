//! The server with a sampling profiler inside, for machines where perf is refused.
//!
//! `sampled FOLDED SECONDS section.key=value…` serves as `supportal` does; at SIGUSR1 it samples
//! itself for so many seconds (SIGPROF, by the processor time of the process) and writes the stacks
//! to FOLDED, one a line, for `inferno-flamegraph`. SIGTERM ends it. A signal handler sees no
//! kernel frames: what a system call costs is on the function that makes it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use pprof::{Frames, ProfilerGuardBuilder};
use supportal::config::Config;
use supportal::config::banner::MachineFacts;
use supportal::config::load::Loader;
use supportal::node::{Ending, Node};
use supportal::internal::telemetry;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Samples a second of processor time; no multiple of the timer's, as in `record.sh`.
const FREQUENCY: i32 = 499;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sampled FOLDED SECONDS section.key=value…".into());
    };
    let seconds = Duration::from_secs(seconds.parse()?);
    let loader = Loader {
        sets: arguments.collect(),
        ..Loader::default()
    };
    let config = MachineFacts::gather().resolve(&loader.load()?.config);
    let _guard = telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.control_threads)
        .thread_name("control")
        .enable_all()
        .build()?;
    runtime.block_on(serve(Arc::new(config), file, seconds))
}

async fn serve(config: Arc<Config>, file: String, seconds: Duration) -> Outcome<()> {
    let mut begin = signal(SignalKind::user_defined1())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let node = Node::start(config).await?;
    tracing::info!(public = %node.address(), admin = %node.admin_address()?, "listening");
    tokio::spawn(async move {
        begin.recv().await;
        match sample(&file, seconds).await {
            Ok(samples) => tracing::info!(samples, "sampled"),
            Err(error) => tracing::error!(%error, "not sampled"),
        }
    });
    let terminated = async move {
        terminate.recv().await;
        Ending::Unannounced
    };
    node.run(terminated, std::future::ready(())).await?;
    Ok(())
}

/// Samples for so long and writes the stacks; how many samples those were.
async fn sample(file: &str, seconds: Duration) -> Result<isize, Box<dyn Error + Send + Sync>> {
    let profiler = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .build()?;
    tokio::time::sleep(seconds).await;
    let report = profiler.report().build()?;
    drop(profiler);
    // The same functions by several return addresses are several entries.
    let mut stacks: BTreeMap<String, isize> = BTreeMap::new();
    for (frames, count) in &report.data {
        *stacks.entry(folded(frames)).or_default() += count;
    }
    let mut text = String::new();
    for (stack, count) in &stacks {
        writeln!(text, "{stack} {count}")?;
    }
    // Whoever waits for the file must not see half of it.
    let partial = format!("{file}.partial");
    std::fs::write(&partial, text)?;
    std::fs::rename(partial, file)?;
    Ok(stacks.values().sum())
}

/// Thread and functions from the outermost in, without what is below our own code.
fn folded(frames: &Frames) -> String {
    let mut stack = frames.thread_name.clone();
    for symbol in frames
        .frames
        .iter()
        .rev()
        .flat_map(|frame| frame.iter().rev())
    {
        stack.push(';');
        stack.push_str(&symbol.name());
    }
    stack
}
