//! What a reader of arrivals has, whichever the mode.

use super::envelope::EnvelopeFault;
use super::link::RedisLink;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::metrics::count;
use crate::redis::log_limiter::LogLimiter;
use crate::redis::wait_budget::WaitBudget;
use std::sync::Arc;

/// Where arrivals go, how long a full mailbox is waited for, and how often poison is told.
pub(super) struct ReadContext {
    pub(super) broker: Arc<Broker>,
    pub(super) budget: WaitBudget,
    poison_lines: LogLimiter,
}

impl ReadContext {
    /// For a session that begins.
    pub(super) fn new(broker: Arc<Broker>, clock: Clock) -> Self {
        Self {
            broker,
            budget: WaitBudget::new(clock),
            poison_lines: LogLimiter::default(),
        }
    }

    /// Not from one of us: counted, and told at most once a second, without a byte of it: it may be what somebody said.
    pub(super) fn poison(&mut self, link: &RedisLink, poison: EnvelopeFault, bytes: &[u8]) {
        count(&link.metrics.bridge_dropped, "cause", "poison");
        if !self.poison_lines.is_due(link.clock.now()) {
            return;
        }
        tracing::warn!(
            redis = link.name,
            address = link.deployment.shown,
            length = bytes.len(),
            "dropped what is no envelope of ours: {poison}"
        );
    }
}
