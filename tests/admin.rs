//! The operator's listener.

use crate::support::{Gateway, PATIENCE, http, user, wait};
use std::io::Write;
use std::net::TcpStream;

#[test]
fn live_ready_and_health_answer() {
    let gateway = Gateway::shared();
    assert_eq!(gateway.admin("/live").status, 200);
    assert_eq!(gateway.admin("/ready").status, 200);
    let health = gateway.admin("/health");
    assert_eq!(health.status, 200);
    assert!(health.json().is_object(), "{}", health.text());
    assert_eq!(gateway.admin("/nothing").status, 404);
}

#[test]
fn metrics_have_prefix_help_and_type() {
    let gateway = Gateway::shared();
    let answer = gateway.admin("/metrics");
    assert_eq!(answer.status, 200);
    let content_type = answer
        .header("content-type")
        .expect("a content type")
        .to_owned();
    assert!(content_type.contains("text"), "{content_type}");
    let text = answer.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("name and value");
        assert!(series.starts_with("supportal_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    for name in [
        "supportal_connections",
        "supportal_unexplained",
        "supportal_panics_total",
    ] {
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
        assert!(
            text.contains(&format!("# TYPE {name} ")),
            "{name} has no type"
        );
    }
}

#[test]
fn connections_and_rooms_are_gauged() {
    let gateway = Gateway::start(&[]);
    let one = gateway.join("gauge");
    let two = gateway.join("gauge-2");
    wait::until("two connections", PATIENCE, || {
        gateway.metric("supportal_connections") == 2.0
    });
    wait::until("two rooms", PATIENCE, || {
        gateway.metric("supportal_rooms") == 2.0
    });
    drop((one, two));
    wait::until("no connection", PATIENCE, || {
        gateway.metric("supportal_connections") == 0.0
    });
    wait::until("no room", PATIENCE, || {
        gateway.metric("supportal_rooms") == 0.0
    });
}

#[test]
fn the_ledger_accounts_for_every_delivery() {
    let gateway = Gateway::start(&["limits.messages_per_second=0"]);
    let (mut one, mut two) = (gateway.join("account"), gateway.join("account"));
    let before = gateway.settled_ledger();
    for number in 0..50 {
        one.send_text(&user(&number.to_string()));
        one.receive_json();
        two.receive_json();
    }
    let after = gateway.settled_ledger();
    let grown = |key: &str| {
        let read = |ledger: &serde_json::Value| ledger[key].as_i64().unwrap_or_default();
        read(&after) - read(&before)
    };
    assert_eq!(grown("accepted"), 50, "{after}");
    assert_eq!(grown("expected"), 100, "{after}");
    assert_eq!(grown("delivered"), 100, "{after}");
    assert!(after["dropped"].is_object(), "{after}");
}

#[test]
fn the_ledger_of_one_room_tells_its_account_alone() {
    let gateway = Gateway::start(&["server.workers=2", "chat.welcome=false"]);
    let joined = |session: &str| gateway.connect(&format!("/ws/chat/1/{session}/"));
    let (mut one, mut two, mut other) = (joined("own"), joined("own"), joined("other"));
    let ledger = |room: &str| gateway.admin(&format!("/ledger?room={room}"));
    wait::until("both members", PATIENCE, || {
        let answer = ledger("chat_1_own");
        answer.status == 200 && answer.json()["members"] == 2
    });
    for number in 0..5 {
        one.send_text(&user(&number.to_string()));
        one.receive_json();
        two.receive_json();
    }
    other.send_text(&user("elsewhere"));
    other.receive_json();
    wait::until("the account to settle", PATIENCE, || {
        ledger("chat_1_own").json()["delivered"] == 10
    });
    let account = ledger("chat_1_own").json();
    for (key, value) in [
        ("accepted", 5),
        ("expected", 10),
        ("queued", 0),
        ("unexplained", 0),
    ] {
        assert_eq!(account[key], value, "{key} in {account}");
    }
    assert_eq!(account["room"], "chat_1_own");
    assert_eq!(ledger("chat_1_other").json()["expected"], 1);
    for same in [
        "chat_1_own&x",
        "chat_1_nobody&room=chat_1_own",
        "chat%5F1_o%77n",
    ] {
        assert_eq!(ledger(same).json()["members"], 2, "{same}");
    }
    for nobody in [
        "chat_1_nobody",
        "",
        "chat_1_own&room=",
        "chat_1_own+",
        "../own",
    ] {
        assert_eq!(ledger(nobody).status, 404, "{nobody}");
    }
    drop((one, two));
    wait::until("the room to be gone", PATIENCE, || {
        ledger("chat_1_own").status == 404
    });
}

#[test]
fn the_public_listener_serves_nothing_of_the_operators() {
    let gateway = Gateway::shared();
    let paths = [
        "/metrics",
        "/live",
        "/ready",
        "/health",
        "/ledger",
        "/rooms",
        "/drain",
        "/reload",
        "/profile",
        "/admin",
        "/debug/pprof/",
    ];
    for path in paths {
        assert_eq!(gateway.get(path).status, 404, "{path}");
    }
}

#[test]
fn the_public_url_serves_the_page() {
    let gateway = Gateway::shared();
    let page = gateway.get("/");
    assert_eq!(page.status, 200, "{}", gateway.http_url("/"));
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    assert!(page.header("content-security-policy").is_some());
}

#[test]
fn the_admin_listener_survives_nonsense() {
    let gateway = Gateway::shared();
    let long = format!("/{}", "x".repeat(100_000));
    for path in [
        "//",
        "/%00",
        "/live/../ledger",
        "/ledger?x=1&y",
        long.as_str(),
    ] {
        assert!(gateway.admin(path).status < 500, "{path:.40}");
    }
    assert_eq!(gateway.admin("/live").status, 200);
}

/// The status of a request with these lines to the operator's listener.
#[track_caller]
fn status(gateway: &Gateway, lines: &str) -> u16 {
    let head = format!("{lines}\r\nConnection: close\r\n\r\n");
    http::exchange(gateway.admin_address(), head.as_bytes()).map_or(0, |answer| answer.status)
}

#[test]
fn a_host_that_is_not_ours_is_misdirected_whatever_it_asks() {
    let gateway = Gateway::start(&["admin.hosts=[\"gateway.example\"]"]);
    for path in [
        "/live", "/ready", "/health", "/metrics", "/ledger", "/history", "/nothing",
    ] {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "evil.example:9000",
            "10.1.2.3",
        ] {
            let lines = format!("GET {path} HTTP/1.1\r\nHost: {host}");
            assert_eq!(status(&gateway, &lines), 421, "{lines}");
        }
        let lines = format!("POST {path} HTTP/1.1\r\nHost: evil.example");
        assert_eq!(status(&gateway, &lines), 421, "{lines}");
    }
    for (lines, expected) in [
        ("GET /live HTTP/1.1\r\nHost: localhost:9000", 200),
        ("GET /live HTTP/1.1\r\nHost: 127.0.0.1", 200),
        ("GET /live HTTP/1.1\r\nHost: [::1]:9000", 200),
        ("GET /live HTTP/1.1\r\nHost: Gateway.Example:80", 200),
        ("HEAD /health HTTP/1.1\r\nHost: gateway.example", 200),
        ("GET http://localhost/live HTTP/1.1\r\nHost: localhost", 200),
        (
            "GET http://localhost/live HTTP/1.1\r\nHost: evil.example",
            200,
        ),
        (
            "GET http://evil.example/live HTTP/1.1\r\nHost: localhost",
            421,
        ),
        ("GET /live HTTP/1.1", 400),
        (
            "GET /live HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
            400,
        ),
        ("GET /live HTTP/1.1\r\nHost: local host", 400),
        ("GET /live HTTP/1.0", 200),
        ("GET /live HTTP/1.0\r\nHost: evil.example", 421),
        (
            "POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0",
            405,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost", 405),
    ] {
        assert_eq!(status(&gateway, lines), expected, "{lines}");
    }
}

#[test]
fn probes_are_answered_when_every_connection_is_taken() {
    let gateway = Gateway::start(&["server.handshake_timeout=60s"]);
    let half = b"GET /live HTTP/1.1\r\nHost: localhost\r\n";
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..300 {
        let mut stream = http::open(gateway.admin_address());
        // Some say nothing, some half of a request, some are kept open after an answer.
        match number % 3 {
            0 => {}
            1 => stream.write_all(half).expect("half a head"),
            _ => {
                stream
                    .write_all(&[half, &b"\r\n"[..]].concat())
                    .expect("a request");
                let (answer, _) = http::read_response(&mut stream).expect("an answer");
                assert_eq!(answer.status, 200);
            }
        }
        held.push(stream);
    }
    for path in ["/live", "/ready", "/health", "/metrics"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
    }
    drop(held);
}

#[test]
fn a_token_is_taken_whatever_the_case_of_its_scheme() {
    let gateway = Gateway::start(&["admin.token=0123456789abcdef0123456789abcdef"]).unchecked();
    let token = "0123456789abcdef0123456789abcdef";
    for (fields, expected) in [
        (format!("Authorization: Bearer {token}"), 200),
        (format!("authorization: bearer {token}"), 200),
        (format!("AUTHORIZATION: BEARER   {token}"), 200),
        (format!("Authorization: Basic {token}"), 401),
        (format!("Authorization: Bearer{token}"), 401),
        (format!("Authorization: Bearer {token}x"), 401),
        (format!("Authorization: {token}"), 401),
        ("Authorization: Bearer".to_owned(), 401),
        ("X-None: 1".to_owned(), 401),
        (
            format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}"),
            401,
        ),
    ] {
        let lines = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{fields}");
        assert_eq!(status(&gateway, &lines), expected, "{fields}");
    }
    assert_eq!(gateway.admin("/live").status, 200, "probes need none");
}

