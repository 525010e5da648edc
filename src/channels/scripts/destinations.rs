//! Users' messages to a channel or a group: all that go together, in one step for each host.

use super::lua::SEND;
use super::{Commands, Score, evaluate};
use crate::channels::codec::Unwritable;
use crate::channels::codec::value::{Map, To};
use crate::channels::keys::{Receivers, host_of, may_be_channel, non_local};
use crate::redis::RedisCommand;
use std::collections::HashMap;
use std::time::Duration;

/// Whom a message is for, beside the key it is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Recipients {
    /// Whoever reads the key.
    Anybody,
    /// One channel.
    Channel(String),
    /// These members of a group.
    Members(Vec<String>),
}

/// One key that gets messages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProcessQueue {
    process: String,
    capacity: usize,
    recipients: Recipients,
}

/// The keys of one host that get messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeys {
    /// The host's index.
    pub host: usize,
    queues: Vec<ProcessQueue>,
}

impl HostKeys {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.queues.len()
    }
}

/// A message for each key of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMessage {
    /// Which one of those that go together.
    pub number: usize,
    /// When it is sent.
    pub now: Score,
    texts: Vec<Vec<u8>>,
}

impl HostMessage {
    /// The bytes that Redis gets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(Vec::len).sum()
    }
}

/// Where messages leave marks: in sorted sets of this node's.
#[derive(Clone, Debug)]
pub struct MarkKeys {
    /// A key without which nothing is done.
    pub fence: Vec<u8>,
    /// Where earlier marks are, which go.
    pub last: Vec<u8>,
    /// Where these go.
    pub marks: Vec<u8>,
    /// For how long.
    pub kept: Duration,
}

/// What one host is told when a message goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCommand {
    /// The host's index.
    pub host: usize,
    /// `EVAL` of [`SEND`].
    pub send: RedisCommand,
    /// How many destinations `send` has.
    pub destinations: usize,
}

impl Commands {
    /// `core`: the key of one channel. The index is of the host for a channel with `!`; a general
    /// channel's host is the caller's choice, one after the other.
    ///
    /// The layer's four commands ask and then add; [`Commands::send`] asks and adds in one script. A channel with `!` is
    /// sent to where its owner listens, not to where the Python layer would send it; see [`host_of`].
    #[must_use]
    pub fn to_channel(&self, channel: &str) -> HostKeys {
        let is_local = channel.contains('!');
        let process = non_local(channel);
        let host = host_of(process, self.channels.hosts.len());
        let recipients = if is_local {
            Recipients::Channel(channel.to_owned())
        } else {
            Recipients::Anybody
        };
        let queue = ProcessQueue {
            process: process.to_owned(),
            capacity: self.channels.capacity_of(channel),
            recipients,
        };
        HostKeys {
            host: if is_local { host } else { 0 },
            queues: vec![queue],
        }
    }

    /// `core`: the keys behind the members of a group, by process in the order of each one's first member, whose capacity
    /// counts. Members of `own` are left out: their node hears of it directly; and what is no channel, whose key would be
    /// somebody else's. No member, no key.
    #[must_use]
    pub fn to_group<'m>(
        &self,
        members: impl IntoIterator<Item = &'m str>,
        own: &Receivers,
    ) -> Vec<HostKeys> {
        let mut hosts: Vec<HostKeys> = Vec::new();
        let mut places = HashMap::new();
        let is_other = |member: &&str| may_be_channel(member) && !own.is_own(member);
        for member in members.into_iter().filter(is_other) {
            let process = non_local(member);
            let (host, place) = *places.entry(process).or_insert_with(|| {
                let host = host_of(process, self.channels.hosts.len());
                let at = hosts.iter().position(|keys| keys.host == host);
                let at = at.unwrap_or_else(|| {
                    hosts.push(HostKeys {
                        host,
                        queues: Vec::new(),
                    });
                    hosts.len() - 1
                });
                let queues = hosts.get_mut(at).map(|keys| &mut keys.queues);
                let place = queues.map_or(0, |queues| {
                    queues.push(ProcessQueue {
                        process: process.to_owned(),
                        capacity: self.channels.capacity_of(member),
                        recipients: Recipients::Members(Vec::new()),
                    });
                    queues.len() - 1
                });
                (at, place)
            });
            let queue = hosts
                .get_mut(host)
                .and_then(|keys| keys.queues.get_mut(place));
            if let Some(Recipients::Members(members)) = queue.map(|queue| &mut queue.recipients) {
                members.push(member.to_owned());
            }
        }
        hosts
    }

    /// `core`: a message as each of these keys gets it; `number` is which one it is of those that go together.
    ///
    /// # Errors
    /// As [`DjangoCodec::encode`](super::DjangoCodec::encode).
    pub fn write(
        &self,
        to: &HostKeys,
        event: &Map<'_>,
        number: usize,
        now: Score,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<HostMessage, Unwritable> {
        let text = |queue: &ProcessQueue| {
            let to = match &queue.recipients {
                Recipients::Anybody => To::Nobody,
                Recipients::Channel(channel) => To::One(channel),
                Recipients::Members(members) => To::Many(members),
            };
            self.codec.encode(event, to, now.second(), fill)
        };
        Ok(HostMessage {
            number,
            now,
            texts: to.queues.iter().map(text).collect::<Result<_, _>>()?,
        })
    }

    /// `core`: sends messages, in this order, to these keys. The reply is `FENCED`, or for each message how many keys were
    /// full, which is the layer's `ChannelFull`; then how many keys are no queues, and what Redis says of one.
    #[must_use]
    pub fn send(
        &self,
        to: &HostKeys,
        messages: Vec<HostMessage>,
        marks: Option<&MarkKeys>,
    ) -> RedisCommand {
        let expiry = self.channels.expiry.as_secs();
        let keys = to.queues.iter().map(|to| self.keys.channel(&to.process));
        let keys = keys.map(String::into_bytes).collect();
        let expired = messages.last().map(|last| last.now.before(expiry));
        let mut arguments = vec![
            messages.len().to_string(),
            expiry.to_string(),
            expired.unwrap_or_default(),
        ];
        arguments.extend(to.queues.iter().map(|to| to.capacity.to_string()));
        let mut arguments: Vec<Vec<u8>> = arguments.into_iter().map(String::into_bytes).collect();
        for message in messages {
            arguments.push(message.number.to_string().into_bytes());
            arguments.push(message.now.text().into_bytes());
            arguments.extend(message.texts);
        }
        if let Some(to) = marks {
            arguments.extend([&to.fence, &to.marks, &to.last].map(Clone::clone));
            arguments.push(to.kept.as_secs().max(1).to_string().into_bytes());
        }
        evaluate(SEND, keys, arguments)
    }

    /// `core`: one message for the members of a group, by one command for each host.
    ///
    /// # Errors
    /// As [`DjangoCodec::encode`](super::DjangoCodec::encode).
    pub fn send_to_group<'m>(
        &self,
        members: impl IntoIterator<Item = &'m str>,
        own: &Receivers,
        event: &Map<'_>,
        now: Score,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<HostCommand>, Unwritable> {
        let hosts = self.to_group(members, own).into_iter();
        let commands = hosts.map(|to| {
            let message = self.write(&to, event, 0, now, fill)?;
            Ok(HostCommand {
                host: to.host,
                send: self.send(&to, vec![message], None),
                destinations: to.len(),
            })
        });
        commands.collect()
    }
}
