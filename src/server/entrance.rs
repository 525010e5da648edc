//! What letting clients in takes.

use super::admission::Admission;
use crate::chat::OwnRoute;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::worker::Workers;
use std::sync::Arc;
use tokio::sync::watch;

/// What letting clients in takes.
#[derive(Debug)]
pub struct Entrance {
    /// Settings.
    pub config: Arc<Config>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where connections go.
    pub workers: Arc<Workers>,
    /// Who may have one more connection; a worker gives back what a closed one held.
    pub admission: Arc<Admission>,
    /// Routes of the program's own, behind those of the configuration.
    pub own: Vec<OwnRoute>,
    /// True once this node takes nobody new any more.
    pub closing: watch::Receiver<bool>,
}

impl Entrance {
    /// Does this node take nobody new any more?
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
