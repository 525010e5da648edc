//! What is said to Redis, as data: which command, which arguments, in which order.
//!
//! Nothing is sent here. Each [`RedisCommand`] goes as it is to the host its function names (or to
//! [`host_of`] what its documentation names); the reply's meaning is told beside
//! it. Source: the commands that `channels_redis` 4.3 issues, recorded in `tests/channels/vectors.json`.

mod destinations;
pub mod lua;
#[cfg(test)]
mod tests;

use super::codec::value::{Map, To};
use super::codec::{DjangoCodec, Unwritable};
use super::keys::{Keys, Receivers, host_of};
use crate::config::channels::ChannelsSettings;
use crate::redis::RedisCommand;
pub use destinations::{HostKeys, HostMessage, MarkKeys};
use lua::{HEAL, JOIN, LEAVE, RENEW, TAKE, TAKEN_BYTES, TAKEN_MAX, TAKEN_TURN};

/// Most members of a group that are read; the layer reads all. A member is one process, or on the
/// Python side one connection.
pub const MEMBERS_MAX: usize = 65_536;

/// Seconds a blocking receive waits, as in the layer.
pub const POP_TIMEOUT_SECS: u64 = 5;

/// A moment as a score of a sorted set: Unix time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    micros: u64,
    /// What the clock said: a score may be ahead of that, and what is as old as an expiry is judged by the clock.
    second: u64,
}

impl Score {
    /// The score of `second` since the Unix epoch and the `micros` of that second.
    #[must_use]
    pub fn new(second: u64, micros: u32) -> Self {
        let whole = second.saturating_mul(1_000_000);
        Self {
            micros: whole.saturating_add(micros.into()),
            second,
        }
    }

    /// Whole seconds, by the clock.
    #[must_use]
    pub const fn second(self) -> u64 {
        self.second
    }

    fn text(self) -> String {
        format!("{}.{:06}", self.micros / 1_000_000, self.micros % 1_000_000)
    }

    /// Everything with this score or a lower one is older than `age` seconds. In whole seconds, as in
    /// the layer.
    fn before(self, age: u64) -> String {
        self.second.saturating_sub(age).to_string()
    }
}

/// The furthest that scores go on ahead of a clock that was set back. One that goes back further was wrong before: scores
/// as far in the future would stand behind everybody else's, and expire late.
const AHEAD_MICROS: u64 = 60 * 1_000_000;

/// Scores that only grow, for one sender: equal scores would be ordered by their random prefix.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    last: u64,
}

impl Scores {
    /// The score for a message sent at this wall-clock time; a microsecond later than the last one if
    /// the clock stood still or went back by a minute at most.
    pub fn next(&mut self, (second, micros): (u64, u32)) -> Score {
        let now = Score::new(second, micros);
        let next = self.last.saturating_add(1);
        let is_ahead = next > now.micros.saturating_add(AHEAD_MICROS);
        self.last = if is_ahead {
            now.micros
        } else {
            now.micros.max(next)
        };
        Score {
            micros: self.last,
            second,
        }
    }
}

/// The commands of one site's configuration.
#[derive(Clone, Debug)]
pub struct Commands {
    channels: ChannelsSettings,
    keys: Keys,
    codec: DjangoCodec,
}

impl Commands {
    /// The commands of a configuration.
    #[must_use]
    pub fn new(channels: &ChannelsSettings) -> Self {
        Self {
            channels: channels.clone(),
            keys: Keys::new(&channels.prefix),
            codec: DjangoCodec::new(channels),
        }
    }

    /// The names they use.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The codec they use.
    #[must_use]
    pub const fn codec(&self) -> &DjangoCodec {
        &self.codec
    }

    /// The host of a group (`core`).
    #[must_use]
    pub fn host_of_group(&self, group: &str) -> usize {
        host_of(group, self.channels.hosts.len())
    }

    /// `core`: joins groups, and renews memberships: each group with its member, and when. All of
    /// [`Commands::host_of_group`]. Repeat well within `group_expiry`: it is the answer to the expiry, to a restart of
    /// Redis and to a `flush`. Nothing is done without the `fence`.
    #[must_use]
    pub fn join<'g>(
        &self,
        fence: Vec<u8>,
        groups: impl IntoIterator<Item = (&'g str, String, Score)>,
    ) -> RedisCommand {
        let (mut keys, mut members) = (vec![fence], Vec::new());
        members.push(
            self.channels
                .group_expiry
                .as_secs()
                .to_string()
                .into_bytes(),
        );
        for (group, member, now) in groups {
            keys.push(self.keys.group(group).into_bytes());
            members.extend([now.text().into_bytes(), member.into_bytes()]);
        }
        evaluate(JOIN, keys, members)
    }

    /// `core`: leaves groups, each by its member. All of [`Commands::host_of_group`]. Nothing is done without the `fence`.
    #[must_use]
    pub fn leave<'g>(
        &self,
        fence: Vec<u8>,
        groups: impl IntoIterator<Item = (&'g str, String)>,
    ) -> RedisCommand {
        let (mut keys, mut members) = (vec![fence], Vec::new());
        for (group, member) in groups {
            keys.push(self.keys.group(group).into_bytes());
            members.push(member.into_bytes());
        }
        evaluate(LEAVE, keys, members)
    }

