//! Whatever a model server does ends in one answer or one apology, is counted, and costs no more than its bounds.

use super::deeds::{Row, check_rows};
use super::rows::{bad, readable};
use super::{EVENTS, Model, ask, assert_apology, assert_one_apology, chunk, outcome, question};

/// A server that answers the name of a row with its deed.
fn server(rows: fn() -> Vec<Row>) -> Model {
    Model::start(move |request, asked| {
        let rows = rows();
        let name = question(asked).to_owned();
        let row = rows.iter().find(|(row, ..)| *row == name);
        row.is_some_and(|(_, deed, _)| deed.perform(request))
    })
}

#[test]
fn answers_are_read_in_every_form_that_servers_have_for_them() {
    let model = server(readable);
    let gateway = model.gateway(&["assistant.openai.breaker_failures=1000"]);
    let mut client = gateway.join("forms");
    for (name, _, text) in readable() {
        assert_eq!(ask(&mut client, name), text, "{name}");
    }
    assert_eq!(outcome(&gateway, "ok"), readable().len());
    let first = gateway.metric("supportal_assistant_first_token_seconds_count");
    let whole = gateway.metric("supportal_assistant_answer_seconds_count");
    assert_eq!(
        (first as usize, whole as usize),
        (readable().len(), readable().len())
    );
}

#[test]
fn servers_that_lie_stall_and_break_get_one_apology_each_are_counted_and_stay_within_their_bounds()
{
    let model = server(bad);
    let gateway = model.gateway(&[
        "assistant.openai.breaker_failures=1000",
        "assistant.openai.retries=0",
        "assistant.openai.first_token=6s",
        "assistant.openai.between_tokens=2s",
        "assistant.openai.concurrency_per_business=64",
        "limits.connections_per_ip=0",
        "limits.handshakes_per_ip=0",
    ]);
    let rows = bad();
    assert!(rows.len() >= 40, "{}", rows.len());
    check_rows(&gateway, &rows, assert_apology, |name| {
        outcome(&gateway, name)
    });
    assert_eq!(
        gateway.metric("supportal_assistant_answers_open") as usize,
        0
    );
}

#[test]
fn a_server_that_always_has_something_to_say_and_says_nothing_is_left_in_time() {
    let flood = chunk(": ping\n\n".repeat(1_000));
    let model = Model::start(move |request, _| {
        request.say(EVENTS);
        while request.say(&flood) {}
        false
    });
    let gateway = model.gateway(&[
        "assistant.openai.model=m",
        "assistant.openai.first_token=500ms",
        "assistant.openai.answer_bytes=1073741824",
    ]);
    assert_one_apology(&gateway, "first_token");
}
