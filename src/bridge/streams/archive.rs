//! `archive.mode = "streams"`: what all rooms of a Redis said, in one order, in a stream beside theirs.
//!
//! The appending function puts every event there in the step in which it puts the message into its room's stream: an event
//! is in both or in none. On any node the same is read. An entry is a record, JSON of what is known of the event, with its
//! room, epoch, offset and time; entries count from 1 without a hole, in a life of the stream, so what was removed before
//! it was read is known exactly.
//!
//! Limits: `archive.bytes_max` and `archive.expiry` for each Redis; a page by its entries and bytes.

use super::history::no_history;
use super::kept::KeptEvent;
use super::redis_streams::Streams;
use crate::bridge::link::RedisLink;
use crate::broker::history::NoHistory;
use crate::redis::value::RedisValue;
use bytes::Bytes;

/// A place in the archive of a Redis: behind this entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardPlace {
    /// The life of the stream; 0: no place yet.
    pub life: u64,
    /// Milliseconds since 1970, by the clock of Redis.
    pub millis: u64,
    /// Counts the entries of a life, from 1.
    pub number: u64,
}

impl ShardPlace {
    fn read(life: &RedisValue, id: &RedisValue) -> Option<Self> {
        let RedisValue::Bytes(id) = id else {
            return None;
        };
        let (millis, number) = str::from_utf8(id).ok()?.split_once('-')?;
        Some(Self {
            life: life.number(),
            millis: millis.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// An entry of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    /// Behind it.
    pub place: ShardPlace,
    /// What is in it; `None` if that cannot be read: somebody else wrote it, or cut it, or a version of this server did
    /// whose records are others.
    pub event: Option<ShardEvent>,
}

/// An event in the archive of a Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardEvent {
    /// The room's name.
    pub room: String,
    /// Which numbering of the room's events.
    pub epoch: u64,
    /// Counts them, from 1.
    pub offset: u64,
    /// Microseconds since 1970, by the clock of Redis; rises within a room.
    pub at: u64,
    /// What is known of it beside.
    pub kept: KeptEvent,
}

impl std::fmt::Debug for ShardEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What people say does not belong in logs, nor where they say it.
        f.debug_struct("ShardEvent")
            .field("epoch", &self.epoch)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Some entries, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPage {
    /// The newest entry there is.
    pub newest: ShardPlace,
    /// Redis has lost what it had said, after a failover: entries that were read are there no more, and their numbers
    /// are given a second time, so nobody can tell what is behind the place that was asked.
    pub has_lost: bool,
    /// The entries behind the place that was asked.
    pub entries: Vec<ShardEntry>,
}

impl Streams {
    /// See [`Bridge::archived`](crate::bridge::Bridge::archived).
    pub(in crate::bridge) async fn archived(
        &self,
        link: &RedisLink,
        after: ShardPlace,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ShardPage, NoHistory> {
        let archive = self.archive.as_ref().ok_or(NoHistory::NotKept)?;
        let client = self.reader.lock().clone();
        let (Some(client), Some(read)) = (client, archive.read.lock().clone()) else {
            return Err(NoHistory::Down);
        };
        let mut arguments = vec![
            Bytes::from(limit.to_string()),
            Bytes::from(bytes_max.to_string()),
        ];
        if after.life > 0 {
            let id = format!("{}-{}", after.millis, after.number);
            arguments.extend([id, after.life.to_string()].map(Bytes::from));
        }
        let answer = client.evaluate(read, vec![archive.key()], arguments).await;
        link.metrics.bridge_reads.inc();
        let answer = answer.map_err(|error| no_history(&error))?;
        Ok(self.shard_page(&answer.into_array()))
    }

    /// From Redis' answer: the newest entry's life and id, whether it has lost some, and the entries.
    fn shard_page(&self, answer: &[RedisValue]) -> ShardPage {
        let (newest, entries) = answer.split_at_checked(3).unwrap_or_default();
        let [life, id, has_lost] = newest else {
            return ShardPage::default();
        };
        let newest = ShardPlace::read(life, id).unwrap_or_default();
        let entries = entries.as_chunks::<7>().0.iter();
        ShardPage {
            newest,
            has_lost: has_lost.number() > 0,
            entries: entries
                .filter_map(|values| self.shard_entry(newest, values))
                .collect(),
        }
    }

    /// An entry; `None` if not even its id is one of Redis.
    fn shard_entry(&self, newest: ShardPlace, values: &[RedisValue; 7]) -> Option<ShardEntry> {
        let [life, id, stream, epoch, offset, at, record] = values;
        let place = ShardPlace::read(life, id)?;
        let number = |value: &RedisValue| Some(value.number()).filter(|number| *number > 0);
        let event = || {
            let (RedisValue::Bytes(stream), RedisValue::Bytes(record)) = (stream, record) else {
                return None;
            };
            number(life)?;
            Some(ShardEvent {
                room: self.room(str::from_utf8(stream).ok()?)?.to_owned(),
                epoch: number(epoch)?,
                offset: number(offset)?,
                at: number(at)?,
                kept: KeptEvent::read(record)?,
            })
        };
        let event = event();
        // Whose life is none is in the life of the stream around it all the same.
        let place = ShardPlace {
            life: number(life).unwrap_or(newest.life),
            ..place
        };
        Some(ShardEntry { place, event })
    }
}
