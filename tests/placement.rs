//! Rooms on the workers of a real server, as `/metrics` shows them.

use crate::support::wait::until;
use crate::support::{Client, Gateway, PATIENCE};

/// Starts of the server, each with its own chances.
const STARTS: usize = 32;

/// Equal rooms on two workers, and the most of them that one may get.
const ROOMS: usize = 12;
const MOST: usize = 8;

/// Starts a node on two workers, has twelve rooms come by `come`, and counts those on each worker.
fn rooms_per_worker(come: impl Fn(&Gateway) -> Vec<Client>) -> [f64; 2] {
    let gateway = Gateway::start(&["server.workers=2"]);
    let members = come(&gateway);
    // Rooms are equal, so a worker's connections are its rooms.
    let each = members.len() as f64 / ROOMS as f64;
    [0, 1].map(|worker| {
        let series = format!("supportal_worker_connections{{worker=\"{worker}\"}}");
        gateway.metric(&series) / each
    })
}

fn room(number: usize) -> String {
    format!("/ws/chat/1/room-{number}/")
}

fn check(come: impl Fn(&Gateway) -> Vec<Client>) {
    for start in 0..STARTS / 2 {
        let rooms = rooms_per_worker(&come);
        let sum: f64 = rooms.iter().sum();
        assert_eq!(sum, ROOMS as f64, "start {start}: {rooms:?}");
        assert!(
            rooms.iter().all(|&rooms| rooms <= MOST as f64),
            "start {start}: {rooms:?}"
        );
    }
}

#[test]
fn twelve_rooms_one_after_the_other_are_at_most_eight_to_four() {
    check(|gateway| {
        let members = (0..2 * ROOMS).map(|member| gateway.connect(&room(member / 2)));
        members.collect()
    });
}

#[test]
fn twelve_rooms_at_the_same_instant_are_at_most_eight_to_four() {
    check(|gateway| {
        std::thread::scope(|scope| {
            let join = |member| scope.spawn(move || gateway.connect(&room(member % ROOMS)));
            let members: Vec<_> = (0..2 * ROOMS).map(join).collect();
            let joined = members.into_iter().map(|member| member.join());
            joined.map(|client| client.expect("a connection")).collect()
        })
    });
}

#[test]
fn the_metrics_show_what_each_worker_carries() {
    let gateway = Gateway::start(&["server.workers=2"]);
    let mut clients: Vec<_> = (0..4)
        .map(|number| gateway.connect(&room(number)))
        .collect();
    let load =
        |worker: usize| gateway.metric(&format!("supportal_worker_load{{worker=\"{worker}\"}}"));
    // Two rooms with a member each: 2 x (256 + 64), and their welcomes.
    assert!(
        (0..2).all(|worker| load(worker) >= 640.0),
        "{} {}",
        load(0),
        load(1)
    );
    clients.clear();
    let connections = || gateway.metric_sum("supportal_worker_connections");
    until("the workers to be empty", PATIENCE, || connections() == 0.0);
    assert!(
        (0..2).all(|worker| load(worker) < 640.0),
        "{} {}",
        load(0),
        load(1)
    );
}
