//! How a node empties itself.

use super::*;

#[test]
fn a_drain_closes_everybody_spread_over_the_grace() {
    const GRACE: Duration = Duration::from_millis(1_500);
    let node = Node::start(2, |_| {});
    let peers: Vec<_> = (0..40)
        .map(|index| node.join_on(index % 2, &room(&format!("drain-{index}"))))
        .collect();
    let clock = Clock::start();
    node.crew.close_all(CloseReason::GoingAway, GRACE);
    assert!(node.crew.is_draining());
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
    node.crew.join();
    assert_eq!(node.gone(), 40);
    assert_eq!(node.crew.metrics.connections.get(), 0);
    assert_eq!(node.crew.broker.rooms(), 0);
}

#[test]
fn a_drain_delivers_what_was_published_in_front_of_the_close() {
    let node = Node::start(1, |_| {});
    let name = room("last-words");
    let (mut one, mut two) = (node.join_on(0, &name), node.join_on(0, &name));
    let thaw = node.freeze(0);
    let burst: Vec<u8> = (0..20).flat_map(|n| say(&n.to_string())).collect();
    one.send(&burst);
    node.crew
        .close_all(CloseReason::Restart, Duration::from_secs(5));
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
    node.crew
        .close_all(CloseReason::GoingAway, Duration::from_secs(5));
    node.crew.hand_over(handoff(socket, Some(&room("late"))));
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
    let found = node.crew.broker.find(&name).expect("the room");
    let publication = large();
    let mut published = 0;
    until("the queue to be full", || {
        node.crew.broker.publish(&found, &publication, None);
        published += 1;
        node.audit(None).queued == 50
    });
    node.crew
        .close_all(CloseReason::GoingAway, Duration::from_millis(200));
    node.crew.join();
    let metrics = &node.crew.metrics;
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
