//! Who writes where a trusted proxy does and is none: counted, and told to the log. Most often that is a proxy which has
//! been forgotten in `proxy.trusted`, and all of its clients are one address.

use crate::clock::Clock;
use crate::config::proxy::UNIX_PEER;
use crate::metrics::Metrics;
use crate::redis::log_limiter::LogLimiter;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Time between two lines: any client may write what makes one.
const EVERY: Duration = Duration::from_secs(60);

/// What was not believed.
#[derive(Debug)]
pub(super) struct UnbelievedProxies {
    metrics: Arc<Metrics>,
    clock: Clock,
    lines: Mutex<LogLimiter>,
}

impl UnbelievedProxies {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            clock: Clock::start(),
            lines: Mutex::new(LogLimiter::every(EVERY)),
        }
    }

    /// Somebody at this address was not believed.
    pub(super) fn note(&self, address: IpAddr) {
        self.metrics.proxy_unbelieved.inc();
        if !self.lines.lock().is_due(self.clock.now()) {
            return;
        }
        let address = match address {
            UNIX_PEER => "unix".to_owned(),
            address => address.to_string(),
        };
        tracing::warn!(
            address,
            "what is said in the place of proxy.header is not believed: proxy.trusted does not hold its sender"
        );
    }
}
