//! What every worker of a node is given.

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use std::fmt;
use std::sync::Arc;

/// Called with [`Handoff::counted`](super::Handoff::counted) when a connection is gone.
pub type OnClose = Arc<dyn Fn(u64) + Send + Sync>;

/// What every worker is given.
#[derive(Clone)]
pub struct Supplies {
    /// Settings.
    pub config: Arc<Config>,
    /// The settings as they hold on routes that have some of their own, by number from 1.
    pub of_routes: Arc<[Config]>,
    /// The time.
    pub clock: Clock,
    /// Rooms.
    pub broker: Arc<Broker>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Gives back what a connection held.
    pub on_close: OnClose,
}

impl fmt::Debug for Supplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supplies").finish_non_exhaustive()
    }
}
