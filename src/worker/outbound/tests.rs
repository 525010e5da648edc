//! The writing half against sockets that do what they like.

use super::*;
use crate::broker::queue::Bounds;
use crate::config::Overflow;
use crate::transport::{Opcode, encoder};
use proptest::prelude::*;
use std::collections::VecDeque;

const BOUNDS: Bounds = Bounds {
    capacity: 5,
    bytes_max: 600,
    overflow: Overflow::DropNewest,
};

/// What a socket does with one write.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Takes(usize),
    Blocks,
    IsInterrupted,
    Breaks,
}

/// A socket with a script; at its end it blocks, or takes everything.
#[derive(Debug, Default)]
struct Socket {
    script: VecDeque<Mood>,
    drains: bool,
    taken: Vec<u8>,
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let last = if self.drains {
            Mood::Takes(usize::MAX)
        } else {
            Mood::Blocks
        };
        match self.script.pop_front().unwrap_or(last) {
            Mood::Takes(count) => {
                let count = count.min(bytes.len());
                self.taken.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            Mood::Blocks => Err(ErrorKind::WouldBlock.into()),
            Mood::IsInterrupted => Err(ErrorKind::Interrupted.into()),
            Mood::Breaks => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let whole: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn publication(number: u32, padding: usize, deadline: u64) -> Delivery {
    let payload = format!("{number:05}{}", "x".repeat(padding));
    Delivery {
        frame: encoder::frame(Opcode::Text, payload.as_bytes()),
        deadline: Millis(deadline),
    }
}

/// Splits what a socket got into frames; false if it ends inside one.
fn frames(mut bytes: &[u8]) -> (Vec<(Opcode, Vec<u8>)>, bool) {
    let mut frames = Vec::new();
    loop {
        let (first, length, head) = match bytes {
            [] => return (frames, true),
            [first, length @ 0..126, ..] => (*first, usize::from(*length), 2),
            [first, 126, high, low, ..] => {
                (*first, usize::from(u16::from_be_bytes([*high, *low])), 4)
            }
            _ => return (frames, false),
        };
        assert_eq!(first & 0xf0, 0x80, "a frame begins inside another");
        let opcode = Opcode::from_bits(first & 0x0f).expect("an opcode");
        let Some(payload) = bytes.get(head..head + length) else {
            return (frames, false);
        };
        frames.push((opcode, payload.to_vec()));
        bytes = &bytes[head + length..];
    }
}

/// The ledger's sides, kept from `Sent` alone.
#[derive(Debug, Default)]
struct Account {
    offered: u64,
    failed: u64,
    closed: u64,
    sent: Sent,
}

impl Account {
    fn queued(&self) -> u64 {
        self.sent.queued - self.sent.unqueued
    }

    fn unexplained(&self) -> i64 {
        let sent = &self.sent;
        let explained = sent.delivered + sent.capacity + sent.expired + self.queued();
        self.offered.cast_signed() - (explained + self.failed + self.closed).cast_signed()
    }
}

/// One connection's writing half with its socket and its account.
#[derive(Debug, Default)]
struct Desk {
    outbound: Outbound,
    socket: Socket,
    account: Account,
    now: u64,
    next: u32,
    broken: bool,
}

impl Desk {
    fn offer(&mut self, bounds: &Bounds, batch: &[Delivery], first: usize) {
        let bytes: Vec<u8> = batch.iter().flat_map(|one| one.frame.to_vec()).collect();
        let batch = FrameBatch {
            frames: batch,
            bytes: &bytes,
        };
        let offered = (batch.frames.len() - first) as u64;
        self.account.offered += offered;
        let now = Millis(self.now);
        let (socket, sent) = (&mut self.socket, &mut self.account.sent);
        if self
            .outbound
            .offer(now, &(*bounds).into(), batch, first, socket, sent)
            .is_err()
        {
            self.account.failed += offered;
            self.broken = true;
        }
    }

    fn flush(&mut self, may_close: bool) -> Option<Flushed> {
        let (socket, sent) = (&mut self.socket, &mut self.account.sent);
        let flushed = self
            .outbound
            .flush(Millis(self.now), may_close, socket, sent);
        self.broken |= flushed.is_err();
        flushed.ok()
    }

    fn check(&self) {
        assert_eq!(self.account.queued(), self.outbound.queued());
        assert_eq!(self.account.unexplained(), 0, "{:?}", self.account);
    }
}

#[test]
fn a_socket_that_keeps_up_leaves_nothing_behind() {
    let mut desk = Desk::default();
    desk.socket.drains = true;
    let batch = [0, 1, 2].map(|number| publication(number, 10, 1_000));
    desk.offer(&BOUNDS, &batch, 1);
    assert!(desk.outbound.is_idle());
    assert_eq!(
        (desk.account.sent.delivered, desk.account.sent.calls),
        (2, 1)
    );
    assert_eq!(frames(&desk.socket.taken).0.len(), 2);
}

#[test]
fn half_a_frame_is_finished_before_anything_else_and_never_expires() {
    let mut desk = Desk::default();
    desk.socket.script = [Mood::Takes(9)].into();
    let batch = [0, 1].map(|number| publication(number, 0, 1_000));
    desk.offer(&BOUNDS, &batch, 0);
    assert_eq!(
        (desk.account.sent.delivered, desk.account.sent.queued),
        (1, 1)
    );
    desk.outbound.control(encoder::pong(b"p"));
    desk.outbound.close(encoder::close(Some(1001), ""));
    assert_eq!(desk.outbound.abandon_queue(), 0);
    desk.now = 9_000;
    desk.socket.drains = true;
    assert_eq!(desk.flush(false), Some(Flushed::Idle));
    assert_eq!(desk.flush(true), Some(Flushed::Closed));
    let (frames, whole) = frames(&desk.socket.taken);
    let opcodes: Vec<_> = frames.iter().map(|(opcode, _)| *opcode).collect();
    assert_eq!(
        opcodes,
        [Opcode::Text, Opcode::Text, Opcode::Pong, Opcode::Close]
    );
    assert!(whole);
    desk.check();
}

#[test]
fn the_newest_of_the_waiting_control_frames_goes_out() {
    let mut desk = Desk::default();
    desk.outbound.control(encoder::ping(b""));
    desk.outbound.control(encoder::pong(b"1"));
    desk.socket.script = [Mood::Takes(1)].into();
    assert_eq!(desk.flush(true), Some(Flushed::Blocked));
    desk.outbound.control(encoder::pong(b"2"));
    desk.outbound.control(encoder::pong(b"3"));
    desk.socket.drains = true;
    assert_eq!(desk.flush(true), Some(Flushed::Idle));
    assert_eq!(&desk.socket.taken, b"\x8a\x011\x8a\x013");
    assert!(desk.outbound.is_idle());
}

/// Seed 7 of the simulator: a pong in front, and what was queued was forgotten and not accounted for.
#[test]
fn a_peer_that_went_without_a_close_frame_gets_what_waits_behind_a_control_frame() {
    let mut desk = Desk::default();
    desk.offer(&BOUNDS, &[publication(1, 10, 1_000)], 0);
    desk.outbound.control(encoder::pong(b""));
    desk.outbound.close(Bytes::new());
    desk.socket.drains = true;
    assert_eq!(desk.flush(true), Some(Flushed::Closed));
    let (written, _) = frames(&desk.socket.taken);
    let opcodes: Vec<_> = written.iter().map(|(opcode, _)| *opcode).collect();
    assert_eq!(opcodes, [Opcode::Pong, Opcode::Text]);
    desk.check();
}

#[test]
fn the_first_close_wins_and_waits_for_leave() {
    let mut desk = Desk::default();
    desk.socket.drains = true;
    desk.outbound.close(encoder::close(Some(1001), ""));
    desk.outbound.close(encoder::close(Some(1011), ""));
    assert_eq!(desk.flush(false), Some(Flushed::Idle));
    assert_eq!(desk.socket.taken, b"");
    assert_eq!(desk.flush(true), Some(Flushed::Closed));
    assert_eq!(desk.socket.taken, encoder::close(Some(1001), ""));
    assert!(desk.outbound.is_idle());
}

#[test]
fn an_overflow_that_disconnects_says_so_and_leaves_the_rest_to_be_counted() {
    let mut desk = Desk::default();
    let bounds = Bounds {
        overflow: Overflow::Disconnect,
        ..BOUNDS
    };
    let batch: Vec<_> = (0..7).map(|number| publication(number, 0, 1_000)).collect();
    desk.offer(&bounds, &batch, 0);
    assert!(desk.account.sent.overflow);
    assert_eq!(desk.account.sent.capacity, 2);
    let dropped = desk.outbound.abandon_queue();
    desk.account.closed += dropped;
    desk.account.sent.unqueued += dropped;
    assert_eq!(dropped, 5);
    desk.check();
}

#[test]
fn a_socket_that_takes_nothing_without_blocking_is_broken() {
    let mut desk = Desk::default();
    desk.socket.script = [Mood::Takes(0)].into();
    desk.offer(&BOUNDS, &[publication(0, 0, 1_000)], 0);
    assert!(desk.broken && desk.outbound.is_idle());
    desk.check();
}

#[derive(Clone, Debug)]
enum Step {
    Offer { paddings: Vec<usize>, skip: usize },
    Control(u8),
    Flush,
    Pass(u64),
    Moods(Vec<Mood>),
    AbandonQueue,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        10 => (1..40usize).prop_map(Mood::Takes),
        4 => (100..2_000usize).prop_map(Mood::Takes),
        4 => Just(Mood::Blocks),
        1 => Just(Mood::IsInterrupted),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let paddings = proptest::collection::vec(0..180usize, 1..5);
    prop_oneof![
        4 => (paddings, 0..3usize)
            .prop_map(|(paddings, skip)| Step::Offer { paddings, skip }),
        2 => any::<u8>().prop_map(Step::Control),
        3 => Just(Step::Flush),
        1 => (0..400u64).prop_map(Step::Pass),
        3 => proptest::collection::vec(mood(), 1..6).prop_map(Step::Moods),
        1 => Just(Step::AbandonQueue),
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::Disconnect)
    ]
}

fn take(desk: &mut Desk, bounds: &Bounds, step: Step) {
    match step {
        Step::Offer { paddings, skip } => {
            let batch: Vec<_> = paddings
                .iter()
                .map(|padding| {
                    desk.next += 1;
                    publication(desk.next, *padding, desk.now + 500)
                })
                .collect();
            desk.offer(bounds, &batch, skip.min(batch.len()));
        }
        Step::Control(number) => desk.outbound.control(encoder::pong(&[number])),
        Step::Flush => {
            desk.flush(true);
        }
        Step::Pass(millis) => desk.now += millis,
        Step::Moods(moods) => desk.socket.script.extend(moods),
        Step::AbandonQueue => {
            let dropped = desk.outbound.abandon_queue();
            desk.account.closed += dropped;
            desk.account.sent.unqueued += dropped;
        }
    }
    desk.check();
}

/// Data frames in the order of their numbers, each once; a close only as the last frame.
fn check_order(frames: &[(Opcode, Vec<u8>)]) {
    let mut last = 0;
    for (index, (opcode, payload)) in frames.iter().enumerate() {
        match opcode {
            Opcode::Text => {
                let text = std::str::from_utf8(&payload[..5]).expect("a number");
                let number: u32 = text.parse().expect("a number");
                assert!(number > last, "{number} after {last}");
                last = number;
            }
            Opcode::Close => assert_eq!(index + 1, frames.len(), "the close goes last"),
            other => assert_eq!(*other, Opcode::Pong),
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_socket_does_it_gets_whole_frames_in_order_and_all_are_accounted_for(
        steps in proptest::collection::vec(step(), 1..80),
        after in proptest::collection::vec(step(), 0..20),
        overflow in overflow(),
        breaks in any::<bool>(),
    ) {
        let bounds = Bounds { overflow, ..BOUNDS };
        let mut desk = Desk::default();
        for step in steps {
            take(&mut desk, &bounds, step);
        }
        // The connection has left its room: nothing is offered any more.
        desk.outbound.close(encoder::close(Some(1001), "bye"));
        let mut closed = false;
        for step in after {
            match step {
                Step::Offer { .. } => {}
                Step::Flush if !closed => closed = desk.flush(true) == Some(Flushed::Closed),
                // The worker says nothing to a connection that has said its close.
                Step::Control(_) if closed => {}
                step => take(&mut desk, &bounds, step),
            }
        }
        desk.socket.script = breaks.then_some(Mood::Breaks).into_iter().collect();
        let breaks = breaks && !desk.outbound.is_idle();
        desk.socket.drains = true;
        desk.flush(true);
        desk.check();
        let (frames, whole) = frames(&desk.socket.taken);
        check_order(&frames);
        let delivered = frames.iter().filter(|(opcode, _)| *opcode == Opcode::Text).count() as u64;
        prop_assert_eq!(desk.account.sent.delivered, delivered);
        prop_assert_eq!(desk.account.sent.bytes, desk.socket.taken.len() as u64);
        if desk.broken {
            prop_assert!(breaks);
            let dropped = desk.outbound.abandon();
            desk.account.closed += dropped;
            desk.account.sent.unqueued += dropped;
            desk.check();
        } else {
            prop_assert!(whole && desk.outbound.is_idle());
            prop_assert_eq!(frames.iter().filter(|(opcode, _)| *opcode == Opcode::Close).count(), 1);
        }
    }
}

#[test]
fn a_handshakes_answer_goes_in_front_of_the_greeting_however_little_the_socket_takes() {
    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let greeting = publication(1, 10, 100);
    let whole = [ANSWER, &greeting.frame].concat();
    for greeted in [None, Some(&greeting)] {
        let due = ANSWER.len() + greeted.map_or(0, |greeting| greeting.frame.len());
        for taken in 0..=due {
            let (mut outbound, mut sent) = (Outbound::default(), Sent::default());
            let mut socket = Socket {
                script: match taken {
                    0 => [Mood::IsInterrupted, Mood::Blocks].into(),
                    _ => [Mood::IsInterrupted, Mood::Takes(taken), Mood::Blocks].into(),
                },
                drains: true,
                ..Socket::default()
            };
            let now = Millis(0);
            outbound
                .greet(now, &BOUNDS.into(), ANSWER, greeted, &mut socket, &mut sent)
                .expect("the socket does not break");
            assert_eq!(outbound.is_idle(), taken == due, "{taken} of {due}");
            while !outbound.is_idle() {
                let flushed = outbound.flush(now, false, &mut socket, &mut sent);
                assert!(flushed.is_ok(), "{taken} of {due}");
            }
            assert_eq!(Some(&*socket.taken), whole.get(..due));
            assert_eq!(sent.delivered, u64::from(greeted.is_some()));
            assert_eq!(sent.queued, sent.unqueued);
        }
    }
}

#[test]
fn what_http_says_is_not_counted_as_the_connections_bytes() {
    let greeting = publication(1, 10, 100);
    let (mut outbound, mut sent) = (Outbound::default(), Sent::default());
    let mut socket = Socket {
        drains: true,
        ..Socket::default()
    };
    outbound
        .greet(
            Millis(0),
            &BOUNDS.into(),
            b"101",
            Some(&greeting),
            &mut socket,
            &mut sent,
        )
        .expect("the socket takes everything");
    assert_eq!((sent.calls, sent.bytes), (1, greeting.frame.len() as u64));
}

#[test]
fn a_greeting_to_a_broken_socket_is_not_delivered() {
    let (mut outbound, mut sent) = (Outbound::default(), Sent::default());
    let mut socket = Socket {
        script: [Mood::Breaks].into(),
        ..Socket::default()
    };
    let greeting = publication(1, 10, 100);
    let (now, greeting) = (Millis(0), Some(&greeting));
    let greeted = outbound.greet(
        now,
        &BOUNDS.into(),
        b"101",
        greeting,
        &mut socket,
        &mut sent,
    );
    assert!(greeted.is_err() && outbound.is_idle());
    assert_eq!((sent.delivered, sent.queued), (0, 0));
}
