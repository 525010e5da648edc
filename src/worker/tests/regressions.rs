//! One test per fault that was found in this module, named for it. These tests drive a whole worker with a
//! clock of their own.

use super::rig::{Rig, masked, read};
use crate::broker::Publication;
use crate::broker::Verdict;
use crate::broker::queue::{Bounds, Delivery};
use crate::clock::Millis;
use crate::config::{Config, Overflow};
use crate::name::RoomName;
use crate::protocol::CloseReason;
use crate::transport::{MessageKind, Opcode, encoder};
use crate::worker::Handoff;
use crate::worker::connection::{Connection, Reading, Rules, Surroundings};
use crate::worker::handle::Instruction;
use crate::worker::outbound::{Outbound, Sent};
use bytes::Bytes;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn the_first_connection_after_a_long_idle_time_is_still_pinged() {
    let mut rig = Rig::new(|_| {});
    rig.now = Millis(60_000);
    let mut peer = rig.open(Some("a"));
    rig.settle_at(60_000 + 25_200);
    assert_eq!(read(&mut peer, 2), [0x89, 0]);
    rig.settle_at(60_000 + 25_200 + 8_200);
    assert_eq!(read(&mut peer, 4)[..1], [0x88], "and closed as silent");
}

#[test]
fn an_end_announced_while_reading_was_paused_is_seen() {
    let mut rig = Rig::new(|config| {
        config.limits.message_bytes = 1_024;
        config.limits.bytes_per_second = 20_000;
    });
    let mut peer = rig.open(None);
    // More than one read of 64 KiB, so that some is left when the rate stops the reading.
    let pong = masked(Opcode::Pong, &[0; 94]);
    peer.write_all(&pong.repeat(750)).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.settle_at(100);
    assert_eq!(
        rig.worker.connections.clients.len(),
        1,
        "slowed down, not gone"
    );
    for second in 2..20 {
        rig.settle_at(second * 1_000);
    }
    assert_eq!(rig.worker.connections.clients.len(), 0);
    assert_eq!(rig.left.load(Ordering::Relaxed), 1);
}

#[test]
fn a_worker_that_has_ended_gives_back_who_was_on_the_way_to_it() {
    let mut rig = Rig::new(|_| {});
    let _seated = rig.open(Some("a"));
    let (mut early, handoff) = rig.handoff(Some("a"));
    assert!(
        rig.handle
            .send(Instruction::Open(Box::new(handoff)))
            .is_none()
    );
    let (mut late, handoff) = rig.handoff(Some("a"));
    drop(rig.worker);
    assert_eq!(rig.left.load(Ordering::Relaxed), 2, "places given back");
    let refused = rig.handle.send(Instruction::Open(Box::new(handoff)));
    assert!(matches!(refused, Some(Instruction::Open(_))));
    drop(refused);
    for peer in [&mut early, &mut late] {
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the peer sees the end");
    }
}

#[test]
fn who_is_handed_over_as_a_drained_worker_ends_is_still_answered() {
    let mut rig = Rig::new(|_| {});
    let deadline = Millis(10_000);
    let reason = CloseReason::Restart;
    let drain = Instruction::Drain { reason, deadline };
    assert!(rig.handle.send(drain).is_none());
    rig.turn_at(1);
    assert!(rig.worker.is_done());
    let (mut late, handoff) = rig.handoff(Some("a"));
    assert!(
        rig.handle
            .send(Instruction::Open(Box::new(handoff)))
            .is_none()
    );
    let worker = std::thread::spawn(move || rig.worker.run());
    let mut heard = Vec::new();
    late.read_to_end(&mut heard).expect("the server's end");
    let close = |bytes: &[u8]| bytes[0] == 0x88 && bytes[2..] == 1012_u16.to_be_bytes();
    assert!(heard.windows(4).any(close), "{heard:?}");
    drop(late);
    worker.join().expect("the worker to end");
}

#[test]
fn a_flood_of_pings_and_a_message_never_finished_are_counted_by_kind() {
    let mut rig = Rig::new(|config| config.server.ping_interval = Duration::from_secs(60));
    let (mut flood, mut half) = (rig.open(None), rig.open(None));
    flood
        .write_all(&masked(Opcode::Ping, b"").repeat(21))
        .unwrap();
    half.write_all(&masked(Opcode::Text, b"hello")[..8])
        .unwrap();
    rig.settle_at(10);
    rig.settle_at(30_200);
    for kind in [
        crate::worker::connection::PINGS,
        crate::worker::connection::STALL,
    ] {
        let violations = &rig.worker.context.metrics.violations;
        let counter = violations.get_or_create(&[("kind", kind)]);
        assert_eq!(counter.get(), 1, "{kind}");
    }
}

