//! Clients between the accept and the 101: what they say at once, late, in pieces, or never.

use crate::support::{Client, Gateway, PATIENCE, Signal, frame, http, tls, user, wait};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A valid handshake for a room of business 1.
fn head(session: &str) -> Vec<u8> {
    format!(
        "GET /ws/chat/1/{session}/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

fn message(text: &str) -> Vec<u8> {
    frame(0x81, user(text).as_bytes())
}

/// The watcher must be told all of these, in this order.
#[track_caller]
fn expect_texts(watcher: &mut Client, count: usize) {
    for number in 0..count {
        let text = watcher.receive_json()["message"].clone();
        assert_eq!(text, number.to_string().as_str());
    }
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 64];
    matches!(stream.read(&mut bytes), Ok(0))
}

#[test]
fn messages_behind_a_head_are_all_heard_however_many_there_are() {
    let gateway = Gateway::start(&["limits.messages_per_second=0", "assistant.kind=none"]);
    let mut watcher = gateway.join("eager");
    let mut bytes = head("eager");
    for number in 0..1_000 {
        bytes.extend(message(&number.to_string()));
    }
    // More than is read before a handshake is judged, so no event of its own announces the rest.
    assert!(bytes.len() > 3 * 8 * 1024);
    let mut eager = http::open(gateway.public());
    eager.write_all(&bytes).expect("all of it at once");
    expect_texts(&mut watcher, 1_000);
}

#[test]
fn a_client_that_ends_right_behind_its_message_has_said_it() {
    let gateway = Gateway::start(&["assistant.kind=none"]);
    let mut watcher = gateway.join("brief");
    for number in 0..20 {
        let mut brief = http::open(gateway.public());
        let bytes = [head("brief"), message(&number.to_string())].concat();
        brief.write_all(&bytes).expect("all of it at once");
        brief.shutdown(Shutdown::Write).expect("its end");
        let text = watcher.receive_json()["message"].clone();
        assert_eq!(text, number.to_string().as_str());
        let mut rest = Vec::new();
        brief.read_to_end(&mut rest).expect("the server's end");
        assert!(rest.starts_with(b"HTTP/1.1 101 "));
    }
    drop(watcher);
    let closed = || gateway.metric("supportal_connections") == 0.0;
    wait::until("all of them gone", PATIENCE, closed);
}

#[test]
fn a_client_that_is_silent_at_first_is_served_when_it_speaks() {
    let gateway = Gateway::start(&[]);
    let in_progress = || gateway.metric("supportal_handshakes_in_progress");
    let mut late = http::open(gateway.public());
    wait::until("the accept", PATIENCE, || in_progress() == 1.0);
    let head = head("late");
    let (start, end) = head.split_at(20);
    late.write_all(start).expect("half a head");
    late.write_all(end).expect("the other half");
    let (answer, _rest) = http::read_response(&mut late).expect("an answer");
    assert_eq!(answer.status, 101);
    wait::until("the end of its handshake", PATIENCE, || {
        in_progress() == 0.0
    });
}

#[test]
fn a_silent_client_is_dropped_at_the_timeout_and_counted() {
    let gateway = Gateway::start(&["server.handshake_timeout=300ms"]);
    let mut silent: Vec<TcpStream> = (0..5).map(|_| http::open(gateway.public())).collect();
    assert!(silent.iter_mut().all(is_closed), "closed without a word");
    let refused = "supportal_handshakes_refused_total{reason=\"timeout\"}";
    wait::until("all counted", PATIENCE, || gateway.metric(refused) == 5.0);
    assert_eq!(gateway.metric("supportal_handshakes_in_progress"), 0.0);
}

#[test]
fn clients_that_leave_before_they_speak_give_their_place_back() {
    let gateway = Gateway::start(&["limits.handshakes=4"]);
    for _round in 0..10 {
        let silent: Vec<TcpStream> = (0..4).map(|_| http::open(gateway.public())).collect();
        drop(silent);
        let joins = || gateway.try_connect("/ws/chat/1/after/").is_ok();
        wait::until("a place", PATIENCE, joins);
    }
}

/// Has the server ended this socket?
pub(crate) fn is_over(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut bytes = [0; 256];
    !matches!(stream.read(&mut bytes), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Fills 32 places with heads that never end, some of which `begins`, and then some more; one who is quick always comes in,
/// and every one of those who follow takes the place of an older one.
fn check_that_slow_heads_push_out_each_other(
    gateway: &Gateway,
    begins: &[u8],
    open: impl Fn() -> Result<Client, http::Response>,
) {
    let slow = |number: usize| {
        let mut stream = http::open(gateway.public());
        // Every other one waits where it was accepted, without a word.
        let said = if number.is_multiple_of(2) {
            begins
        } else {
            b""
        };
        drop(stream.write_all(said));
        stream
    };
    let mut first: Vec<TcpStream> = (0..64).map(slow).collect();
    let refused = |reason: &str| {
        gateway.metric(&format!(
            "supportal_handshakes_refused_total{{reason=\"{reason}\"}}"
        ))
    };
    let settled = || refused("handshakes") + refused("slow") >= 32.0;
    wait::until("all of them", PATIENCE, settled);
    // Until each has been waited for long enough.
    wait::pass(Duration::from_millis(600));
    let before = refused("slow");
    let mut later = Vec::new();
    for number in 0..24 {
        let member = open().unwrap_or_else(|refusal| panic!("{number}: {}", refusal.status));
        later.push((slow(number), member));
    }
    let in_progress = || gateway.metric("supportal_handshakes_in_progress") == 32.0;
    wait::until("all places taken", PATIENCE, in_progress);
    let pushed_out = refused("slow") - before;
    assert!((24.0..=25.0).contains(&pushed_out), "{pushed_out}");
    first.retain_mut(|slow| !is_over(slow));
    assert!(first.len() <= 8, "the oldest have gone");
    let is_left = later.iter_mut().all(|(slow, _member)| !is_over(slow));
    assert!(is_left, "those who came later have not");
}

#[test]
fn slow_heads_push_out_each_other_and_nobody_who_is_quick() {
    let gateway = Gateway::start(&["limits.handshakes=32", "limits.handshakes_per_ip=0"]);
    check_that_slow_heads_push_out_each_other(&gateway, b"GET / HTTP/1.1\r\nHost: l", || {
        gateway.try_connect("/ws/chat/1/quick/")
    });
}

#[test]
fn slow_tls_handshakes_push_out_each_other_and_nobody_who_is_quick() {
    let gateway = tls::start(&["limits.handshakes=32", "limits.handshakes_per_ip=0"]);
    // The first bytes of a ClientHello.
    let begins = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    check_that_slow_heads_push_out_each_other(&gateway, &begins, || {
        Client::open_over(tls::tunnel(&gateway), "/ws/chat/1/quick/", &[])
    });
}

#[test]
fn slow_heads_make_place_for_a_redirect() {
    let gateway = Gateway::start(&[
        "limits.handshakes=4",
        "limits.handshakes_per_ip=0",
        "http.redirect=127.0.0.1:0",
    ]);
    let redirects = gateway.redirect_address();
    let mut slow: Vec<TcpStream> = (0..4).map(|_| http::open(redirects)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /").expect("the beginning of a head");
    }
    wait::until("an answer", PATIENCE, || {
        http::exchange(redirects, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .is_some_and(|answer| answer.status == 308)
    });
    assert!(slow.iter_mut().any(is_over));
    let pushed_out = "supportal_handshakes_refused_total{reason=\"slow\"}";
    assert!(gateway.metric(pushed_out) >= 1.0);
}

#[test]
fn silence_on_the_public_port_leaves_places_for_redirects_and_for_the_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let gateway = Gateway::start(&[
        "limits.handshakes=4",
        "limits.handshakes_per_ip=0",
        "http.redirect=127.0.0.1:0",
        &format!("server.listen_unix={}", path.display()),
    ]);
    let _silent: Vec<TcpStream> = (0..8).map(|_| http::open(gateway.public())).collect();
    let refused = "supportal_handshakes_refused_total{reason=\"handshakes\"}";
    let is_full = || gateway.metric(refused) >= 5.0;
    wait::until("what the public port may have taken", PATIENCE, is_full);
    assert_eq!(gateway.metric("supportal_handshakes_in_progress"), 3.0);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = http::exchange(gateway.redirect_address(), request).expect("an answer");
    assert_eq!(answer.status, 308);
    let mut stream = UnixStream::connect(&path).expect("the socket");
    stream.write_all(&head("beside")).expect("a head");
    let (answer, _rest) = http::read_response(&mut stream).expect("an answer");
    assert_eq!(answer.status, 101);
}

#[test]
fn a_room_of_any_worker_is_joined_through_the_one_that_listens() {
    let gateway = Gateway::start(&["server.workers=3", "assistant.kind=none"]);
    for number in 0..24 {
        let session = format!("far-{number}");
        let [mut speaker, mut listener] = [gateway.join(&session), gateway.join(&session)];
        speaker.send_text(&user("across"));
        assert_eq!(listener.receive_json()["message"], "across");
        assert_eq!(speaker.receive_json()["message"], "across");
    }
}

#[test]
fn who_is_still_silent_when_a_drain_begins_is_refused_with_503() {
    let gateway = Gateway::start(&["server.drain_grace=4s"]).unchecked();
    let _member = gateway.join("stays");
    let in_progress = || gateway.metric("supportal_handshakes_in_progress");
    let mut late = http::open(gateway.public());
    wait::until("the accept", PATIENCE, || in_progress() == 1.0);
    gateway.signal(Signal::Term);
    let not_ready = || gateway.admin("/ready").status == 503;
    wait::until("not ready", Duration::from_secs(2), not_ready);
    late.write_all(&head("late")).expect("a head");
    let (answer, _rest) = http::read_response(&mut late).expect("an answer");
    assert_eq!(answer.status, 503);
    assert_eq!(gateway.wait_exit(Duration::from_secs(8)), Some(0));
}
