//! The archive of a Redis as the appending function keeps it: its stream, its bounds, and the record of an event.

use crate::config::{ArchiveMode, ArchiveSettings};
use crate::protocol::{Event, EventOrigin};
use crate::redis::client::RedisClient;
use crate::redis::failure::LinkFailure;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Reads a page.
const READ: &str = include_str!("archive.lua");

/// The archive of one Redis.
#[derive(Debug)]
pub(in crate::bridge) struct StreamArchive {
    key: String,
    bytes_max: usize,
    expiry: Duration,
    /// [`READ`] as Redis knows it, once a session is up.
    pub(super) read: Mutex<Option<String>>,
}

impl StreamArchive {
    /// The archive of these settings; `None` if it is elsewhere or nowhere.
    pub(super) fn new(settings: &ArchiveSettings, prefix: &str) -> Option<Self> {
        (settings.mode == ArchiveMode::Streams).then(|| Self {
            key: format!("{prefix}:archive"),
            bytes_max: settings.bytes_max,
            expiry: settings.expiry,
            read: Mutex::default(),
        })
    }

    /// The stream.
    pub(super) fn key(&self) -> String {
        self.key.clone()
    }

    /// What the appending function is told of it.
    pub(super) fn arguments(&self) -> [Bytes; 2] {
        [
            Bytes::from(self.bytes_max.to_string()),
            Bytes::from(self.expiry.as_millis().to_string()),
        ]
    }

    /// Makes the reading function known.
    ///
    /// # Errors
    /// When Redis does not answer in time, or forbids it.
    pub(super) async fn load(&self, client: &dyn RedisClient) -> Result<(), LinkFailure> {
        let name = client.load(READ).await?;
        *self.read.lock() = Some(name);
        Ok(())
    }
}

/// What is kept of an event: a JSON object of these names.
///
/// `json` and `meta` are text in it, not JSON within JSON: however deep that is nested, the record is flat, so whoever
/// could write the record can read it. In the first records they were values.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEvent {
    /// What its publisher calls it.
    pub id: Option<String>,
    /// The user who said it, if that is known.
    pub author: Option<String>,
    /// `user`, `assistant` or `system`.
    pub sender: String,
    /// What was said.
    pub message: String,
    /// The JSON that says it, if that is no string (dialect `django`).
    #[serde(
        default,
        deserialize_with = "text_of_json",
        skip_serializing_if = "Option::is_none"
    )]
    pub json: Option<String>,
    /// JSON that its publisher added.
    #[serde(deserialize_with = "text_of_json")]
    pub meta: Option<String>,
    /// `gateway`, `api` or `django`.
    pub origin: String,
    /// When the node accepted it, by the node's clock, in microseconds since 1970; the entry's own time is of Redis' clock.
    /// Not in the first records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
}

impl std::fmt::Debug for KeptEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What people say does not belong in logs.
        f.debug_struct("KeptEvent").finish_non_exhaustive()
    }
}

/// Neither is ever a JSON string, so a string is the text.
fn text_of_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        value => Some(value.to_string()),
    })
}

impl KeptEvent {
    /// What is kept of an event.
    fn new(event: &Event<'_>) -> Self {
        let details = event.details.as_deref();
        let text = |text: &str| text.to_owned();
        Self {
            id: details.and_then(|details| details.id.as_deref().map(text)),
            author: event.author.as_deref().map(text),
            sender: text(event.sender.as_str()),
            message: text(&event.text),
            json: event.json.as_deref().map(text),
            meta: details.and_then(|details| details.meta.as_deref().map(text)),
            origin: text(
                details
                    .map_or(EventOrigin::default(), |details| details.origin)
                    .as_str(),
            ),
            accepted: Some(event.moment.total_micros()),
        }
    }

    /// From its record; `None` if that is none.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }
}

/// The record of an event.
pub(super) fn record(event: &Event<'_>) -> Bytes {
    // Texts alone: nothing in it can fail.
    serde_json::to_vec(&KeptEvent::new(event))
        .unwrap_or_default()
        .into()
}
