//! Looks how much memory is used, and has the parts give up what there is too little for.

use crate::config::MemoryLimit;
use crate::config::units::Bytes;
use crate::metrics::Metrics;
use crate::shedding::{MemorySource, MemoryUse, Shedding, SheddingStep};
use crate::worker::Workers;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long memory may fill before anybody looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The same once it is short: as long as what has been freed takes to be free for others.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Bytes of a block that is larger than those which share a page of the allocator's.
const BLOCK: usize = 8 << 20;

/// Of the limit, one in so many bytes is what queues must hold before their readers lose anything: below it is others who use
/// the memory, such as who sends much and never comes to an end.
const QUEUES_OF: u64 = 16;

/// Of the limit, one in so many bytes is a change: a reading that differs by less is the one before.
const CHANGE_OF: u64 = 256;

/// Looks at memory, held against `limit`, as long as the node runs.
pub(super) async fn watch(
    mut limit: watch::Receiver<MemoryLimit>,
    shedding: Arc<Shedding>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
) {
    let mut rounds = Rounds::default();
    loop {
        let source = MemorySource::new(*limit.borrow_and_update());
        loop {
            if source.limit() > 0 {
                return_freed();
            }
            look(source.read(), &mut rounds, &shedding, &workers, &metrics);
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

/// Has the allocator give back to the system what has been free for a while. mimalloc does that only when a page of its
/// own becomes free, some time after the others: once everybody has left nobody frees one, and all that was used at the peak
/// would stay resident, and count, for good. A block as large as this one has a page to itself, of which nothing is touched.
fn return_freed() {
    drop(black_box(Vec::<u8>::with_capacity(BLOCK)));
}

/// The rounds in which readers are closed.
#[derive(Debug, Default)]
struct Rounds {
    /// What was used at the last one.
    last: Option<u64>,
}

impl Rounds {
    /// Which of `steps` are to be taken now. No further readers are closed while the reading is what it was at the round before:
    /// what that freed is not seen yet, or it freed nothing, and memory does not fill either.
    fn due(
        &mut self,
        steps: &'static [SheddingStep],
        memory: MemoryUse,
    ) -> &'static [SheddingStep] {
        let Some((SheddingStep::Readers, others)) = steps.split_last() else {
            self.last = None;
            return steps;
        };
        let change = self.last.map(|last| last.abs_diff(memory.used));
        if change.is_some_and(|change| change < memory.limit / CHANGE_OF) {
            return others;
        }
        self.last = Some(memory.used);
        steps
    }
}

/// Takes one reading.
fn look(
    memory: MemoryUse,
    rounds: &mut Rounds,
    shedding: &Shedding,
    workers: &Workers,
    metrics: &Metrics,
) {
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
    // Told again each time: queues may hold enough only now, and readers are closed some at a time.
    let due = rounds.due(steps, memory);
    if before != steps || due.contains(&SheddingStep::Queues) {
        workers.shed(due, memory.limit / QUEUES_OF);
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_readers_are_closed_until_the_round_before_shows_or_memory_fills() {
        let mut rounds = Rounds::default();
        let limit = 256_000;
        let mut closes = |steps, used| {
            let due = rounds.due(steps, MemoryUse { used, limit });
            due.contains(&SheddingStep::Readers)
        };
        let all: &'static [SheddingStep] = &SheddingStep::ALL;
        assert!(!closes(&all[..2], 240_000));
        assert!(closes(all, 250_000));
        assert!(!closes(all, 250_000), "it freed nothing");
        assert!(!closes(all, 250_999));
        assert!(closes(all, 251_000), "memory fills");
        assert!(closes(all, 249_000), "it freed something, too little");
        assert!(!closes(all, 249_500));
        assert!(!closes(&all[..2], 229_000), "over");
        assert!(closes(all, 249_000), "the next time is a first one again");
    }
}
