//! What letting clients in takes.

use super::admission::Admission;
use super::api::Api;
use super::origin::Allowed;
use super::route::Router;
use crate::auth::Authenticator;
use crate::broker::Quotas;
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
    /// Who may have one more handshake under way.
    pub handshakes: Arc<Admission>,
    /// What users, businesses, rooms and addresses use together.
    pub quotas: Arc<Quotas>,
    /// Which paths lead where.
    pub policy: HandshakePolicy,
    /// The HTTP API.
    pub api: Arc<Api>,
    /// Who may come in, as of now.
    pub rules: watch::Receiver<Arc<EntryRules>>,
    /// True once this node takes nobody new any more.
    pub closing: watch::Receiver<bool>,
}

/// Who may come in, checked and compiled: what may change while the node runs.
#[derive(Debug)]
pub struct EntryRules {
    pub(super) allowed: Allowed,
    pub(super) authenticator: Authenticator,
}

impl EntryRules {
    /// The rules of a configuration.
    ///
    /// # Errors
    /// One sentence: an origin is none.
    pub fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
            allowed: Allowed::new(&config.origin.allowed)?,
            authenticator: Authenticator::default(),
        })
    }
}

/// Which paths lead where: the routes, checked and compiled. Made before anything runs, since they may be refused.
#[derive(Debug)]
pub struct HandshakePolicy {
    pub(super) router: Router,
    /// Routes of the program's own, behind those of the configuration.
    pub(super) own: Vec<OwnRoute>,
}

impl HandshakePolicy {
    /// The routes of the configuration and of the program.
    ///
    /// # Errors
    /// One sentence: a template is wrong, or two routes could match one path.
    pub fn new(config: &Config, own: Vec<OwnRoute>) -> Result<Self, String> {
        let templates = own.iter().map(|own| (own.template(), own.settings()));
        let router = Router::with(&config.routes_or_default(), templates);
        Ok(Self {
            router: router?,
            own,
        })
    }
}

impl Entrance {
    /// Who may come in, as of now.
    pub(super) fn rules(&self) -> Arc<EntryRules> {
        Arc::clone(&self.rules.borrow())
    }

    /// Does this node take nobody new any more?
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
