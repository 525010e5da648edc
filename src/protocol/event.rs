//! Events as JSON text, appended to a buffer in one pass.
//!
//! Called by the workers for every frame they make; the text of one event is encoded once and
//! shared by all members of the room.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::command::{Command, Kind};
use super::error::ErrorCode;
use super::escape::{push_ascii, push_json};
use crate::config::Dialect;

/// What the assistant says when it fails, in both dialects.
pub const APOLOGY: &str =
    "Sorry, I'm having trouble processing your request right now. please try again";

/// Bytes around the text of an event: keys, sender and timestamp of the longer dialect.
const OVERHEAD_BYTES: usize = 96;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A member of the room.
    User,
    /// The assistant.
    Assistant,
    /// The server, or a system message of a member.
    System,
}

impl Sender {
    /// The value of the field `sender`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}

/// The wall-clock time as both dialects write it. The text is made once per second; a loop sets
/// it once per turn and lends it to every event of that turn.
#[derive(Clone, Debug)]
pub struct Stamp {
    second: u64,
    micros: u32,
    /// `2024-01-01T12:00:00Z`
    guide: [u8; 20],
    /// `2024-01-01 12:00:00.000000+00:00`, or without the fraction; `django_bytes` of it count.
    django: [u8; 32],
    django_bytes: usize,
}

impl Stamp {
    /// 9999-12-30 22:00:00, the last moment jiff knows; later ones have no four-digit year.
    const SECOND_MAX: u64 = 253_402_207_200;

    /// A stamp of `second` since the Unix epoch and the `micros` of that second.
    #[must_use]
    pub fn new(second: u64, micros: u32) -> Self {
        let mut stamp = Self {
            second: u64::MAX,
            micros: 0,
            guide: *b"0000-00-00T00:00:00Z",
            django: *b"0000-00-00 00:00:00.000000+00:00",
            django_bytes: 32,
        };
        stamp.set(second, micros);
        stamp
    }

    /// Moves to another moment. Cheap within one second.
    pub fn set(&mut self, second: u64, micros: u32) {
        let second = second.min(Self::SECOND_MAX);
        let micros = micros.min(999_999);
        if second != self.second {
            self.set_second(second);
        } else if micros == self.micros {
            return;
        }
        self.micros = micros;
        // Python leaves the fraction out when it is zero.
        let (head, tail) = self.django.split_at_mut(19);
        debug_assert_eq!((head.len(), tail.len()), (19, 13));
        if micros == 0 {
            tail.copy_from_slice(b"+00:00       ");
            self.django_bytes = 25;
        } else {
            tail.copy_from_slice(b".000000+00:00");
            if let Some(digits) = tail.get_mut(1..7) {
                put_decimal(digits, micros);
            }
            self.django_bytes = 32;
        }
    }

    fn set_second(&mut self, second: u64) {
        self.second = second;
        let moment = i64::try_from(second)
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .unwrap_or_default();
        let civil = Offset::UTC.to_datetime(moment);
        let mut text = *b"0000-00-00T00:00:00";
        let fields = [
            (0..4, i64::from(civil.year())),
            (5..7, i64::from(civil.month())),
            (8..10, i64::from(civil.day())),
            (11..13, i64::from(civil.hour())),
            (14..16, i64::from(civil.minute())),
            (17..19, i64::from(civil.second())),
        ];
        for (range, value) in fields {
            if let Some(digits) = text.get_mut(range) {
                put_decimal(digits, u32::try_from(value).unwrap_or_default());
            }
        }
        for (target, byte) in self.guide.iter_mut().zip(text) {
            *target = byte;
        }
        for (target, byte) in self.django.iter_mut().zip(text) {
            *target = if byte == b'T' { b' ' } else { byte };
        }
    }

    /// The stamp as `dialect` writes it.
    #[must_use]
    pub fn text(&self, dialect: Dialect) -> &[u8] {
        match dialect {
            Dialect::Guide => &self.guide,
            Dialect::Django => self.django.get(..self.django_bytes).unwrap_or(&self.django),
        }
    }
}

/// Right-aligned decimal digits with leading zeros.
fn put_decimal(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

/// Writes events in one dialect. Every function appends one complete JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    dialect: Dialect,
}

impl Writer {
    /// A writer of `dialect`.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect }
    }

