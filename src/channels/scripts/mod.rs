//! What is said to Redis, as data: which command, which arguments, in which order.
//!
//! Nothing is sent here. Each [`RedisCommand`] goes as it is to the host its function names (or to
//! [`host_of`] what its documentation names); the reply's meaning is told beside
//! it. Source: the commands that `channels_redis` 4.3 issues, recorded in `tests/channels/vectors.json`.

pub mod lua;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use super::codec::value::Map;
use super::codec::value::To;
use super::codec::{DjangoCodec, Unwritable};
use super::keys::{Keys, Receivers, host_of, non_local};
use crate::config::channels::ChannelsSettings;
use crate::redis::RedisCommand;
use lua::{HEAL, SEND, TAKE, TAKEN_BYTES, TAKEN_MAX, TAKEN_TURN};

/// Most members of a group that are read; the layer reads all. A member is one process, or on the
/// Python side one connection.
pub const MEMBERS_MAX: usize = 65_536;

/// Seconds a blocking receive waits, as in the layer.
pub const POP_TIMEOUT_SECS: u64 = 5;

/// A moment as a score of a sorted set: Unix time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u64);

impl Score {
    /// The score of `second` since the Unix epoch and the `micros` of that second.
    #[must_use]
    pub fn new(second: u64, micros: u32) -> Self {
        Self(
            second
                .saturating_mul(1_000_000)
                .saturating_add(micros.into()),
        )
    }

    /// Whole seconds.
    #[must_use]
    pub const fn second(self) -> u64 {
        self.0 / 1_000_000
    }

    fn text(self) -> String {
        format!("{}.{:06}", self.second(), self.0 % 1_000_000)
    }

    /// Everything with this score or a lower one is older than `age` seconds. In whole seconds, as in
    /// the layer.
    fn before(self, age: u64) -> String {
        self.second().saturating_sub(age).to_string()
    }
}

/// Scores that only grow, for one sender: equal scores would be ordered by their random prefix.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    last: u64,
}

impl Scores {
    /// The score for a message sent at this wall-clock time; a microsecond later than the last one if
    /// the clock stood still or went back.
    pub fn next(&mut self, (second, micros): (u64, u32)) -> Score {
        let Score(now) = Score::new(second, micros);
        self.last = now.max(self.last.saturating_add(1));
        Score(self.last)
    }
}

/// What one host is told when a message goes out: `trims` first (their replies mean nothing), then
/// `send`, whose reply is the number of full destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCommands {
    /// The host's index.
    pub host: usize,
    /// One `ZREMRANGEBYSCORE` for each destination; may go in one pipeline.
    pub trims: Vec<RedisCommand>,
    /// `EVAL` of [`SEND`].
    pub send: RedisCommand,
    /// How many destinations `send` has.
    pub destinations: usize,
}

impl HostCommands {
    /// All of it, in the order in which it goes out; the last reply counts.
    #[must_use]
    pub fn into_commands(self) -> Vec<RedisCommand> {
        let mut commands = self.trims;
        commands.push(self.send);
        commands
    }

    /// Leaves a mark, with this number, in a sorted set of this node's for so long; not done without the `fence`.
    #[must_use]
    pub fn marked(mut self, [fence, mark]: [&[u8]; 2], number: usize, kept: Duration) -> Self {
        let further = [
            fence.to_vec(),
            mark.to_vec(),
            number.to_string().into_bytes(),
            kept.as_secs().max(1).to_string().into_bytes(),
        ];
        self.send.arguments.extend(further);
        self
    }
}

/// One key that gets a message, and the members of the group behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProcessQueue<'a> {
    process: &'a str,
    capacity: usize,
    members: Vec<String>,
}

