//! The shared tables of frames and handshakes (`tests/cases`), sent to the real server over real
//! sockets: whole and in single bytes.

use crate::support::{Canaries, Client, Frame, Gateway, http};
use std::io::Write;
use std::time::Duration;
use table::{End, Event, FrameCase};

#[path = "cases/handshakes.rs"]
mod handshakes;
#[path = "cases/frames/mod.rs"]
mod table;

/// Above this, a case is not sent byte by byte: the decoder's own tests do that without a socket.
const DRIBBLE_BYTES_MAX: usize = 400;

fn gateway() -> Gateway {
    let (bytes, fragments) = (table::MESSAGE_BYTES, table::FRAGMENTS);
    Gateway::start_with_toml(&format!(
        "[[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n\n\
         [[routes]]\npath = \"/ws/chat/{{business_id}}/{{session_id}}/\"\nhandler = \"chat\"\n\n\
         [limits]\nmessage_bytes = {bytes}\nfragments = {fragments}\nconnections_per_ip = 0\n\
         messages_per_second = 0\nbytes_per_second = 0\npings_per_second = 100000\n\n\
         [queue]\ncapacity = 10000\nbytes_max = 4194304\n"
    ))
}

/// What an echo route answers to an event, if anything.
fn answer(event: &Event) -> Option<Frame> {
    match event {
        Event::Text(text) => Some(Frame::Text(String::from_utf8(text.clone()).expect("text"))),
        Event::Binary(bytes) => Some(Frame::Binary(bytes.clone())),
        Event::Ping(payload) => Some(Frame::Pong(payload.clone())),
        Event::Pong(_) => None,
        Event::Close(code, reason) => Some(Frame::Close(code.map(|code| (code, reason.clone())))),
    }
}

/// Reads the answers to one case; a sentence if one is wrong.
///
/// Messages and the close must come in order, and pongs in theirs; a pong may pass a message. Every
/// ping must be answered, not only the newest: Autobahn's case 2.10 insists.
fn verify(case: &FrameCase, client: &mut Client) -> Result<(), String> {
    let answers = case.events.iter().filter_map(answer);
    let (mut pongs, mut expected): (Vec<Frame>, Vec<Frame>) =
        answers.partition(|frame| matches!(frame, Frame::Pong(_)));
    if let End::Violation(code, _label) = case.end {
        // What was understood before the violation is still answered, then comes the close.
        expected.push(Frame::Close(Some((code, String::new()))));
    }
    expected.reverse();
    pongs.reverse();
    while !expected.is_empty() || !pongs.is_empty() {
        let Some(got) = client.receive_within(Duration::from_secs(5)) else {
            return Err(format!("nothing instead of {:.200?}", expected.last()));
        };
        let next = if matches!(got, Frame::Pong(_)) {
            pongs.pop()
        } else {
            expected.pop()
        };
        if !next.as_ref().is_some_and(|frame| is_same(frame, &got)) {
            return Err(format!("{got:.200?} instead of {next:.200?}"));
        }
    }
    let quiet = case.end == End::Closed
        || matches!(case.end, End::Violation(..))
        || client.is_quiet_for(Duration::from_millis(5));
    if quiet {
        Ok(())
    } else {
        Err("more than was asked for".to_owned())
    }
}

/// Equal; of a close only the code, for reasons are ours to word.
fn is_same(expected: &Frame, got: &Frame) -> bool {
    match (expected, got) {
        (Frame::Close(expected), Frame::Close(got)) => {
            expected.as_ref().map(|close| close.0) == got.as_ref().map(|close| close.0)
        }
        _ => expected == got,
    }
}

#[track_caller]
fn run(piece: usize, bytes_max: usize) {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in table::cases()
        .iter()
        .filter(|case| case.bytes.len() <= bytes_max)
    {
        let mut client = gateway.connect("/echo");
        for bytes in case.bytes.chunks(piece) {
            // A violation may be answered before the last byte is sent.
            if !client.try_send_raw(bytes) {
                break;
            }
        }
        if let Err(fault) = verify(case, &mut client) {
            wrong.push(format!("{}: {fault}", case.name));
        }
        count += 1;
    }
    canaries.finish();
    assert!(count > 50, "only {count} cases");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_case_of_the_frame_table_gets_its_answer() {
    run(usize::MAX, usize::MAX);
}

#[test]
fn every_short_case_gets_the_same_answer_in_single_bytes() {
    run(1, DRIBBLE_BYTES_MAX);
}

#[test]
fn every_case_of_the_handshake_table_gets_its_status() {
    handshakes(0);
}

#[test]
fn every_case_of_the_handshake_table_gets_its_status_in_two_pieces() {
    handshakes(10);
}

/// Sends each head, its first `cut` bytes by themselves.
#[track_caller]
fn handshakes(cut: usize) {
    let gateway = gateway();
    let canaries = Canaries::start(&gateway);
    let mut wrong = Vec::new();
    let cases = handshakes::cases();
    for case in &cases {
        let head = replace(&case.head, b"{path}", b"/echo");
        let mut stream = http::open(gateway.public());
        let (start, end) = head.split_at(cut);
        // The server may refuse before the last byte.
        drop(stream.write_all(start).and_then(|()| stream.write_all(end)));
        let Some((response, _rest)) = http::read_response(&mut stream) else {
            wrong.push(format!("{}: closed instead of {}", case.name, case.status));
            continue;
        };
        if response.status != case.status {
            wrong.push(format!(
                "{}: {} instead of {}",
                case.name, response.status, case.status
            ));
        }
        if let Some((name, value)) = case.header
            && response
                .header(name)
                .is_none_or(|got| !got.eq_ignore_ascii_case(value))
        {
            wrong.push(format!(
                "{}: `{name}` is {:?}",
                case.name,
                response.header(name)
            ));
        }
    }
    canaries.finish();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [bytes.split_at(at).0, to, bytes.split_at(at + from.len()).1].concat(),
        None => bytes.to_vec(),
    }
}