#[test]
fn a_panic_in_one_connections_code_closes_it_with_1011_and_nobody_else() {
    let mut rig = Rig::new(|_| {});
    let (mut broken, mut other) = (rig.open(Some("a")), rig.open(Some("a")));
    let key = rig.worker.connections.clients.key_at(0).unwrap();
    rig.worker.contained(key, |_, _| panic!("as a test"));
    let name = RoomName::chat("1", "a").unwrap();
    let room = rig.broker.find(&name).unwrap();
    let publication = Publication {
        frame: encoder::frame(Opcode::Text, b"after"),
        deadline: Millis::NEVER,
        event: None,
    };
    rig.broker.publish(&room, &publication, Some(0));
    rig.settle_at(10);
    assert_eq!(read(&mut broken, 7)[2..], *b"after", "in order, then");
    assert_eq!(read(&mut broken, 4)[2..], 1011_u16.to_be_bytes());
    assert_eq!(read(&mut other, 7)[2..], *b"after");
    rig.settle_at(3_000);
    assert_eq!(rig.worker.connections.clients.len(), 1);
    assert_eq!(rig.worker.context.metrics.panics.get(), 1);
    assert_eq!(rig.worker.members.ledger.unexplained(), 0);
}

/// Takes every message.
struct Glutton;

impl Surroundings for Glutton {
    fn ready(&mut self) -> bool {
        true
    }
    fn message(&mut self, _kind: MessageKind, _payload: &mut [u8]) -> Verdict {
        Verdict::Done
    }
    fn pong(&mut self, _frame: Bytes) {}
    fn may_say(&mut self, _bytes: usize) -> bool {
        true
    }

    fn too_many(&mut self) {}
    fn violation(&mut self, _label: &'static str) {}
}

#[test]
fn a_stream_of_messages_cut_anywhere_is_not_taken_for_one_that_never_ends() {
    let rules = Rules::new(&Config::default());
    let mut connection = Connection::new(Millis(0), 0);
    let frame = masked(Opcode::Text, b"hello");
    let (head, tail) = frame.split_at(5);
    let mut input = head.to_vec();
    for second in 0..60 {
        let now = Millis(second * 1_000);
        let reading = connection.receive(now, &rules, &mut input, &mut Glutton);
        assert_eq!(reading, Reading::Open);
        assert!(connection.on_timer(now, &rules).is_some());
        assert!(connection.is_open(), "closed after {second} s");
        input = [tail, head].concat();
    }
    // And the one that does not end is found as before.
    connection.on_timer(Millis(90_000), &rules);
    assert_eq!(connection.ending(), Some(CloseReason::Policy));
}

#[test]
fn a_drain_says_its_close_to_everybody_although_late_comers_take_places() {
    let mut rig = Rig::new(|_| {});
    let first = rig.open(Some("a"));
    let mut stayers = [rig.open(Some("a")), rig.open(Some("a"))];
    drop(first);
    rig.settle_at(10);
    assert_eq!(rig.worker.connections.clients.len(), 2);
    let drain = Instruction::Drain {
        reason: CloseReason::Restart,
        deadline: Millis(10_010),
    };
    assert!(rig.handle.send(drain).is_none());
    let _late = [rig.open(Some("a")), rig.open(Some("a"))];
    for tenth in 1..100 {
        rig.turn_at(10 + tenth * 100);
    }
    for peer in &mut stayers {
        assert_eq!(read(peer, 1), [0x88]);
    }
}

#[test]
fn a_slow_reader_that_left_does_not_stay_in_its_rooms_account() {
    let mut rig = Rig::new(|config| config.limits.messages_per_second = 0);
    let _witness = rig.open(Some("a"));
    let name = RoomName::chat("1", "a").unwrap();
    for reads_on in [false, true] {
        let mut slow = rig.open(Some("a"));
        let room = rig.broker.find(&name).unwrap();
        let publication = Publication {
            frame: encoder::frame(Opcode::Binary, &[0; 200_000]),
            deadline: rig.now + Duration::from_secs(60),
            event: None,
        };
        for _ in 0..60 {
            rig.broker.publish(&room, &publication, Some(0));
        }
        let now = rig.now.0;
        rig.settle_at(now + 1);
        assert!(rig.room_ledger(&name).queued > 0);
        slow.write_all(&masked(Opcode::Close, &[3, 232])).unwrap();
        rig.settle_at(now + 2);
        if reads_on {
            let mut scratch = vec![0; 1 << 20];
            slow.set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            // Until the server's end: how many reads that takes is the kernel's affair.
            loop {
                match slow.read(&mut scratch) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => rig.turn_at(now + 3),
                }
            }
        }
        // Each time its kernel has taken a little more, as it may late on a busy machine, the wait is longer.
        for wait in 1..=4 {
            if rig.worker.connections.clients.len() > 1 {
                rig.settle_at(now + 6_000 * wait);
            }
        }
        assert_eq!(rig.worker.connections.clients.len(), 1);
        let ledger = rig.worker.members.ledger;
        let mut account = rig.room_ledger(&name);
        assert_eq!((account.unexplained(), ledger.unexplained()), (0, 0));
        // The witness reads nothing either: what is left is its.
        let witness = rig.worker.connections.clients.at_mut(0).unwrap();
        account.queued -= witness.connection.outbound.queued();
        assert_eq!(account.queued, 0, "reads on: {reads_on}");
    }
}

