//! What a reader of arrivals has, whichever the mode.

use super::envelope::EnvelopeFault;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::metrics::{Metrics, count};
use crate::redis::log_limiter::LogLimiter;
use crate::redis::wait_budget::WaitBudget;
use std::sync::Arc;

/// Where arrivals go, how long a full mailbox is waited for, and how often poison is told.
pub(super) struct ReadContext {
    pub(super) broker: Arc<Broker>,
    pub(super) budget: WaitBudget,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Which Redis, in logs.
    label: &'static str,
    poison_lines: LogLimiter,
}

impl ReadContext {
    /// For a session that begins, over the Redis of this label.
    pub(super) fn new(
        broker: Arc<Broker>,
        clock: Clock,
        metrics: &Arc<Metrics>,
        label: &'static str,
    ) -> Self {
        Self {
            broker,
            budget: WaitBudget::new(clock),
            clock,
            metrics: Arc::clone(metrics),
            label,
            poison_lines: LogLimiter::default(),
        }
    }

    /// Not from one of us: counted, and told at most once a second, without a byte of it: it may be what somebody said.
    pub(super) fn poison(&mut self, poison: EnvelopeFault, bytes: &[u8]) {
        count(&self.metrics.bridge_dropped, "cause", "poison");
        if !self.poison_lines.is_due(self.clock.now()) {
            return;
        }
        tracing::warn!(
            redis = self.label,
            length = bytes.len(),
            "dropped what is no envelope of ours: {poison}"
        );
    }
}