    /// `core`: sets the `fence` anew, and what shows that Redis remembers, unless the `next` one is there.
    #[must_use]
    pub fn renew(&self, next: Vec<u8>, fence: Vec<u8>, memory: Vec<u8>) -> RedisCommand {
        let seconds = self.channels.group_expiry.as_secs().to_string();
        let keys = vec![next, fence, memory];
        evaluate(RENEW, keys, vec![seconds.into_bytes()])
    }

    /// `core`: drops who joined too long ago, then lists the members, at most [`MEMBERS_MAX`]. For
    /// [`Commands::host_of_group`]. The second reply goes to [`Commands::to_group`].
    #[must_use]
    pub fn members(&self, group: &str, now: Score) -> [RedisCommand; 2] {
        let key = self.keys.group(group);
        let last = (MEMBERS_MAX - 1).to_string();
        [
            trim(&key, now, self.channels.group_expiry.as_secs()),
            RedisCommand::new("ZRANGE", [key.as_bytes(), b"0", last.as_bytes()]),
        ]
    }

    /// `core`: the keys of our receivers. Redis looks at them in this order, so each `turn` has another one first:
    /// a busy room cannot keep the others out.
    #[must_use]
    pub fn receivers(&self, own: &Receivers, turn: usize) -> Vec<Vec<u8>> {
        let names = own.names().iter();
        let mut keys: Vec<Vec<u8>> = names
            .map(|name| self.keys.channel(name).into_bytes())
            .collect();
        keys.rotate_left(turn % own.names().len().max(1));
        keys
    }

    /// `core`: waits for a message in any of these keys, on one host. The reply is key, message
    /// and score, or nothing after [`POP_TIMEOUT_SECS`]. One alone: it is lost if the reply is.
    #[must_use]
    pub fn pop(mut keys: Vec<Vec<u8>>) -> RedisCommand {
        keys.push(POP_TIMEOUT_SECS.to_string().into_bytes());
        RedisCommand {
            name: "BZPOPMIN",
            arguments: keys,
        }
    }

    /// `core`: how many of these keys have messages.
    #[must_use]
    pub const fn waiting(keys: Vec<Vec<u8>>) -> RedisCommand {
        RedisCommand {
            name: "EXISTS",
            arguments: keys,
        }
    }

    /// `core`: takes what waits in these receivers, and keeps it in `taken` until a later call deletes that as `heard`,
    /// or until the expiry. Does nothing without the `fence`, a key that is there while nobody else reads `taken`.
    #[must_use]
    pub fn take(
        &self,
        [fence, heard, taken]: [Vec<u8>; 3],
        receivers: Vec<Vec<u8>>,
    ) -> RedisCommand {
        let mut keys = vec![fence, heard, taken];
        keys.extend(receivers);
        let expiry = usize::try_from(self.channels.expiry.as_secs()).unwrap_or(usize::MAX);
        let limits = [
            TAKEN_MAX,
            TAKEN_BYTES,
            TAKEN_TURN,
            expiry.max(1),
            self.channels.message_bytes,
        ];
        let limits = limits.map(|number| number.to_string().into_bytes());
        evaluate(TAKE, keys, limits.to_vec())
    }

    /// `core`: what [`Commands::take`] has taken and its caller has not heard of, or the marks that were left.
    #[must_use]
    pub fn kept(key: &[u8]) -> RedisCommand {
        RedisCommand::new("ZRANGE", [key, b"0", b"-1"])
    }

    /// `core`: deletes those of our own keys that are no sorted sets; the reply is how many. Nobody else knows their
    /// names but those who send to us, and they cannot either as long as somebody's text is there.
    #[must_use]
    pub fn heal(keys: Vec<Vec<u8>>) -> RedisCommand {
        evaluate(HEAL, keys, Vec::new())
    }

    /// `pubsub`: a message for a group, and the host it is for. The reply is the number of
    /// connections that heard it, ours among them.
    ///
    /// # Errors
    /// As [`DjangoCodec::encode`].
    pub fn publish_to_group(
        &self,
        group: &str,
        event: &Map<'_>,
        now: Score,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(usize, RedisCommand), Unwritable> {
        self.publish(&self.keys.group_channel(group), event, now, fill)
    }

    /// `pubsub`: a message for one channel, whose name already has the prefix.
    ///
    /// # Errors
    /// As [`DjangoCodec::encode`].
    pub fn publish(
        &self,
        channel: &str,
        event: &Map<'_>,
        now: Score,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(usize, RedisCommand), Unwritable> {
        let message = self.codec.encode(event, To::Nobody, now.second(), fill)?;
        let command = RedisCommand::new("PUBLISH", [channel.as_bytes(), &message]);
        Ok((host_of(channel, self.channels.hosts.len()), command))
    }
}

fn evaluate(script: &str, keys: Vec<Vec<u8>>, further: Vec<Vec<u8>>) -> RedisCommand {
    let mut arguments = vec![script.into(), keys.len().to_string().into_bytes()];
    arguments.extend(keys);
    arguments.extend(further);
    RedisCommand {
        name: "EVAL",
        arguments,
    }
}

/// Drops what is older than `age` seconds from a sorted set.
fn trim(key: &str, now: Score, age: u64) -> RedisCommand {
    let oldest = now.before(age);
    RedisCommand::new(
        "ZREMRANGEBYSCORE",
        [key.as_bytes(), b"0", oldest.as_bytes()],
    )
}
