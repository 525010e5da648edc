//! What the view is asked, and what becomes of its answer.

use super::{SECRET, View, gateway, outcome, says};
use crate::assistant::{APOLOGY, answer, ask, json_answer};
use crate::support::wait::until;
use crate::support::{Client, Frame, PATIENCE, http, user};
use crate::upstream::puppet::Puppet;
use serde_json::{Value, json};
use std::time::Duration;

const QUIET: Duration = Duration::from_millis(300);

/// What the room is shown next.
#[track_caller]
fn frame(client: &mut Client) -> Value {
    serde_json::from_str(&client.receive_text()).expect("JSON")
}

#[test]
fn the_view_is_asked_who_says_what_where_and_after_what() {
    let view = View::parrot();
    let gateway = view.gateway(&["assistant.webhook.turns=2"]);
    let mut client = gateway.join("abc");
    for text in ["a", "b", "c"] {
        assert_eq!(ask(&mut client, text), format!("re: {text}"));
    }
    assert!(client.is_quiet_for(QUIET), "one answer each");
    let asked = view.asked();
    let last = &asked[2];
    let expected = json!({
        "id": last.key, "room": "chat_1_abc", "business_id": 1, "session_id": "abc", "author": null,
        "message": "c",
        "turns": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "re: b"}],
    });
    assert_eq!(last.body, expected);
    assert_eq!(asked[0].body["turns"], json!([]));
    let keys: std::collections::HashSet<_> = asked.iter().map(|asked| &asked.key).collect();
    assert_eq!(keys.len(), 3, "each question has an id of its own");
    let heads = view.puppet.heads();
    assert!(heads.iter().all(|head| {
        let head = head.to_lowercase();
        head.starts_with("post /supportal/answer/ http/1.1\r\n")
            && head.contains("accept-encoding: identity\r\n")
    }));
}

#[test]
fn without_turns_nothing_is_remembered_and_a_host_of_its_own_is_sent() {
    let view = View::parrot();
    let gateway = view.gateway(&[
        "assistant.webhook.turns=0",
        "assistant.webhook.host=example.com",
    ]);
    let mut client = gateway.join("abc");
    for text in ["a", "b"] {
        ask(&mut client, text);
    }
    assert_eq!(view.asked()[1].body["turns"], json!([]));
    let heads = view.puppet.heads();
    assert!(heads[0].to_lowercase().contains("host: example.com\r\n"));
}

#[test]
fn the_view_is_told_who_asks_where_that_is_known() {
    let who = Puppet::start(|request| request.say(json_answer(r#"{"user":"ann"}"#)));
    let url = format!("auth.forward.url=http://{}/who/", who.address());
    let view = View::parrot();
    let gateway = view.gateway(&["auth.mode=forward", "origin.allowed=*", &url]);
    let mut client = gateway.connect_with("/ws/chat/1/abc/", &[("Cookie", "sessionid=x")]);
    client.skip_welcome();
    ask(&mut client, "Hello?");
    assert_eq!(view.asked()[0].body["author"], "ann");
}

#[test]
fn what_stands_beside_an_answer_comes_beside_the_message() {
    let view = View::start(|request, _| {
        request.say(json_answer(
            r#"{"message": "Hi", "meta": {"sources": [1, 2]}}"#,
        ))
    });
    let gateway = view.gateway(&[]);
    let mut client = gateway.join("abc");
    client.send_text(&user("Hello?"));
    assert_eq!(frame(&mut client)["sender"], "user");
    let answer = frame(&mut client);
    assert_eq!(
        (&answer["message"], &answer["meta"]),
        (&"Hi".into(), &json!({"sources": [1, 2]}))
    );
    assert_eq!(answer["sender"], "assistant");
}

#[test]
fn an_answer_that_comes_later_comes_by_the_api_and_without_an_apology() {
    let view = View::start(|request, _| {
        request.say("HTTP/1.1 202 Accepted\r\nContent-Length: 7\r\n\r\nlater\r\n")
    });
    let gateway = view.gateway(&["api.token=token-of-the-tests-0123456789"]);
    let mut client = gateway.join("abc");
    for text in ["Hello?", "Anybody?"] {
        client.send_text(&user(text));
        assert_eq!(frame(&mut client)["message"], text);
    }
    until("both are asked", PATIENCE, || {
        outcome(&gateway, "later") == 2
    });
    assert!(client.is_quiet_for(QUIET));
    let asked = &view.asked()[0].body;
    let (room, id) = (&asked["room"], &asked["id"]);
    let body = json!({"room": room, "id": id, "message": "Now", "sender": "assistant"});
    let body = body.to_string();
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-the-tests-0123456789\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let published = http::exchange(gateway.public(), request.as_bytes()).expect("an answer");
    assert_eq!(published.status, 200, "{}", published.text());
    assert_eq!(answer(&mut client), "Now");
    let prompts = |outcome: &str| {
        gateway.metric(&format!("supportal_prompts_total{{outcome=\"{outcome}\"}}")) as usize
    };
    assert_eq!((prompts("later"), prompts("failure")), (2, 0));
    let health = gateway.admin("/health").json();
    assert_eq!(health["assistant"]["open"], 0);
}

#[test]
fn whoever_waits_for_an_answer_that_is_not_wanted_goes_on() {
    let view = View::start(|request, asked| match asked.message() {
        "quiet" => request.say("HTTP/1.1 204 No Content\r\n\r\n"),
        text => request.say(says(&format!("re: {text}"))),
    });
    // The next message of a customer is read once the one before is answered.
    let gateway = view.gateway(&[
        "chat.dialect=django",
        "chat.deliver=sender",
        "chat.exists=[{business_id = 1}]",
    ]);
    let mut client = gateway.join("abc");
    for text in ["quiet", "quiet", "Hello?"] {
        client.send_text(&user(text));
    }
    assert_eq!(answer(&mut client), "re: Hello?");
    assert_eq!(outcome(&gateway, "unwanted"), 2);
    let asked = view.asked();
    let turns = &asked[2].body["turns"];
    assert_eq!(
        *turns,
        json!([{"role": "user", "content": "quiet"}, {"role": "user", "content": "quiet"}])
    );
    // Whoever ends its side is let go, without an answer too.
    let mut last = gateway.join("last");
    last.send_text(&user("quiet"));
    last.half_close();
    while let Some(frame) = last.receive_within(PATIENCE) {
        assert!(!matches!(&frame, Frame::Text(text) if text.contains("assistant")));
    }
    last.expect_eof();
}

#[test]
fn a_secret_may_come_from_a_file_and_reaches_no_log() {
    let view = View::parrot();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("the file");
    let file = format!("assistant.webhook.secret_file={}", file.display());
    let url = format!("assistant.webhook.url={}", view.url());
    let settings = ["assistant.kind=webhook", &url, &file, "log.level=trace"];
    let gateway = crate::support::Gateway::start(&settings);
    let mut client = gateway.join("abc");
    assert_eq!(ask(&mut client, "Hello?"), "re: Hello?");
    assert!(!gateway.log().contains(SECRET));
    assert!(!gateway.log().contains("Hello?"), "nor what is said");
}

#[test]
fn a_site_with_another_secret_refuses_and_customers_get_the_apology() {
    let view = View::parrot();
    let other = ["assistant.webhook.secret=another-secret-0123456789"];
    let gateway = gateway(&view.url(), &other);
    assert!(ask(&mut gateway.join("abc"), "Hello?").starts_with(APOLOGY));
    assert_eq!(outcome(&gateway, "refused"), 1);
    assert_eq!(view.asked().len(), 0);
}
