//! Looks how much memory is used, and has the parts give up what there is too little for.

use crate::config::MemoryLimit;
use crate::config::units::Bytes;
use crate::metrics::Metrics;
use crate::shedding::{MemorySource, MemoryUse, Shedding, SheddingStep};
use crate::worker::Workers;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long memory may fill before anybody looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The same once it is short: as long as what has been freed takes to be free for others.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Looks at memory, held against `limit`, as long as the node runs.
pub(super) async fn watch(
    mut limit: watch::Receiver<MemoryLimit>,
    shedding: Arc<Shedding>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
) {
    loop {
        let source = MemorySource::new(*limit.borrow_and_update());
        loop {
            look(source.read(), &shedding, &workers, &metrics);
            let pause = match shedding.steps() {
                [] => LOOK_EVERY,
                _ => LOOK_AGAIN,
            };
            tokio::select! {
                changed = limit.changed() => match changed {
                    Ok(()) => break,
                    // Nobody changes settings any more.
                    Err(_closed) => tokio::time::sleep(pause).await,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Takes one reading.
fn look(memory: MemoryUse, shedding: &Shedding, workers: &Workers, metrics: &Metrics) {
    let (before, steps) = shedding.note(memory);
    metrics.memory_used.set(signed(memory.used));
    metrics.memory_limit.set(signed(memory.limit));
    for step in SheddingStep::ALL {
        let is_in = steps.contains(&step);
        if is_in != before.contains(&step) {
            let (used, limit) = (Bytes(memory.used), Bytes(memory.limit));
            let (step, meaning) = (step.label(), step.meaning());
            if is_in {
                tracing::warn!(%used, %limit, step, "memory is short: {meaning}");
            } else {
                tracing::info!(%used, %limit, step, "memory is no longer short: no longer that {meaning}");
            }
        }
        let gauge = metrics
            .memory_shedding
            .get_or_create(&[("step", step.label())]);
        gauge.set(i64::from(is_in));
    }
    // Who has given up something does it again: readers are closed some at a time.
    if before != steps || steps.contains(&SheddingStep::Readers) {
        workers.shed(steps);
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
