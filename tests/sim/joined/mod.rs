//! Whole nodes: real workers with their sockets and clients over a real broker and a real bridge, two or three of
//! them over one modelled Redis; one clock and one seed for all.
//!
//! | Module | |
//! |---|---|
//! | `node` | one node |
//! | `fleet` | all of them, what happens, what must be so |
//! | `record` | what was said on any node, and what every client was written |

mod fleet;
mod node;
mod record;

use crate::sim::seed::knob;
use crate::sim::world::runtime;
use fleet::Fleet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use supportal::config::BridgeMode;

/// Simulations of each mode, and steps of one, unless `SIM_SEEDS` and `SIM_STEPS` say otherwise.
const SEEDS: u64 = 300;
const STEPS: u64 = 1_500;

const NAME: &str = "whole_nodes";

/// The hash of what happened and how much was looked for, or what broke, with how to see it again.
fn run(mode: BridgeMode, seed: u64, steps: u64) -> Result<(u64, usize), String> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut fleet = Fleet::new(Rc::clone(&runtime), mode, seed);
    let mut go = || {
        for _ in 0..steps {
            fleet.step()?;
        }
        if seed.is_multiple_of(2) {
            fleet.calm()?;
        }
        fleet.drain()
    };
    let ended = catch_unwind(AssertUnwindSafe(&mut go));
    let fault = match ended {
        Ok(Ok(())) => return Ok((fleet.trace.hash, fleet.looked_for)),
        Ok(Err(fault)) => fault,
        Err(_) => "a panic, see above".to_owned(),
    };
    Err(format!(
        "{}\n{mode:?}, seed {seed}, step {}: {fault}\nagain: SIM_SEED={seed} SIM_STEPS={steps} cargo test --test sim {NAME}\n{:?}",
        fleet.trace.tail(),
        fleet.trace.step,
        fleet.config().queue,
    ))
}

fn check(mode: BridgeMode) {
    let steps = knob("SIM_STEPS").unwrap_or(STEPS);
    let first = knob("SIM_FIRST").unwrap_or(1);
    let seeds = match knob("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + knob("SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut looked_for = 0;
    for seed in seeds.clone() {
        let (_, count) = run(mode, seed, steps).unwrap_or_else(|fault| panic!("{fault}"));
        looked_for += count;
    }
    // A simulation in which nobody hears anybody would be content with everything.
    assert!(
        looked_for > 0 || seeds.count() < 10,
        "nothing was looked for"
    );
}

#[test]
fn whole_nodes_in_mode_pubsub_keep_their_promises() {
    check(BridgeMode::Pubsub);
}

#[test]
fn whole_nodes_in_mode_streams_keep_their_promises() {
    check(BridgeMode::Streams);
}

#[test]
fn one_seed_of_whole_nodes_gives_one_trace() {
    for mode in [BridgeMode::Pubsub, BridgeMode::Streams] {
        for seed in 1..4 {
            let [one, other] = [0; 2].map(|_| run(mode, seed, 700));
            assert_eq!(one, other, "{mode:?}, seed {seed}");
        }
    }
}

/// Seed 73 of these simulations: what waited for room in a mailbox had its expiry anew, and was written too late.
#[test]
fn an_arrival_that_waits_for_room_in_a_mailbox_does_not_outlive_its_expiry() {
    run(BridgeMode::Pubsub, 73, 1_000).unwrap_or_else(|fault| panic!("{fault}"));
}