#[test]
fn head_says_what_get_would() {
    let gateway = Gateway::shared();
    for (address, path) in [
        (gateway.admin_address(), "/live"),
        (gateway.admin_address(), "/metrics"),
        (gateway.admin_address(), "/ledger?room=chat_1_nobody"),
        (gateway.public(), "/"),
        (gateway.public(), "/chat/1/a"),
    ] {
        let get = http::get(address, path);
        let mut stream = http::open(address);
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("a request");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).expect("a head alone");
        assert!(
            text.starts_with(&format!("HTTP/1.1 {} ", get.status)),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\n"), "{path} has a body: {text}");
        let kind = get.header("content-type").unwrap_or_default();
        assert!(text.contains(kind), "{text}");
    }
}

/// Every family of a text in format 0.0.4 or OpenMetrics: its name as in `# TYPE`, its kind, its samples' names.
/// Strict: a line that the format does not have is a fault.
#[track_caller]
fn families(text: &str, is_open: bool) -> Vec<(String, String, Vec<String>)> {
    let mut families: Vec<(String, String, Vec<String>)> = Vec::new();
    let body = match is_open {
        true => text.strip_suffix("# EOF\n").expect("the end is said"),
        false => text,
    };
    let mut helped = String::new();
    for line in body
        .strip_suffix('\n')
        .expect("a last line feed")
        .split('\n')
    {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, _help] => helped = name.to_owned(),
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, helped, "the help of another family");
                assert!(
                    families.iter().all(|(other, ..)| other != name),
                    "{name} twice"
                );
                families.push((name.to_owned(), kind.to_owned(), Vec::new()));
            }
            ["#", "UNIT", name, unit] => assert!(is_open && name.ends_with(unit), "{line}"),
            _ => {
                let (series, value) = line.rsplit_once(' ').expect("a name and a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = series.split('{').next().expect("a name");
                let (_, _, samples) = families.last_mut().expect("a family");
                samples.push(name.to_owned());
            }
        }
    }
    families
}

