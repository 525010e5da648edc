//! Seeds, one after the other.

use crate::sim::seed::knob;
use crate::sim::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Steps and seeds by default: what `tests/run` does.
const SEEDS: u64 = 300;
const STEPS: u64 = 2_000;

/// Runs one seed: the hash of what happened, or what broke, with how to see it again.
fn run(seed: u64, steps: u64) -> Result<u64, String> {
    let mut world = World::new(seed);
    let mut go = || {
        for _ in 0..steps {
            world.step()?;
        }
        if world.choices.percent(80) {
            world.calm()?;
        }
        world.drain()
    };
    let ended = catch_unwind(AssertUnwindSafe(&mut go));
    match ended {
        Ok(Ok(())) => Ok(world.trace.hash),
        Ok(Err(fault)) => Err(report(&world, seed, steps, &fault)),
        Err(_) => Err(report(&world, seed, steps, "a panic, see above")),
    }
}

fn report(world: &World, seed: u64, steps: u64, fault: &str) -> String {
    format!(
        "{}\nseed {seed}, step {}: {fault}\nagain: SIM_SEED={seed} SIM_STEPS={steps} cargo test --test sim nothing_is_lost\n{:?}\n{:?}",
        world.trace.tail(),
        world.trace.step,
        world.config.queue,
        world.config.broker,
    )
}

#[test]
fn nothing_is_lost_reordered_late_or_left_behind() {
    let steps = knob("SIM_STEPS").unwrap_or(STEPS);
    if let Some(seed) = knob("SIM_SEED") {
        run(seed, steps).unwrap_or_else(|fault| panic!("{fault}"));
        return;
    }
    let first = knob("SIM_FIRST").unwrap_or(1);
    for seed in first..first + knob("SIM_SEEDS").unwrap_or(SEEDS) {
        run(seed, steps).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn one_seed_is_one_trace() {
    for seed in 1_000..1_010 {
        let hashes = [run(seed, 1_000), run(seed, 1_000)];
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
}
