//! What the operator is answered from.

use crate::archive::{Archive, JournalHistory};
use crate::assistant::Dispatcher;
use crate::bridge::Bridge;
use crate::broker::Broker;
use crate::channels::Layer;
use crate::clock::Clock;
use crate::config::{Changes, Config, problem};
use crate::metrics::Metrics;
use crate::shedding::Shedding;
use crate::vetting::Vetting;
use crate::worker::Workers;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Reads settings again: what has changed, or what is wrong with them.
pub type Reload = Arc<dyn Fn() -> Result<Changes, problem::Error> + Send + Sync>;

/// Why somebody may be refused who proves who they are, such as keys that cannot be fetched; `None` if nothing is wrong.
pub type CredentialFault = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What the operator is answered from.
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
    /// Whether memory is short.
    pub shedding: Arc<Shedding>,
    /// Who answers customers.
    pub assistant: Dispatcher,
    /// What members say is shown to the site.
    pub vetting: Vetting,
    /// The way to other nodes, if there is one.
    pub bridge: Option<Arc<Bridge>>,
    /// The way to Django, if there is one.
    pub channels: Option<Arc<Layer>>,
    /// What is kept of what is said, if anything is.
    pub archive: Option<Arc<Archive>>,
    /// The rooms' newest messages in the journal, if they are read there.
    pub history: Option<JournalHistory>,
    /// What is wrong with the means to judge credentials.
    pub credentials: CredentialFault,
    /// Has settings read again, if anybody knows how.
    pub reload: Option<Reload>,
    /// True from the first moment of a drain: this node is not ready for more.
    pub draining: watch::Receiver<bool>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources {
    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}
