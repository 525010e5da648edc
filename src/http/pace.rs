//! The deadlines of one connection: pure but for the clock.
//!
//! A connection is in a request's head, being answered, or idle. hyper's own timeout knows one of these, and
//! begins it when the last answer has been sent, so that an idle connection looks like a slow one. What is
//! heard is looked at just enough to tell a head that has begun from silence.

use crate::config::Config;
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes given to hyper at once. What is there of a body when its head ends is less, so it is never taken for a
/// long line.
pub(super) const READ_BYTES: usize = 8 * 1024;

/// Bytes of a request line beside its target.
const METHOD_BYTES: usize = 64;

/// How long each part of a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head (`server.handshake_timeout`).
    pub head: Duration,
    /// From there until the peer has taken the answer (`server.http_timeout`).
    pub answer: Duration,
    /// From there to the first byte of the next request (`server.keep_alive_timeout`).
    pub idle: Duration,
}

impl Timeouts {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            head: config.server.handshake_timeout,
            answer: config.server.http_timeout,
            idle: config.server.keep_alive_timeout,
        }
    }
}

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A request's head has begun, or is awaited from a connection that is new.
    Head,
    /// A request is answered: the answer is being made, or its peer has not taken all of it.
    Answer,
    /// Everything that was asked has been answered.
    Idle,
}

/// Where a connection stands, and until when it may.
#[derive(Debug)]
pub struct Pace {
    timeouts: Timeouts,
    phase: Phase,
    deadline: Instant,
    lines: Lines,
    /// The answer has been made, and hyper has it.
    is_answered: bool,
    /// No head follows: the last one had a body, whose bytes are not looked at.
    is_last: bool,
    /// A request line was longer than any that is read.
    is_too_long: bool,
    line_bytes_max: usize,
}

impl Pace {
    /// A connection whose first head must end within `left`. A request line that is too long for a target of
    /// `uri_bytes` is not waited for.
    #[must_use]
    pub fn new(timeouts: Timeouts, left: Duration, uri_bytes: usize) -> Self {
        Self {
            timeouts,
            phase: Phase::Head,
            deadline: Instant::now() + left,
            lines: Lines::default(),
            is_answered: false,
            is_last: false,
            is_too_long: false,
            line_bytes_max: uri_bytes.max(READ_BYTES) + METHOD_BYTES,
        }
    }

    /// What the connection is busy with.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Until when.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Has the last request been answered? False before the first one.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Was a request line longer than any that is read?
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// The peer has sent this; false if there is no use in more of it.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> bool {
        if self.phase == Phase::Idle && !bytes.is_empty() {
            self.enter(Phase::Head);
        }
        if !self.is_last {
            self.is_too_long = !self.lines.pass(bytes, self.line_bytes_max);
        }
        !self.is_too_long
    }

    /// A head is complete.
    pub(super) fn asked(&mut self, has_body: bool) {
        self.is_answered = false;
        self.is_last |= has_body;
        self.enter(Phase::Answer);
    }

    /// The answer to the request is made.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
    }

    /// Nothing waits to be written.
    pub(super) fn flushed(&mut self) {
        if self.phase == Phase::Answer && self.is_answered {
            // The beginning of the next head may have come together with the last one.
            self.enter(if self.lines.is_between() {
                Phase::Idle
            } else {
                Phase::Head
            });
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.deadline = Instant::now()
            + match phase {
                Phase::Head => self.timeouts.head,
                Phase::Answer => self.timeouts.answer,
                Phase::Idle => self.timeouts.idle,
            };
    }
}

/// The lines of heads, as far as it takes to see where one ends. A line ends with LF, as hyper takes it (RFC 9112
/// section 2.2).
#[derive(Debug, Default)]
struct Lines {
    /// Bytes of the line that has not ended, CR not counted.
    length: usize,
    /// A request line has ended, its head has not.
    in_fields: bool,
}

impl Lines {
    /// Nothing of a request has come since the last head ended.
    fn is_between(&self) -> bool {
        !self.in_fields && self.length == 0
    }

    /// False if a request line is longer than `most`.
    fn pass(&mut self, bytes: &[u8], most: usize) -> bool {
        for byte in bytes {
            match byte {
                // An empty line ends a head; one before a request line is nothing (section 2.2).
                b'\n' => {
                    self.in_fields = self.length > 0;
                    self.length = 0;
                }
                b'\r' => {}
                _ => self.length += 1,
            }
            if self.length > most && !self.in_fields {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const TIMEOUTS: Timeouts = Timeouts {
        head: Duration::from_secs(5),
        answer: Duration::from_secs(30),
        idle: Duration::from_secs(60),
    };

    fn pace() -> Pace {
        Pace::new(TIMEOUTS, Duration::from_secs(3), 10_000)
    }

    fn left(pace: &Pace) -> u64 {
        (pace.deadline() - Instant::now()).as_secs()
    }

    fn answer(pace: &mut Pace) {
        pace.asked(false);
        pace.answered();
        pace.flushed();
    }

    #[tokio::test(start_paused = true)]
    async fn every_part_of_every_request_has_a_deadline_of_its_own() {
        let mut pace = pace();
        assert_eq!((pace.phase(), left(&pace)), (Phase::Head, 3));
        advance(Duration::from_secs(1)).await;
        assert!(pace.heard(b"GET / HTT"));
        assert_eq!(
            (pace.phase(), left(&pace)),
            (Phase::Head, 2),
            "a byte moves nothing"
        );
        assert!(pace.heard(b"P/1.1\r\nHost: a\r\n\r\n"));
        pace.asked(false);
        pace.flushed();
        assert_eq!(
            (pace.phase(), left(&pace)),
            (Phase::Answer, 30),
            "not answered yet"
        );
        pace.answered();
        pace.flushed();
        assert_eq!((pace.phase(), left(&pace)), (Phase::Idle, 60));
        advance(Duration::from_secs(59)).await;
        assert!(pace.heard(b"\r"));
        assert_eq!((pace.phase(), left(&pace)), (Phase::Head, 5));
        advance(Duration::from_secs(1)).await;
        assert!(pace.heard(b"\nGET / HTTP/1.1\n\n"));
        assert_eq!((pace.phase(), left(&pace)), (Phase::Head, 4));
        answer(&mut pace);
        assert_eq!((pace.phase(), left(&pace)), (Phase::Idle, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_behind_a_whole_one_is_not_idle() {
        for (behind, phase) in [
            (&b""[..], Phase::Idle),
            (b"\r\n", Phase::Idle),
            (b"G", Phase::Head),
            (b"GET / HTTP/1.1\r\n", Phase::Head),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", Phase::Head),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Phase::Idle),
        ] {
            let mut pace = pace();
            assert!(pace.heard(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", behind].concat()));
            answer(&mut pace);
            assert_eq!(pace.phase(), phase, "{behind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_line_is_not_waited_for_without_end() {
        let long = b"x".repeat(10_065);
        assert!(pace().heard(&long[..10_064]));
        assert!(!pace().heard(&long));
        let mut pace = pace();
        assert!(pace.heard(b"GET / HTTP/1.1\r\n"));
        assert!(pace.heard(&long), "a field is hyper's matter");
        assert!(pace.heard(b"\r\n\r\n"));
        answer(&mut pace);
        assert!(!pace.heard(&long) && pace.is_too_long());
        let mut pace = self::pace();
        assert!(pace.heard(b"POST / HTTP/1.1\r\n\r\n"));
        pace.asked(true);
        assert!(pace.heard(&long), "a body is no line");
    }
}