/// A destination and its message.
type ProcessMessage<'d, 'm> = (&'d ProcessQueue<'m>, Vec<u8>);

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

    /// `core`: joins a group, and renews a membership. For [`Commands::host_of_group`]. Repeat well
    /// within `group_expiry`: it is the answer to the expiry, to a restart of Redis and to a `flush`.
    #[must_use]
    pub fn join(&self, group: &str, member: &str, now: Score) -> [RedisCommand; 2] {
        let key = self.keys.group(group);
        let expiry = self.channels.group_expiry.as_secs().to_string();
        [
            RedisCommand::new(
                "ZADD",
                [key.as_bytes(), now.text().as_bytes(), member.as_bytes()],
            ),
            RedisCommand::new("EXPIRE", [key.as_bytes(), expiry.as_bytes()]),
        ]
    }

    /// `core`: leaves a group. For [`Commands::host_of_group`].
    #[must_use]
    pub fn leave(&self, group: &str, member: &str) -> RedisCommand {
        let key = self.keys.group(group);
        RedisCommand::new("ZREM", [key.as_bytes(), member.as_bytes()])
    }

    /// `core`: drops who joined too long ago, then lists the members, at most [`MEMBERS_MAX`]. For
    /// [`Commands::host_of_group`]. The second reply goes to [`Commands::send_to_group`].
    #[must_use]
    pub fn members(&self, group: &str, now: Score) -> [RedisCommand; 2] {
        let key = self.keys.group(group);
        let last = (MEMBERS_MAX - 1).to_string();
        [
            trim(&key, now, self.channels.group_expiry.as_secs()),
            RedisCommand::new("ZRANGE", [key.as_bytes(), b"0", last.as_bytes()]),
        ]
    }

    /// `core`: a message for the members of a group, in one batch for each host. Members of `own` are
    /// left out: their node hears of it directly. No member, no batch.
    ///
    /// # Errors
    /// As [`DjangoCodec::encode`].
    pub fn send_to_group<'m>(
        &self,
        members: impl IntoIterator<Item = &'m str>,
        own: &Receivers,
        event: &Map<'_>,
        now: Score,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<HostCommands>, Unwritable> {
        let members = members.into_iter().filter(|member| !own.is_own(member));
        let destinations = self.destinations(members);
        let mut hosts: Vec<(usize, Vec<ProcessMessage<'_, 'm>>)> = Vec::new();
        for destination in &destinations {
            let to = To::Many(&destination.members);
            let message = self.codec.encode(event, to, now.second(), fill)?;
            let host = host_of(destination.process, self.channels.hosts.len());
            let entry = (destination, message);
            match hosts.iter_mut().find(|(index, _)| *index == host) {
                Some((_, entries)) => entries.push(entry),
                None => hosts.push((host, vec![entry])),
            }
        }
        let batch = |(host, entries)| self.batch(host, entries, now);
        Ok(hosts.into_iter().map(batch).collect())
    }

    /// `core`: a message for one channel. The index is of the host for a channel with `!`; a general
    /// channel's host is the caller's choice, one after the other.
    ///
    /// The layer's four commands ask and then add; this asks and adds in one script. A reply of 1 is its
    /// `ChannelFull`. A channel with `!` is sent to where its owner listens, not to where the Python
    /// layer would send it; see [`host_of`].
    ///
    /// # Errors
    /// As [`DjangoCodec::encode`].
    pub fn send(
        &self,
        channel: &str,
        event: &Map<'_>,
        now: Score,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<HostCommands, Unwritable> {
        let is_local = channel.contains('!');
        let to = if is_local {
            To::One(channel)
        } else {
            To::Nobody
        };
        let message = self.codec.encode(event, to, now.second(), fill)?;
        let destination = ProcessQueue {
            process: non_local(channel),
            capacity: self.channels.capacity_of(channel),
            members: Vec::new(),
        };
        let host = host_of(destination.process, self.channels.hosts.len());
        let host = if is_local { host } else { 0 };
        Ok(self.batch(host, vec![(&destination, message)], now))
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
        let number = |number: usize| number.to_string().into_bytes();
        let keys = receivers.len() + 3;
        let mut arguments = vec![TAKE.into(), number(keys), fence, heard, taken];
        arguments.extend(receivers);
        let expiry = self.channels.expiry.as_secs().max(1).to_string();
        arguments.extend([TAKEN_MAX, TAKEN_BYTES, TAKEN_TURN].map(number));
        arguments.push(expiry.into_bytes());
        RedisCommand {
            name: "EVAL",
            arguments,
        }
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
        let mut arguments = vec![HEAL.into(), keys.len().to_string().into_bytes()];
        arguments.extend(keys);
        RedisCommand {
            name: "EVAL",
            arguments,
        }
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

    /// The members by process, in the order of each one's first member, whose capacity counts.
    fn destinations<'m>(&self, members: impl Iterator<Item = &'m str>) -> Vec<ProcessQueue<'m>> {
        let mut destinations: Vec<ProcessQueue<'m>> = Vec::new();
        let mut places = HashMap::new();
        for member in members {
            let process = non_local(member);
            let place = *places.entry(process).or_insert_with(|| {
                destinations.push(ProcessQueue {
                    process,
                    capacity: self.channels.capacity_of(member),
                    members: Vec::new(),
                });
                destinations.len() - 1
            });
            if let Some(destination) = destinations.get_mut(place) {
                destination.members.push(member.to_owned());
            }
        }
        destinations
    }

    fn batch(&self, host: usize, entries: Vec<ProcessMessage<'_, '_>>, now: Score) -> HostCommands {
        let expiry = self.channels.expiry.as_secs();
        let destinations = entries.len();
        let key = |destination: &ProcessQueue<'_>| self.keys.channel(destination.process);
        let trims = entries
            .iter()
            .map(|(destination, _)| trim(&key(destination), now, expiry))
            .collect();
        let mut arguments = vec![SEND.into(), destinations.to_string().into_bytes()];
        let keys = entries.iter().map(|(to, _)| key(to).into_bytes());
        arguments.extend(keys);
        let capacities: Vec<Vec<u8>> = entries
            .iter()
            .map(|(destination, _)| destination.capacity.to_string().into_bytes())
            .collect();
        arguments.extend(entries.into_iter().map(|(_, message)| message));
        arguments.extend(capacities);
        arguments.push(now.text().into_bytes());
        arguments.push(expiry.to_string().into_bytes());
        HostCommands {
            host,
            trims,
            send: RedisCommand {
                name: "EVAL",
                arguments,
            },
            destinations,
        }
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
