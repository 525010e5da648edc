//! How a node empties itself.

use super::*;
use crate::assistant::{Assistant, Failure, Piece, Question, Replies};

#[test]
fn a_drain_closes_everybody_spread_over_the_grace() {
    const GRACE: Duration = Duration::from_millis(1_500);
    let node = Node::start(2, |_| {});
    let peers: Vec<_> = (0..40)
        .map(|index| node.join_on(index % 2, &room(&format!("drain-{index}"))))
        .collect();
    let clock = Clock::start();
    node.workers.drain(CloseReason::GoingAway, GRACE);
    let mut closed: Vec<Millis> = std::thread::scope(|scope| {
        let ends: Vec<_> = peers
            .into_iter()
            .map(|mut peer| {
                scope.spawn(move || {
                    assert_eq!(peer.hear_close(), CloseReason::GoingAway.code());
                    clock.now()
                })
            })
            .collect();
        ends.into_iter()
            .map(|end| end.join().expect("a close"))
            .collect()
    });
    closed.sort_unstable();
    let spread = closed[39].since(closed[0]);
    assert!(spread > GRACE / 4, "all at once: {closed:?}");
    node.workers.join();
    assert_eq!(node.gone(), 40);
    assert_eq!(node.metrics.connections.get(), 0);
    assert_eq!(node.broker.rooms(), 0);
}

#[test]
fn a_drain_delivers_what_was_published_in_front_of_the_close() {
    let node = Node::start(1, |_| {});
    let name = room("last-words");
    let (mut one, mut two) = (node.join_on(0, &name), node.join_on(0, &name));
    let thaw = node.freeze(0);
    let burst: Vec<u8> = (0..20).flat_map(|n| say(&n.to_string())).collect();
    one.send(&burst);
    node.workers
        .drain(CloseReason::Restart, Duration::from_secs(5));
    drop(thaw);
    for peer in [&mut one, &mut two] {
        for number in 0..20 {
            assert_eq!(peer.hear(), number.to_string());
        }
        assert_eq!(peer.hear_close(), CloseReason::Restart.code());
    }
}

#[test]
fn a_connection_that_comes_during_a_drain_is_told_so() {
    let node = Node::start(1, |_| {});
    let mut first = node.join_on(0, &room("first"));
    let (mut late, socket) = node.pair();
    let thaw = node.freeze(0);
    node.workers
        .drain(CloseReason::GoingAway, Duration::from_secs(5));
    node.handles
        .hand_over(node.handoff(socket, Some(&room("late"))));
    drop(thaw);
    assert_eq!(late.hear_close(), CloseReason::GoingAway.code());
    assert_eq!(first.hear_close(), CloseReason::GoingAway.code());
    drop((first, late));
    until("both to be buried", || node.gone() == 2);
}

#[test]
fn what_a_slow_reader_has_not_taken_at_the_deadline_is_dropped_for_shutdown() {
    let node = Node::start(1, |config| config.queue.capacity = 50);
    let name = room("slow");
    let peer = node.join_slowly(&name);
    let found = node.broker.find(&name).expect("the room");
    let publication = large();
    let mut published = 0;
    until("the queue to be full", || {
        node.broker.publish(&found, &publication, None);
        published += 1;
        node.audit(None).queued == 50
    });
    node.workers
        .drain(CloseReason::GoingAway, Duration::from_millis(200));
    node.workers.join();
    let metrics = &node.metrics;
    let dropped = |cause| {
        metrics
            .deliveries_dropped
            .get_or_create(&[("cause", cause)])
            .get()
    };
    assert_eq!(dropped("shutdown"), 50);
    assert_eq!(metrics.deliveries_expected.get(), published);
    let explained = metrics.deliveries_delivered.get() + dropped("capacity") + dropped("shutdown");
    assert_eq!(explained, published);
    assert_eq!(
        (metrics.deliveries_queued.get(), metrics.unexplained.get()),
        (0, 0)
    );
    assert_eq!(node.gone(), 1);
    drop(peer);
}

fn dropped(node: &Node, cause: &'static str) -> u64 {
    let series = &node.metrics.deliveries_dropped;
    series.get_or_create(&[("cause", cause)]).get()
}

/// A reader of a room with 50 deliveries waiting for it. The socket's buffers are the kernel's own: the window of a
/// small one opens late.
fn behind(node: &Node, name: &RoomName) -> Peer {
    /// Looks without a change, until the kernel takes no more.
    const STILL: usize = 50;
    let peer = node.join_on(0, name);
    let found = node.broker.find(name).expect("the room");
    let (mut delivered, mut looks) = (0, 0);
    until("the queue to be full", || {
        node.broker.publish(&found, &large(), None);
        let account = node.audit(None);
        let is_still = account.queued == 50 && account.delivered == delivered;
        delivered = account.delivered;
        looks = if is_still { looks + 1 } else { 0 };
        looks == STILL
    });
    peer
}

