//! What the operator is answered from.

use crate::assistant::Dispatcher;
use crate::bridge::Bridge;
use crate::broker::Broker;
use crate::channels::Layer;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::worker::Workers;
use std::sync::Arc;
use tokio::sync::watch;

/// What the operator is answered from.
#[derive(Debug)]
pub struct Sources {
    /// Settings.
    pub config: Arc<Config>,
    /// The node's time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Rooms.
    pub broker: Arc<Broker>,
    /// The data plane.
    pub workers: Arc<Workers>,
    /// Who answers customers.
    pub assistant: Dispatcher,
    /// The way to other nodes, if there is one.
    pub bridge: Option<Arc<Bridge>>,
    /// The way to Django, if there is one.
    pub channels: Option<Arc<Layer>>,
    /// True from the first moment of a drain: this node is not ready for more.
    pub draining: watch::Receiver<bool>,
}

impl Sources {
    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}