    /// The dialect it writes.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// `text` as said by `sender`.
    pub fn message(&self, out: &mut Vec<u8>, sender: Sender, text: &str, stamp: &Stamp) {
        self.open(out, text.len());
        self.push_text(out, text);
        self.close(out, "\"", sender, Some(stamp));
    }

    /// The event a command becomes: a user's message as it was said, a system message as the
    /// dialect shows it (`django` prefixes it with `System message: `).
    pub fn echo(&self, out: &mut Vec<u8>, command: &Command<'_>, stamp: &Stamp) {
        match (self.dialect, command.kind, &command.json) {
            (Dialect::Django, Kind::User, Some(json)) => {
                out.reserve(json.len() + OVERHEAD_BYTES);
                out.extend_from_slice(b"{\"message\": ");
                out.extend_from_slice(json.as_bytes());
                self.close(out, "", Sender::User, Some(stamp));
            }
            (_, Kind::User, _) => self.message(out, Sender::User, &command.text, stamp),
            (_, Kind::System, _) => self.system(out, &command.text, stamp),
        }
    }

    /// A member's system message.
    pub fn system(&self, out: &mut Vec<u8>, text: &str, stamp: &Stamp) {
        self.open(out, text.len());
        if self.dialect == Dialect::Django {
            out.extend_from_slice(b"System message: ");
        }
        self.push_text(out, text);
        self.close(out, "\"", Sender::System, Some(stamp));
    }

    /// The first event of a connection: what was joined. `django` sends it without a timestamp.
    pub fn welcome(&self, out: &mut Vec<u8>, business_id: &str, session_id: &str, stamp: &Stamp) {
        self.open(out, 48 + business_id.len() + session_id.len());
        out.extend_from_slice(b"Connected to chat for business ");
        self.push_text(out, business_id);
        out.extend_from_slice(b", session ");
        self.push_text(out, session_id);
        let stamp = (self.dialect == Dialect::Guide).then_some(stamp);
        self.close(out, "\"", Sender::System, stamp);
    }

    /// An error; the connection stays open. The Python consumer leaves `sender` out of those it
    /// finds while parsing.
    pub fn error(&self, out: &mut Vec<u8>, code: ErrorCode) {
        let sender = self.dialect == Dialect::Guide || !code.is_parse_level();
        self.error_text(out, &[code.text()], sender);
    }

    /// `django` accepts what it cannot join and says so first.
    pub fn connection_error(&self, out: &mut Vec<u8>, text: &str) {
        self.error_text(out, &["Connection error: ", text], true);
    }

    fn error_text(&self, out: &mut Vec<u8>, parts: &[&str], sender: bool) {
        out.reserve(OVERHEAD_BYTES);
        let (open, tail): (&[u8], &[u8]) = match self.dialect {
            Dialect::Guide => (b"{\"error\":\"", b",\"sender\":\"system\"}"),
            Dialect::Django => (b"{\"error\": \"", b", \"sender\": \"system\"}"),
        };
        out.extend_from_slice(open);
        for part in parts {
            self.push_text(out, part);
        }
        out.push(b'"');
        out.extend_from_slice(if sender { tail } else { b"}" });
    }

    #[inline]
    fn open(&self, out: &mut Vec<u8>, text_bytes: usize) {
        out.reserve(text_bytes + OVERHEAD_BYTES);
        out.extend_from_slice(match self.dialect {
            Dialect::Guide => b"{\"message\":\"",
            Dialect::Django => b"{\"message\": \"",
        });
    }

    #[inline]
    fn push_text(&self, out: &mut Vec<u8>, text: &str) {
        match self.dialect {
            Dialect::Guide => push_json(out, text),
            Dialect::Django => push_ascii(out, text),
        }
    }

    #[inline]
    fn close(&self, out: &mut Vec<u8>, quote: &str, sender: Sender, stamp: Option<&Stamp>) {
        let (sender_key, stamp_key): (&[u8], &[u8]) = match self.dialect {
            Dialect::Guide => (b",\"sender\":\"", b"\",\"timestamp\":\""),
            Dialect::Django => (b", \"sender\": \"", b"\", \"timestamp\": \""),
        };
        out.extend_from_slice(quote.as_bytes());
        out.extend_from_slice(sender_key);
        out.extend_from_slice(sender.as_str().as_bytes());
        if let Some(stamp) = stamp {
            out.extend_from_slice(stamp_key);
            out.extend_from_slice(stamp.text(self.dialect));
        }
        out.extend_from_slice(b"\"}");
    }
}
