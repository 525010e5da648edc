//! Broken frames and rude sockets. Each is closed with its own code and nothing else notices: two
//! canary rooms stay complete and in order during every test here.

use crate::support::client::close_payload;
use crate::support::{Canaries, Client, Frame, Gateway, PATIENCE, frame, user, wait};
use std::time::Duration;

fn gateway() -> Gateway {
    Gateway::start(&[
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "limits.connections_per_ip=0",
        "server.handshake_timeout=10s",
    ])
}

/// What was sent, its bytes, and the code it must be closed with.
type Violation = (&'static str, Vec<u8>, u16);

/// Frames that break RFC 6455, and the code each must be closed with.
fn violations() -> Vec<Violation> {
    let mut table = framing();
    table.extend(assembly());
    table.extend(text());
    for opcode in [0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f] {
        table.push(("reserved opcode", frame(opcode, b""), 1002));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        table.push((
            "illegal close code",
            frame(0x88, &close_payload(code, "")),
            1002,
        ));
    }
    table
}

/// One frame wrong in itself.
fn framing() -> Vec<Violation> {
    let control = |first: u8, length: usize| frame(first, &vec![b'c'; length]);
    vec![
        ("unmasked text", b"\x81\x02hi".to_vec(), 1002),
        ("unmasked ping", b"\x89\x00".to_vec(), 1002),
        ("unmasked close", b"\x88\x02\x03\xe8".to_vec(), 1002),
        ("RSV1 set", frame(0xc1, b"a"), 1002),
        ("RSV2 set", frame(0xa1, b"a"), 1002),
        ("RSV3 set", frame(0x91, b"a"), 1002),
        ("RSV on a ping", frame(0xc9, b"a"), 1002),
        ("ping of 126 bytes", control(0x89, 126), 1002),
        ("pong of 126 bytes", control(0x8a, 126), 1002),
        ("pong of 60,000 bytes", control(0x8a, 60_000), 1002),
        ("fragmented ping", frame(0x09, b"a"), 1002),
        (
            "fragmented close",
            frame(0x08, &close_payload(1000, "")),
            1002,
        ),
        (
            "close with 126 bytes",
            frame(0x88, &close_payload(1000, &"r".repeat(124))),
            1002,
        ),
        ("close of one byte", frame(0x88, b"\x03"), 1002),
        (
            "length 2 in 16 bits",
            b"\x81\xfe\x00\x02\0\0\0\0hi".to_vec(),
            1002,
        ),
        (
            "length 2 in 64 bits",
            b"\x81\xff\0\0\0\0\0\0\0\x02\0\0\0\0hi".to_vec(),
            1002,
        ),
        (
            "length 65,535 in 64 bits",
            b"\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0".to_vec(),
            1002,
        ),
        (
            "length with the top bit",
            b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
            1002,
        ),
        (
            "an announced exabyte",
            b"\x82\xff\x10\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
            1009,
        ),
    ]
}

/// Frames wrong beside each other.
fn assembly() -> Vec<Violation> {
    let two = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    vec![
        ("continuation of nothing", frame(0x80, b"a"), 1002),
        (
            "first frame a continuation, unfinished",
            frame(0x00, b"a"),
            1002,
        ),
        (
            "text inside a fragmented text",
            two(frame(0x01, b"a"), frame(0x81, b"b")),
            1002,
        ),
        (
            "text begun inside a fragmented text",
            two(frame(0x01, b"a"), frame(0x01, b"b")),
            1002,
        ),
        (
            "binary inside a fragmented text",
            two(frame(0x01, b"a"), frame(0x82, b"b")),
            1002,
        ),
        (
            "fragments end inside a character",
            two(frame(0x01, b"\xe2"), frame(0x80, b"\x82")),
            1007,
        ),
        (
            "fragments end before it continues",
            two(frame(0x01, b"\xe2"), frame(0x80, b"a")),
            1007,
        ),
    ]
}

/// Text that is not UTF-8.
fn text() -> Vec<Violation> {
    let text = |bytes: &[u8]| frame(0x81, bytes);
    vec![
        ("text: lone continuation byte", text(b"\x80"), 1007),
        ("text: overlong slash", text(b"\xc0\xaf"), 1007),
        ("text: surrogate", text(b"\xed\xa0\x80"), 1007),
        (
            "text: above the last code point",
            text(b"\xf4\x90\x80\x80"),
            1007,
        ),
        ("text: ends inside a character", text(b"\xe2\x82"), 1007),
        (
            "bad text before its frame ends",
            b"\x81\xfe\x10\x00\0\0\0\0ab\xff".to_vec(),
            1007,
        ),
        (
            "close reason not UTF-8",
            frame(0x88, b"\x03\xe8\xff\xfe"),
            1007,
        ),
    ]
}

#[track_caller]
fn expect(what: &str, client: &mut Client, code: u16) {
    let (got, reason) = client.expect_close();
    assert_eq!(got, code, "{what}: closed with {got} {reason}");
    client.expect_eof();
}

#[test]
fn violations_are_closed_with_their_code() {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    for (what, bytes, code) in violations() {
        let mut client = gateway.join("rude");
        client.send_raw(&bytes);
        expect(what, &mut client, code);
    }
    canaries.finish();
    assert!(gateway.metric_sum("supportal_violations_total") >= 50.0);
}

#[test]
fn violations_in_single_bytes_are_closed_with_the_same_code() {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    for (what, bytes, code) in violations() {
        let mut client = gateway.join("dribble");
        // Some are decided early: later bytes may meet a closed socket.
        for byte in bytes.chunks(1).take(300) {
            if !client.try_send_raw(byte) {
                break;
            }
        }
        if bytes.len() <= 300 {
            expect(what, &mut client, code);
        }
    }
    canaries.finish();
}

#[test]
fn legal_close_frames_are_answered_with_the_same_code() {
    let gateway = gateway();
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999,
    ] {
        let mut client = gateway.join("bye");
        client.send_close(code, "reason of 123 bytes at most");
        expect("a legal close", &mut client, code);
    }
    let mut client = gateway.join("bye");
    client.send_raw(&frame(0x88, b""));
    let close = client.receive();
    assert!(
        matches!(&close, Frame::Close(None | Some((1000 | 1005, _)))),
        "{close:?}"
    );
    client.expect_eof();
}

