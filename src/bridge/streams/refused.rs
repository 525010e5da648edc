//! Rooms whose keys in Redis are not ours: of another type, or with entries of somebody else.
//!
//! Such a room goes on within each node. Nobody says when the keys are given back, so its stream is
//! read again every second; see `Streams::ask_again`. That it is refused is told once, and once a
//! second at most for all rooms together.
//!
//! Bound: rooms with members on this node, and those that were left within a second.

use crate::bridge::link::RedisLink;
use crate::name::RoomName;
use crate::redis::failure::CommandError;
use crate::redis::log_limiter::LogLimiter;
use parking_lot::Mutex;
use std::collections::HashSet;

/// The refused rooms of one Redis.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) rooms: Mutex<HashSet<RoomName>>,
    notices: Mutex<LogLimiter>,
}

impl Refused {
    /// Redis refuses this room, whose stream has this key, for this reason.
    pub(super) fn add(
        &self,
        link: &RedisLink,
        (name, key): (&RoomName, impl Fn(&str) -> String),
        error: &CommandError,
    ) {
        let is_news = self.rooms.lock().insert(name.clone());
        if !is_news {
            return;
        }
        // The name lets in whoever knows it: only who debugs sees it.
        tracing::debug!(
            key = key(name.as_str()),
            tag = name.tag(),
            "Redis refuses a room's stream"
        );
        if self.notices.lock().is_due(link.clock.now()) {
            tracing::warn!(
                redis = link.name,
                address = link.deployment.shown,
                key = key(&format!("{name:?}")),
                reason = %error,
                "Redis refuses a room's stream: what is said there stays within each node"
            );
        }
    }

    /// The room's stream may be read again.
    pub(super) fn remove(&self, name: &RoomName) {
        self.rooms.lock().remove(name);
    }

    pub(super) fn clear(&self) {
        self.rooms.lock().clear();
    }
}
