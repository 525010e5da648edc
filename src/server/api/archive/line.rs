//! Events as lines of an answer.

use crate::config::Dialect;
use crate::name::RoomName;
use crate::protocol::Stamp;
use serde_json::{Map, Value, json};

/// What is missing in front of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// So many events.
    Exactly(u64),
    /// The archive was lost, and with it how many.
    Unknown,
}

/// Where and when an event was.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventPlace<'a> {
    pub(super) room: &'a str,
    pub(super) epoch: u64,
    pub(super) offset: u64,
    /// Microseconds since 1970.
    pub(super) at: u64,
}

/// What is known of an event beside its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventKnown<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) author: Option<&'a str>,
    pub(super) sender: &'a str,
    pub(super) message: &'a str,
    /// JSON, as text.
    pub(super) json: Option<&'a str>,
    /// JSON, as text.
    pub(super) meta: Option<&'a str>,
    pub(super) origin: &'a str,
    /// When the node accepted it, if `at` is of another clock: in microseconds since 1970.
    pub(super) accepted: Option<u64>,
}

/// Writes an answer.
#[derive(Debug)]
pub(super) struct LineWriter {
    text: String,
    stamp: Stamp,
}

impl LineWriter {
    pub(super) fn new() -> Self {
        Self {
            text: String::new(),
            stamp: Stamp::new(0, 0),
        }
    }

    /// A hole in front of the next event, behind which the cursor is; no line if nothing is missing.
    pub(super) fn gap(&mut self, cursor: &str, gap: Gap) {
        let missed = match gap {
            Gap::Exactly(0) => return,
            Gap::Exactly(missed) => Some(missed),
            Gap::Unknown => None,
        };
        self.push(&json!({ "cursor": cursor, "gap": missed }));
    }

    /// An event. JSON that is nested deeper than serde_json reads (127 levels) is `null`: hardly a client reads such a line.
    pub(super) fn event(&mut self, cursor: String, placed: EventPlace<'_>, known: EventKnown<'_>) {
        let room = RoomName::parse(placed.room);
        let ids = room
            .as_ref()
            .map(|room| (room.business_id(), room.session_id()));
        let ids = ids.filter(|(_, session_id)| !session_id.is_empty());
        let business_id = ids.and_then(|(id, _)| id.parse::<u64>().ok());
        let at = self.at(placed.at);
        let accepted = known.accepted.map(|micros| self.at(micros));
        let mut line = Map::new();
        let mut set = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        set("cursor", cursor.into());
        set("room", placed.room.into());
        set("business_id", business_id.into());
        set("session_id", ids.map(|(_, id)| id).into());
        set("epoch", placed.epoch.into());
        set("offset", placed.offset.into());
        set("id", known.id.into());
        set("author", known.author.into());
        set("sender", known.sender.into());
        set("message", known.message.into());
        let json = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        if let Some(text) = known.json {
            set("json", json(text));
        }
        set("meta", known.meta.map_or(Value::Null, json));
        set("origin", known.origin.into());
        set("at", at.into());
        if let Some(accepted) = accepted {
            set("accepted", accepted.into());
        }
        self.push(&Value::Object(line));
    }

    /// All that was written.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn push(&mut self, line: &Value) {
        self.text.push_str(&format!("{line}\n"));
    }

    /// A time as `2024-01-01T12:00:00.000000+00:00`.
    fn at(&mut self, micros: u64) -> String {
        let fraction = micros % 1_000_000;
        self.stamp.set(micros / 1_000_000, 0);
        let second = String::from_utf8_lossy(self.stamp.text(Dialect::Guide));
        format!("{}.{fraction:06}+00:00", second.trim_end_matches('Z'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_microseconds_always() {
        let mut writer = LineWriter::new();
        for (micros, text) in [
            (1_704_110_400_000_000, "2024-01-01T12:00:00.000000+00:00"),
            (1_704_110_400_000_001, "2024-01-01T12:00:00.000001+00:00"),
            (999_999, "1970-01-01T00:00:00.999999+00:00"),
        ] {
            assert_eq!(writer.at(micros), text);
        }
    }

    #[test]
    fn nothing_missing_is_no_line() {
        let mut writer = LineWriter::new();
        writer.gap("a", Gap::Exactly(0));
        writer.gap("b", Gap::Exactly(3));
        writer.gap("c", Gap::Unknown);
        assert_eq!(
            writer.finish(),
            "{\"cursor\":\"b\",\"gap\":3}\n{\"cursor\":\"c\",\"gap\":null}\n"
        );
    }
}