#[test]
fn a_drain_writes_what_waits_before_the_close_frame() {
    let node = Node::start(1, |config| config.queue.capacity = 50);
    let mut peer = behind(&node, &room("slow"));
    let before = node.audit(None).delivered;
    node.workers
        .drain(CloseReason::Restart, Duration::from_secs(60));
    assert_eq!(peer.hear_close(), CloseReason::Restart.code());
    drop(peer);
    node.workers.join();
    assert_eq!(node.metrics.deliveries_delivered.get(), before + 50);
    assert_eq!(
        (dropped(&node, "closed"), dropped(&node, "shutdown")),
        (0, 0)
    );
}

#[test]
fn who_reads_on_at_the_last_moment_hears_why_it_ends() {
    let node = Node::start(1, |config| config.queue.capacity = 50);
    let mut peer = behind(&node, &room("slow"));
    node.workers
        .drain(CloseReason::Restart, Duration::from_secs(5));
    until("the backlog to be given up", || {
        node.audit(None).queued <= 1
    });
    assert_eq!(peer.hear_close(), CloseReason::Restart.code());
    drop(peer);
    node.workers.join();
    assert!(dropped(&node, "shutdown") > 0);
    assert_eq!(dropped(&node, "closed"), 0);
    let closed = &node.metrics.connections_closed;
    assert_eq!(closed.get_or_create(&[("reason", "restart")]).get(), 1);
}

#[test]
fn what_is_too_old_is_not_written_in_a_drain_either() {
    let node = Node::start(1, |config| config.queue.capacity = 50);
    let name = room("old");
    let mut peer = node.join_on(0, &name);
    let found = node.broker.find(&name).expect("the room");
    let soon = node.clock.now() + Duration::from_millis(2_000);
    until("the queue to be full", || {
        let publication = Publication {
            deadline: soon,
            ..large()
        };
        node.broker.publish(&found, &publication, None);
        node.audit(None).queued == 50 || node.clock.now() >= soon
    });
    node.workers
        .drain(CloseReason::Restart, Duration::from_secs(60));
    until("the backlog to be too old", || node.clock.now() > soon);
    assert_eq!(peer.hear_close(), CloseReason::Restart.code());
    drop(peer);
    node.workers.join();
    assert!(dropped(&node, "expired") > 0);
    assert_eq!(
        (dropped(&node, "closed"), dropped(&node, "shutdown")),
        (0, 0)
    );
}

#[test]
fn without_a_grace_everybody_is_told_all_the_same() {
    let node = Node::start(2, |_| {});
    // More than leave their rooms in one turn.
    let peers: Vec<_> = (0..300)
        .map(|index| node.join_on(index % 2, &room(&format!("drain-{}", index / 3))))
        .collect();
    node.workers.drain(CloseReason::Restart, Duration::ZERO);
    for mut peer in peers {
        assert_eq!(peer.hear_close(), CloseReason::Restart.code());
    }
    node.workers.join();
    let closed = &node.metrics.connections_closed;
    assert_eq!(closed.get_or_create(&[("reason", "restart")]).get(), 300);
}

/// Has a test answer its questions.
struct Thoughtful(mpsc::Sender<tokio::sync::mpsc::Sender<Result<Piece, Failure>>>);

impl Assistant for Thoughtful {
    fn name(&self) -> &'static str {
        "thoughtful"
    }

    fn answer(&self, _: Question) -> Replies {
        let (pieces, replies) = Replies::channel();
        assert!(self.0.send(pieces).is_ok());
        replies
    }
}

#[test]
fn a_reply_under_way_is_waited_for_and_the_others_are_not() {
    let (asked, questions) = mpsc::channel();
    let node = Node::answered_by(Arc::new(Thoughtful(asked)));
    let (mut asks, mut idle) = (
        node.join_on(0, &room("asks")),
        node.join_on(0, &room("idle")),
    );
    asks.send(&say("a question"));
    assert_eq!(asks.hear(), "a question");
    node.workers
        .drain(CloseReason::Restart, Duration::from_secs(60));
    assert_eq!(idle.hear_close(), CloseReason::Restart.code());
    let pieces = questions.recv_timeout(PATIENCE).expect("a question");
    for piece in [Piece::Text("an answer".to_owned()), Piece::End] {
        assert!(pieces.blocking_send(Ok(piece)).is_ok());
    }
    assert_eq!(asks.hear(), "an answer");
    assert_eq!(asks.hear_close(), CloseReason::Restart.code());
}
