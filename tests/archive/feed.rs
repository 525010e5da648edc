//! What readers get.

use super::*;
use crate::auth::command::run;
use serde_json::json;
use std::thread;

#[test]
fn all_that_is_said_is_found_once_in_order_and_with_what_is_known_of_it() {
    let kept = Kept::new();
    let gateway = kept.start(&["assistant.kind=faq"]);
    let mut ann = gateway.join("abc");
    ann.send_text(r#"{"message": "hello é", "type": "user"}"#);
    let (echo, reply) = (ann.receive_json(), ann.receive_json());
    assert_eq!(
        (text(&echo, "sender"), text(&reply, "sender")),
        ("user", "assistant")
    );
    ann.send_text(r#"{"message": "noted", "type": "system"}"#);
    ann.receive_json();
    let body = r#"{"room": "chat_2_nobody", "message": "for later", "sender": "assistant", "id": "order-17", "meta": {"order": 17}}"#;
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(
        gateway
            .exchange(request.as_bytes())
            .expect("an answer")
            .status,
        200
    );
    wait_written(&gateway, 4);
    let lines = page(&gateway, "");
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                text(line, "room"),
                text(line, "sender"),
                text(line, "origin"),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("chat_1_abc", "user", "gateway"),
            ("chat_1_abc", "assistant", "gateway"),
            ("chat_1_abc", "system", "gateway"),
            ("chat_2_nobody", "assistant", "api"),
        ]
    );
    assert_eq!(
        (text(&lines[0], "message"), &lines[1]["message"]),
        ("hello é", &reply["message"])
    );
    let offsets: Vec<_> = lines.iter().map(|line| line["offset"].as_u64()).collect();
    assert_eq!(offsets, [Some(1), Some(2), Some(3), Some(1)]);
    assert!(
        lines[..3]
            .windows(2)
            .all(|pair| pair[0]["epoch"] == pair[1]["epoch"]
                && text(&pair[0], "at") < text(&pair[1], "at"))
    );
    let mut last = lines[3].clone();
    for name in ["cursor", "epoch", "at"] {
        assert!(!last[name].take().is_null(), "{name}");
    }
    let expected = json!({
        "cursor": null, "room": "chat_2_nobody", "business_id": 2, "session_id": "nobody", "epoch": null, "offset": 1,
        "id": "order-17", "author": null, "sender": "assistant", "message": "for later", "meta": {"order": 17},
        "at": null, "origin": "api",
    });
    assert_eq!(last, expected);
    assert_eq!(read_all(&gateway, 1), lines);
    assert_eq!(read_all(&gateway, 3), lines);
    gateway.settled_ledger();
}

#[test]
fn who_waits_is_answered_as_soon_as_something_is_said() {
    let kept = Kept::new();
    let gateway = kept.start(&[]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "first");
    wait_written(&gateway, 1);
    let first = page(&gateway, "");
    let after = text(&first[0], "cursor");
    // Nothing more is there, and nobody waits for it.
    assert_eq!(
        page(&gateway, &format!("?after={after}")),
        Vec::<Value>::new()
    );
    assert_eq!(
        page(&gateway, &format!("?after={after}&wait=50ms")),
        Vec::<Value>::new()
    );
    let lines = thread::scope(|scope| {
        let reader = scope.spawn(|| page(&gateway, &format!("?after={after}&wait=30s")));
        say(&mut ann, "second");
        reader.join().expect("a page")
    });
    assert_eq!((lines.len(), text(&lines[0], "message")), (1, "second"));
}

#[test]
fn what_was_removed_before_it_was_read_is_one_exact_gap() {
    let kept = Kept::new();
    let gateway = kept.start(&["archive.expiry=1s"]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "first");
    wait_written(&gateway, 1);
    let first = page(&gateway, "");
    for number in 0..5 {
        say(&mut ann, &number.to_string());
    }
    wait_written(&gateway, 6);
    wait::until("all is too old", PATIENCE, || {
        gateway.metric("supportal_archive_trimmed_total{cause=\"expiry\"}") >= 6.0
    });
    say(&mut ann, "last");
    wait_written(&gateway, 7);
    let rows = format!("?reader=rows&after={}", text(&first[0], "cursor"));
    let lines = page(&gateway, &rows);
    assert_eq!((lines.len(), &lines[0]["gap"]), (2, &json!(5)));
    // What a reader misses is in its lag until it has seen that.
    assert_eq!(lag(&gateway, "rows").expect("a lag").0, 6);
    let behind = page(&gateway, &format!("?after={}", text(&lines[0], "cursor")));
    assert_eq!(behind, lines[1..]);
    // Who begins has missed the first too, and is told so at once.
    let begun = page(&gateway, "?wait=30s");
    assert_eq!((begun.len(), &begun[0]["gap"]), (2, &json!(6)));
    assert_eq!(begun[0]["cursor"], lines[0]["cursor"]);
    assert_eq!(begun[1..], lines[1..]);
}

