//! Every key of a kind has the bounds of its kind, new keys included.

use super::super::key::KeyKind;
use super::super::keys;
use super::{assert_refused, load_sets};

/// Zero means something for these: at once.
const MAY_BE_ZERO: [&str; 13] = [
    "http.cors.max_age",
    "auth.jwt.leeway",
    "auth.django_session.cache",
    "auth.django_session.cache_refused",
    "auth.forward.cache",
    "auth.forward.cache_refused",
    "auth.forward.recheck",
    "auth.django_session.recheck",
    "server.drain_notice",
    "server.drain_grace",
    "assistant.debounce",
    "bridge.linger",
    "bridge.confirm_timeout",
];

#[test]
fn every_duration_has_a_shortest_and_a_longest() {
    let durations = keys::all().filter(|key| key.kind == KeyKind::Duration);
    let mut count = 0;
    for key in durations {
        let path = key.path;
        count += 1;
        for text in ["9000d", "400d", "213503982334601d", "99999999999999999999d"] {
            assert_refused(path, load_sets(&[&format!("{path}={text}")]), &[path]);
        }
        // The site's settings have bare numbers of seconds.
        let bare = if path.starts_with("channels.") {
            "-5"
        } else {
            "5"
        };
        for text in [
            "-1s", bare, "1 week", "", "s", "1.5s", "1s1ms", "inf", "NaNs",
        ] {
            assert_refused(path, load_sets(&[&format!("{path}=\"{text}\"")]), &[path]);
        }
        for text in ["0s", "0ms", "0d"] {
            let loaded = load_sets(&[&format!("{path}={text}")]);
            if MAY_BE_ZERO.contains(&path) {
                loaded.expect(path);
            } else {
                assert_refused(path, loaded, &[path]);
            }
        }
    }
    assert!(count >= 17, "{count}");
    assert_refused(
        "1ms",
        load_sets(&["server.http_timeout=1ms"]),
        &[
            "server.http_timeout",
            "1ms is too short",
            "at least \"10ms\"",
        ],
    );
    assert_refused(
        "9000d",
        load_sets(&["server.http_timeout=9000d"]),
        &["server.http_timeout", "longer than 1d", "check the unit"],
    );
}

#[test]
fn a_host_of_the_operators_listener_is_a_host_alone() {
    for host in [
        "gateway.example.com",
        "gateway.example.com.",
        "supportal_1",
        "10.0.0.5",
        "::1",
        "2001:db8::5",
    ] {
        load_sets(&[&format!("admin.hosts=[\"{host}\"]")]).expect(host);
    }
    for host in [
        "",
        " ",
        "https://gateway.example",
        "gateway.example:9000",
        "gateway.example/",
        "[::1]",
        "*",
        "*.example.com",
        ".example.com",
        "gateway..example",
        "gateway.example..",
        ".",
        "b\u{fc}cher.example",
    ] {
        let loaded = load_sets(&[&format!("admin.hosts=[\"{host}\"]")]);
        assert_refused(
            host,
            loaded,
            &["admin.hosts", "is no host", "write the host alone"],
        );
    }
}