#[test]
fn who_is_slowed_down_is_not_blamed_for_its_silence() {
    let mut rig = Rig::new(|config| {
        config.server.ping_interval = Duration::from_secs(1);
        config.server.ping_timeout = Duration::from_secs(1);
        config.limits.message_bytes = 1_024;
        config.limits.bytes_per_second = 2_000;
    });
    let mut peer = rig.open(None);
    // Ten seconds' worth at the allowed rate.
    peer.write_all(&masked(Opcode::Pong, &[0; 94]).repeat(240))
        .unwrap();
    for tenth in 1..90 {
        rig.turn_at(tenth * 100);
    }
    let client = rig.worker.connections.clients.at_mut(0).unwrap();
    assert_eq!(client.connection.ending(), None);
}

/// Takes so many bytes, then blocks.
struct Trickle(usize, Vec<u8>);

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.0.min(bytes.len());
        self.0 -= count;
        self.1.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|one| one.to_vec()).collect();
        self.write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_ping_does_not_wait_for_ever_behind_a_slow_readers_queue() {
    let bounds = Bounds {
        capacity: 100,
        bytes_max: 1 << 20,
        overflow: Overflow::DropNewest,
    };
    let frame = Delivery {
        frame: encoder::frame(Opcode::Text, &[b'x'; 98]),
        deadline: Millis::NEVER,
    };
    let frames = vec![frame; 10];
    let bytes: Vec<u8> = frames.iter().flat_map(|one| one.frame.to_vec()).collect();
    let batch = crate::worker::outbound::FrameBatch {
        frames: &frames,
        bytes: &bytes,
    };
    let (mut outbound, mut sent) = (Outbound::default(), Sent::default());
    let mut socket = Trickle(150, Vec::new());
    outbound
        .offer(Millis(0), &bounds.into(), batch, 0, &mut socket, &mut sent)
        .unwrap();
    outbound.control(encoder::ping(&[]));
    socket.0 = 120;
    outbound
        .flush(Millis(0), true, &mut socket, &mut sent)
        .unwrap();
    assert_eq!(socket.1[200..202], [0x89, 0], "after the frame under way");
    assert!(socket.1.starts_with(&bytes[..200]));
    socket.0 = 2_000;
    outbound
        .flush(Millis(0), true, &mut socket, &mut sent)
        .unwrap();
    assert_eq!(socket.1.len(), 1_002);
    assert_eq!((sent.delivered, sent.queued, sent.unqueued), (10, 9, 9));
}

#[test]
fn the_answer_to_a_handshake_and_the_welcome_leave_in_one_write() {
    let mut rig = Rig::new(|config| config.chat.welcome = true);
    let (mut peer, handoff) = rig.handoff(Some("a"));
    let instruction = Instruction::Open(Box::new(Handoff {
        answer: b"101".to_vec(),
        ..handoff
    }));
    assert!(rig.handle.send(instruction).is_none());
    rig.turn_at(0);
    let mut bytes = vec![0; 512];
    let count = peer.read(&mut bytes).unwrap();
    assert!(bytes[..count].starts_with(b"101\x81"), "{bytes:?}");
    assert!(bytes[..count].ends_with(b"}"), "one read has all of it");
    let metrics = &rig.worker.context.metrics;
    assert_eq!(metrics.writes.get(), 1);
    assert_eq!(metrics.bytes_written.get(), count as u64 - 3);
    assert_eq!(metrics.deliveries_delivered.get(), 1);
    assert_eq!(metrics.unexplained.get(), 0);
}
