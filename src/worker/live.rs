//! Settings that change while workers run.

use super::connection::Rules;
use super::outbound::Reader;
use super::per_route::PerRoute;
use crate::config::Config;
use std::time::Duration;

/// What a worker goes by of the settings that may change while it runs.
#[derive(Debug)]
pub struct LiveSettings {
    pub(super) rules: PerRoute<Rules>,
    pub(super) readers: PerRoute<Reader>,
    /// `queue.expiry`.
    pub(super) expiry: Duration,
}

impl LiveSettings {
    /// Of the node's settings, and of those of routes that have some of their own, by number from 1.
    #[must_use]
    pub fn new(node: &Config, of_routes: &[Config]) -> Self {
        let rules = of_routes.iter().map(Rules::new).collect();
        Self {
            rules: PerRoute::new(Rules::new(node), rules),
            readers: PerRoute::readers(node, of_routes),
            expiry: node.queue.expiry,
        }
    }
}
