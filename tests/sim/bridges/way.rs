//! A node's real bridge over the model of Redis, from its start to its end.

use crate::sim::redis::ModelRedis;
use std::sync::Arc;
use std::time::Duration;
use supportal::config::Config;
use supportal::internal::bridge::Bridge;
use supportal::internal::broker::Broker;
use supportal::internal::clock::Clock;
use supportal::internal::metrics::Metrics;
use supportal::internal::redis::{Deployment, Randomness, Runtime};
use tokio::task::JoinHandle;

/// The bridge, and its tasks.
pub struct WayOut {
    pub bridge: Bridge,
    metrics: Arc<Metrics>,
    runtime: Runtime,
    running: Vec<JoinHandle<()>>,
    clock: Clock,
}

impl WayOut {
    /// That of the node at this place. Nothing runs yet: the broker comes between.
    pub fn new(
        (place, config): (usize, &Config),
        redis: &ModelRedis,
        metrics: &Arc<Metrics>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let settings = &config.bridge;
        let connector = Arc::new(redis.connector(place, settings.command_timeout));
        let deployment = Deployment::over(connector, &settings.urls[0], settings);
        let randomness = Randomness::seeded(seed);
        Self {
            bridge: Bridge::over(vec![deployment], config, randomness, metrics, clock),
            metrics: Arc::clone(metrics),
            runtime: Runtime::default(),
            running: Vec::new(),
            clock,
        }
    }

    /// Its tasks begin, on the runtime of the caller.
    pub fn run(&mut self, broker: &Arc<Broker>) {
        let tasks = self.bridge.tasks(broker, &self.runtime.end());
        self.running = tasks.into_iter().map(tokio::spawn).collect();
    }

    /// Publications lost between nodes, by these causes.
    pub fn dropped(&self, causes: &[&'static str]) -> u64 {
        let count = |cause: &&'static str| {
            let series = self
                .metrics
                .bridge_dropped
                .get_or_create(&[("cause", *cause)]);
            series.get()
        };
        causes.iter().map(count).sum()
    }

    /// Its tasks end within `grace`; says whether they did.
    pub async fn end(self, grace: Duration) -> bool {
        self.runtime.shutdown(self.clock.now() + grace);
        let ended = async {
            for task in self.running {
                drop(task.await);
            }
        };
        tokio::time::timeout(grace * 2, ended).await.is_ok()
    }

    /// Where it stands, for people.
    pub fn standing(&self) -> Standing {
        self.bridge.measure();
        let state = |state| {
            self.metrics
                .bridge_rooms
                .get_or_create(&[("state", state)])
                .get()
        };
        Standing {
            outbox: self.metrics.bridge_outbox.get(),
            awaited: self.metrics.bridge_awaited.get(),
            reading: state("reading"),
            is_up: self.bridge.reports().iter().all(|report| report.is_up),
        }
    }
}

/// What waits at a node.
#[derive(Debug)]
pub struct Standing {
    pub outbox: i64,
    pub awaited: i64,
    pub reading: i64,
    pub is_up: bool,
}

impl Standing {
    /// Nothing waits, and Redis is reached.
    pub fn is_at_rest(&self) -> bool {
        self.outbox + self.awaited + self.reading == 0 && self.is_up
    }
}
