//! The deadlines of one connection: pure but for the clock.
//!
//! A connection is in a request's head, being answered, or idle. hyper's own timeout knows one of these, and
//! begins it when the last answer has been sent, so that an idle connection looks like a slow one. What is
//! heard is looked at just enough to tell a head that has begun from silence.
//!
//! What is streamed, up or down, takes as long as it takes: there the peer must only not stop to take what is written
//! to it ([`PaceHandle::stream`]), and the rest is up to who streams.

use super::lines::Lines;
use super::minimum_rate::MinimumRate;
use crate::config::Config;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes given to hyper at once. What is there of a body when its head ends is less, so it is never taken for a
/// long line.
pub(super) const READ_BYTES: usize = 8 * 1024;

/// Bytes of a request line beside its target.
const METHOD_BYTES: usize = 64;

/// No deadline: longer than any process runs, and no time that a timer cannot hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
    /// The same, where request or answer are streamed.
    Stream,
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
    /// Longest that the peer takes nothing of a stream.
    stream_idle: Duration,
    /// And how slowly it may take it.
    stream_rate: MinimumRate,
    /// Since when the peer takes nothing.
    stuck_since: Option<Instant>,
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
            stream_idle: FOREVER,
            stream_rate: MinimumRate::new(FOREVER, 0),
            stuck_since: None,
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
        if matches!(self.phase, Phase::Answer | Phase::Stream) && self.is_answered {
            // The beginning of the next head may have come together with the last one.
            self.enter(if self.lines.is_between() {
                Phase::Idle
            } else {
                Phase::Head
            });
        }
    }

    /// The peer has taken so many bytes; `None`: nothing of what is written to it.
    pub(super) fn written(&mut self, taken: Option<usize>) {
        if self.phase != Phase::Stream {
            return;
        }
        match (taken, self.stuck_since) {
            (None, Some(_)) => {}
            (None, None) => {
                let now = Instant::now();
                let left = self.stream_rate.left().unwrap_or(FOREVER);
                self.stuck_since = Some(now);
                self.deadline = now + self.stream_idle.min(left);
            }
            (Some(bytes), since) => {
                if let Some(since) = since {
                    self.stream_rate.waited(since.elapsed());
                    self.stuck_since = None;
                    self.deadline = Instant::now() + FOREVER;
                }
                self.stream_rate.moved(bytes);
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.stuck_since = None;
        self.deadline = Instant::now()
            + match phase {
                Phase::Head => self.timeouts.head,
                Phase::Answer => self.timeouts.answer,
                Phase::Stream => FOREVER,
                Phase::Idle => self.timeouts.idle,
            };
    }
}

/// The pace of the connection that a request came by, for who answers.
#[derive(Clone, Debug)]
pub struct PaceHandle(pub(super) Arc<Mutex<Pace>>);

impl PaceHandle {
    /// This request, or its answer, is streamed: whoever answers sees to it that the peer is not waited for without end,
    /// but for what is written to it: after `idle` in which the peer takes nothing, or below this rate, the connection
    /// is closed.
    pub fn stream(&self, idle: Duration, rate: MinimumRate) {
        let mut pace = self.0.lock();
        pace.stream_idle = idle;
        pace.stream_rate = rate;
        pace.enter(Phase::Stream);
    }

    /// Has any head of this connection been one that two readers may read in two ways? Those are answered here, where
    /// there is one reader, and passed on to nobody.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.0.lock().lines.is_ambiguous()
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
    async fn a_stream_ends_when_the_peer_takes_nothing_of_it() {
        let pace = PaceHandle(Arc::new(Mutex::new(pace())));
        assert!(pace.0.lock().heard(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        pace.0.lock().asked(false);
        pace.stream(Duration::from_secs(7), MinimumRate::new(FOREVER, 0));
        advance(Duration::from_secs(3600)).await;
        let left = || left(&pace.0.lock());
        let written = |is_stuck: bool| pace.0.lock().written((!is_stuck).then_some(1));
        let phase = || pace.0.lock().phase();
        assert!(phase() == Phase::Stream && left() > 3600);
        pace.0.lock().flushed();
        written(false);
        assert!(left() > 3600, "nothing to take is not stuck");
        written(true);
        advance(Duration::from_secs(2)).await;
        written(true);
        assert_eq!(left(), 5, "still stuck");
        written(false);
        assert!(left() > 3600);
        pace.0.lock().answered();
        written(true);
        assert_eq!(left(), 7);
        pace.0.lock().flushed();
        assert_eq!((phase(), left()), (Phase::Idle, 60));
        written(true);
        assert_eq!(left(), 60, "no stream any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_the_peer_takes_too_little_of_it() {
        let pace = PaceHandle(Arc::new(Mutex::new(pace())));
        pace.0.lock().asked(false);
        let rate = MinimumRate::new(Duration::from_secs(10), 100);
        pace.stream(Duration::from_secs(7), rate);
        for (taken, expected) in [(0, 7), (200, 5), (1_000_000, 2), (0, 7)] {
            pace.0.lock().written(None);
            assert_eq!(left(&pace.0.lock()), expected);
            advance(Duration::from_secs(5)).await;
            pace.0.lock().written(Some(taken));
            assert!(left(&pace.0.lock()) > 3600);
            // Time in which there is nothing to take is nobody's fault.
            advance(Duration::from_secs(60)).await;
        }
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
