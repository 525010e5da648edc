//! What the connections of one worker have in common: caps, rates, and how long each thing may take.

use crate::config;
use crate::transport::Limits;
use crate::worker::rate_limit::Rate;
use std::time::Duration;

/// What the connections of one worker have in common.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub(super) limits: Limits,
    pub(super) messages: Rate,
    pub(super) bytes: Rate,
    pub(super) pings: Rate,
    pub(super) refusals: u16,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) message_timeout: Duration,
    /// How long a socket may take nothing while something waits for it.
    pub(super) patience: Duration,
}

impl Rules {
    /// The rules of a configuration.
    #[must_use]
    pub fn new(config: &config::Config) -> Self {
        let limits = &config.limits;
        Self {
            limits: Limits {
                message_bytes: limits.message_bytes,
                fragments: limits.fragments,
            },
            messages: Rate {
                per_second: limits.messages_per_second,
                burst: limits.messages_burst,
            },
            // Two seconds' worth, and never less than one whole message.
            bytes: Rate {
                per_second: limits.bytes_per_second,
                burst: limits
                    .bytes_per_second
                    .saturating_mul(2)
                    .max(u32::try_from(limits.message_bytes).unwrap_or(u32::MAX)),
            },
            pings: Rate {
                per_second: limits.pings_per_second,
                burst: limits.pings_per_second,
            },
            refusals: u16::try_from(limits.refusals).unwrap_or(u16::MAX),
            ping_interval: config.server.ping_interval,
            ping_timeout: config.server.ping_timeout,
            message_timeout: limits.message_timeout,
            patience: config
                .queue
                .expiry
                .max(config.server.ping_interval + config.server.ping_timeout),
        }
    }
}

/// How long a connection that has said its close may take to go away: time for the peer's answer,
/// so that the close frame is not lost to a reset.
pub const LINGER: Duration = Duration::from_secs(1);

/// The same for a peer that took its close frame no sooner than [`LINGER`] after it was put in line: it reads what is before the close frame first, and may
/// answer a ping in there.
pub const LINGER_SLOW: Duration = Duration::from_secs(4);

/// How long a close frame may wait for a peer that takes nothing. A window that was full opens again
/// only when much of it has been read: one of 128 KiB, read at 12 KB/s, after 11 s.
pub const CLOSE_STILL: Duration = Duration::from_secs(12);

/// How long a close frame may wait for a peer that takes what is before it.
pub const CLOSE_MAX: Duration = Duration::from_secs(60);

/// Bytes that are read of a peer after its connection began to end, and one read more: what was on its
/// way. Who sends on is not read, and reset when its time is over.
pub const DISCARD_BYTES: u32 = 256 * 1024;

/// What a slow peer is trusted to read in a second. What is written in front of a ping delays the
/// pong by as much.
pub(super) const SLOWEST: u32 = 1024;
