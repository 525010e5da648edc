//! Names: of groups and channels, of the keys and channels they have in Redis, and of the host that
//! holds them.
//!
//! Source: `BaseChannelLayer` of `channels` 4.3, `core.py`, `pubsub.py` and `utils.py` of
//! `channels_redis` 4.3.

use sha2::{Digest, Sha256};

/// Names are shorter than this, in characters.
const NAME_CHARS: usize = 100;

/// Longest local part of a channel of ours: `specific.`, 32 digits and `!` before it.
const LOCAL_CHARS_MAX: usize = NAME_CHARS - 1 - 42;

/// What a local part begins with when the group's name is too long for it. No room's name does.
const DIGEST: &str = "sha256-";

/// Places of the ring over which names are spread.
const RING: u32 = 4096;

/// A channel's name up to and including its `!`: what one process listens on.
#[must_use]
pub fn non_local(channel: &str) -> &str {
    match channel.split_once('!') {
        Some((process, _)) => channel.get(..=process.len()).unwrap_or(channel),
        None => channel,
    }
}

/// Could this be a channel's name, of which a key is made? No key of ours, or of a group, follows from one.
#[must_use]
pub fn may_be_channel(name: &str) -> bool {
    let is_legal = |character: char| character.is_alphanumeric() || "-_.!".contains(character);
    (1..NAME_CHARS).contains(&name.chars().count()) && name.chars().all(is_legal)
}

/// Which of `hosts` holds a name.
///
/// What is hashed: in layer `core` the bare group and the [`non_local`] name of a channel, in layer
/// `pubsub` the channel of Redis. A direct `send` of the Python `core` layer hashes the *full* name
/// of the channel (channels_redis issue 221), so with several hosts a receiver has to listen for its
/// own key on every one of them. General channels go round.
#[must_use]
pub fn host_of(name: &str, hosts: usize) -> usize {
    if hosts <= 1 {
        return 0;
    }
    let place = crc32fast::hash(name.as_bytes()) % RING;
    // In floating point, as there: 4096 / 3 is no whole number.
    let divisor = f64::from(RING) / f64::from(u32::try_from(hosts).unwrap_or(RING));
    let index = f64::from(place) / divisor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of hosts"
    )]
    let index = index as usize;
    index
}

/// Names in Redis under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: Box<str>,
}

impl Keys {
    /// The names under `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// `core`: the sorted set of a group's members, by the time they joined.
    #[must_use]
    pub fn group(&self, group: &str) -> String {
        format!("{}:group:{group}", self.prefix)
    }

    /// `core`: the sorted set of messages waiting for a channel, given its [`non_local`] name or the
    /// name of a general channel.
    #[must_use]
    pub fn channel(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `pubsub`: the channel of Redis on which a group is published.
    #[must_use]
    pub fn group_channel(&self, group: &str) -> String {
        format!("{}__group__{group}", self.prefix)
    }

    /// `pubsub`: the reverse of [`Keys::group_channel`].
    #[must_use]
    pub fn group_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        channel
            .strip_prefix(&*self.prefix)?
            .strip_prefix("__group__")
    }
}

/// The channels on which this node receives in layer `core`.
///
/// One would do; but senders stop at `capacity` messages waiting for one, so several make room for a
/// burst without a change in Django's settings. A group always uses the same one, which keeps its
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receivers {
    names: Vec<String>,
}

impl Receivers {
    /// `count` receivers, at least one, with fresh names from random bytes.
    #[must_use]
    pub fn new(count: usize, fill: &mut dyn FnMut(&mut [u8])) -> Self {
        let name = |_| {
            let mut id = [0; 16];
            fill(&mut id);
            format!("specific.{}!", hexadecimal(&id))
        };
        Self {
            names: (0..count.max(1)).map(name).collect(),
        }
    }

    /// The receivers' names, each ending in `!`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Is this channel, by its full or its [`non_local`] name, one of ours?
    #[must_use]
    pub fn is_own(&self, channel: &str) -> bool {
        let process = non_local(channel);
        self.names.iter().any(|name| name == process)
    }

