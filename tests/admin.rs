//! The operator's listener.

use crate::support::{Gateway, PATIENCE, user, wait};

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
        "supportal_panics",
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
    for nobody in ["chat_1_nobody", "", "chat_1_own&x", "../own"] {
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
