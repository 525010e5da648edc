//! One test per rule of the queue.

use super::*;

const NOW: Millis = Millis(1_000);
const LATER: Millis = Millis(61_000);

fn bounds(capacity: u32, bytes_max: usize, overflow: Overflow) -> Bounds {
    Bounds {
        capacity,
        bytes_max,
        overflow,
    }
}

fn delivery(text: &'static str) -> Delivery {
    until(text, LATER)
}

fn until(text: &'static str, deadline: Millis) -> Delivery {
    Delivery {
        frame: Bytes::from_static(text.as_bytes()),
        deadline,
    }
}

fn written(queue: &Queue) -> String {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let filled = queue.slices(&mut slices);
    let bytes: Vec<u8> = slices[..filled]
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    String::from_utf8(bytes).expect("text")
}

fn fill(queue: &mut Queue, bounds: &Bounds, texts: &[&'static str]) {
    for text in texts {
        let report = queue.push(NOW, bounds, delivery(text));
        assert_eq!(report.outcome, Pushed::Queued, "{text}");
    }
}

#[test]
fn deliveries_leave_in_the_order_they_came() {
    let mut queue = Queue::new();
    fill(
        &mut queue,
        &bounds(9, 99, Overflow::DropNewest),
        &["ab", "cd", "ef"],
    );
    assert_eq!((queue.len(), queue.bytes()), (3, 6));
    assert_eq!(written(&queue), "abcdef");
    assert_eq!(queue.advance(3), 1);
    assert_eq!(written(&queue), "def");
    assert_eq!(queue.advance(3), 2);
    assert!(queue.is_empty() && queue.bytes() == 0 && !queue.has_partial_head());
}

#[test]
fn full_queue_drops_newest_and_says_so() {
    let bounds = bounds(2, 99, Overflow::DropNewest);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["a", "b"]);
    let report = queue.push(NOW, &bounds, delivery("c"));
    assert_eq!((report.outcome, report.expired), (Pushed::DroppedNewest, 0));
    assert_eq!(written(&queue), "ab");
}

#[test]
fn bytes_bound_is_exact_and_counts_only_what_is_unwritten() {
    let bounds = bounds(9, 6, Overflow::DropNewest);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["abc", "def"]);
    assert_eq!(
        queue.push(NOW, &bounds, delivery("g")).outcome,
        Pushed::DroppedNewest
    );
    assert_eq!(queue.advance(1), 0);
    assert_eq!(
        queue.push(NOW, &bounds, delivery("g")).outcome,
        Pushed::Queued
    );
    assert_eq!((written(&queue).as_str(), queue.bytes()), ("bcdefg", 6));
}

#[test]
fn drop_oldest_makes_just_enough_room() {
    let bounds = bounds(9, 6, Overflow::DropOldest);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["ab", "cd", "ef"]);
    let report = queue.push(NOW, &bounds, delivery("xyz"));
    assert_eq!(report.outcome, Pushed::MadeRoom { dropped: 2 });
    assert_eq!(written(&queue), "efxyz");
}

#[test]
fn drop_oldest_never_touches_a_partly_written_head() {
    let bounds = bounds(2, 99, Overflow::DropOldest);
    let mut queue = Queue::new();
    queue.push_partial(delivery("head"), 1);
    fill(&mut queue, &bounds, &["b"]);
    let report = queue.push(NOW, &bounds, delivery("c"));
    assert_eq!(report.outcome, Pushed::MadeRoom { dropped: 1 });
    assert_eq!(written(&queue), "eadc");
}

#[test]
fn only_a_partial_head_left_means_the_newest_is_dropped() {
    let bounds = bounds(1, 99, Overflow::DropOldest);
    let mut queue = Queue::new();
    queue.push_partial(delivery("head"), 1);
    assert_eq!(
        queue.push(NOW, &bounds, delivery("c")).outcome,
        Pushed::DroppedNewest
    );
    assert_eq!(written(&queue), "ead");
}

#[test]
fn drop_oldest_sacrifices_nothing_for_what_can_never_fit() {
    let bounds = bounds(9, 4, Overflow::DropOldest);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["a", "b"]);
    assert_eq!(
        queue.push(NOW, &bounds, delivery("large")).outcome,
        Pushed::DroppedNewest
    );
    assert_eq!(written(&queue), "ab");
}

#[test]
fn disconnect_keeps_what_waits_for_the_close_to_count() {
    let bounds = bounds(2, 99, Overflow::Disconnect);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["a", "b"]);
    assert_eq!(
        queue.push(NOW, &bounds, delivery("c")).outcome,
        Pushed::Disconnect
    );
    assert_eq!(queue.clear(), 2);
    assert!(queue.is_empty());
}

