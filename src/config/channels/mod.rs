//! `[channels]`: the channel layer of a Django site.
//!
//! The first keys have the names, meanings and defaults of `CHANNEL_LAYERS["default"]["CONFIG"]` in
//! a `settings.py` (`channels_redis` 4.3), so that they can be copied over; the rest is ours. Both
//! sides must agree on them, or they do not hear each other.

mod capacity;
mod host;

#[cfg(test)]
mod tests;

pub use capacity::ChannelCapacity;
pub use host::HostAddress;

use super::key::KeyKind;
use super::problem::Findings;
use super::secret::Secret;
use super::setting::{choice, choices, kinds, seconds, section};
use super::units;
use std::time::Duration;

/// Longest random prefix; channels_redis itself sets no bound, 12 bytes are its default.
const RANDOM_PREFIX_MAX: usize = 64;
/// Virtual receive channels: each is a key of one blocking command on every host.
const RECEIVERS_MAX: usize = 64;
/// Hosts; the ring of channels_redis has 4096 places, nobody has that many.
const HOSTS_MAX: usize = 64;
/// Entries of a key; above this a receiver is not slow but gone.
const CAPACITY_MAX: usize = 1 << 20;
/// The smallest message worth a bridge, and the largest one reader should hold.
const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 1024..=64 * 1024 * 1024;
/// No group lives longer: a year.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// A prefix counts in every key.
const PREFIX_BYTES_MAX: usize = 64;
/// Names of Channels are shorter than this, in characters.
const NAME_CHARS: usize = 100;

section! {
    /// A Django site's channel layer; the first keys are those of CHANNEL_LAYERS' CONFIG in its settings.py.
    ["channels"] ChannelsSettings {
        /// Rooms are groups of a Django site: `group_send` to `chat_{business_id}_{session_id}` reaches the room's members.
        enabled: bool = false, restart;
        /// The site's `BACKEND`: `core` (RedisChannelLayer) or `pubsub` (RedisPubSubChannelLayer); the whole dotted name is understood too.
        layer: LayerKind = LayerKind::Core, restart;
        /// The site's `hosts` in its order: URLs, `[host, port]`, or tables as channels_redis takes them.
        hosts: Vec<HostAddress> = vec![HostAddress::default()], restart;
        /// What every key of the site begins with.
        prefix: String = "asgi".to_owned(), restart;
        /// A message that nobody took within this time is dropped; whole seconds, a bare number too.
        #[serde(with = "units::seconds")]
        expiry: Duration = seconds(60), restart;
        /// A membership that is not renewed within this time ends; ours are renewed four times as often.
        #[serde(with = "units::seconds")]
        group_expiry: Duration = seconds(86_400), restart;
        /// Most messages waiting for one process; what does not fit is counted, and refused as the layer does.
        capacity: usize = 100, restart;
        /// The first encrypts, all are tried; none = messages are not encrypted.
        symmetric_encryption_keys: Vec<Secret> = Vec::new(), restart;
        /// Random bytes in front of each message (layer `core`).
        random_prefix_length: usize = 12, restart;
        /// Form of a message: `msgpack` or `json`.
        serializer_format: SerializerFormat = SerializerFormat::Msgpack, restart;
        /// Types of events that the members of a room are shown.
        deliver_types: Vec<String> = vec!["chat.message".to_owned(), "chat_message".to_owned()], restart;
        /// Types of events that close a room's connections, with the event's `code` or 4500.
        close_types: Vec<String> = Vec::new(), restart;
        /// `send.error.message` shows the whole event, as the Python consumer does, instead of its text alone.
        full_error: bool = true, restart;
        /// Channel of a worker (`manage.py runworker NAME`) that gets every user's message (layer `core`); unset = none.
        send_to: Option<String> = None, restart;
        /// Group that gets every user's message; never one of chat consumers; unset = none.
        send_to_group: Option<String> = None, restart;
        /// Which messages of clients go there: of type `user`, and of type `system` as the package's consumer hears them.
        send: Vec<SentKind> = vec![SentKind::User], restart;
        /// The `type` of what is sent there: the consumer's method, with `_` for `.`.
        send_type: String = "chat.message".to_owned(), restart;
        /// A user whose message was taken on and could not be sent there is told so by an error frame.
        tell_full: bool = false, restart;
        /// Channels this node receives on, each with room for `capacity` messages (layer `core`).
        receivers: usize = 8, restart;
        /// Longest message in bytes that is read or written.
        message_bytes: usize = 1024 * 1024, restart;
        /// Other capacities by the channel's name, the first match counting: a shell `pattern`, or a `regex` for its beginning.
        channel_capacity: Vec<ChannelCapacity> = Vec::new(), restart;
    }
}

kinds! {
    Vec<ChannelCapacity> => KeyKind::Tables(&["pattern", "regex", "capacity"]),
}

choice! {
    /// Which channel layer of `channels_redis`.
    LayerKind {
        /// `channels_redis.core.RedisChannelLayer`.
        #[serde(alias = "channels_redis.core.RedisChannelLayer")]
        Core = "core",
        /// `channels_redis.pubsub.RedisPubSubChannelLayer`.
        #[serde(alias = "channels_redis.pubsub.RedisPubSubChannelLayer")]
        Pubsub = "pubsub",
    }
}

choices! {
    /// A type of clients' messages that Django is told.
    SentKind {
        /// What a user says.
        User = "user",
        /// What a client says as the system.
        System = "system",
    }
}

