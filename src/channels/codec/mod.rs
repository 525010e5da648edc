//! The bytes of a message, both layers, both formats: reading bounded, writing what Python reads.
//!
//! A message of layer `core` is random bytes, which make the members of a sorted set distinct, and a
//! body; of layer `pubsub` a body alone. The body is msgpack or JSON, encrypted or not. Emit nothing
//! but what these functions make: an undecodable message ends the Python consumer that happens to
//! read it.
//!
//! Limits: `channels.message_bytes`, [`DEPTH_MAX`], [`VALUES_MAX`].

use std::borrow::Cow;

pub(super) mod crypto;
pub(super) mod fault;
mod msgpack;
pub(super) mod text;
pub mod value;

use self::crypto::Keyring;
use self::msgpack::RECIPIENTS;
use self::value::{Map, To, Value};
use crate::config::Dialect;
use crate::config::channels::{ChannelsSettings, LayerKind, SerializerFormat};
pub use fault::{DEPTH_MAX, Poison, Unwritable, VALUES_MAX};

/// A token is refused this much after `expiry`, as in the `core` layer.
const EXPIRY_GRACE_SECS: u64 = 10;

/// A message that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct DjangoMessage<'a> {
    /// The channels it is for, by their full names; none on a general channel and in layer
    /// `pubsub`. The group's name is not in a message.
    pub to: Vec<Cow<'a, str>>,
    /// What the application sent.
    pub event: Map<'a>,
}

/// Reads and writes messages as one site's configuration says.
#[derive(Clone, Debug)]
pub struct DjangoCodec {
    layer: LayerKind,
    format: SerializerFormat,
    random_prefix_length: usize,
    keyring: Option<Keyring>,
    /// How old a token may be, in seconds; no limit in layer `pubsub`.
    ttl: Option<u64>,
    message_bytes: usize,
}

impl DjangoCodec {
    /// The codec of a configuration.
    #[must_use]
    pub fn new(channels: &ChannelsSettings) -> Self {
        let is_core = channels.layer == LayerKind::Core;
        Self {
            layer: channels.layer,
            format: channels.serializer_format,
            random_prefix_length: if is_core {
                channels.random_prefix_length
            } else {
                0
            },
            keyring: Keyring::new(&channels.symmetric_encryption_keys),
            ttl: is_core.then(|| channels.expiry.as_secs() + EXPIRY_GRACE_SECS),
            message_bytes: channels.message_bytes,
        }
    }

    /// Writes a message. `now` is the Unix time in seconds; `fill` gives random bytes of the operating
    /// system's quality, which the encryption relies on.
    ///
    /// # Errors
    /// If the format cannot hold it, or it is longer than `message_bytes`.
    pub fn encode(
        &self,
        event: &Map<'_>,
        to: To<'_>,
        now: u64,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<u8>, Unwritable> {
        let is_core = self.layer == LayerKind::Core;
        if is_core && event.get(RECIPIENTS).is_some() {
            return Err(Unwritable::Recipients);
        }
        let to = if is_core { to } else { To::Nobody };
        let body = match self.format {
            SerializerFormat::Msgpack => msgpack::write(event, to)?,
            SerializerFormat::Json => json(event, to)?,
        };
        let mut message = vec![0; self.random_prefix_length];
        fill(&mut message);
        match &self.keyring {
            Some(keyring) => {
                let mut initial = [0; 16];
                fill(&mut initial);
                keyring.encrypt(&body, now, initial, &mut message);
            }
            None => message.extend_from_slice(&body),
        }
        if message.len() > self.message_bytes {
            return Err(Unwritable::TooLong);
        }
        Ok(message)
    }

    /// Reads a message. `now` is the Unix time in seconds; `scratch` holds what was decrypted.
    ///
    /// # Errors
    /// Anything that is not a message of this configuration. Reading never panics, and whatever is
    /// announced it needs at most 8 times `message_bytes` and 20 MiB (both with JSON; measured).
    pub fn decode<'a>(
        &self,
        message: &'a [u8],
        now: u64,
        scratch: &'a mut Vec<u8>,
    ) -> Result<DjangoMessage<'a>, Poison> {
        if message.len() > self.message_bytes {
            return Err(Poison::TooLong);
        }
        let body = message
            .get(self.random_prefix_length..)
            .ok_or(Poison::Truncated)?;
        let body = match &self.keyring {
            Some(keyring) => keyring.decrypt(body, self.ttl.map(|ttl| (ttl, now)), scratch)?,
            None => body,
        };
        let mut event = match self.format {
            SerializerFormat::Msgpack => msgpack::read(body)?,
            SerializerFormat::Json => text::read(body)?,
        };
        let to = match self.layer {
            LayerKind::Core => recipients(event.take(RECIPIENTS))?,
            LayerKind::Pubsub => Vec::new(),
        };
        Ok(DjangoMessage { to, event })
    }
}

fn json(event: &Map<'_>, to: To<'_>) -> Result<Vec<u8>, Unwritable> {
    let mut out = Vec::with_capacity(256);
    let mut writer = text::JsonWriter {
        out: &mut out,
        dialect: Dialect::Django,
        first: true,
    };
    writer.open(b'{');
    for (key, value) in event.iter() {
        writer.entry(key, value)?;
    }
    match to {
        To::Nobody => {}
        To::One(channel) => writer.entry(RECIPIENTS, &Value::from(channel))?,
        To::Many(channels) => {
            let names = channels.iter().map(|name| Value::from(name.as_str()));
            writer.entry(RECIPIENTS, &Value::List(names.collect()))?;
        }
    }
    writer.end(b'}');
    Ok(out)
}

fn recipients(value: Option<Value<'_>>) -> Result<Vec<Cow<'_, str>>, Poison> {
    let name = |value| match value {
        Value::Text(name) => Ok(name),
        _ => Err(Poison::Recipients),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::List(names)) => names.into_iter().map(name).collect(),
        Some(value) => name(value).map(|name| vec![name]),
    }
}
