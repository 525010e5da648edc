//! Whatever a view does ends in one answer or one apology, is counted, and costs no more than its bounds.

use super::rows::{bad, good};
use super::{View, outcome};
use crate::assistant::rows::Deed;
use crate::assistant::{APOLOGY, answer, ask};
use crate::support::user;
use std::collections::BTreeMap;

/// A view that answers the name of a row with its deed.
fn view(rows: fn() -> Vec<(&'static str, Deed, &'static str)>) -> View {
    let rows = rows();
    View::start(move |request, asked| {
        let row = rows.iter().find(|(row, ..)| *row == asked.message());
        row.is_some_and(|(_, deed, _)| deed.perform(request))
    })
}

#[test]
fn answers_are_read_in_every_form_of_the_contract() {
    let view = view(good);
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
    let view = view(bad);
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
    let before = gateway.metric("supportal_process_resident_memory_bytes");
    let rows = bad();
    assert!(rows.len() >= 50, "{}", rows.len());
    let mut clients: Vec<_> = (0..rows.len())
        .map(|number| gateway.join(&format!("row-{number}")))
        .collect();
    for (client, (name, ..)) in clients.iter_mut().zip(&rows) {
        client.send_text(&user(name));
    }
    let mut expected = BTreeMap::new();
    for (client, (name, _, outcome)) in clients.iter_mut().zip(&rows) {
        let text = answer(client);
        assert!(text.starts_with(APOLOGY), "{name}: {text}");
        *expected.entry(*outcome).or_insert(0) += 1;
    }
    for (name, count) in expected {
        assert_eq!(outcome(&gateway, name), count, "{name}");
    }
    let grown = gateway.metric("supportal_process_resident_memory_bytes") - before;
    assert!(grown < 64.0 * 1024.0 * 1024.0, "{grown} bytes more");
    assert_eq!(
        gateway.metric("supportal_assistant_answers_open") as usize,
        0
    );
}
