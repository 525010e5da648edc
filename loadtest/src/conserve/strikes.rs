//! Who is killed when: on a thread of its own, so that the clients go on while a program starts.

use super::process::Process;
use crate::clock::{Clock, MILLISECOND, SECOND, nanos, pause, until};
use crate::ledger::get;
use crate::xnode::bridge_state;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks at the time.
const LOOK: Duration = Duration::from_millis(5);
/// Longest that a program stays away.
const AWAY_MAX: u64 = 1500 * MILLISECOND;
/// A node has what Redis was to get, or its journal, after this long or never.
const WELL_MAX: u64 = 60 * SECOND;

/// A kill of the node, in nanoseconds of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeKill {
    pub(super) at: u64,
    /// When the node was there again.
    pub(super) back: u64,
}

/// What happened to the programs.
#[derive(Debug, Default)]
pub(super) struct Struck {
    pub(super) node: Vec<NodeKill>,
    /// How often each program was killed, by its place in the list.
    pub(super) times: Vec<u32>,
    /// Programs that ended although nobody killed them.
    pub(super) falls: Vec<String>,
}

/// When which of so many programs is killed: each once, at random, in each part of the time.
fn schedule(programs: usize, kills: u32, duration: u64, seed: u64) -> Vec<(u64, usize)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let part = (duration / u64::from(kills.max(1))).max(1);
    let each = (0..kills).flat_map(|number| (0..programs).map(move |program| (number, program)));
    let mut strikes: Vec<_> = each
        .map(|(number, program)| (u64::from(number) * part + random.u64(0..part), program))
        .collect();
    strikes.sort_unstable();
    strikes
}

/// The node has handed over what it held: to Redis, or to its journal.
/// Errors: It has not, after a minute.
pub(super) fn until_well(admin: u16, has_bridge: bool) -> Result<(), String> {
    let admin = format!("http://127.0.0.1:{admin}");
    let is_well = || match has_bridge {
        true => {
            let state = bridge_state(&admin);
            state.is_up && state.outbox == 0
        }
        false => get(&admin, "/metrics")
            .is_ok_and(|text| text.lines().any(|line| line == "supportal_archive_queue 0")),
    };
    match until(WELL_MAX, LOOK, is_well) {
        true => Ok(()),
        false => Err("the node does not come to itself".to_owned()),
    }
}

/// Kills as often as it is told, over this time; the first of the programs is the node.
/// Errors: A program does not come back.
pub(super) fn strike(
    programs: &mut [Process],
    (kills, duration, seed): (u32, Duration, u64),
    has_bridge: bool,
    clock: Clock,
    stop: &AtomicBool,
) -> Result<Struck, String> {
    let begun = clock.now();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut struck = Struck {
        times: vec![0; programs.len()],
        ..Struck::default()
    };
    let admin = programs.first().map_or(0, |node| node.admin);
    for (due, number) in schedule(programs.len(), kills, nanos(duration), seed) {
        while clock.now() < begun + due {
            if stop.load(Ordering::Relaxed) {
                return Ok(struck);
            }
            watch(programs, &mut struck)?;
            pause(LOOK);
        }
        let Some(program) = programs.get_mut(number) else {
            continue;
        };
        let at = clock.now();
        program.kill();
        pause(Duration::from_nanos(random.u64(0..AWAY_MAX)));
        program.restart()?;
        let back = clock.now();
        if number == 0 {
            struck.node.push(NodeKill { at, back });
        }
        if let Some(times) = struck.times.get_mut(number) {
            *times += 1;
        }
        // One thing at a time: what a node holds for a Redis that is away dies with the node, and that is no secret.
        until_well(admin, has_bridge)?;
    }
    watch(programs, &mut struck)?;
    Ok(struck)
}

/// Notes programs that ended by themselves, and starts them again.
fn watch(programs: &mut [Process], struck: &mut Struck) -> Result<(), String> {
    for program in programs {
        if let Some(fall) = program.fall() {
            struck.falls.push(fall);
            program.restart()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_killed_as_often_as_asked_in_time_and_the_same_with_the_same_seed() {
        let strikes = schedule(4, 20, 600 * SECOND, 7);
        for program in 0..4 {
            let times: Vec<u64> = strikes
                .iter()
                .filter(|strike| strike.1 == program)
                .map(|strike| strike.0)
                .collect();
            assert_eq!(times.len(), 20);
            assert!(
                (0..)
                    .zip(&times)
                    .all(|(part, at)| at / (30 * SECOND) == part)
            );
        }
        assert!(strikes.is_sorted() && strikes == schedule(4, 20, 600 * SECOND, 7));
        assert_ne!(strikes, schedule(4, 20, 600 * SECOND, 8));
    }
}
