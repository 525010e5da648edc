//! SIGTERM, the grace, the deadline, and coming back.

use crate::support::{Client, Gateway, PATIENCE, Signal, user, wait};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn sigterm_closes_everyone_within_the_grace_and_exits_0() {
    let gateway = Gateway::start(&["server.drain_grace=3s"]);
    let mut clients: Vec<Client> = (0..20).map(|_index| gateway.join("drain")).collect();
    let watch = wait::Watch::start();
    gateway.signal(Signal::Term);
    for client in &mut clients {
        let (code, reason) = client.expect_close();
        assert!(code == 1001 || code == 1012, "{code} {reason}");
    }
    drop(clients);
    assert_eq!(
        gateway.wait_exit(Duration::from_secs(6)),
        Some(0),
        "{}",
        gateway.log()
    );
    assert!(
        watch.elapsed() < Duration::from_secs(5),
        "took {:?}",
        watch.elapsed()
    );
}

#[test]
fn a_drain_is_not_ready_and_takes_nobody_new() {
    let gateway = Gateway::start(&["server.drain_grace=4s"]).unchecked();
    let _member = gateway.join("drain");
    gateway.signal(Signal::Term);
    let not_ready = || gateway.admin("/ready").status == 503;
    wait::until("not ready", Duration::from_secs(2), not_ready);
    assert_eq!(
        gateway.admin("/live").status,
        200,
        "a draining process still answers"
    );
    let refused = || match TcpStream::connect_timeout(&gateway.public(), PATIENCE) {
        Err(_refused) => true,
        Ok(_still_open) => {
            let head = "GET /ws/chat/1/late/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            let answer = std::panic::catch_unwind(|| gateway.exchange(head.as_bytes()));
            answer.map_or(true, |answer| {
                answer.is_none_or(|answer| answer.status == 503)
            })
        }
    };
    assert!(refused(), "a draining server took a new connection");
    assert_eq!(gateway.wait_exit(Duration::from_secs(8)), Some(0));
}

#[test]
fn messages_accepted_before_sigterm_are_delivered() {
    let gateway = Gateway::start(&["server.drain_grace=3s", "limits.messages_per_second=0"]);
    let (mut sender, mut receiver) = (gateway.join("flush"), gateway.join("flush"));
    for number in 0..100 {
        sender.send_text(&user(&number.to_string()));
    }
    // The sender's own copy of the last message proves that all were accepted.
    for _number in 0..100 {
        sender.receive_json();
    }
    gateway.signal(Signal::Term);
    for number in 0..100 {
        assert_eq!(
            receiver.receive_json()["message"],
            number.to_string().as_str()
        );
    }
    let (code, _reason) = receiver.expect_close();
    assert!(code == 1001 || code == 1012, "{code}");
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let gateway = Gateway::start(&["server.drain_grace=60s"]).unchecked();
    let _member = gateway.join("stubborn");
    gateway.signal(Signal::Term);
    wait::until("draining", PATIENCE, || {
        gateway.admin("/ready").status == 503
    });
    gateway.signal(Signal::Term);
    gateway.wait_exit(Duration::from_secs(3));
}

#[test]
fn a_client_that_never_answers_the_close_does_not_hold_the_exit() {
    let gateway = Gateway::start(&["server.drain_grace=1s"]).unchecked();
    let _deaf = gateway.join("deaf");
    gateway.signal(Signal::Term);
    assert_eq!(gateway.wait_exit(Duration::from_secs(5)), Some(0));
}

#[test]
fn a_restarted_server_takes_the_same_port_at_once() {
    let mut gateway = Gateway::start(&["server.drain_grace=1s"]);
    let port = gateway.port();
    let _left_over = gateway.join("before");
    gateway.restart();
    assert_eq!(gateway.port(), port);
    let mut client = gateway.join("after");
    client.send_text(&user("back"));
    assert_eq!(client.receive_json()["message"], "back");
}

#[test]
fn a_killed_server_leaves_the_port_free() {
    let mut gateway = Gateway::start(&["server.drain_grace=1s"]).unchecked();
    let mut member = gateway.join("killed");
    gateway.signal(Signal::Kill);
    member.expect_eof();
    assert_eq!(gateway.wait_exit(PATIENCE), None, "ended by the signal");
    gateway.launch_again();
    gateway.join("killed");
}
