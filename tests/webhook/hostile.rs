//! Whatever a view does ends in one answer or one apology, is counted, and costs no more than its bounds.

use super::rows::{bad, good};
use super::{View, outcome};
use crate::assistant::deeds::check_rows;
use crate::assistant::{ask, assert_apology};

#[test]
fn answers_are_read_in_every_form_of_the_contract() {
    let view = View::of(good());
    let gateway = view.gateway(&["assistant.webhook.breaker_failures=1000"]);
    let mut client = gateway.join("forms");
    for (name, _, text) in good() {
        assert_eq!(ask(&mut client, name), text, "{name}");
    }
    assert_eq!(outcome(&gateway, "ok"), good().len());
    let first = gateway.metric("supportal_assistant_first_token_seconds_count");
    let whole = gateway.metric("supportal_assistant_answer_seconds_count");
    assert_eq!(
        (first as usize, whole as usize),
        (good().len(), good().len())
    );
}

#[test]
fn views_that_lie_stall_and_break_get_one_apology_each_are_counted_and_stay_within_their_bounds() {
    let view = View::of(bad());
    let gateway = view.gateway(&[
        "assistant.webhook.breaker_failures=1000",
        "assistant.webhook.retries=0",
        "assistant.webhook.timeout=4s",
        "assistant.webhook.first_token=6s",
        "assistant.webhook.between_tokens=1s",
        "assistant.webhook.concurrency_per_business=64",
        "limits.connections_per_ip=0",
        "limits.handshakes_per_ip=0",
    ]);
    let rows = bad();
    assert!(rows.len() >= 50, "{}", rows.len());
    check_rows(&gateway, &rows, assert_apology, |name| {
        outcome(&gateway, name)
    });
    assert_eq!(
        gateway.metric("supportal_assistant_answers_open") as usize,
        0
    );
}
