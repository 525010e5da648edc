//! Whom a model that fails costs their answers: whoever asks what it fails over, their business, or everybody.

use super::{
    APOLOGY, EVENTS, Model, ask, chunk, end, events, join_business, join_two_businesses, outcome,
    piece, pieces, question, whole,
};
use crate::support::wait::until;
use crate::support::{Gateway, PATIENCE};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What the model fails over, however often it is asked.
const POISON: &str = "Poison!";

fn poisoned() -> Model {
    let failure = whole("500 Internal Server Error", "Retry-After: 0\r\n", "");
    Model::start(move |request, asked| match question(asked) {
        POISON => request.say(&failure),
        _ => request.say(events(pieces("Hi"))),
    })
}

fn is_open(gateway: &Gateway) -> bool {
    gateway.metric("supportal_assistant_breaker_open") as usize == 1
}

#[test]
fn one_customer_s_question_that_a_model_fails_over_costs_nobody_else_an_answer() {
    let model = poisoned();
    let gateway = model.gateway(&[
        "assistant.openai.breaker_failures=3",
        "assistant.openai.breaker_pause=1m",
    ]);
    let mut customer = gateway.join("abc");
    for business in [1, 2] {
        for _ in 0..4 {
            assert!(ask(&mut customer, POISON).starts_with(APOLOGY));
        }
        let mut other = join_business(&gateway, business, "other");
        assert_eq!(ask(&mut other, "Hello?"), "Hi", "business {business}");
    }
    assert_eq!(ask(&mut customer, "Hello?"), "Hi");
    assert_eq!(
        (outcome(&gateway, "breaker_open"), is_open(&gateway)),
        (0, false)
    );
    assert_eq!(outcome(&gateway, "server_error"), 8);
}

#[test]
fn a_business_whose_questions_fail_is_not_asked_for_a_while_and_others_are() {
    let model = poisoned();
    let gateway = model.gateway(&[
        "assistant.openai.retries=0",
        "assistant.openai.breaker_failures=2",
        "assistant.openai.breaker_pause=2s",
    ]);
    let [mut customer, mut other] = join_two_businesses(&gateway);
    for client in [&mut customer, &mut gateway.join("another-room")] {
        assert!(ask(client, POISON).starts_with(APOLOGY));
    }
    assert!(is_open(&gateway));
    until("the business is not asked", PATIENCE, || {
        assert!(ask(&mut customer, POISON).starts_with(APOLOGY));
        outcome(&gateway, "breaker_open") > 0
    });
    assert_eq!(ask(&mut other, "Hello?"), "Hi");
    gateway.wait_log("the model fails one business; nobody there asks it", 1);
    let degraded = "the model does not answer one business: server_error";
    let ready = gateway.admin("/ready").text();
    assert_eq!(ready, format!("ready, degraded: {degraded}\n"));
    until("the business is asked again", PATIENCE * 2, || {
        ask(&mut customer, "Hello?") == "Hi"
    });
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    gateway.wait_log("the model answers again", 1);
}

#[test]
fn a_model_that_is_back_is_asked_by_all_at_the_first_word_of_the_answer_that_tries() {
    let (is_up, is_told_all) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (up, told_all) = (Arc::clone(&is_up), Arc::clone(&is_told_all));
    let model = Model::start(move |request, asked| {
        if !up.load(Ordering::SeqCst) {
            return false;
        }
        if question(asked) != "A long story?" {
            return request.say(events(pieces("Hi")));
        }
        request.say(EVENTS);
        request.say(chunk(piece("Once ")));
        until("the others were answered", PATIENCE * 4, || {
            told_all.load(Ordering::SeqCst)
        });
        request.say(chunk(piece("upon a time.")));
        request.say([chunk(end()).as_slice(), b"0\r\n\r\n"].concat())
    });
    let gateway = model.gateway(&[
        "assistant.timeout=2m",
        "assistant.openai.model=m",
        "assistant.openai.retries=0",
        "assistant.openai.breaker_failures=2",
        "assistant.openai.breaker_pause=500ms",
        "assistant.openai.between_tokens=1m",
    ]);
    let [mut customer, mut other] = join_two_businesses(&gateway);
    for client in [&mut customer, &mut other] {
        assert!(ask(client, "Hello?").starts_with(APOLOGY));
    }
    assert!(is_open(&gateway));
    is_up.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        scope.spawn(|| {
            until("the story is told", PATIENCE * 8, || {
                ask(&mut customer, "A long story?") == "Once upon a time."
            });
        });
        until("its first word is enough", PATIENCE * 2, || {
            !is_open(&gateway)
        });
        assert_eq!(ask(&mut other, "Hello?"), "Hi");
        is_told_all.store(true, Ordering::SeqCst);
    });
    assert_eq!(outcome(&gateway, "ok"), 2);
}
