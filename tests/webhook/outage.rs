//! A site that goes and comes back: retries under one id, the breaker, what operators see.

use super::{View, outcome, says};
use crate::assistant::{APOLOGY, ask, join_two_businesses, whole};
use crate::support::PATIENCE;
use crate::support::wait::until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A view that fails as `failure` says the first `times` times, and then answers.
fn failing(times: usize, failure: Vec<u8>) -> View {
    let count = AtomicUsize::new(0);
    View::start(move |request, _| {
        if count.fetch_add(1, Ordering::SeqCst) < times {
            request.say(&failure) && !failure.is_empty()
        } else {
            request.say(says("Hi"))
        }
    })
}

#[test]
fn a_question_is_asked_again_under_the_same_id_with_a_signature_of_its_own() {
    for failure in [
        whole("500 Internal Server Error", "", ""),
        whole("409 Conflict", "", ""),
        whole("429 Too Many Requests", "Retry-After: 1\r\n", ""),
        Vec::new(),
    ] {
        let shown = String::from_utf8_lossy(&failure).into_owned();
        let view = failing(1, failure);
        let gateway = view.gateway(&["assistant.webhook.first_token=15s"]);
        assert_eq!(ask(&mut gateway.join("abc"), "Hello?"), "Hi", "{shown}");
        let asked = view.asked();
        assert_eq!((asked.len(), &asked[0].key), (2, &asked[1].key), "{shown}");
        assert_eq!(asked[0].body, asked[1].body);
        assert_eq!(asked[0].body["id"], *asked[0].key);
        assert_eq!(
            gateway.metric("supportal_assistant_retries_total") as usize,
            1
        );
    }
    for refusal in ["400 Bad Request", "403 Forbidden", "404 Not Found"] {
        let view = failing(9, whole(refusal, "", ""));
        let gateway = view.gateway(&[]);
        assert!(ask(&mut gateway.join("abc"), "Hello?").starts_with(APOLOGY));
        assert_eq!(view.asked().len(), 1, "{refusal}");
    }
}

#[test]
fn a_try_that_hangs_is_left_and_the_question_is_asked_again() {
    let count = AtomicUsize::new(0);
    let view = View::start(move |request, _| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            while request.read() {}
            return false;
        }
        request.say(says("Hi"))
    });
    let gateway = view.gateway(&["assistant.webhook.timeout=1s"]);
    assert_eq!(ask(&mut gateway.join("abc"), "Hello?"), "Hi");
    let asked = view.asked();
    assert_eq!((asked.len(), &asked[0].key), (2, &asked[1].key));
}

#[test]
fn a_site_that_is_down_is_left_alone_until_it_is_back_and_operators_see_it() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let view = View::start(move |request, _| up.load(Ordering::SeqCst) && request.say(says("Hi")));
    let gateway = view.gateway(&[
        "assistant.webhook.retries=0",
        "assistant.webhook.breaker_failures=2",
        "assistant.webhook.breaker_pause=1s",
    ]);
    let mut clients = join_two_businesses(&gateway);
    until("nobody is asked any more", PATIENCE * 2, || {
        for client in &mut clients {
            assert!(ask(client, "Hello?").starts_with(APOLOGY));
        }
        outcome(&gateway, "breaker_open") > 0
    });
    let degraded = "the webhook does not answer: broken_off";
    assert_eq!(
        gateway.admin("/ready").text(),
        format!("ready, degraded: {degraded}\n")
    );
    assert_eq!(gateway.admin("/health").json()["reasons"][0], degraded);
    gateway.wait_log("the webhook fails; nobody asks it", 1);
    gateway.wait_log("the webhook gave no answer", 1);
    is_up.store(true, Ordering::SeqCst);
    until("the site answers again", PATIENCE * 2, || {
        ask(&mut clients[0], "Hello?") == "Hi"
    });
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    gateway.wait_log("the webhook answers again", 1);
}
