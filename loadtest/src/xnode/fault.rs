//! What happens to Redis in the middle of a run: on a thread of its own, so that the loop goes on while a Redis starts.

use super::store::Store;
use crate::cli::{FaultKind, Xnode};
use crate::clock::{Clock, MILLISECOND, nanos, pause};
use crate::report::Strike;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at the time.
const LOOK: Duration = Duration::from_millis(5);

/// When and what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) kind: FaultKind,
    pub(super) times: usize,
    pub(super) every: Duration,
    pub(super) away: Duration,
    pub(super) seed: u64,
}

impl Schedule {
    /// That of the flags, if they ask for a fault. A master is lost once: its replica has none of its own.
    pub(super) fn of(args: &Xnode, seed: u64) -> Option<Self> {
        let kind = args.fault?;
        let times = if kind == FaultKind::Failover {
            1
        } else {
            args.times.max(1)
        };
        Some(Self {
            kind,
            times,
            every: args.every,
            away: args.away(),
            seed,
        })
    }

    /// Length of a measurement with all of it: as long before the first as between two, and as long after the last.
    pub(super) fn duration(&self) -> Duration {
        let times = u32::try_from(self.times).unwrap_or(u32::MAX);
        self.every * (times + 1) + self.away
    }
}

/// One fault, in nanoseconds of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultEvent {
    /// The fault begins.
    Struck(u64),
    /// Redis, or its successor, is there again.
    Over(u64),
}

/// Strikes as the schedule says; the Redis comes back when all is done, or `stop` is set.
pub(super) fn start(
    schedule: Schedule,
    mut store: Store,
    clock: Clock,
    tell: Sender<FaultEvent>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(Store, Result<(), String>)> {
    std::thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(schedule.seed);
        let begun = clock.now();
        let every = nanos(schedule.every);
        for number in 1..=schedule.times as u64 {
            // At any phase of what repeats in the servers: canaries, pings, flushes of a file.
            let jitter = random.u64(0..=(every / 4).max(MILLISECOND));
            while clock.now() < begun + number * every + jitter {
                if stop.load(Ordering::Relaxed) {
                    return (store, Ok(()));
                }
                pause(LOOK);
            }
            let outcome = strike(schedule, &mut store, clock, &tell);
            if outcome.is_err() {
                return (store, outcome);
            }
        }
        (store, Ok(()))
    })
}

fn strike(
    schedule: Schedule,
    store: &mut Store,
    clock: Clock,
    tell: &Sender<FaultEvent>,
) -> Result<(), String> {
    let struck = clock.now();
    match schedule.kind {
        FaultKind::KillRedis | FaultKind::Failover => store.kill(),
        FaultKind::StopRedis => store.hold(true),
    }
    // The loop ends only after this thread.
    tell.send(FaultEvent::Struck(struck)).ok();
    match schedule.kind {
        FaultKind::KillRedis => {
            pause(schedule.away);
            store.restart()?;
        }
        FaultKind::StopRedis => {
            pause(schedule.away);
            store.hold(false);
        }
        FaultKind::Failover => store.until_promoted()?,
    }
    tell.send(FaultEvent::Over(clock.now())).ok();
    Ok(())
}

/// What one node said about its bridge at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The node answered, and every Redis of it is up.
    pub(crate) is_up: bool,
    /// Publications on their way to Redis.
    pub(crate) outbox: u64,
}

/// What all nodes said.
#[derive(Debug, Clone, Default)]
pub(super) struct BridgeLook {
    pub(super) at: u64,
    pub(super) nodes: Vec<State>,
}

/// A fault as the loop saw it, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) struck: u64,
    pub(super) over: Option<u64>,
    pub(super) first: Option<u64>,
    pub(super) whole: Option<u64>,
}

/// The report of one fault: `until` is when the next one began.
pub(super) fn told(seen: Seen, until: u64, looks: &[BridgeLook], begun: u64) -> Strike {
    let after = |at: u64| at.saturating_sub(seen.struck) as f64 / 1e9;
    let looks = || {
        let from = looks.iter().skip_while(move |look| look.at < seen.struck);
        from.take_while(move |look| look.at < until)
    };
    let nodes = looks().map(|look| look.nodes.len()).max().unwrap_or(0);
    let down = |node: usize| {
        let is_down = |look: &&BridgeLook| look.nodes.get(node).is_some_and(|state| !state.is_up);
        looks().find(is_down).map(|look| look.at)
    };
    let noticed: Option<Vec<u64>> = (0..nodes).map(down).collect();
    let noticed = noticed.and_then(|times| times.into_iter().max());
    let all_up = |look: &&BridgeLook| look.nodes.iter().all(|state| state.is_up);
    // The first look after the last one with a node that is down.
    let last_down = looks().filter(|look| !all_up(look)).last();
    let from = last_down.map_or(seen.over.unwrap_or(seen.struck), |look| look.at);
    let healthy = looks().find(|look| look.at > from && all_up(look));
    Strike {
        at: seen.struck.saturating_sub(begun) as f64 / 1e9,
        over: seen.over.map(after),
        noticed: noticed.map(after),
        healthy: healthy.map(|look| after(look.at)),
        first: seen.first.map(after),
        whole: seen.whole.map(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    fn look(at: u64, up: &[bool]) -> BridgeLook {
        let state = |&is_up: &bool| State { is_up, outbox: 0 };
        BridgeLook {
            at: at * SECOND,
            nodes: up.iter().map(state).collect(),
        }
    }

    #[test]
    fn a_fault_is_noticed_when_the_last_node_has_and_over_when_all_are_up_for_good() {
        let looks = [
            look(1, &[false, true]),
            look(11, &[true, true]),
            look(12, &[false, true]),
            look(13, &[true, false]),
            look(14, &[true, true]),
            look(15, &[false, true]),
            look(16, &[true, true]),
            look(21, &[false, false]),
        ];
        let seen = Seen {
            struck: 10 * SECOND,
            over: Some(11 * SECOND),
            first: Some(14 * SECOND),
            whole: None,
        };
        let strike = told(seen, 20 * SECOND, &looks, SECOND);
        let expected = Strike {
            at: 9.0,
            over: Some(1.0),
            noticed: Some(3.0),
            healthy: Some(6.0),
            first: Some(4.0),
            whole: None,
        };
        assert_eq!(strike, expected);
        assert_eq!(told(seen, 13 * SECOND, &looks, 0).noticed, None);
    }

    #[test]
    fn a_run_is_as_long_as_its_faults_and_the_time_around_them() {
        let schedule = Schedule {
            kind: FaultKind::StopRedis,
            times: 2,
            every: Duration::from_secs(15),
            away: Duration::from_secs(10),
            seed: 1,
        };
        assert_eq!(schedule.duration(), Duration::from_secs(55));
    }
}
