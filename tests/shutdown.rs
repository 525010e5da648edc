//! SIGTERM, the notice, the grace, the deadline, and coming back.

use crate::support::{Client, Frame, Gateway, PATIENCE, Signal, http, user, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// The head of a handshake.
fn head(session: &str) -> Vec<u8> {
    format!(
        "GET /ws/chat/1/{session}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

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
            let answer = std::panic::catch_unwind(|| gateway.exchange(&head("late")));
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

/// Settings of a drain with a notice.
const NOTICED: [&str; 2] = ["server.drain_notice=3s", "server.drain_grace=9s"];

#[track_caller]
fn until_not_ready(gateway: &Gateway) {
    let not_ready = || gateway.admin("/ready").status == 503;
    wait::until("not ready", PATIENCE, not_ready);
}

#[test]
fn during_the_notice_all_goes_on_but_ready() {
    let gateway = Gateway::start(&NOTICED);
    let (mut sender, mut receiver) = (gateway.join("notice"), gateway.join("notice"));
    let watch = wait::Watch::start();
    gateway.signal(Signal::Term);
    until_not_ready(&gateway);
    assert_eq!(gateway.admin("/live").status, 200);
    assert_eq!(gateway.get("/").status, 200);
    // A handshake of one read, and one that the control plane has to serve.
    let mut late = gateway.join("notice");
    let mut slow = http::open(gateway.public());
    let whole = head("notice");
    let (half, rest) = whole.split_at(20);
    slow.write_all(half).expect("half a head");
    sender.send_text(&user("still here"));
    for member in [&mut sender, &mut receiver, &mut late] {
        assert_eq!(member.receive_json()["message"], "still here");
    }
    slow.write_all(rest).expect("the rest");
    let (answer, _frames) = http::read_response(&mut slow).expect("an answer");
    assert_eq!(answer.status, 101);
    assert!(watch.elapsed() < Duration::from_secs(3), "too slow to tell");
    for member in [&mut sender, &mut receiver, &mut late] {
        assert_eq!(member.expect_close().0, 1012);
    }
    // Who comes back at once would come back here while the notice lasts.
    assert!(
        watch.elapsed() >= Duration::from_secs(3),
        "{:?}",
        watch.elapsed()
    );
    drop((sender, receiver, late, slow));
    assert_eq!(gateway.wait_exit(Duration::from_secs(9)), Some(0));
}

#[test]
fn nobody_is_refused_by_the_kernel_while_the_notice_lasts() {
    let gateway = Gateway::start(&NOTICED);
    let mut members = Vec::new();
    gateway.signal(Signal::Term);
    let watch = wait::Watch::start();
    // Half a second before its end, for a machine that is busy.
    while watch.elapsed() < Duration::from_millis(2_500) {
        members.push(gateway.join("steady"));
        assert_eq!(gateway.get("/client.js").status, 200);
        thread::park_timeout(Duration::from_millis(20));
    }
    for mut member in members {
        assert_eq!(member.expect_close().0, 1012);
    }
    assert_eq!(gateway.wait_exit(Duration::from_secs(9)), Some(0));
}

#[test]
fn who_waits_in_the_kernel_s_queue_when_the_listener_closes_is_answered() {
    for signal in [Signal::Int, Signal::Term] {
        let gateway = Gateway::start(&["server.drain_grace=8s", "limits.handshakes_per_ip=0"]);
        gateway.signal(Signal::Stop);
        let mut waiting: Vec<TcpStream> = (0..300)
            .map(|number| {
                let mut stream = http::open(gateway.public());
                let head = match number % 3 {
                    0 => head("queue"),
                    1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
                    // Says the rest later.
                    _ => b"GET /ws/chat/1/".to_vec(),
                };
                stream.write_all(&head).expect("a head");
                stream
            })
            .collect();
        gateway.signal(signal);
        gateway.signal(Signal::Continue);
        let rest = head("queue").split_off(b"GET /ws/chat/1/".len());
        for stream in waiting.iter_mut().skip(2).step_by(3) {
            stream.write_all(&rest).expect("the rest");
        }
        for (number, stream) in waiting.iter_mut().enumerate() {
            let answer = http::read_response(stream);
            let (answer, _frames) = answer.unwrap_or_else(|| panic!("{number}: no answer"));
            match number % 3 {
                1 => assert_eq!(answer.status, 200),
                _ if answer.status == 101 => {}
                _ => {
                    assert_eq!(answer.status, 503);
                    assert!(answer.header("retry-after").is_some());
                }
            }
        }
        assert_eq!(gateway.wait_exit(Duration::from_secs(9)), Some(0));
    }
}

#[test]
fn a_page_connection_is_kept_during_the_notice_and_closed_after_it() {
    let gateway = Gateway::start(&["server.drain_notice=2s", "server.drain_grace=8s"]);
    // So that the end waits for somebody.
    let mut member = gateway.join("page");
    let ask = b"GET /client.js HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut page = http::open(gateway.public());
    let answer = |page: &mut TcpStream| {
        page.write_all(ask).expect("a request");
        http::read_response(page).expect("an answer").0
    };
    assert_eq!(answer(&mut page).status, 200);
    gateway.signal(Signal::Term);
    until_not_ready(&gateway);
    let second = answer(&mut page);
    assert_eq!((second.status, second.header("connection")), (200, None));
    // One that has not asked yet is answered, once.
    let mut silent = http::open(gateway.public());
    assert_eq!(member.expect_close().0, 1012);
    let last = answer(&mut silent);
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    for mut stream in [page, silent] {
        assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
    }
    drop(member);
    assert_eq!(gateway.wait_exit(Duration::from_secs(9)), Some(0));
}

#[test]
fn ctrl_c_gives_no_notice_and_an_empty_node_ends_at_once() {
    let gateway = Gateway::start(&["server.drain_notice=20s", "server.drain_grace=60s"]);
    let watch = wait::Watch::start();
    gateway.signal(Signal::Int);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(watch.elapsed() < PATIENCE);
}

#[test]
fn a_short_grace_leaves_the_default_notice_two_thirds_of_itself() {
    for (grace, most) in [("0s", 4), ("1s", 5), ("3s", 7)] {
        let notice = "server.drain_notice=3s";
        let grace = format!("server.drain_grace={grace}");
        let gateway = Gateway::start(&[notice, &grace]).unchecked();
        let (mut member, _deaf) = (gateway.join("short"), gateway.join("short"));
        gateway.signal(Signal::Term);
        assert_eq!(member.expect_close().0, 1012, "{grace}");
        assert_eq!(
            gateway.wait_exit(Duration::from_secs(most)),
            Some(0),
            "{grace}"
        );
    }
}

#[test]
fn a_slow_reader_gets_its_backlog_and_its_1012_long_after_five_seconds() {
    let gateway = Gateway::start(&[
        "server.drain_grace=15s",
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "limits.send_buffer_bytes=8192",
        "limits.unsent_bytes=4096",
        "queue.bytes_max=4194304",
        "chat.text_bytes_max=60000",
    ]);
    let mut slow = gateway.join("slow");
    slow.shrink_receive_buffer(16 * 1024);
    let mut fast = gateway.join("slow");
    let filler = "x".repeat(30_000);
    for number in 0..60 {
        fast.send_text(&user(&format!("{number} {filler}")));
        fast.receive_json();
    }
    assert!(
        gateway.ledger()["queued"].as_u64() > Some(20),
        "nothing waits"
    );
    gateway.signal(Signal::Term);
    // Longer than a close frame waits for a reader otherwise.
    wait::pass(Duration::from_secs(6));
    for number in 0..60 {
        let event = slow.receive_json();
        let text = event["message"].as_str().expect("a text");
        assert!(
            text.starts_with(&format!("{number} ")),
            "{number} is missing"
        );
    }
    for member in [&mut slow, &mut fast] {
        assert_eq!(member.expect_close().0, 1012);
    }
    drop((slow, fast));
    assert_eq!(gateway.wait_exit(Duration::from_secs(9)), Some(0));
}

#[test]
fn two_thousand_connections_are_all_told() {
    const MEMBERS: usize = 2_000;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, most).expect("our own limit");
    let gateway = Gateway::start(&[
        "server.drain_notice=1s",
        "server.drain_grace=20s",
        "limits.connections_per_ip=0",
        "limits.handshakes_per_ip=0",
    ]);
    let members: Vec<Client> = (0..MEMBERS)
        .map(|number| gateway.join(&format!("many-{}", number / 20)))
        .collect();
    gateway.signal(Signal::Term);
    for mut member in members {
        match member.receive_within(Duration::from_secs(20)) {
            Some(Frame::Close(Some((1012, _reason)))) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gateway.wait_exit(Duration::from_secs(20)), Some(0));
}
