use super::*;
use crate::config::load::Loader;
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn at(millis: u64) -> Millis {
    NOW.set(Duration::from_millis(millis));
    Millis(millis)
}

/// Settings with these keys of `[limits]`.
fn config(limits: &[&str]) -> Config {
    let loader = Loader {
        sets: limits.iter().map(|set| format!("limits.{set}")).collect(),
        ..Loader::default()
    };
    loader.load().expect("settings").config
}

fn quotas(limits: &[&str]) -> Arc<Quotas> {
    let clock = Clock::simulated(|| NOW.get());
    Arc::new(Quotas::new(&config(limits), &Metrics::new(), clock))
}

const ANN: QuotaHolder<'_> = QuotaHolder {
    room: Some("chat_1_a"),
    user: Some("ann"),
    business_id: Some("1"),
    address: 9,
};

fn holders(quotas: &Quotas) -> usize {
    let tables = quotas.scopes.iter();
    tables.map(|quotas| quotas.table.lock().holders.len()).sum()
}

#[test]
fn without_limits_nothing_is_counted() {
    let quotas = quotas(&[]);
    assert!(quotas.begin(9).is_ok());
    assert!(quotas.enter(&ANN).expect("no limit").is_none());
    assert_eq!(holders(&quotas), 0);
}

#[test]
fn each_scope_has_its_connections_and_they_come_back() {
    let quotas = quotas(&[
        "room.connections=3",
        "user.connections=1",
        "business.connections=2",
    ]);
    let one = quotas.enter(&ANN).expect("the first").expect("limits");
    assert_eq!(quotas.enter(&ANN).unwrap_err(), QuotaScope::User);
    let of_user = |name| QuotaHolder {
        user: Some(name),
        ..ANN
    };
    let two = quotas.enter(&of_user("bob")).expect("another user");
    let cy = of_user("cy");
    assert_eq!(quotas.enter(&cy).unwrap_err(), QuotaScope::Business);
    let elsewhere = QuotaHolder {
        business_id: Some("2"),
        room: Some("chat_2_a"),
        ..cy
    };
    let three = quotas.enter(&elsewhere).expect("another business");
    // Who was refused holds nothing.
    drop(one);
    drop(quotas.enter(&ANN).expect("a place came back"));
    drop((two, three));
    assert_eq!(holders(&quotas), 0);
}

#[test]
fn messages_of_one_business_are_shared_and_a_reconnect_gains_nothing() {
    at(0);
    let quotas = quotas(&[
        "business.messages_per_second=1",
        "business.messages_burst=4",
    ]);
    let other = QuotaHolder {
        business_id: Some("2"),
        ..ANN
    };
    let enter = |holder| quotas.enter(holder).expect("no cap").expect("a rate");
    let (one, two, else_where) = (enter(&ANN), enter(&ANN), enter(&other));
    let passed = (0..10).filter(|_| one.spend(at(0), 10)).count();
    assert_eq!(passed, 4);
    assert!(!two.spend(at(0), 10), "shared");
    assert!(else_where.spend(at(0), 10), "another business");
    drop((one, two));
    assert!(!enter(&ANN).spend(at(10), 10), "remembered");
    assert!(enter(&ANN).spend(at(1_000), 10));
    at(60_000);
    drop(enter(&ANN));
    drop(else_where);
    assert_eq!(holders(&quotas), 0, "whole again, so forgotten");
}

#[test]
fn bytes_and_handshakes_have_rates_of_their_own() {
    at(0);
    let quotas = quotas(&[
        "room.bytes_per_second=100",
        "room.bytes_burst=1000",
        "address.handshakes_per_second=1",
        "address.handshakes_burst=2",
        "node.handshakes_per_second=1",
        "node.handshakes_burst=3",
    ]);
    let holds = quotas.enter(&ANN).expect("in").expect("limits");
    assert!(holds.spend(at(0), 1_000) && !holds.spend(at(0), 1));
    assert!(quotas.begin(9).is_ok() && quotas.begin(9).is_ok());
    assert_eq!(quotas.begin(9), Err(QuotaScope::Address));
    assert!(quotas.begin(8).is_ok());
    assert_eq!(quotas.begin(7), Err(QuotaScope::Node));
    at(1_000);
    assert!(quotas.begin(9).is_ok());
}

#[test]
fn what_is_refused_at_once_is_counted_by_who_asks_again() {
    at(0);
    let quotas = quotas(&[
        "user.handshakes_per_second=1",
        "user.handshakes_burst=2",
        "business.connections=1",
        "address.handshakes_per_second=1",
        "address.handshakes_burst=3",
    ]);
    let held = quotas.enter_at_once(&ANN).expect("in").expect("limits");
    for _again in 0..10 {
        assert_eq!(
            quotas.enter_at_once(&ANN).unwrap_err(),
            QuotaScope::Business
        );
    }
    let refused = quotas.refused.get_or_create(&[("scope", "business")]).get();
    assert_eq!(refused, 0);
    assert!(quotas.begin(9).is_ok() && quotas.begin(9).is_ok());
    assert_eq!(
        quotas.begin(9),
        Err(QuotaScope::Address),
        "three have begun"
    );
    assert_eq!(quotas.enter(&ANN).unwrap_err(), QuotaScope::Business);
    assert_eq!(
        quotas.enter(&ANN).unwrap_err(),
        QuotaScope::User,
        "two have begun"
    );
    drop(held);
}

#[test]
fn bytes_of_a_stream_are_waited_for_in_every_scope() {
    at(0);
    let quotas = quotas(&[
        "address.bytes_per_second=1000",
        "address.bytes_burst=2000",
        "node.bytes_per_second=100",
        "node.bytes_burst=4000",
    ]);
    let stream = QuotaHolder {
        address: 9,
        ..QuotaHolder::default()
    };
    let holds = quotas.enter(&stream).expect("in").expect("limits");
    assert_eq!(holds.charge(2_000), Duration::ZERO);
    assert_eq!(holds.charge(1_000), Duration::from_secs(1), "the address");
    assert_eq!(holds.charge(2_000), Duration::from_secs(10), "the node");
    assert_eq!(holds.charge(0), Duration::from_secs(10));
    let chat = quotas.enter(&ANN).expect("in").expect("limits");
    assert!(!chat.spend(at(0), 1), "the same address");
    at(11_000);
    assert_eq!(holds.charge(0), Duration::ZERO);
}

#[test]
fn limits_that_change_hold_at_once_for_who_holds_a_share() {
    at(0);
    let quotas = quotas(&["room.connections=5"]);
    let holds = quotas.enter(&ANN).expect("in").expect("a limit");
    assert!((0..1_000).all(|_| holds.spend(at(0), 1)));
    let limits = ["room.messages_per_second=1", "room.messages_burst=1"];
    quotas.set_limits(&config(&limits));
    assert!(holds.spend(at(0), 1) && !holds.spend(at(0), 1));
    quotas.set_limits(&Config::default());
    assert!(holds.spend(at(0), 1));
    drop(holds);
    assert!(quotas.enter(&ANN).expect("in").is_none());
}

#[test]
fn a_flood_of_holders_is_forgotten() {
    at(0);
    let quotas = quotas(&[
        "address.handshakes_per_second=1",
        "address.handshakes_burst=1",
    ]);
    let held = quotas.enter(&ANN).expect("in").expect("a rate");
    for address in 0..3 * REMEMBERED_MAX as u64 {
        assert!(quotas.begin(1_000 + address).is_ok());
        assert!(holders(&quotas) <= REMEMBERED_MAX + 1);
    }
    drop(held);
}
