//! What a worker gives up when memory is short, and that what is left adds up.

use super::fairness::{crowd, finish, hear, publish, settings};
use super::rig::Rig;
use super::*;
use crate::shedding::SheddingStep::{self, Handshakes, Queues};

/// Readers that take nothing.
const SLOW: usize = 20;

/// A worker whose readers have as much waiting as their queues hold.
fn behind() -> (Rig, Vec<TcpStream>) {
    let mut rig = Rig::new(|config| {
        settings(config);
        config.queue.capacity = 40;
        config.queue.bytes_max = 100 << 20;
    });
    let peers = crowd(&mut rig, "slow", SLOW);
    // More than the kernel holds for them, and than their queues do.
    let text = "x".repeat(200_000);
    for _ in 0..80 {
        publish(&rig, "slow", &text, Millis::NEVER);
        finish(&mut rig);
    }
    assert_eq!(queued(&rig), SLOW as u64 * 40);
    (rig, peers)
}

fn queued(rig: &Rig) -> u64 {
    rig.worker.members.ledger.queued
}

fn shed(rig: &mut Rig, steps: &'static [SheddingStep]) {
    shed_from(rig, steps, 1);
}

fn shed_from(rig: &mut Rig, steps: &'static [SheddingStep], least: u64) {
    assert!(rig.handle.send(Instruction::Shed(steps, least)).is_none());
    rig.turn_at(rig.now.0);
    assert_eq!(rig.worker.members.ledger.unexplained(), 0);
}

#[test]
fn queues_are_cut_to_a_quarter_once_and_hold_what_they_did_afterwards() {
    let (mut rig, _peers) = behind();
    shed(&mut rig, &[Handshakes]);
    assert_eq!(queued(&rig), SLOW as u64 * 40, "nothing yet");
    shed(&mut rig, &[Handshakes, Queues]);
    assert_eq!(queued(&rig), SLOW as u64 * 10);
    assert_eq!(
        rig.worker.context.metrics.memory_shed.get(),
        SLOW as u64 * 30
    );
    publish(&rig, "slow", "one more", Millis::NEVER);
    finish(&mut rig);
    assert_eq!(queued(&rig), SLOW as u64 * 10, "there is no room for more");
    shed(&mut rig, &[Handshakes, Queues]);
    assert_eq!(
        queued(&rig),
        SLOW as u64 * 10,
        "a quarter of a quarter was not meant"
    );
    shed(&mut rig, &[]);
    publish(&rig, "slow", "one more", Millis::NEVER);
    finish(&mut rig);
    assert_eq!(queued(&rig), SLOW as u64 * 11);
}

#[test]
fn an_eighth_of_the_slow_readers_is_closed_at_a_time_and_nobody_else() {
    let (mut rig, peers) = behind();
    let mut reader = crowd(&mut rig, "other", 1);
    for (round, left) in [17, 14, 12, 10].into_iter().enumerate() {
        shed(&mut rig, &SheddingStep::ALL);
        let open = (0..rig.worker.connections.clients.places())
            .filter(|&index| {
                let client = rig.worker.connections.clients.at_mut(index);
                client.is_some_and(|client| client.connection.is_open())
            })
            .count();
        assert_eq!(open, left + 1, "round {round}");
    }
    reader[0].write_all(&say("still here")).unwrap();
    rig.turn_at(rig.now.0);
    assert_eq!(hear(&mut reader[0]).len(), 1);
    drop(peers);
}

#[test]
fn readers_lose_nothing_while_their_queues_hold_little_of_the_memory() {
    let (mut rig, _peers) = behind();
    let open = |rig: &Rig| rig.worker.connections.clients.len();
    // Each frame of 200,000 bytes counts for each reader that it waits for.
    let held = SLOW as u64 * 40 * 200_000;
    let before = open(&rig);
    shed_from(&mut rig, &SheddingStep::ALL, 2 * held);
    assert_eq!(queued(&rig), SLOW as u64 * 40);
    assert_eq!(open(&rig), before);
    shed_from(&mut rig, &[Handshakes, Queues], held / 2);
    assert_eq!(queued(&rig), SLOW as u64 * 10);
    shed_from(&mut rig, &SheddingStep::ALL, held / 2);
    assert_eq!(
        queued(&rig),
        SLOW as u64 * 10,
        "nobody is closed for a quarter"
    );
}