#[test]
fn an_oversize_delivery_is_refused_even_when_empty_but_a_partial_one_is_kept() {
    let bounds = bounds(9, 3, Overflow::DropNewest);
    let mut queue = Queue::new();
    assert_eq!(
        queue.push(NOW, &bounds, delivery("four")).outcome,
        Pushed::DroppedNewest
    );
    assert!(queue.is_empty());
    queue.push_partial(delivery("partial"), 2);
    assert_eq!((written(&queue).as_str(), queue.bytes()), ("rtial", 5));
}

#[test]
fn capacity_zero_takes_nothing() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let report = Queue::new().push(NOW, &bounds(0, 99, overflow), delivery("a"));
        assert_eq!(report.outcome, Pushed::DroppedNewest);
    }
}

#[test]
fn a_delivery_expires_at_its_deadline_exactly() {
    let bounds = bounds(9, 99, Overflow::DropNewest);
    let mut queue = Queue::new();
    let report = queue.push(NOW, &bounds, until("a", Millis(2_000)));
    assert_eq!(report.outcome, Pushed::Queued);
    assert_eq!(queue.expire(Millis(1_999)), 0);
    assert_eq!(queue.expire(Millis(2_000)), 1);
    assert!(queue.is_empty() && queue.bytes() == 0);
}

#[test]
fn an_offer_past_its_deadline_never_waits() {
    let bounds = bounds(9, 99, Overflow::DropOldest);
    let mut queue = Queue::new();
    let report = queue.push(NOW, &bounds, until("a", NOW));
    assert_eq!((report.outcome, report.expired), (Pushed::Expired, 1));
    assert!(queue.is_empty());
}

#[test]
fn expired_deliveries_make_room_before_overflow_applies() {
    let bounds = bounds(3, 99, Overflow::Disconnect);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["a"]);
    for text in ["b", "c"] {
        let report = queue.push(NOW, &bounds, until(text, Millis(2_000)));
        assert_eq!(report.outcome, Pushed::Queued);
    }
    let report = queue.push(Millis(2_000), &bounds, delivery("d"));
    assert_eq!((report.outcome, report.expired), (Pushed::Queued, 2));
    assert_eq!(written(&queue), "ad");
}

#[test]
fn a_partly_written_head_outlives_its_deadline() {
    let bounds = bounds(9, 99, Overflow::DropNewest);
    let mut queue = Queue::new();
    queue.push_partial(until("head", Millis(2_000)), 1);
    let report = queue.push(NOW, &bounds, until("b", Millis(2_000)));
    assert_eq!(report.outcome, Pushed::Queued);
    assert_eq!(queue.expire(Millis(9_000)), 1);
    assert_eq!(written(&queue), "ead");
    assert_eq!(queue.advance(3), 1);
}

#[test]
fn a_write_gets_at_most_its_slices() {
    let bounds = bounds(1_000, 9_999, Overflow::DropNewest);
    let mut queue = Queue::new();
    fill(&mut queue, &bounds, &["x"; SLICES_MAX + 5]);
    assert_eq!(written(&queue).len(), SLICES_MAX);
    assert_eq!(queue.advance(SLICES_MAX), 64);
    assert_eq!(written(&queue).len(), 5);
}

#[test]
#[should_panic(expected = "invariant")]
fn the_rest_of_a_frame_behind_another_is_a_bug() {
    let mut queue = Queue::new();
    queue.push_partial(delivery("ab"), 1);
    queue.push_partial(delivery("cd"), 1);
}

#[test]
fn a_queue_is_small_enough_to_sit_in_a_connections_box() {
    assert!(size_of::<Queue>() <= 64, "{}", size_of::<Queue>());
    assert!(size_of::<Delivery>() <= 48, "{}", size_of::<Delivery>());
}

#[test]
fn a_cut_keeps_what_has_begun_to_leave_and_the_end_that_the_overflow_keeps() {
    for (overflow, kept) in [
        (Overflow::DropNewest, "bcdef"),
        (Overflow::Disconnect, "bcdef"),
        (Overflow::DropOldest, "bcjkl"),
    ] {
        let mut queue = Queue::new();
        let ample = bounds(9, 99, overflow);
        fill(&mut queue, &ample, &["abc", "def", "ghi", "jkl"]);
        assert_eq!(queue.advance(1), 0);
        assert_eq!(queue.cut(&bounds(9, 99, overflow)), 0, "nothing is beyond");
        assert_eq!(queue.cut(&bounds(2, 99, overflow)), 2);
        assert_eq!((written(&queue).as_str(), queue.bytes()), (kept, 5));
        assert_eq!(queue.cut(&bounds(9, 4, overflow)), 1, "bytes count too");
        assert_eq!(queue.cut(&bounds(1, 1, overflow)), 0, "the head has begun");
        assert_eq!((written(&queue).as_str(), queue.len()), ("bc", 1));
    }
}
