//! What the site is asked, how often, and what is never said elsewhere.

use super::site::{Site, bare, json};
use super::{PATH, PATIENCE, node};
use crate::support::{Client, Gateway, http, wait};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn spared(gateway: &Gateway, by: &str) -> f64 {
    gateway.metric(&format!("supportal_auth_spared_total{{by=\"{by}\"}}"))
}

/// The status of somebody with these fields.
fn status_with(gateway: &Gateway, session: &str, fields: &[(&str, &str)]) -> u16 {
    match gateway.try_connect_with(&format!("{PATH}{session}/"), fields) {
        Ok(client) => client.upgrade.status,
        Err(refusal) => refusal.status,
    }
}

/// The value of a field of a question.
fn field<'q>(question: &'q str, name: &str) -> Option<&'q str> {
    let mut lines = question.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[test]
fn a_question_says_who_wants_to_go_where_and_brings_what_was_chosen() {
    let site = Site::start();
    site.answer("abc", json("{}"));
    let host = "auth.forward.host=site.example";
    let headers = "auth.forward.headers=[\"cookie\",\"authorization\",\"origin\",\"x-tenant\"]";
    let gateway = node(&site, &[host, headers]);
    let fields = [
        ("Cookie", "sessionid=s3cret; theme=dark"),
        ("Authorization", "Bearer tok3n"),
        ("Origin", "https://site.example"),
        ("X-Tenant", "blue"),
        ("X-Other", "stays"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Supportal-User", "root"),
    ];
    let path = format!("{PATH}abc/?next=%2Fa&x=1");
    drop(gateway.connect_with(&path, &fields));
    let questions = site.questions("abc");
    let [question] = &questions[..] else {
        panic!("{questions:?}")
    };
    let target = "GET /who/?business_id=1&session_id=abc HTTP/1.1\r\n";
    assert!(question.starts_with(target), "{question}");
    let own_host = gateway.public().to_string();
    for (name, value) in [
        ("host", Some("site.example")),
        ("cookie", Some("sessionid=s3cret; theme=dark")),
        ("authorization", Some("Bearer tok3n")),
        ("origin", Some("https://site.example")),
        ("x-tenant", Some("blue")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-forwarded-host", Some(own_host.as_str())),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-method", Some("GET")),
        ("x-forwarded-uri", Some(path.as_str())),
        ("x-original-uri", Some(path.as_str())),
        ("x-supportal-business", Some("1")),
        ("x-supportal-session", Some("abc")),
        ("accept", Some("application/json")),
        ("x-other", None),
        ("x-supportal-user", None),
        ("sec-websocket-key", None),
        ("upgrade", None),
        ("accept-encoding", None),
        ("content-length", None),
    ] {
        assert_eq!(field(question, name), value, "{name} in {question}");
    }
    assert_eq!(question.matches("6.6.6.6").count(), 0);
    let log = gateway.log();
    for secret in ["s3cret", "tok3n"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn only_the_cookies_that_are_chosen_and_clean_go_along() {
    let site = Site::start();
    site.answer("abc", json("{}"));
    let gateway = node(
        &site,
        &[
            "auth.forward.cookies=[\"sessionid\",\"lang\"]",
            "auth.forward.cache=0s",
        ],
    );
    for (cookie, sent) in [
        ("sessionid=a", Some("sessionid=a")),
        (
            "_ga=1; sessionid=a; theme=x; lang=de",
            Some("sessionid=a; lang=de"),
        ),
        ("sessionid=a;sessionid=b", Some("sessionid=a; sessionid=b")),
        ("xsessionid=a; sessionidx=b; SESSIONID=c", None),
        ("lang=caf\u{e9}; sessionid=a", Some("sessionid=a")),
        ("", None),
    ] {
        let before = site.questions("abc").len();
        assert_eq!(status_with(&gateway, "abc", &[("Cookie", cookie)]), 101);
        let questions = site.questions("abc");
        assert_eq!(questions.len(), before + 1);
        assert_eq!(field(&questions[before], "cookie"), sent, "{cookie}");
    }
    // Two fields are one (RFC 9113 §8.2.3).
    let two = [("Cookie", "sessionid=a"), ("Cookie", "lang=de")];
    assert_eq!(status_with(&gateway, "abc", &two), 101);
    let last = site.questions("abc").pop().expect("a question");
    assert_eq!(field(&last, "cookie"), Some("sessionid=a; lang=de"));
}

#[test]
fn what_is_no_question_is_refused_without_asking() {
    let site = Site::start();
    site.answer("abc", json("{}"));
    let gateway = node(&site, &["auth.forward.question_bytes=1024"]);
    let long = format!("sessionid={}", "a".repeat(2000));
    for fields in [
        &[("Authorization", "Bearer a"), ("Authorization", "Bearer b")][..],
        &[("Authorization", "Bearer caf\u{e9}")],
        &[("Authorization", "Bearer \u{85}X-Admin: 1")],
        &[("Cookie", &long)],
    ] {
        let status = status_with(&gateway, "abc", fields);
        assert!(matches!(status, 400 | 401), "{status} {fields:?}");
    }
    assert_eq!(site.questions("abc").len(), 0);
}

#[test]
fn answers_are_remembered_for_their_time_and_for_the_same_question_alone() {
    let site = Site::start();
    site.answer("in", json(r#"{"user": "ann"}"#));
    site.answer("out", bare("403 No", ""));
    site.answer("down", bare("500 No", ""));
    let gateway = node(
        &site,
        &["auth.forward.cache=1h", "auth.forward.cache_refused=1h"],
    );
    for (session, status, asked) in [("in", 101, 1), ("out", 403, 1), ("down", 503, 3)] {
        for _ in 0..3 {
            assert_eq!(status_with(&gateway, session, &[]), status, "{session}");
        }
        assert_eq!(site.questions(session).len(), asked, "{session}");
    }
    assert_eq!(spared(&gateway, "cache"), 2.0);
    // Settings read again are no reason to ask again.
    let reload = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = http::exchange(gateway.admin_address(), reload);
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(status_with(&gateway, "in", &[]), 101);
    assert_eq!(site.questions("in").len(), 1);
    // Another cookie, token or origin makes another question.
    for (at, fields) in [
        [("Cookie", "sessionid=a")],
        [("Cookie", "sessionid=b")],
        [("Authorization", "sessionid=b")],
        [("Origin", "https://a.example")],
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(status_with(&gateway, "in", fields), 101);
        assert_eq!(site.questions("in").len(), at + 2, "{fields:?}");
    }
    // Where nothing is remembered, each is asked.
    let gateway = node(
        &site,
        &["auth.forward.cache=0s", "auth.forward.cache_refused=0s"],
    );
    let before = (site.questions("in").len(), site.questions("out").len());
    for _ in 0..3 {
        status_with(&gateway, "in", &[]);
        status_with(&gateway, "out", &[]);
    }
    let after = (site.questions("in").len(), site.questions("out").len());
    assert_eq!(after, (before.0 + 3, before.1 + 3));
}

#[test]
fn the_same_question_under_way_is_asked_once_and_one_who_leaves_takes_nobody_along() {
    let (site, open) = (Site::start(), Arc::new(AtomicBool::new(false)));
    let gate = Arc::clone(&open);
    site.script("abc", move |stream| {
        wait::until("the gate", PATIENCE, || gate.load(Ordering::SeqCst));
        drop(stream.write_all(json("{}").as_bytes()));
    });
    let gateway = node(&site, &["auth.forward.timeout=5s", "auth.forward.cache=0s"]);
    let address = gateway.public();
    // The first asks, and goes away before there is an answer.
    let mut first = http::open(address);
    let head = format!(
        "GET {PATH}abc/ HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    first.write_all(head.as_bytes()).expect("the head");
    wait::until("the first question", PATIENCE, || site.open() == 1);
    let others: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || Client::open(address, &format!("{PATH}abc/"), &[]).is_ok()))
        .collect();
    wait::until("the others to wait", PATIENCE, || {
        spared(&gateway, "company") >= 8.0
    });
    drop(first);
    open.store(true, Ordering::SeqCst);
    for other in others {
        assert!(other.join().expect("no panic"));
    }
    // At most the first one's question, and that of who took its place.
    assert!(site.questions("abc").len() <= 2);
}

#[test]
fn no_more_questions_are_under_way_than_may_be() {
    let site = Site::start();
    // How many there are, until each is answered: from then on another one may be asked.
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for number in 0..12 {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        site.script(&format!("s{number}"), move |stream| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            wait::pass(Duration::from_millis(30));
            now.fetch_sub(1, Ordering::SeqCst);
            drop(stream.write_all(json("{}").as_bytes()));
        });
    }
    let gateway = node(&site, &["auth.forward.concurrency=2"]);
    let address = gateway.public();
    let clients: Vec<_> = (0..12)
        .map(|number| {
            let path = format!("{PATH}s{number}/");
            thread::spawn(move || Client::open(address, &path, &[]).is_ok())
        })
        .collect();
    for client in clients {
        assert!(client.join().expect("no panic"));
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} at once");
}

#[test]
fn one_address_has_its_share_of_the_questions_and_leaves_the_rest_to_others() {
    let (site, open) = (Site::start(), Arc::new(AtomicBool::new(false)));
    for number in 0..6 {
        let gate = Arc::clone(&open);
        site.script(&format!("slow-{number}"), move |stream| {
            wait::until("the gate", PATIENCE, || gate.load(Ordering::SeqCst));
            drop(stream.write_all(json("{}").as_bytes()));
        });
    }
    site.answer("quick", json("{}"));
    let gateway = node(
        &site,
        &[
            "proxy.trusted=127.0.0.1",
            "proxy.header=x-forwarded-for",
            "auth.forward.concurrency=3",
            "auth.forward.concurrency_per_ip=2",
            "auth.forward.timeout=30s",
        ],
    );
    let address = gateway.public();
    // Of one line: its addresses have one share.
    let crowd: Vec<_> = (0..6)
        .map(|number| {
            let path = format!("{PATH}slow-{number}/");
            let client = format!("2001:db8::{number}");
            thread::spawn(move || {
                Client::open(address, &path, &[("X-Forwarded-For", &client)]).is_ok()
            })
        })
        .collect();
    wait::until("the share to be taken", PATIENCE, || site.open() == 2);
    for other in ["192.0.2.1", "2001:db8:0:1::1"] {
        let fields = [("X-Forwarded-For", other)];
        assert_eq!(status_with(&gateway, "quick", &fields), 101, "{other}");
    }
    let is_asked = |number: &usize| !site.questions(&format!("slow-{number}")).is_empty();
    assert_eq!((0..6).filter(is_asked).count(), 2);
    open.store(true, Ordering::SeqCst);
    for client in crowd {
        assert!(client.join().expect("no panic"));
    }
}

#[test]
fn while_the_site_is_away_everybody_comes_in_or_nobody_as_on_error_says() {
    let site = Site::start();
    site.answer("down", bare("503 No", ""));
    site.answer("out", bare("403 No", ""));
    site.answer(
        "page",
        super::site::with_body("200 OK", "text/html", "<form>"),
    );
    let gateway = node(&site, &["auth.forward.on_error=admit"]);
    site.answer("broken", bare("500 No", ""));
    site.answer("often", bare("429 No", ""));
    for (session, status) in [
        ("down", 101),
        ("out", 403),
        ("page", 503),
        ("broken", 503),
        ("often", 503),
    ] {
        assert_eq!(status_with(&gateway, session, &[]), status, "{session}");
    }
    // Nobody said so: once the site is back, what it says counts.
    site.answer("down", bare("403 No", ""));
    assert_eq!(status_with(&gateway, "down", &[]), 403);
    let refusing = node(&site, &[]);
    site.answer("down", bare("503 No", ""));
    let refusal = refusing.try_connect(&format!("{PATH}down/"));
    let refusal = refusal.expect_err("nobody comes in");
    assert_eq!(refusal.status, 503);
    assert!(refusal.header("retry-after").is_some());
    refusing.wait_log("the site cannot be asked who somebody is", 1);
}

#[test]
fn who_fills_the_turns_does_not_let_itself_in_while_the_site_answers() {
    let site = Site::start();
    let sessions: Vec<String> = (0..40).map(|number| format!("crowd-{number}")).collect();
    for session in &sessions {
        site.script(session, |stream| {
            wait::pass(Duration::from_millis(100));
            drop(stream.write_all(bare("401 No", "").as_bytes()));
        });
    }
    let gateway = node(
        &site,
        &[
            "auth.forward.on_error=admit",
            "auth.forward.concurrency_per_ip=1",
            "auth.forward.timeout=1s",
        ],
    );
    let address = gateway.public();
    let clients: Vec<_> = sessions
        .iter()
        .map(|session| {
            let path = format!("{PATH}{session}/");
            thread::spawn(move || Client::open(address, &path, &[]).map(drop))
        })
        .collect();
    let answers: Vec<u16> = clients
        .into_iter()
        .map(|client| client.join().expect("no panic"))
        .map(|answer| answer.expect_err("nobody comes in").status)
        .collect();
    // Some had no turn in time, and nobody was taken for one whom the site could not be asked about.
    assert!(answers.iter().all(|status| [401, 503].contains(status)));
    assert!(answers.contains(&401) && answers.contains(&503));
}
