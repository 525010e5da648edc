//! The order of the steps, with readings of the test's own.

use super::SheddingStep::{Handshakes, Queues, Readers};
use super::*;

const LIMIT: u64 = 1_000;

/// The steps after this reading.
fn steps(shedding: &Shedding, used: u64) -> &'static [SheddingStep] {
    shedding.note(MemoryUse { used, limit: LIMIT }).1
}

#[test]
fn each_step_comes_at_its_mark_and_goes_some_way_below() {
    let shedding = Shedding::default();
    for (used, expected) in [
        (0, [].as_slice()),
        (799, &[]),
        (800, &[Handshakes]),
        (760, &[Handshakes]),
        (749, &[]),
        (799, &[]),
        (899, &[Handshakes]),
        (900, &[Handshakes, Queues]),
        (950, &[Handshakes, Queues, Readers]),
        (900, &[Handshakes, Queues, Readers]),
        (899, &[Handshakes, Queues]),
        (849, &[Handshakes]),
        (749, &[]),
        // All at once, both ways.
        (5_000, &[Handshakes, Queues, Readers]),
        (0, &[]),
    ] {
        assert_eq!(steps(&shedding, used), expected, "{used}");
        assert_eq!(
            shedding.refuses_handshakes(),
            !expected.is_empty(),
            "{used}"
        );
        assert_eq!(shedding.reason().is_some(), !expected.is_empty(), "{used}");
    }
}

#[test]
fn a_note_tells_what_was_before() {
    let shedding = Shedding::default();
    let note = |used| shedding.note(MemoryUse { used, limit: LIMIT });
    assert_eq!(note(900), (&[][..], &[Handshakes, Queues][..]));
    assert_eq!(note(0), (&[Handshakes, Queues][..], &[][..]));
}

#[test]
fn without_a_limit_nothing_is_given_up_and_what_was_comes_back() {
    let shedding = Shedding::default();
    steps(&shedding, 990);
    let memory = MemoryUse {
        used: u64::MAX,
        limit: 0,
    };
    assert!(shedding.note(memory).1.is_empty());
}

#[test]
fn the_reason_names_the_reading_the_setting_and_the_last_step() {
    let shedding = Shedding::default();
    let limit = 100 << 20;
    shedding.note(MemoryUse {
        used: 91 << 20,
        limit,
    });
    assert_eq!(
        shedding.reason().as_deref(),
        Some(
            "memory is short, 91 MiB of 100 MiB (limits.memory): slow readers keep a quarter of what their queues may hold"
        )
    );
    let text = describe(limit);
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains("80 MiB  new handshakes get 503"), "{text}");
}
