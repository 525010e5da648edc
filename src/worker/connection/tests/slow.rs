//! Slow is not dead: what ends a connection that takes little, says nothing, or has ended its side.

use super::*;

/// A socket that takes this much, then nothing.
struct Narrow(usize);

impl std::io::Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        match taken {
            0 => Err(std::io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Desk {
    /// Lets the kernel take so many bytes.
    fn take(&mut self, millis: u64, bytes: usize) {
        let (outbound, mut sent) = (&mut self.connection.outbound, Default::default());
        let flushed = outbound.flush(at(millis), true, &mut Narrow(bytes), &mut sent);
        assert!(flushed.is_ok());
    }

    /// Says something of this length to the peer; the kernel takes so much of it.
    fn say(&mut self, millis: u64, length: usize, taken: usize) {
        let delivery = crate::broker::queue::Delivery {
            frame: Bytes::from(vec![b'x'; length]),
            deadline: Millis::NEVER,
        };
        let batch = crate::worker::outbound::FrameBatch {
            frames: std::slice::from_ref(&delivery),
            bytes: &delivery.frame,
        };
        let bounds = crate::broker::queue::Bounds {
            capacity: 100,
            bytes_max: 1 << 20,
            overflow: crate::config::Overflow::DropNewest,
        };
        let (outbound, mut sent) = (&mut self.connection.outbound, Default::default());
        let offered = outbound.offer(
            at(millis),
            &bounds.into(),
            batch,
            0,
            &mut Narrow(taken),
            &mut sent,
        );
        assert!(offered.is_ok());
    }
}

#[test]
fn a_peer_that_takes_what_waits_for_it_is_not_dead_whatever_it_says() {
    let mut desk = Desk::new(|_| {});
    desk.say(1_000, 300_000, 60_000);
    // The ping stands behind the message; 8 KB go every ten seconds.
    for second in (10..240).step_by(10) {
        desk.take(second * 1_000, 8_000);
        desk.on_timer(second * 1_000);
        assert!(desk.connection.is_open(), "closed after {second} s");
    }
    // Once all is with the kernel, it has the pong's time, and that of what stands before the ping.
    desk.take(240_000, 1 << 20);
    assert!(desk.connection.outbound.is_idle());
    assert_eq!(desk.on_timer(241_000), Some(at(240_000 + 8_000 + 60_000)));
    desk.on_timer(308_000);
    assert_eq!(desk.connection.ending(), Some(CloseReason::NoPong));
}

#[test]
fn a_peer_that_takes_nothing_of_what_waits_ends_with_the_queues_expiry() {
    let mut desk = Desk::new(|_| {});
    desk.say(1_000, 200_000, 60_000);
    desk.on_timer(25_000);
    desk.take(30_000, 1);
    assert_eq!(desk.on_timer(89_999), Some(at(90_000)));
    desk.on_timer(90_000);
    assert_eq!(desk.connection.ending(), Some(CloseReason::NoPong));
    // Never shorter than for a peer with nothing before its ping.
    let mut desk = Desk::new(|config| config.queue.expiry = Duration::from_secs(1));
    desk.say(1_000, 200_000, 60_000);
    desk.on_timer(25_000);
    assert_eq!(desk.on_timer(57_999), Some(at(58_000)));
}

#[test]
fn the_time_for_a_pong_is_longer_by_what_stands_before_the_ping() {
    let mut desk = Desk::new(|_| {});
    desk.say(1_000, 20 * 1024, usize::MAX);
    desk.on_timer(25_000);
    desk.written();
    assert_eq!(desk.on_timer(25_001), Some(at(25_000 + 8_000 + 20_000)));
    // A program that hangs while its kernel acknowledges a quiet room's lines is found none the less.
    let mut desk = Desk::new(|_| {});
    desk.on_timer(25_000);
    desk.written();
    for second in 26..33 {
        desk.say(second * 1_000, 100, usize::MAX);
    }
    assert_eq!(desk.on_timer(32_999), Some(at(33_000)));
    desk.on_timer(33_000);
    assert_eq!(desk.connection.ending(), Some(CloseReason::NoPong));
}

#[test]
fn a_close_frame_waits_for_a_peer_that_reads_up_to_a_minute() {
    let mut desk = Desk::new(|_| {});
    desk.say(0, 200_000, 1_000);
    desk.connection.close(at(0), CloseReason::Restart);
    for second in (10..60).step_by(10) {
        desk.take(second * 1_000, 1_000);
        assert!(desk.on_timer(second * 1_000).is_some(), "{second} s");
    }
    assert_eq!(desk.on_timer(59_000), Some(at(0) + CLOSE_MAX));
    assert_eq!(desk.on_timer(60_000), None);
}

#[test]
fn who_sends_on_after_the_close_is_read_up_to_a_bound() {
    let mut desk = Desk::new(|_| {});
    desk.connection.close(at(0), CloseReason::Policy);
    let read = vec![0; 64 * 1024];
    let mut bytes = 0;
    while desk.connection.may_read() {
        assert_eq!(desk.receive(1, &read), Reading::Ending);
        bytes += read.len();
        assert!(bytes <= DISCARD_BYTES as usize + read.len());
    }
    assert!(bytes >= DISCARD_BYTES as usize);
    assert_eq!(
        desk.on_timer(1),
        Some(at(0) + CLOSE_STILL),
        "no sign of life"
    );
}

#[test]
fn who_has_ended_its_side_is_waited_for_until_then_and_pings_nobody() {
    let mut desk = Desk::new(|_| {});
    desk.receive(0, &text("half")[..3]);
    desk.connection.listen(at(40_000));
    assert!(desk.connection.is_open());
    assert_eq!(desk.on_timer(26_000), Some(at(40_000)));
    assert_eq!(desk.written(), b"");
    assert_eq!(desk.on_timer(40_000), Some(at(40_000) + CLOSE_STILL));
    assert!(!desk.connection.is_open());
    assert_eq!(desk.connection.ending(), None, "nobody said a close");
    assert_eq!(desk.written(), b"", "nor is one said to it");
}