#[test]
fn a_byte_dribble_is_as_good_as_one_write() {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    let mut client = gateway.join("dribble");
    let mut other = gateway.join("dribble");
    for number in 0..20 {
        let text = format!("é{number}🙂");
        let dribble = frame(0x81, user(&text).as_bytes());
        let loud = format!("loud {number}");
        for (index, byte) in dribble.chunks(1).enumerate() {
            client.send_raw(byte);
            if index == dribble.len() / 2 {
                // Frames leave while a frame arrives: neither may disturb the other.
                other.send_text(&user(&loud));
                assert_eq!(client.receive_json()["message"], loud.as_str());
                assert_eq!(other.receive_json()["message"], loud.as_str());
            }
        }
        assert_eq!(client.receive_json()["message"], text.as_str());
        assert_eq!(other.receive_json()["message"], text.as_str());
    }
    canaries.finish();
}

#[test]
fn whatever_follows_a_close_is_ignored() {
    let gateway = gateway();
    let mut witness = gateway.join("after");
    let mut client = gateway.join("after");
    let after = frame(0x81, user("too late").as_bytes());
    let bytes = [
        frame(0x88, &close_payload(1000, "")),
        after,
        frame(0x88, b"\x03\xe9"),
    ]
    .concat();
    client.send_raw(&bytes);
    expect("the first close", &mut client, 1000);
    assert!(
        witness.is_quiet_for(Duration::from_millis(300)),
        "a message after the close"
    );
}

#[test]
fn a_violation_does_not_lose_the_message_before_it() {
    let gateway = gateway();
    let mut witness = gateway.join("before");
    let mut client = gateway.join("before");
    let good = frame(0x81, user("in time").as_bytes());
    client.send_raw(&[good, frame(0x83, b"")].concat());
    assert_eq!(witness.receive_json()["message"], "in time");
    assert_eq!(client.receive_json()["message"], "in time");
    expect("the violation", &mut client, 1002);
}

#[test]
fn resets_half_closes_and_silence_leave_the_room() {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    let mut witness = gateway.join("gone");
    for round in 0..30 {
        let mut client = gateway.join("gone");
        client.send_raw(&frame(0x81, user("x").as_bytes())[..round % 10]);
        match round % 3 {
            0 => client.reset(),
            1 => client.half_close(),
            _ => drop(client),
        }
    }
    // The witness and the four canaries.
    let connections = || gateway.metric("supportal_connections") == 5.0;
    wait::until("all others to leave", PATIENCE, connections);
    witness.send_text(&user("alone"));
    assert_eq!(witness.receive_json()["message"], "alone");
    canaries.finish();
}

#[test]
fn resets_while_being_written_to_leave_nothing_behind() {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    let mut sender = gateway.join("written");
    let text = user(&"x".repeat(10_000));
    for _round in 0..20 {
        let victims: Vec<Client> = (0..5).map(|_index| gateway.join("written")).collect();
        for _number in 0..5 {
            sender.send_text(&text);
        }
        victims.into_iter().for_each(Client::reset);
        for _number in 0..5 {
            sender.receive_json();
        }
    }
    wait::until("the victims to leave", PATIENCE, || {
        gateway.metric("supportal_connections") == 5.0
    });
    gateway.settled_ledger();
    canaries.finish();
}

#[test]
fn ten_thousand_connects_and_closes_leave_no_file_open() {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    for _warm_up in 0..50 {
        drop(gateway.connect("/ws/chat/1/churn/"));
    }
    let settled = || gateway.metric("supportal_connections") == 4.0;
    wait::until("the warm-up to leave", PATIENCE, settled);
    let before = gateway.open_files();
    for cycle in 0..10_000_u32 {
        let mut client = gateway.connect(&format!("/ws/chat/1/churn-{}/", cycle % 7));
        match cycle % 4 {
            0 => client.send_close(1000, ""),
            1 => client.reset(),
            2 => client.half_close(),
            _ => drop(client),
        }
    }
    wait::until("everyone to leave", PATIENCE, settled);
    wait::until("the files to close", PATIENCE, || {
        gateway.open_files() <= before + 2
    });
    canaries.finish();
}
