//! The keys of the model of Redis: texts, hashes and streams, each with an expiry, and what commands do to them.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What Redis says no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The id of an entry: milliseconds, and a number within them.
pub(super) type Id = (u64, u64);

/// One entry of a stream.
#[derive(Clone, Debug)]
pub(super) struct StreamEntry {
    pub(super) id: Id,
    /// Names and values, in turn.
    pub(super) fields: Vec<Bytes>,
}

impl StreamEntry {
    /// The field at a place as Lua counts them, from 1; nothing, if there is none.
    pub(super) fn field(&self, place: usize) -> &[u8] {
        self.fields.get(place - 1).map_or(&[], |field| &field[..])
    }

    /// As Redis writes it.
    pub(super) fn name(&self) -> Bytes {
        format!("{}-{}", self.id.0, self.id.1).into()
    }
}

#[derive(Clone, Debug, Default)]
struct Stream {
    entries: VecDeque<StreamEntry>,
    last: Id,
}

type Hash = Vec<(Bytes, Bytes)>;

#[derive(Clone, Debug)]
enum Stored {
    Text,
    Hash(Hash),
    Stream(Stream),
}

#[derive(Clone, Debug)]
struct Key {
    stored: Stored,
    /// In microseconds, as everything here that is a time.
    expires: Option<u64>,
}

/// Everything that one Redis holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    keys: BTreeMap<Vec<u8>, Key>,
    now: u64,
    life: u64,
}

fn wrong_type() -> Refusal {
    "WRONGTYPE Operation against a key holding the wrong kind of value".into()
}

impl Store {
    /// It is that late now, in microseconds since 1970, in this life of the process: what has expired is gone.
    pub(super) fn pass(&mut self, now: u64, life: u64) {
        (self.now, self.life) = (now, life);
        self.keys
            .retain(|_, key| key.expires.is_none_or(|expires| expires > now));
    }

    /// Which process has it: what INFO calls `run_id`.
    pub(super) fn life(&self) -> String {
        format!("{:08x}", self.life)
    }

    /// TIME, in microseconds.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// SET, of whatever.
    pub(super) fn set(&mut self, key: &[u8]) {
        let (stored, expires) = (Stored::Text, None);
        self.keys.insert(key.to_vec(), Key { stored, expires });
    }

    /// DEL.
    pub(super) fn delete(&mut self, key: &[u8]) -> bool {
        self.keys.remove(key).is_some()
    }

    /// PEXPIRE.
    pub(super) fn expire(&mut self, key: &[u8], millis: u64) {
        if let Some(key) = self.keys.get_mut(key) {
            key.expires = Some(self.now.saturating_add(millis.saturating_mul(1_000)));
        }
    }

    fn stream(&self, key: &[u8]) -> Result<Option<&Stream>, Refusal> {
        match self.keys.get(key).map(|key| &key.stored) {
            None => Ok(None),
            Some(Stored::Stream(stream)) => Ok(Some(stream)),
            Some(_) => Err(wrong_type()),
        }
    }

    fn stream_mut(&mut self, key: &[u8]) -> Result<&mut Stream, Refusal> {
        let begin = || Key {
            stored: Stored::Stream(Stream::default()),
            expires: None,
        };
        match &mut self.keys.entry(key.to_vec()).or_insert_with(begin).stored {
            Stored::Stream(stream) => Ok(stream),
            _ => Err(wrong_type()),
        }
    }

    fn hash(&self, key: &[u8]) -> Result<&[(Bytes, Bytes)], Refusal> {
        match self.keys.get(key).map(|key| &key.stored) {
            None => Ok(&[]),
            Some(Stored::Hash(hash)) => Ok(hash),
            Some(_) => Err(wrong_type()),
        }
    }

    /// XADD, with `MAXLEN = capacity` if there is one.
    pub(super) fn add(&mut self, key: &[u8], id: Id, fields: Vec<Bytes>) -> Result<(), Refusal> {
        let stream = self.stream_mut(key)?;
        if id <= stream.last {
            return Err(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
                    .into(),
            );
        }
        stream.last = id;
        stream.entries.push_back(StreamEntry { id, fields });
        Ok(())
    }

    /// XTRIM MAXLEN = `capacity`, if there are more than `most`.
    pub(super) fn cut(&mut self, key: &[u8], most: usize, capacity: usize) -> Result<(), Refusal> {
        let entries = &mut self.stream_mut(key)?.entries;
        if entries.len() > most {
            entries.drain(..entries.len() - capacity);
        }
        Ok(())
    }

    /// XTRIM MINID =.
    pub(super) fn trim(&mut self, key: &[u8], least: Id) -> Result<(), Refusal> {
        if self.stream(key)?.is_some() {
            self.stream_mut(key)?
                .entries
                .retain(|entry| entry.id >= least);
        }
        Ok(())
    }

    /// XRANGE, from `least` on, of which it is or not.
    pub(super) fn range(
        &self,
        key: &[u8],
        (least, is_included): (Id, bool),
        count: usize,
    ) -> Result<Vec<StreamEntry>, Refusal> {
        let entries = self
            .stream(key)?
            .into_iter()
            .flat_map(|stream| &stream.entries);
        let found = entries.filter(|entry| entry.id > least || (is_included && entry.id == least));
        Ok(found.take(count).cloned().collect())
    }

    /// XREVRANGE of all of it.
    pub(super) fn newest(&self, key: &[u8], count: usize) -> Result<Vec<StreamEntry>, Refusal> {
        let entries = self.stream(key)?.into_iter();
        let entries = entries.flat_map(|stream| stream.entries.iter().rev());
        Ok(entries.take(count).cloned().collect())
    }

    /// HGET.
    pub(super) fn value(&self, key: &[u8], field: &[u8]) -> Result<Option<Bytes>, Refusal> {
        let mut fields = self.hash(key)?.iter();
        let found = fields.find(|(name, _)| name == field);
        Ok(found.map(|(_, value)| value.clone()))
    }

    /// HGETALL: in the order in which they came, as Redis has it while a hash is small.
    pub(super) fn fields(&self, key: &[u8]) -> Result<Hash, Refusal> {
        Ok(self.hash(key)?.to_vec())
    }

    /// HSET.
    pub(super) fn put(&mut self, key: &[u8], field: &[u8], value: Bytes) -> Result<(), Refusal> {
        let begin = || Key {
            stored: Stored::Hash(Hash::new()),
            expires: None,
        };
        let key = self.keys.entry(key.to_vec()).or_insert_with(begin);
        let Stored::Hash(hash) = &mut key.stored else {
            return Err(wrong_type());
        };
        match hash.iter_mut().find(|(name, _)| name == field) {
            Some((_, old)) => *old = value,
            None => hash.push((Bytes::copy_from_slice(field), value)),
        }
        Ok(())
    }

    /// HDEL.
    pub(super) fn remove(&mut self, key: &[u8], field: &[u8]) -> Result<bool, Refusal> {
        let count = self.hash(key)?.len();
        let mut left = 0;
        if let Some(Key {
            stored: Stored::Hash(hash),
            ..
        }) = self.keys.get_mut(key)
        {
            hash.retain(|(name, _)| name != field);
            left = hash.len();
        }
        if left == 0 {
            self.keys.remove(key);
        }
        Ok(left < count)
    }
}