/// What the names of a histogram's samples end with, in both formats.
const HISTOGRAM: &[&str] = &["_bucket", "_count", "_sum"];

/// A family's samples are called by its name and one of these.
#[track_caller]
fn assert_samples(name: &str, suffixes: &[&str], samples: &[String]) {
    let is_one = |sample: &String| {
        let suffix = sample.strip_prefix(name);
        suffix.is_some_and(|suffix| suffixes.contains(&suffix))
    };
    assert!(samples.iter().all(is_one), "{name}: {samples:?}");
}

#[test]
fn metrics_are_valid_in_both_formats_and_say_the_same() {
    let gateway = Gateway::start(&[]);
    let _member = gateway.join("formats");
    let ask = |accept: &str| {
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        http::exchange(gateway.admin_address(), head.as_bytes()).expect("an answer")
    };
    let text = ask("text/plain; version=0.0.4");
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for (name, kind, samples) in families(&text.text(), false) {
        let suffixes = match kind.as_str() {
            "histogram" => HISTOGRAM,
            "counter" | "gauge" => &[""],
            other => panic!("{name} is a {other}"),
        };
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert_samples(&name, suffixes, &samples);
    }
    let open = ask("application/openmetrics-text; version=1.0.0");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(kind));
    let open_families = families(&open.text(), true);
    for (name, kind, samples) in &open_families {
        let suffixes = match kind.as_str() {
            "counter" => &["_total"],
            "info" => &["_info"],
            "gauge" => &[""],
            "histogram" => HISTOGRAM,
            other => panic!("{name} is a {other}"),
        };
        assert_samples(name, suffixes, samples);
    }
    let count = |families: &[(String, String, Vec<String>)]| {
        families.iter().map(|family| family.2.len()).sum::<usize>()
    };
    assert_eq!(count(&families(&text.text(), false)), count(&open_families));
    assert!(
        !gateway.admin("/metrics").text().contains("# EOF"),
        "nobody asked for OpenMetrics"
    );
}
