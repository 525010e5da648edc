//! Settings that a route has of its own.

use super::super::{Config, Overflow};
use super::{assert_refused, load_file, load_sets};
use std::time::Duration;

const RELAY: &str = "[[routes]]\npath = \"/relay/{id:int}/\"\nhandler = \"relay\"\n";

#[test]
fn a_route_has_settings_of_its_own_and_the_rest_from_the_node() {
    let text = format!(
        "queue.capacity = 7\n[[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n{RELAY}queue.expiry = \"5s\"\n\
         queue.overflow = \"drop_oldest\"\nlimits.messages_per_second = 0\n"
    );
    let config = load_file(&text).expect("legal").config;
    let of_routes = config.of_routes().expect("legal");
    let [own] = &of_routes[..] else {
        panic!("one route has settings of its own: {of_routes:?}");
    };
    assert_eq!(own.queue.expiry, Duration::from_secs(5));
    assert_eq!(own.queue.overflow, Overflow::DropOldest);
    assert_eq!((own.queue.capacity, own.limits.messages_per_second), (7, 0));
    assert_eq!(own.limits.message_bytes, config.limits.message_bytes);
    assert_eq!(config.queue.expiry, Config::default().queue.expiry);
    let set = "routes=[{path=\"/e\", handler=\"echo\", limits={fragments=3}}]";
    let config = load_sets(&[set]).expect("legal").config;
    assert_eq!(config.of_routes().expect("legal")[0].limits.fragments, 3);
}

#[test]
fn a_wrong_setting_of_a_route_is_refused_at_its_line_with_a_fix() {
    for (line, fragments) in [
        (
            "queue.capasity = 5",
            &[
                "routes[1].queue.capasity: unknown key",
                "did you mean `capacity`?",
            ][..],
        ),
        (
            "queue = 5",
            &["routes[1].queue: 5 is not a table", "queue.<key>"],
        ),
        (
            "queue.capacity = \"many\"",
            &["routes[1].queue.capacity", "not a whole number"],
        ),
        (
            "queue.capacity = 0",
            &["routes[1].queue.capacity: 0 is too small", "at least 1"],
        ),
        ("queue.expiry = \"1us\"", &["routes[1].queue.expiry"]),
        (
            "queue.overflow = \"drop\"",
            &["routes[1].queue.overflow", "is not a choice"],
        ),
        (
            "limits.connections = 5",
            &[
                "routes[1].limits.connections: no route has this of its own",
                "for all routes",
            ],
        ),
        (
            "limits.message_bytes = 1000000",
            &[
                "routes[1].queue.bytes_max",
                "too small for the event of the longest message",
            ],
        ),
        (
            "broker.mailbox_bytes = 5",
            &["routes[1].broker: unknown key"],
        ),
    ] {
        let text = format!("{RELAY}{line}\n");
        assert_refused(line, load_file(&text), fragments);
    }
    let text = format!("{RELAY}limits.fragments = 3\nlimits.refusals = -1\n");
    assert_refused(
        "two keys",
        load_file(&text),
        &[":5: ", "routes[1].limits.refusals"],
    );
}
