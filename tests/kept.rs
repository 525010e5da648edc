//! Servers that close a kept connection at the moment it is used again: each request is answered all the same, whatever the
//! neighbour and the method.

use crate::assistant::{ask, events, json_answer, pieces};
use crate::support::{Gateway, user};
use crate::upstream::puppet::{Puppet, Request};
use crate::webhook::{SECRET, says};
use std::collections::HashSet;
use std::sync::Mutex;

/// A server that answers the first request of each connection, and closes at the next one's end.
fn closing(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Puppet {
    let known = Mutex::new(HashSet::new());
    Puppet::start(move |request: &mut Request| {
        request.whole_body();
        let peer = request.stream.peer_addr().expect("an address");
        let is_first = known.lock().expect("not poisoned").insert(peer);
        let answer = answer(request.target());
        is_first && request.say(answer)
    })
}

/// A gateway whose neighbour is this server, at this path under this key.
#[track_caller]
fn beside(server: &Puppet, key: &str, path: &str, more: &[&str]) -> Gateway {
    let url = format!("{key}=http://{}{path}", server.address());
    let mut settings = vec!["limits.messages_per_second=0", &*url];
    settings.extend(more);
    Gateway::start(&settings)
}

/// Three requests were answered: the second was sent over a connection that was kept, and once more.
#[track_caller]
fn check(server: &Puppet, name: &str) {
    let count = (server.heads().len(), server.connections());
    assert_eq!(count, (4, 3), "{name}");
}

#[test]
fn messages_that_are_vetted_are_asked_about_once_more() {
    let server = closing(|_| json_answer(r#"{"pass":true}"#));
    let secret = format!("vet.secret={SECRET}");
    let more = ["chat.vet=webhook", "vet.timeout=60s", &secret];
    let gateway = beside(&server, "vet.url", "/vet/", &more);
    let mut client = gateway.join("abc");
    for text in ["one", "two", "three"] {
        client.send_text(&user(text));
        assert_eq!(client.receive_json()["message"], text);
    }
    check(&server, "vet");
}

#[test]
fn questions_to_a_model_and_to_a_view_that_answers_are_asked_once_more() {
    let secret = format!("assistant.webhook.secret={SECRET}");
    let rows: [(&str, &str, Vec<u8>, &[&str]); 2] = [
        (
            "assistant.openai.base_url",
            "/v1",
            events(pieces("Hi")),
            &[
                "assistant.kind=openai",
                "assistant.openai.model=m",
                "assistant.openai.retries=0",
            ],
        ),
        (
            "assistant.webhook.url",
            "/answer/",
            says("Hi"),
            &[
                "assistant.kind=webhook",
                "assistant.webhook.retries=0",
                &secret,
            ],
        ),
    ];
    for (key, path, answer, more) in rows {
        let server = closing(move |_| answer.clone());
        let gateway = beside(&server, key, path, more);
        let mut client = gateway.join("abc");
        for question in ["One?", "Two?", "Three?"] {
            assert_eq!(ask(&mut client, question), "Hi", "{key}");
        }
        check(&server, key);
    }
}

#[test]
fn a_site_that_knows_who_somebody_is_is_asked_once_more() {
    let server = closing(|_| json_answer(r#"{"user": "7"}"#));
    let more = [
        "auth.mode=forward",
        "origin.allowed=*",
        "auth.forward.cache_entries=0",
        "auth.forward.recheck=0s",
    ];
    let gateway = beside(&server, "auth.forward.url", "/who/", &more);
    for session in ["one", "two", "three"] {
        gateway.join(session);
    }
    check(&server, "forward");
}
