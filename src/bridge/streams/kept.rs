//! The archive of a Redis as the appending function keeps it: its stream, its bounds, and the record of an event.

use crate::config::{ArchiveMode, ArchiveSettings};
use crate::protocol::{Event, EventOrigin};
use crate::redis::client::RedisClient;
use crate::redis::failure::LinkFailure;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value};
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

/// What is kept of an event.
pub(super) fn record(event: &Event<'_>) -> Bytes {
    let details = event.details.as_deref();
    let origin = details.map_or(EventOrigin::default(), |details| details.origin);
    let mut record = Map::new();
    let mut set = |name: &str, value: Value| drop(record.insert(name.to_owned(), value));
    set(
        "id",
        details.and_then(|details| details.id.as_deref()).into(),
    );
    set("author", event.author.as_deref().into());
    set("sender", event.sender.as_str().into());
    set("message", (&*event.text).into());
    // Checked when they came.
    let json = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    if let Some(text) = &event.json {
        set("json", json(text));
    }
    let meta = details.and_then(|details| details.meta.as_deref());
    set("meta", meta.map_or(Value::Null, json));
    set("origin", origin.as_str().into());
    Value::Object(record).to_string().into()
}
