//! A model that goes and comes back: retries, the breaker, what operators see.

use super::{
    APOLOGY, Model, answer, ask, assert_one_apology, events, join_two_businesses, outcome, pieces,
    whole,
};
use crate::support::wait::until;
use crate::support::{Gateway, PATIENCE, user};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A model that fails as `failure` says the first `times` times, and then answers.
fn failing(times: usize, failure: Vec<u8>) -> Model {
    let count = AtomicUsize::new(0);
    Model::start(move |request, _| {
        if count.fetch_add(1, Ordering::SeqCst) < times {
            request.say(&failure) && !failure.is_empty()
        } else {
            request.say(events(pieces("Hi")))
        }
    })
}

fn limited(after: &str) -> Vec<u8> {
    whole(
        "429 Too Many Requests",
        &format!("Retry-After: {after}\r\n"),
        "",
    )
}

#[test]
fn what_may_pass_is_asked_again_and_what_may_not_is_not() {
    let of = |status: &str| whole(status, "", "");
    for (failure, times, retries) in [
        (of("500 Internal Server Error"), 2, 2),
        (of("503 Service Unavailable"), 1, 1),
        (limited("0"), 1, 1),
        (limited("1"), 1, 1),
        (limited("Sun, 06 Nov 1994 08:49:37 GMT"), 1, 1),
        (Vec::new(), 1, 1),
    ] {
        let shown = String::from_utf8_lossy(&failure).into_owned();
        let model = failing(times, failure);
        // Its name is known, so that the question is the first on its connection: what ends a kept one is no failure.
        let settings = [
            "assistant.openai.first_token=15s",
            "assistant.openai.model=m",
        ];
        let gateway = model.gateway(&settings);
        assert_eq!(ask(&mut gateway.join("abc"), "Hello?"), "Hi", "{shown}");
        assert_eq!(
            gateway.metric("supportal_assistant_retries_total") as usize,
            retries
        );
    }
    for failure in [
        of("400 Bad Request"),
        limited("3600"),
        limited("18446744073709551615"),
    ] {
        let shown = String::from_utf8_lossy(&failure).into_owned();
        let model = failing(9, failure);
        let gateway = model.gateway(&[]);
        let apology = ask(&mut gateway.join("abc"), "Hello?");
        assert!(apology.starts_with(APOLOGY), "{shown}");
        assert_eq!(model.asked().len(), 1, "{shown}");
    }
}

#[test]
fn nothing_is_asked_again_once_a_word_has_come() {
    let half = events(super::piece("Half")).len() - 5;
    let model = Model::start(move |request, _| {
        request.say(&events(super::piece("Half"))[..half]);
        false
    });
    let gateway = model.gateway(&[]);
    assert!(ask(&mut gateway.join("abc"), "Hello?").starts_with(APOLOGY));
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn retries_have_a_budget_over_all_questions() {
    let model = failing(99, whole("500 Internal Server Error", "", ""));
    let gateway = model.gateway(&[
        "assistant.openai.retry_budget=3",
        "assistant.openai.breaker_failures=1000",
    ]);
    let mut client = gateway.join("abc");
    for _ in 0..4 {
        assert!(ask(&mut client, "Hello?").starts_with(APOLOGY));
    }
    assert_eq!(model.asked().len(), 4 + 3);
}

#[test]
fn a_model_that_refuses_everybody_is_a_reason_until_its_first_answer() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refused = Arc::clone(&refuses);
    let model = Model::start(move |request, _| match refused.load(Ordering::SeqCst) {
        true => request.say(whole("401 Unauthorized", "", "")),
        false => request.say(events(pieces("Hi"))),
    });
    let gateway = model.gateway(&[
        "assistant.openai.model=m",
        "assistant.openai.breaker_failures=2",
    ]);
    let mut client = gateway.join("abc");
    assert!(ask(&mut client, "Hello?").starts_with(APOLOGY));
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    assert!(ask(&mut client, "Hello?").starts_with(APOLOGY));
    let ready = gateway.admin("/ready").text();
    let reason = "the model refuses all questions: refused";
    assert_eq!(ready, format!("ready, degraded: {reason}\n"));
    gateway.wait_log("assistant.openai.api_key, assistant.openai.model", 1);
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(ask(&mut client, "Hello?"), "Hi");
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
}

#[test]
fn a_model_that_is_down_is_left_alone_until_it_is_back_and_operators_see_it() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let model = Model::start(move |request, _| {
        up.load(Ordering::SeqCst) && request.say(events(pieces("Hi")))
    });
    let gateway = model.gateway(&[
        "assistant.openai.model=m",
        "assistant.openai.retries=0",
        "assistant.openai.breaker_failures=2",
        "assistant.openai.breaker_pause=1s",
    ]);
    let mut clients = join_two_businesses(&gateway);
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    until("nobody is asked any more", PATIENCE * 2, || {
        for client in &mut clients {
            assert!(ask(client, "Hello?").starts_with(APOLOGY));
        }
        outcome(&gateway, "breaker_open") > 0
    });
    let ready = gateway.admin("/ready");
    assert_eq!(ready.status, 200);
    let degraded = "the model does not answer: broken_off";
    assert_eq!(ready.text(), format!("ready, degraded: {degraded}\n"));
    let health = gateway.admin("/health").json();
    assert_eq!(
        (&health["status"], &health["reasons"][0]),
        (&"degraded".into(), &degraded.into())
    );
    assert_eq!(
        gateway.metric("supportal_assistant_breaker_open") as usize,
        1
    );
    assert_eq!(outcome(&gateway, "broken_off"), model.asked().len());
    gateway.wait_log("the model fails; nobody asks it", 1);
    gateway.wait_log("the model gave no answer", 1);
    is_up.store(true, Ordering::SeqCst);
    until("the model answers again", PATIENCE * 2, || {
        ask(&mut clients[0], "Hello?") == "Hi"
    });
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    assert_eq!(
        gateway.metric("supportal_assistant_breaker_open") as usize,
        0
    );
    gateway.wait_log("the model answers again", 1);
}

#[test]
fn a_server_that_is_not_there_is_an_apology() {
    let gateway = Gateway::start(&[
        "assistant.kind=openai",
        "assistant.openai.base_url=http://127.0.0.1:1/v1",
        "assistant.openai.retries=0",
    ]);
    assert_one_apology(&gateway, "connect");
}

#[test]
fn a_model_that_restarts_under_load_costs_each_prompt_one_answer_or_one_apology() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let model = Model::start(move |request, _| {
        // Every third question meets a server that has just gone.
        match counted.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => false,
            1 => {
                request.say(super::EVENTS);
                request.say(super::chunk(super::piece("Half")));
                false
            }
            _ => request.say(events(pieces("Hi"))),
        }
    });
    let gateway = model.gateway(&[
        "assistant.openai.breaker_failures=3",
        "assistant.openai.breaker_pause=100ms",
    ]);
    let mut clients: Vec<_> = (0..20)
        .map(|room| gateway.join(&format!("room-{room}")))
        .collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.send_text(&user("Hello?"));
        }
    }
    for client in &mut clients {
        for _ in 0..3 {
            let text = answer(client);
            assert!(text == "Hi" || text.starts_with(APOLOGY), "{text}");
        }
    }
    for client in &mut clients {
        client.ping(b"behind all answers");
        let frame = client.receive();
        assert!(matches!(frame, crate::support::Frame::Pong(_)), "{frame:?}");
    }
    assert_eq!(gateway.metric_sum("supportal_prompts_total") as usize, 60);
}