choice! {
    /// Form of a message.
    SerializerFormat {
        /// MessagePack.
        Msgpack = "msgpack",
        /// JSON as Python's `json.dumps` writes it.
        Json = "json",
    }
}

/// One mistake: the key, what is wrong, and the fix.
pub type Fault = (&'static str, String, &'static str);

impl ChannelsSettings {
    /// The most messages that may wait for `channel`, a full name. The first matching pattern
    /// counts, as in the layer.
    #[must_use]
    pub fn capacity_of(&self, channel: &str) -> usize {
        self.channel_capacity
            .iter()
            .find(|entry| entry.matches(channel))
            .map_or(self.capacity, ChannelCapacity::capacity)
    }

    /// What types cannot say. Empty = fine.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check_counts(&mut faults);
        self.check_durations(&mut faults);
        self.check_names(&mut faults);
        if self.send.is_empty() {
            faults.push((
                "send",
                "is empty: nothing would be sent".to_owned(),
                "write \"user\", \"system\" or both, or remove send_to and send_to_group",
            ));
        }
        if self.symmetric_encryption_keys.iter().any(is_empty) {
            faults.push((
                "symmetric_encryption_keys",
                "holds an empty key".to_owned(),
                "copy the keys of settings.py",
            ));
        }
        if self.layer == LayerKind::Pubsub && self.send_to.is_some() {
            faults.push((
                "send_to",
                "names a worker, but the layer is pubsub, where a message nobody hears is lost"
                    .to_owned(),
                "use send_to_group, or layer core",
            ));
        }
        faults
    }

    fn check_counts(&self, faults: &mut Vec<Fault>) {
        for (key, value, range) in [
            ("hosts", self.hosts.len(), 1..=HOSTS_MAX),
            ("capacity", self.capacity, 1..=CAPACITY_MAX),
            (
                "random_prefix_length",
                self.random_prefix_length,
                0..=RANDOM_PREFIX_MAX,
            ),
            ("receivers", self.receivers, 1..=RECEIVERS_MAX),
            ("message_bytes", self.message_bytes, MESSAGE_BYTES),
            ("prefix", self.prefix.len(), 0..=PREFIX_BYTES_MAX),
        ] {
            if !range.contains(&value) {
                let what = format!("{value} is not from {} to {}", range.start(), range.end());
                faults.push((key, what, "write a number in that range"));
            }
        }
    }

    fn check_durations(&self, faults: &mut Vec<Fault>) {
        for (key, value) in [("expiry", self.expiry), ("group_expiry", self.group_expiry)] {
            let whole = value.subsec_nanos() == 0 && !value.is_zero();
            if !whole || value > DURATION_MAX {
                faults.push((
                    key,
                    "is not a whole number of seconds from one second to a year".to_owned(),
                    "write the seconds of settings.py with a unit, such as \"60s\"",
                ));
            }
        }
    }

    fn check_names(&self, faults: &mut Vec<Fault>) {
        if self.prefix.bytes().any(|byte| byte.is_ascii_control()) {
            faults.push((
                "prefix",
                "holds a control character".to_owned(),
                "copy the prefix of settings.py",
            ));
        }
        for (key, name) in [
            ("send_to", &self.send_to),
            ("send_to_group", &self.send_to_group),
        ] {
            if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
                faults.push((
                    key,
                    format!("{name:?} is not a name of Channels"),
                    "write 1 to 99 of A-Z a-z 0-9 . _ -",
                ));
            }
        }
        let group = self.send_to_group.as_deref().unwrap_or_default();
        if group.starts_with("chat_") {
            faults.push((
                "send_to_group",
                format!("{group:?} may be a group of chat consumers, whom an unknown event ends"),
                "write a group of your own workers",
            ));
        }
        for (key, types) in [
            ("deliver_types", &self.deliver_types),
            ("close_types", &self.close_types),
        ] {
            if types
                .iter()
                .any(|kind| kind.is_empty() || kind.starts_with('_'))
            {
                faults.push((
                    key,
                    "holds a type that no consumer accepts".to_owned(),
                    "write types such as \"chat.message\", without a leading underscore",
                ));
            }
        }
        if self.send_type.is_empty() || self.send_type.starts_with('_') {
            faults.push((
                "send_type",
                format!("{:?} is a type that no consumer accepts", self.send_type),
                "write a type such as \"chat.message\"",
            ));
        }
    }
}

/// Ranges, names, and what has no effect.
pub(super) fn check(channels: &ChannelsSettings, found: &mut Findings) {
    channels.check_ranges(found);
    for (key, what, fix) in channels.faults() {
        found.error(format!("channels.{key}"), what, fix);
    }
    let is_told = channels.send_to.is_some() || channels.send_to_group.is_some();
    if channels.send != [SentKind::User] && !is_told {
        let fix = "set channels.send_to or channels.send_to_group, or remove it";
        found.warn(
            "channels.send",
            "has no effect: nobody is named who is told",
            fix,
        );
    }
    let sends = [
        ("channels.send_to", &channels.send_to),
        ("channels.send_to_group", &channels.send_to_group),
    ];
    for (key, name) in sends {
        if name.is_some() && !channels.enabled {
            let fix = "set channels.enabled = true, or remove it";
            found.warn(key, "has no effect: channels.enabled is false", fix);
        }
    }
}

fn is_empty(key: &Secret) -> bool {
    key.expose().is_empty()
}

/// What we send to is plain ASCII, stricter than the layer, and never one process's own channel.
fn is_name(text: &str) -> bool {
    (1..NAME_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
