//! Events as JSON text, appended to a buffer in one pass.
//!
//! Called for every frame that is made; an event is rendered once in the dialect of a node and shared
//! by all members of the room. Neither dialect shows the room's number. A rendering that does is made
//! where the number is at hand: it stands beside the publication in a worker's mailbox.

use super::error::ErrorCode;
use super::escape::{push_ascii, push_json};
use super::event::{Event, Sender};
use super::stamp::Stamp;
use crate::config::Dialect;

/// What the assistant says when it fails, in both dialects.
pub const APOLOGY: &str =
    "Sorry, I'm having trouble processing your request right now. please try again";

/// Bytes around the text of an event: keys, sender and timestamp of the longer dialect.
const OVERHEAD_BYTES: usize = 96;

/// Writes events in one dialect. Every function appends one complete JSON text.
#[derive(Clone, Copy, Debug)]
pub struct EventWriter {
    dialect: Dialect,
}

impl EventWriter {
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

    /// An event as this dialect shows it, with its own moment: `stamp` holds the text of one, so that
    /// a loop that lends the same to all events of a moment makes that text once. `django` prefixes a
    /// system message with `System message: `.
    pub fn event(&self, out: &mut Vec<u8>, event: &Event<'_>, stamp: &mut Stamp) {
        stamp.set(event.moment.second, event.moment.micros);
        match (self.dialect, event.sender, &event.json) {
            (_, Sender::System, _) => self.system(out, &event.text, stamp),
            (Dialect::Django, sender, Some(json)) => {
                out.reserve(json.len() + OVERHEAD_BYTES);
                out.extend_from_slice(b"{\"message\": ");
                out.extend_from_slice(json.as_bytes());
                self.close(out, "", sender, Some(stamp));
            }
            (_, sender, _) => self.message(out, sender, &event.text, stamp),
        }
    }

    /// Puts what a program of the site says beside an event into the JSON that ends here: `meta`, an object as JSON.
    pub fn meta(&self, out: &mut Vec<u8>, meta: &str) {
        debug_assert_eq!(out.last(), Some(&b'}'), "an event has been written");
        out.pop();
        out.extend_from_slice(match self.dialect {
            Dialect::Guide => b",\"meta\":",
            Dialect::Django => b", \"meta\": ",
        });
        out.extend_from_slice(meta.as_bytes());
        out.push(b'}');
    }

    /// A member's system message.
    pub(super) fn system(&self, out: &mut Vec<u8>, text: &str, stamp: &Stamp) {
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

    /// An error in words of the site's: a message that it has refused.
    pub fn refusal(&self, out: &mut Vec<u8>, why: &str) {
        self.error_text(out, &[why], true);
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
