//! Settings that a route has of its own.

use super::super::load::Loader;
use super::super::{CHAT_PATH, Config, Overflow};
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
fn what_a_program_gives_its_route_is_carried_over_to_other_settings_of_the_node() {
    let before = Config::default();
    let (mut queue, mut limits) = (before.queue.clone(), before.limits.clone());
    queue.capacity = 7;
    limits.refusals = 3;
    let route = before.admit(&queue, &limits).expect("legal");
    let mut now = Config::default();
    now.queue.capacity = 9;
    now.queue.overflow = Overflow::DropOldest;
    now.limits.messages_per_second = 1;
    now.server.ping_interval = Duration::from_secs(5);
    let carried = route.carried_over(&before, &now).expect("legal");
    let mut expected = now.clone();
    expected.queue.capacity = 7;
    expected.limits.refusals = 3;
    assert_eq!(carried, expected);
}

#[test]
fn a_wrong_setting_of_a_route_is_refused_at_its_line_with_a_fix() {
    for (line, fragments) in [
        (
            "queue.capasity = 5",
            &[
                "routes[0].queue.capasity: unknown key",
                "did you mean `capacity`?",
            ][..],
        ),
        (
            "queue = 5",
            &["routes[0].queue: 5 is not a table", "queue.<key>"],
        ),
        (
            "queue.capacity = \"many\"",
            &["routes[0].queue.capacity", "not a whole number"],
        ),
        (
            "queue.capacity = 0",
            &["routes[0].queue.capacity: 0 is too small", "at least 1"],
        ),
        ("queue.expiry = \"1us\"", &["routes[0].queue.expiry"]),
        (
            "queue.overflow = \"drop\"",
            &["routes[0].queue.overflow", "is not a choice"],
        ),
        (
            "limits.connections = 5",
            &[
                "routes[0].limits.connections: no route has this of its own",
                "for all routes",
            ],
        ),
        (
            "limits.message_bytes = 1000000",
            &[
                "routes[0].queue.bytes_max",
                "too small for the event of the longest message",
            ],
        ),
        (
            "broker.mailbox_bytes = 5",
            &["routes[0].broker: unknown key"],
        ),
    ] {
        let text = format!("{RELAY}{line}\n");
        assert_refused(line, load_file(&text), fragments);
    }
    let text = format!("{RELAY}limits.fragments = 3\nlimits.refusals = -1\n");
    assert_refused(
        "two keys",
        load_file(&text),
        &[":5: ", "routes[0].limits.refusals"],
    );
}

/// Two entries; what is wrong is in line 6, the second one's path.
fn two(one: (&str, &str), two: (&str, &str)) -> String {
    let entry =
        |(path, handler)| format!("[[routes]]\nhandler = \"{handler}\"\npath = \"{path}\"\n");
    [one, two].map(entry).concat()
}

#[test]
fn a_route_that_no_node_would_start_with_is_refused_at_its_own_line() {
    const PLAIN: (&str, &str) = ("/plain/", "echo");
    let overlaps = [
        ("/a/{a:int}/", "/a/{b:slug}/"),
        ("/a/{a:int}/", "/a/{b:int}/"),
        ("/a/{a:slug}/", "/a/{b:uuid}/"),
        ("/a/{a:slug}/", "/a/b/"),
        ("/a/{a:int}/", "/a/7/"),
        ("/a/{business_id}/{session_id}/", "/a/{a:int}/{b:uuid}/"),
    ];
    for (earlier, path) in overlaps {
        let text = two((earlier, "relay"), (path, "relay"));
        let told = format!(
            "routes[1].path: {path:?} matches the same paths as an earlier route, {earlier:?}"
        );
        assert_refused(path, load_file(&text), &[":6: ", &told]);
    }
    for (path, handler, told) in [
        ("/{a:int}/{a:int}/", "relay", "{a} appears twice"),
        ("/<int:id>/", "relay", "use letters"),
        ("/{session_id}/", "relay", "alone names no chat"),
        ("/{business_id}/", "echo", "alone names no chat"),
        ("//a/", "relay", "double slash"),
        ("/a//b/", "echo", "double slash"),
        ("/a/../b/", "echo", "resolve the segment \"..\""),
        ("/./b/", "echo", "resolve the segment \".\""),
        ("/\u{fc}/", "echo", "use letters"),
        ("/*", "relay", "name of a room"),
        ("/:id/", "relay", "name of a room"),
        ("/{:int}/", "relay", "not a placeholder"),
        ("/{\u{e9}:int}/", "relay", "not a placeholder"),
        ("/{X:int}/", "relay", "not a placeholder"),
        ("/a.b/{a:int}/", "relay", "name of a room"),
        ("/client.js", "relay", "name of a room"),
        (
            &format!("/{}/{{a:uuid}}/", "a".repeat(60)),
            "relay",
            "longer than 99 bytes",
        ),
    ] {
        let text = two(PLAIN, (path, handler));
        assert_refused(path, load_file(&text), &[":6: routes[1].path: ", told]);
    }
    for (one, other) in [
        (("/a/{a:int}/", "relay"), ("/a/{b:uuid}/", "relay")),
        (("/a/{a:int}/", "relay"), ("/b/{a:int}/", "relay")),
        (("/a.b/*", "echo"), ("/:id", "echo")),
    ] {
        load_file(&two(one, other)).expect("apart");
    }
}

#[test]
fn routes_of_a_flag_that_win_over_a_file_are_not_told_at_its_lines() {
    let file = super::file(&two(("/a/", "echo"), ("/b/", "echo")));
    let loader = Loader {
        file: Some(file.path().to_owned()),
        sets: vec!["routes=[{path='/x//', handler='echo'}]".to_owned()],
        ..Loader::default()
    };
    let told = loader.load().expect_err("a double slash").to_string();
    assert!(told.starts_with("--set: routes[0].path: "), "{told}");
}

#[test]
fn a_chat_of_dialect_django_has_the_path_of_the_package() {
    let route = |path: &str| {
        format!("[chat]\ndialect = \"django\"\n[[routes]]\nhandler = \"chat\"\npath = {path:?}\n")
    };
    load_file(&route(CHAT_PATH)).expect("legal");
    let path = "/ws/other/{business_id}/{session_id}/";
    let told = ["routes[0].path", path, CHAT_PATH];
    assert_refused(path, load_file(&route(path)), &told);
}