    /// The channel that this node adds to a group: its local part says which group it was.
    #[must_use]
    pub fn member(&self, group: &str) -> String {
        let index = host_of(group, self.names.len());
        let name = self.names.get(index).map_or("", String::as_str);
        if group.len() <= LOCAL_CHARS_MAX && !group.starts_with(DIGEST) {
            format!("{name}{group}")
        } else {
            format!("{name}{}", digest_of(group))
        }
    }

    /// What the local part of a channel of ours says; nothing if the channel is not ours.
    #[must_use]
    pub fn group_of<'a>(&self, channel: &'a str) -> Option<Local<'a>> {
        let (process, local) = channel.split_at_checked(non_local(channel).len())?;
        if !self.names.iter().any(|name| name == process) || local.is_empty() {
            return None;
        }
        Some(if local.starts_with(DIGEST) {
            Local::Digest(local)
        } else {
            Local::Group(local)
        })
    }
}

/// Which group a message came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local<'a> {
    /// The group's name.
    Group(&'a str),
    /// The [`digest_of`] its name, which was too long.
    Digest(&'a str),
}

/// The local part for a group whose name is too long for one (58 characters and more). Keep a table
/// from it to the group for as long as the node is a member.
#[must_use]
pub fn digest_of(group: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(group).into();
    let (half, _) = digest.split_at(16);
    format!("{DIGEST}{}", hexadecimal(half))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RoomName;

    fn receivers(count: usize) -> Receivers {
        let mut next = 0;
        Receivers::new(count, &mut |bytes| {
            next += 1;
            bytes.fill(next);
        })
    }

    #[test]
    fn keys_are_those_of_the_layers() {
        let keys = Keys::new("asgi");
        let process = format!("specific.{}!", "0".repeat(32));
        assert_eq!(keys.group("chat_1_a"), "asgi:group:chat_1_a");
        assert_eq!(keys.channel(&process), format!("asgi{process}"));
        assert_eq!(
            keys.channel("thumbnails-generate"),
            "asgithumbnails-generate"
        );
        let channel = keys.group_channel("chat_1_a");
        assert_eq!(channel, "asgi__group__chat_1_a");
        assert_eq!(keys.group_of(&channel), Some("chat_1_a"));
        assert_eq!(keys.group_of("asgispecific.00"), None);
    }

    #[test]
    fn every_room_is_a_member_by_a_legal_name_that_says_which() {
        let receivers = receivers(3);
        for length in 1..=64 {
            let room = RoomName::chat("123456789012345678", &"s".repeat(length)).expect("legal");
            let member = receivers.member(room.as_str());
            assert!(
                super::super::tests::names::is_channel_name(&member),
                "{member}"
            );
            assert!(receivers.is_own(&member) && receivers.is_own(non_local(&member)));
            match receivers.group_of(&member) {
                Some(Local::Group(group)) => assert_eq!(group, room.as_str()),
                Some(Local::Digest(digest)) => {
                    assert_eq!(digest, digest_of(room.as_str()));
                    assert!(room.as_str().len() > LOCAL_CHARS_MAX);
                }
                None => panic!("{member}"),
            }
        }
    }

    #[test]
    fn what_is_not_ours_has_no_group() {
        let receivers = receivers(2);
        let other = format!("specific.{}!chat_1_a", "f".repeat(32));
        assert_eq!(receivers.group_of(&other), None);
        assert_eq!(receivers.group_of("general"), None);
        assert_eq!(receivers.group_of(&receivers.names()[0]), None);
        assert!(!receivers.is_own(&other) && !receivers.is_own(""));
    }

    #[test]
    fn rooms_use_all_receivers_and_each_always_the_same() {
        let receivers = receivers(8);
        let of = |room: &str| {
            receivers
                .member(room)
                .split_once('!')
                .map(|(name, _)| name.to_owned())
        };
        let used: std::collections::HashSet<_> = (0..200)
            .map(|session| of(&format!("chat_1_{session}")))
            .collect();
        assert_eq!(used.len(), 8);
        assert_eq!(of("chat_1_7"), of("chat_1_7"));
    }
}
