//! Settings read again while the node runs.

use super::supervisor;
use crate::auth::Forward;
use crate::banner::MachineFacts;
use crate::bridge::Bridge;
use crate::broker::{Broker, Quotas};
use crate::channels::Layer;
use crate::config::problem::Error;
use crate::config::reload::merge;
use crate::config::{Changes, Config, MemoryLimit};
use crate::metrics::{Metrics, count};
use crate::server::EntryRules;
use crate::server::admission::Admission;
use crate::telemetry;
use crate::tls::TlsServer;
use crate::worker::{LiveSettings, Workers};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch::Sender;

/// Reads the settings anew.
pub(super) type ReadSettings = Box<dyn Fn() -> Result<Config, Error> + Send + Sync>;

/// Has a node take settings that have changed, as SIGHUP and `POST /reload` do.
pub struct Reloader {
    read: ReadSettings,
    running: Mutex<RunningSettings>,
    taken_by: TakenBy,
}

/// What a node runs with.
struct RunningSettings {
    config: Config,
    /// The same as it has been read, nothing of it fitted to the machine.
    configured: Config,
    /// What it has started with.
    started: Config,
    /// Of the program's own routes, as they were then.
    own: Vec<Config>,
}

impl RunningSettings {
    /// What the node runs with from now on that has `read` this, the same as it has been read, and which keys differ: those that
    /// somebody has changed. With few descriptors one limit changes what others come to.
    fn merge(
        &self,
        read: &Config,
        facts: &MachineFacts,
    ) -> Result<(Config, Config, Changes), Error> {
        let (configured, changes) = merge(&self.configured, read)?;
        let (config, _fitted) = merge(&self.config, &facts.resolve(read))?;
        Ok((config, configured, changes))
    }
}

/// Who takes settings while the node runs.
pub(super) struct TakenBy {
    pub(super) rules: Sender<Arc<EntryRules>>,
    pub(super) memory: Sender<MemoryLimit>,
    /// The site of `auth.forward`, which stays as it was at the start.
    pub(super) site: Option<Arc<Forward>>,
    pub(super) admission: Arc<Admission>,
    pub(super) handshakes: Arc<Admission>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) workers: Arc<Workers>,
    pub(super) broker: Arc<Broker>,
    pub(super) bridge: Option<Arc<Bridge>>,
    pub(super) channels: Option<Arc<Layer>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tls: Option<Arc<TlsServer>>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Reloader {
    /// For the node that runs with `config`, which is `configured` fitted to the machine, and with `of_routes` where routes
    /// have settings of their own.
    pub(super) fn new(
        (read, configured): (ReadSettings, Box<Config>),
        config: &Config,
        of_routes: &[Config],
        taken_by: TakenBy,
    ) -> Self {
        let routes = config.routes.iter();
        let of_files = routes.filter(|route| route.has_own_settings()).count();
        let own = of_routes.get(of_files..).unwrap_or_default().to_vec();
        let config = config.clone();
        Self {
            read,
            running: Mutex::new(RunningSettings {
                started: config.clone(),
                config,
                configured: *configured,
                own,
            }),
            taken_by,
        }
    }

    /// Reads the settings again: what may change while the node runs does, what differs otherwise is named. Blocks while
    /// files are read. Who is connected stays; what was let in, queued or published before keeps what held then.
    ///
    /// # Errors
    /// Every mistake in the settings; nothing has changed then.
    pub fn reload(&self) -> Result<Changes, Error> {
        let mut running = self.running.lock();
        supervisor::tell_reloading();
        let outcome = self.try_reload(&mut running);
        supervisor::tell_reloaded();
        let label = match &outcome {
            Ok(changes) => {
                tracing::info!("settings read again: {changes}");
                "taken"
            }
            Err(error) => {
                for problem in error.problems() {
                    tracing::error!("settings read again are refused, nothing changes: {problem}");
                }
                "refused"
            }
        };
        count(&self.taken_by.metrics.reloads, "outcome", label);
        outcome
    }

    fn try_reload(&self, running: &mut RunningSettings) -> Result<Changes, Error> {
        let (config, configured, changes) =
            running.merge(&(self.read)()?, &MachineFacts::gather())?;
        // All that can be refused is refused before anything changes.
        let before = Arc::clone(&self.taken_by.rules.borrow());
        let rules = EntryRules::new(&config, self.taken_by.site.as_ref(), before.learnt())
            .map_err(|what| Error::of_key("", what))?;
        let own = running.own.iter();
        let own = own.map(|own| own.carried_over(&running.started, &config));
        let of_routes = config
            .of_routes()
            .and_then(|of_routes| {
                of_routes
                    .into_iter()
                    .map(Ok)
                    .chain(own)
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(|what| Error::of_key("routes", what))?;
        let to = &self.taken_by;
        let certificates = to.tls.as_ref().map(|tls| tls.read()).transpose();
        let certificates = certificates.map_err(|fault| Error::of_key(&fault.key, fault.text))?;
        telemetry::set_levels(&config.log.level)
            .map_err(|error| Error::of_key("log.level", error.to_string()))?;
        let limits = &config.limits;
        to.admission
            .set_caps(limits.connections, limits.connections_per_ip);
        to.handshakes
            .set_caps(limits.handshakes, limits.handshakes_per_ip);
        to.quotas.set_limits(&config);
        to.memory.send_replace(limits.memory);
        rules.learnt().begin();
        to.rules.send_replace(Arc::new(rules));
        let live = LiveSettings::new(&config, &of_routes);
        to.workers.take_settings(live);
        to.broker.set_expiry(config.queue.expiry);
        if let Some(bridge) = &to.bridge {
            bridge.set_expiry(config.queue.expiry);
        }
        if let Some(layer) = &to.channels {
            layer.set_expiry(config.queue.expiry);
        }
        if let (Some(tls), Some(certificates)) = (&to.tls, certificates) {
            tls.take(certificates);
        }
        running.config = config;
        running.configured = configured;
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_few_files_a_reload_names_what_somebody_has_changed_and_nothing_else() {
        let few = MachineFacts {
            cores: 2,
            nofile: 4096,
            memory_bytes: None,
        };
        let mut read = Config::default();
        read.http.upstream = Some("http://127.0.0.1:8001".to_owned());
        let config = few.resolve(&read);
        let running = RunningSettings {
            started: config.clone(),
            config,
            configured: read.clone(),
            own: Vec::new(),
        };
        let reload = |read: &Config| running.merge(read, &few).expect("legal");
        assert_eq!(reload(&read).2, Changes::default());
        read.limits.handshakes *= 2;
        let (config, configured, changes) = reload(&read);
        assert_eq!(changes.applied, ["limits.handshakes"]);
        assert_eq!(changes.waiting, [""; 0]);
        assert_eq!(configured, read);
        assert_eq!(
            config.limits.handshakes,
            few.resolve(&read).limits.handshakes
        );
        let started = &running.started.http;
        assert_eq!(config.http.upstream_requests, started.upstream_requests);
    }
}
