//! What letting clients in takes.

use super::admission::{Admission, Full, Permit};
use super::api::Api;
use super::cors::Cors;
use super::origin::Allowed;
use super::page;
use super::redirect::Redirect;
use super::route::Router;
use super::upstream::Upstream;
use super::visitor::Proxies;
use crate::auth::jwt::TOKEN_PROTOCOL;
use crate::auth::{Authenticator, Forward, Learnt, Modes};
use crate::broker::Quotas;
use crate::chat::OwnRoute;
use crate::config::{AuthMode, Config};
use crate::metrics::Metrics;
use crate::shedding::Shedding;
use crate::transport::handshake::Offer;
use crate::worker::Workers;
use std::sync::Arc;
use tokio::sync::watch;

/// The sub-protocol that names the plain dialect.
const PLAIN_DIALECT: &str = "supportal.v1";

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
    /// Whether there is memory for anybody new.
    pub shedding: Arc<Shedding>,
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
    /// The way to the site behind this node, if there is one.
    pub upstream: Option<Arc<Upstream>>,
    /// True once this node takes nobody new any more.
    pub closing: watch::Receiver<bool>,
}

/// Who may come in, checked and compiled: what may change while the node runs.
#[derive(Debug)]
pub struct EntryRules {
    pub(super) allowed: Allowed,
    pub(super) authenticator: Authenticator,
    learnt: Learnt,
    /// Is a sub-protocol with a token in it understood?
    takes_tokens: bool,
}

impl EntryRules {
    /// The rules of a configuration, and the site of `auth.forward` if there is one. What the rules before have `learnt`, such
    /// as keys that were fetched, stays where the settings are the same.
    ///
    /// # Errors
    /// One sentence: an origin is none, or a mode cannot work.
    pub fn new(
        config: &Config,
        site: Option<&Arc<Forward>>,
        learnt: &Learnt,
    ) -> Result<Self, String> {
        let modes = Modes::new(&config.auth, site, learnt).map_err(|error| error.to_string())?;
        Ok(Self {
            allowed: Allowed::new(&config.origin.allowed)?
                .with_cookies(config.auth.reads_cookies()),
            authenticator: modes.authenticator,
            learnt: modes.learnt,
            takes_tokens: config.auth.mode.contains(&AuthMode::Jwt),
        })
    }

    /// What the modes of these rules have learnt.
    #[must_use]
    pub fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    /// The sub-protocol that is answered: the plain dialect's name beside a token, since a browser drops a connection
    /// whose offer is not answered. The token is never said again.
    pub(super) fn answered(&self, offer: &Offer) -> Option<&'static str> {
        let brings_token = || {
            let mut protocols = offer.protocols.iter();
            protocols.any(|protocol| protocol.starts_with(TOKEN_PROTOCOL))
        };
        let is_answered = self.takes_tokens && offer.names(PLAIN_DIALECT) && brings_token();
        is_answered.then_some(PLAIN_DIALECT)
    }
}

/// Which paths lead where: the routes, checked and compiled. Made before anything runs, since they may be refused.
#[derive(Debug)]
pub struct HandshakePolicy {
    pub(super) router: Router,
    pub(super) proxies: Proxies,
    pub(super) redirect: Redirect,
    pub(super) cors: Option<Cors>,
    /// Routes of the program's own, behind those of the configuration.
    pub(super) own: Vec<OwnRoute>,
}

impl HandshakePolicy {
    /// The routes of the configuration and of the program.
    ///
    /// # Errors
    /// One sentence: a template is wrong, or two routes could match one path, or a network or an origin is none.
    pub fn new(config: &Config, own: Vec<OwnRoute>) -> Result<Self, String> {
        let templates = own.iter().map(|own| (own.template(), own.settings()));
        let router = Router::with(&config.routes_or_default(), templates);
        Ok(Self {
            router: router?,
            proxies: Proxies::new(&config.proxy)?,
            redirect: Redirect::new(&config.http),
            cors: Cors::new(&config.http.cors)?,
            own,
        })
    }
}

impl Entrance {
    /// Is it for the site behind this node to say what is at this path? That of no WebSocket of ours.
    pub(super) fn is_sites(&self, path: &str) -> bool {
        let has_page = self.config.http.upstream_page;
        self.upstream.is_some()
            && !self.api.is_public(path, true)
            && !page::is_ours_beside_site(path, has_page)
    }

    /// Who may come in, as of now.
    pub(super) fn rules(&self) -> Arc<EntryRules> {
        Arc::clone(&self.rules.borrow())
    }

    /// Counts one more connection of `peer`, if there is room for it.
    pub(super) fn enter(&self, peer: u64) -> Result<Permit, Full> {
        if self.shedding.refuses_handshakes() {
            return Err(Full::Memory);
        }
        self.admission.enter(peer)
    }

    /// Does this node take nobody new any more?
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
