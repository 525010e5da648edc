//! One test per fault that was found in the running server, named for it.

use crate::support::Gateway;
use crate::support::http;
use crate::support::wait;
use std::io::{Read, Write};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn above_the_cap_of_handshakes_the_answer_is_a_503_and_a_line_in_the_log() {
    refuses_above("limits.handshakes=1");
}

#[test]
fn one_address_cannot_take_all_places_for_handshakes() {
    refuses_above("limits.handshakes_per_ip=1");
}

fn refuses_above(cap: &str) {
    let gateway = Gateway::start(&[cap, "log.level=debug"]);
    let idle = http::open(gateway.public());
    let in_progress = || gateway.metric("supportal_handshakes_in_progress") >= 1.0;
    wait::until("a handshake in progress", PATIENCE, in_progress);
    for _ in 0..10 {
        let mut late = http::open(gateway.public());
        let head = b"GET /ws/chat/1/busy/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // It may be refused before it has said anything.
        drop(late.write_all(head));
        let (refusal, _rest) = http::read_response(&mut late).expect("an answer");
        assert_eq!(refusal.status, 503);
        assert!(refusal.header("retry-after").is_some());
    }
    gateway.wait_log(r#""reason":"handshakes""#, 1);
    drop(idle);
}

#[test]
fn an_answered_connection_that_goes_idle_is_no_refused_handshake() {
    let gateway = Gateway::start(&[
        "server.handshake_timeout=1s",
        "server.keep_alive_timeout=300ms",
    ]);
    let mut browser = http::open(gateway.public());
    let head = b"GET /client.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
    browser.write_all(head).expect("a request");
    let (answer, _rest) = http::read_response(&mut browser).expect("an answer");
    assert_eq!(answer.status, 200);
    let mut rest = Vec::new();
    browser.read_to_end(&mut rest).expect("the end");
    assert_eq!(
        gateway.metric_sum("supportal_handshakes_refused_total"),
        0.0
    );
}
