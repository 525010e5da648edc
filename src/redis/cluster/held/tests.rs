use super::*;

fn at(port: u16) -> Endpoint {
    Endpoint {
        host: "a".to_owned(),
        port,
    }
}

fn counts(held: &mut HeldChannels) -> Vec<(u16, usize)> {
    let samples = held.samples().into_iter();
    let mut counts: Vec<_> = samples.map(|at| (at.server.port, at.count)).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn the_channel_beside_is_in_the_same_slot() {
    for channel in ["supportal:room:chat_1_abc", "a/3:stream:{chat_1_abc}"] {
        let beside = beside(channel);
        assert_ne!(beside, channel);
        assert_eq!(slot_of(beside.as_bytes()), slot_of(channel.as_bytes()));
    }
    assert!(beside("a/3:room:x").starts_with("a/3:"));
}

#[test]
fn each_channel_is_counted_once_and_given_up_with_its_slot_or_its_server() {
    let mut held = HeldChannels::default();
    for channel in ["foo", "{foo}bar", "123456789", "foo"] {
        held.add(&at(1), channel);
    }
    held.add(&at(2), "x");
    assert_eq!(counts(&mut held), [(1, 4), (2, 2)]);
    assert_eq!(held.remove("{foo}bar"), [at(1)]);
    assert!(held.remove("{foo}bar").is_empty());
    assert!(held.take_moved(|_, _| true).is_empty());
    let moved = held.take_moved(|slot, server| slot != 12_182 || server.port != 1);
    assert_eq!(moved, ["foo"]);
    assert_eq!(counts(&mut held), [(1, 2), (2, 2)]);
    assert_eq!(held.take_channels(&at(1)), ["123456789"]);
    assert_eq!(counts(&mut held), [(1, 1), (2, 2)]);
    held.add(&at(1), "123456789");
    assert_eq!(held.take_all(&at(1)), ["123456789"]);
    assert_eq!(held.remove("x"), [at(2)]);
    assert_eq!(
        counts(&mut held),
        [(2, 1)],
        "it is still asked with the same one"
    );
    assert!(held.take_moved(|_, _| false).is_empty());
    assert!(held.servers.is_empty());
}
