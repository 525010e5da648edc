//! What the view is told, and what becomes of its answer.

use super::{gateway, obedient, result, text};
use crate::assistant::Model;
use crate::support::{PATIENCE, user, wait::until};
use crate::upstream::puppet::Puppet;
use crate::webhook::SECRET;
use serde_json::{Value, json};
use std::time::Duration;

const QUIET: Duration = Duration::from_millis(300);

#[test]
fn the_view_is_told_who_says_what_where_and_then_the_room_hears_it() {
    let view = obedient();
    let gateway = gateway(&view, &[]);
    let (mut one, mut two) = (gateway.join("abc"), gateway.join("abc"));
    one.send_text(&user("Hello"));
    for member in [&mut one, &mut two] {
        let frame: Value = member.receive_json();
        assert_eq!(
            (&frame["message"], &frame["sender"]),
            (&json!("Hello"), &json!("user"))
        );
        let fields: Vec<&String> = frame.as_object().expect("an object").keys().collect();
        assert_eq!(
            fields,
            ["message", "sender", "timestamp"],
            "as without vetting"
        );
    }
    one.send_text(r#"{"message": "Ann is writing", "type": "system"}"#);
    assert_eq!(two.receive_json()["sender"], "system");
    let asked = view.asked();
    let (first, second) = (&asked[0], &asked[1]);
    let expected = json!({
        "id": first.key, "room": "chat_1_abc", "business_id": 1, "session_id": "abc", "author": null,
        "message": "Hello", "type": "user",
    });
    assert_eq!((asked.len(), &first.body), (2, &expected));
    assert_eq!(second.body["type"], "system");
    assert_ne!(first.key, second.key);
    let heads = view.puppet.heads();
    assert!(heads.iter().all(|head| {
        let head = head.to_lowercase();
        head.starts_with("post /supportal/vet/ http/1.1\r\n")
            && head.contains("accept: application/json\r\n")
            && head.contains("accept-encoding: identity\r\n")
    }));
    let commands = |kind: &str| {
        gateway.metric(&format!("supportal_commands_total{{kind=\"{kind}\"}}")) as usize
    };
    assert_eq!((commands("user"), commands("system")), (1, 1));
    assert_eq!(
        (result(&gateway, "passed"), result(&gateway, "timeout")),
        (2, 0)
    );
    assert_eq!(gateway.metric("supportal_vet_seconds_count") as usize, 2);
    assert_eq!(gateway.metric("supportal_vet_open") as usize, 0);
}

#[test]
fn a_message_passes_is_changed_or_is_refused_to_its_sender_alone() {
    let view = obedient();
    let gateway = gateway(&view, &[]);
    let (mut one, mut two) = (gateway.join("abc"), gateway.join("abc"));
    for said in [
        "say it",
        "refuse \u{fc}ber \"uns\"",
        "change h***",
        "Goodbye",
    ] {
        one.send_text(&user(said));
    }
    assert_eq!(text(&mut one), "say it");
    let refusal: Value = one.receive_json();
    let expected = json!({"error": "\u{fc}ber \"uns\"", "sender": "system"});
    assert_eq!(refusal, expected);
    assert_eq!(
        (text(&mut one), text(&mut one)),
        ("h***".to_owned(), "Goodbye".to_owned())
    );
    for expected in ["say it", "h***", "Goodbye"] {
        assert_eq!(text(&mut two), expected);
    }
    assert!(two.is_quiet_for(QUIET) && one.is_quiet_for(QUIET));
    let results = ["passed", "changed", "refused"].map(|name| result(&gateway, name));
    assert_eq!(results, [2, 1, 1]);
    let refused = "supportal_commands_refused_total{reason=\"vetted\"}";
    assert_eq!(gateway.metric(refused) as usize, 1);
}

#[test]
fn what_is_no_command_is_refused_without_the_view() {
    let view = obedient();
    let gateway = gateway(&view, &["chat.system_from=agent"]);
    let mut client = gateway.join("abc");
    for (said, expected) in [
        (" ", "Empty message received"),
        ("{", "Invalid message format"),
        ("{}", "Missing required field in message"),
        (r#"{"message":"a","type":"x"}"#, "Unknown message type"),
        (r#"{"message":"a","type":"system"}"#, "Unknown message type"),
    ] {
        client.send_text(said);
        assert_eq!(text(&mut client), expected);
    }
    assert_eq!(view.asked().len(), 0);
}

#[test]
fn the_assistant_is_asked_what_was_published() {
    let (view, model) = (obedient(), Model::parrot());
    let base_url = format!("assistant.openai.base_url={}", model.base_url());
    let openai = ["assistant.kind=openai", &base_url];
    let gateway = gateway(&view, &openai);
    let mut client = gateway.join("abc");
    for said in ["refuse no", "change Where are you?"] {
        client.send_text(&user(said));
    }
    let heard: Vec<String> = (0..3).map(|_| text(&mut client)).collect();
    assert_eq!(heard, ["no", "Where are you?", "re: Where are you?"]);
    assert_eq!(model.asked().len(), 1, "what was refused is no question");
    // Who ends its side behind the question gets message and answer.
    let mut last = gateway.join("last");
    last.send_text(&user("Hello"));
    last.half_close();
    assert_eq!(
        (text(&mut last), text(&mut last)),
        ("Hello".to_owned(), "re: Hello".to_owned())
    );
    last.expect_eof();
}

#[test]
fn the_view_is_told_the_author_where_that_is_known() {
    let who =
        Puppet::start(|request| request.say(crate::assistant::json_answer(r#"{"user":"ann"}"#)));
    let url = format!("auth.forward.url=http://{}/who/", who.address());
    let view = obedient();
    let gateway = gateway(&view, &["auth.mode=forward", "origin.allowed=*", &url]);
    let mut client = gateway.connect_with("/ws/chat/1/abc/", &[("Cookie", "sessionid=x")]);
    client.skip_welcome();
    client.send_text(&user("Hello"));
    assert_eq!(text(&mut client), "Hello");
    assert_eq!(view.asked()[0].body["author"], "ann");
}

#[test]
fn neither_the_secret_nor_what_is_said_reaches_the_log() {
    let view = obedient();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("the file");
    let url = format!("vet.url=http://{}/", view.puppet.address());
    let file = format!("vet.secret_file={}", file.display());
    let settings = [
        "chat.vet=webhook",
        &url,
        &file,
        "vet.timeout=60s",
        "log.level=trace",
    ];
    let gateway = crate::support::Gateway::start(&settings);
    let mut client = gateway.join("abc");
    for said in ["say this", "refuse unheard-of", "change another"] {
        client.send_text(&user(said));
    }
    let heard: Vec<String> = (0..3).map(|_| text(&mut client)).collect();
    assert_eq!(heard, ["say this", "unheard-of", "another"]);
    let log = gateway.log();
    for hidden in [SECRET, "say this", "unheard-of", "another"] {
        assert!(!log.contains(hidden), "{hidden}");
    }
}

#[test]
fn a_site_with_another_secret_is_seen_by_operators() {
    let view = obedient();
    let other = ["vet.secret=another-secret-0123456789"];
    let gateway = gateway(&view, &other);
    let mut client = gateway.join("abc");
    client.send_text(&user("refuse this"));
    assert_eq!(
        text(&mut client),
        "refuse this",
        "vet.on_timeout = \"pass\""
    );
    assert_eq!(
        (result(&gateway, "client_error"), view.asked().len()),
        (1, 0)
    );
    gateway.wait_log("the site has not vetted a message", 1);
    let degraded = "the site does not vet messages: client_error";
    until("degraded", PATIENCE, || {
        gateway.admin("/ready").text() == format!("ready, degraded: {degraded}\n")
    });
    assert_eq!(gateway.admin("/health").json()["reasons"][0], degraded);
}
