//! What all that use one Redis of `channels.hosts` share.

use super::memberships::Memberships;
use super::scripts::{Score, Scores};
use super::unheard::Unheard;
use crate::clock::{self, Clock};
use crate::config::BridgeSettings;
use crate::metrics::Metrics;
use crate::redis::client::RedisClient;
use crate::redis::deployment::Deployment;
use crate::redis::health::{self, LinkHealth};
use crate::redis::log_limiter::LogLimiter;
use crate::redis::subscriptions::Subscriptions;
use crate::redis::{LinkReport, Randomness};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One Redis of `channels.hosts`.
#[derive(Debug)]
pub(super) struct LayerHost {
    /// For people: `channels.hosts[0]`.
    pub(super) name: String,
    pub(super) deployment: Deployment,
    /// The rooms whose groups this Redis keeps.
    pub(super) rooms: Subscriptions<()>,
    /// Layer `core`: the groups that this node has joined there.
    pub(super) memberships: Mutex<Memberships>,
    /// Layer `core`: what may have been on its way when a session ended.
    pub(super) unheard: Unheard,
    /// The client for commands, while the host is up.
    pub(super) client: Mutex<Option<Arc<dyn RedisClient>>>,
    pub(super) health: LinkHealth,
    /// The reader waits for room in the workers' mailboxes.
    held_back: AtomicBool,
    scores: Mutex<Scores>,
    fault_lines: Mutex<LogLimiter>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

impl LayerHost {
    pub(super) fn new(
        (index, deployment): (usize, Deployment),
        settings: &BridgeSettings,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let label = health::label(index);
        let (up, took) = (&metrics.channels_up, &metrics.channels_canary);
        Self {
            name: health::name("channels.hosts", index),
            deployment,
            rooms: Subscriptions::new(
                settings.linger,
                settings.confirm_timeout,
                &Randomness::default(),
            ),
            memberships: Mutex::default(),
            unheard: Unheard::default(),
            client: Mutex::new(None),
            health: LinkHealth::new(("host", label), up, took, clock),
            held_back: AtomicBool::new(false),
            scores: Mutex::default(),
            fault_lines: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock,
        }
    }

    /// The client for commands, if this Redis is there.
    pub(super) fn client(&self) -> Option<Arc<dyn RedisClient>> {
        self.client.lock().clone()
    }

    /// The time, for memberships.
    pub(super) fn score(&self) -> Score {
        self.scores.lock().next(clock::wall())
    }

    /// May there be a line about what is wrong with a key? Each fault is counted anyway.
    pub(super) fn is_fault_due(&self) -> bool {
        self.fault_lines.lock().is_due(self.clock.now())
    }

    pub(super) fn hold_back(&self, is_held: bool) {
        self.held_back.store(is_held, Ordering::Relaxed);
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::Relaxed)
    }

    pub(super) fn see_canary(&self, text: &[u8]) {
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some(number) = number {
            self.health.see_canary(number);
        }
    }

    pub(super) fn report(&self, outbox: usize) -> LinkReport {
        let who = (self.name.as_str(), &self.deployment);
        self.health.report(who, &self.rooms, outbox)
    }
}