/// The lag of a reader, in messages and seconds; `None` if the metrics do not know it.
fn lag(gateway: &Gateway, reader: &str) -> Option<(u64, f64)> {
    let metrics = gateway.admin("/metrics").text();
    let value = |name: &str| {
        let series = format!("{name}{{reader=\"{reader}\"}} ");
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&series))?;
        Some(value.parse::<f64>().expect("a number"))
    };
    let messages = value("supportal_archive_lag")?;
    Some((messages as u64, value("supportal_archive_lag_seconds")?))
}

#[test]
fn how_far_a_named_reader_is_behind_is_in_the_metrics() {
    let kept = Kept::new();
    let gateway = kept.start(&["archive.reader_names=2"]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "0");
    wait_written(&gateway, 1);
    assert_eq!(lag(&gateway, "rows"), None);
    let first = page(&gateway, "?reader=rows");
    let behind = lag(&gateway, "rows").expect("a lag");
    assert!(behind.0 == 1 && behind.1 > 0.0, "{behind:?}");
    // What it asks behind it has dealt with.
    let read = format!("?reader=rows&after={}", text(&first[0], "cursor"));
    assert_eq!(page(&gateway, &read), Vec::<Value>::new());
    assert_eq!(lag(&gateway, "rows"), Some((0, 0.0)));
    for number in 1..=3 {
        say(&mut ann, &number.to_string());
    }
    wait_written(&gateway, 4);
    wait::until("its lag is counted", PATIENCE, || {
        lag(&gateway, "rows").is_some_and(|(messages, seconds)| messages == 3 && seconds > 0.0)
    });
    // Others have a lag of their own, and there are no more than two.
    page(&gateway, "?reader=search");
    assert_eq!(lag(&gateway, "search").expect("a lag").0, 4);
    page(&gateway, &read);
    page(&gateway, "?reader=third");
    assert_eq!(lag(&gateway, "search"), None);
    assert_eq!(lag(&gateway, "rows").expect("a lag").0, 3);
}

#[test]
fn where_the_sender_alone_is_shown_what_it_says_all_of_it_is_kept_too() {
    let kept = Kept::new();
    let gateway = kept.start(&[
        "chat.deliver=sender",
        "chat.dialect=django",
        "assistant.kind=faq",
    ]);
    let mut ann = gateway.join("abc");
    for (kind, what) in [("user", "hello"), ("system", "noted")] {
        ann.send_text(&json!({ "message": what, "type": kind }).to_string());
        ann.receive_json();
    }
    let mut said = Vec::new();
    wait_written(&gateway, 3);
    for line in page(&gateway, "") {
        said.push(text(&line, "sender").to_owned());
    }
    said.sort();
    assert_eq!(said, ["assistant", "system", "user"]);
    // A system message is kept as it was said, without what is shown before it.
    assert!(
        page(&gateway, "")
            .iter()
            .any(|line| line["message"] == "noted")
    );
}

#[test]
fn who_said_it_is_kept_if_that_is_known() {
    let kept = Kept::new();
    let settings = [
        "auth.mode=jwt",
        "auth.jwt.secret=a-secret-of-thirty-two-characters",
        "origin.allowed=*",
    ];
    let gateway = kept.start(&settings);
    let arguments = [
        "token",
        "--business",
        "1",
        "--session",
        "abc",
        "--user",
        "ann",
    ];
    let (code, token) = run(&settings.map(str::to_owned), &arguments, "");
    assert_eq!(code, Some(0), "{token}");
    let bearer = format!("Bearer {}", token.trim());
    let mut ann = gateway.connect_with("/ws/chat/1/abc/", &[("Authorization", &bearer)]);
    ann.skip_welcome();
    say(&mut ann, "hello");
    wait_written(&gateway, 1);
    assert_eq!(page(&gateway, "")[0]["author"], "ann");
}
