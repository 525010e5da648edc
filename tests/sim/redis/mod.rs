//! A model of Redis behind the port of `redis/`: what the bridge asks of it, and everything that can happen to it and
//! on the way to it. Time is the runtime's, which a simulation pauses; everything else follows from a seed.
//!
//! | Module | |
//! |---|---|
//! | `store` | keys and what commands do to them |
//! | `scripts` | the bridge's Lua functions in Rust |
//! | `places` | where a room of theirs stands |
//! | `weights` | what entries count as there |
//! | `server` | one process |
//! | `network` | connections to it, what is on its way there and back |
//! | `client` | the port's traits over these |
//! | `real` | the same calls, answered by a real Redis |

mod client;
mod network;
mod places;
mod real;
mod scripts;
mod server;
mod store;
mod weights;

pub use network::Which;

use crate::sim::seed::Choices;
use network::Network;
use parking_lot::Mutex;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use supportal::internal::clock::Clock;
use tokio::sync::Notify;
use tokio::time::Instant;

thread_local! {
    /// When the simulation of this thread began.
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn elapsed() -> Duration {
    START.get().map_or(Duration::ZERO, |start| start.elapsed())
}

/// The clock of a simulation that begins here, on this thread: the runtime's time.
pub fn clock() -> Clock {
    START.set(Some(Instant::now()));
    Clock::simulated(elapsed)
}

/// What Redis finds when it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// All it had.
    All,
    /// What it had when it was last saved.
    Saved,
    /// Nothing.
    Nothing,
}

/// One Redis and the ways to it.
#[derive(Clone)]
pub struct ModelRedis {
    network: Arc<Mutex<Network>>,
    /// Something new is on its way.
    changed: Arc<Notify>,
    clock: Clock,
}

impl ModelRedis {
    /// An empty one, by the clock of a simulation; [`ModelRedis::run`] must run.
    pub fn new(choices: Choices, clock: Clock) -> Self {
        Self {
            network: Arc::new(Mutex::new(Network::new(choices))),
            changed: Arc::default(),
            clock,
        }
    }

    /// Microseconds since 1970.
    fn now(&self) -> u64 {
        let (seconds, micros) = self.clock.wall();
        seconds * 1_000_000 + u64::from(micros)
    }

    fn with<R>(&self, visit: impl FnOnce(&mut Network, u64) -> R) -> R {
        let result = visit(&mut self.network.lock(), self.now());
        self.changed.notify_one();
        result
    }

    /// Moves what is on its way, for ever.
    pub async fn run(self) {
        loop {
            let now = self.now();
            let next = self.network.lock().turn(now);
            let pause = next.map_or(Duration::from_secs(3_600), |next| {
                Duration::from_micros(next.saturating_sub(now))
            });
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Cuts connections of a node, or of all.
    pub fn cut(&self, node: Option<usize>, which: Which) {
        self.with(|network, now| network.cut(node, which, now));
    }

    /// Nothing passes between this node and Redis, or again.
    pub fn cut_off(&self, node: usize, is_cut_off: bool) {
        self.with(|network, now| network.cut_off(node, is_cut_off, now));
    }

    /// Redis stands still, or moves again.
    pub fn stand_still(&self, stands_still: bool) {
        self.with(|network, now| network.stand_still(stands_still, now));
    }

    /// The process ends.
    pub fn kill(&self) {
        self.with(|network, now| network.kill(now));
    }

    /// The process begins anew, with this; for a while it reads its data set.
    pub fn begin(&self, data: Data, is_loading: bool) {
        self.with(|network, _| {
            let server = &mut network.server;
            match data {
                Data::All => {}
                Data::Saved => server.store = server.saved.clone(),
                Data::Nothing => server.store = store::Store::default(),
            }
            server.life += 1;
            server.health.is_down = false;
            server.health.is_loading = is_loading;
        });
    }

    /// It has read its data set.
    pub fn loaded(&self) {
        self.with(|network, _| network.server.health.is_loading = false);
    }

    /// Saves the data set.
    pub fn save(&self) {
        self.with(|network, _| network.server.saved = network.server.store.clone());
    }

    /// How often was published so far on channels of which `is_meant` is true.
    pub fn published(&self, is_meant: impl Fn(&str) -> bool) -> u64 {
        let counted = |network: &mut Network| {
            let counts = network.published.iter();
            let counts = counts.filter(|(channel, _)| is_meant(channel));
            counts.map(|(_, count)| count).sum()
        };
        self.with(|network, _| counted(network))
    }

    /// SCRIPT FLUSH.
    pub fn forget_functions(&self) {
        self.with(|network, _| network.server.forget_functions());
    }

    /// It follows another one, or no longer.
    pub fn follow(&self, is_replica: bool) {
        self.with(|network, _| network.server.health.is_replica = is_replica);
    }

    /// It has no memory left, or some again.
    pub fn fill(&self, is_full: bool) {
        self.with(|network, _| network.server.health.is_full = is_full);
    }

    /// Somebody who is no node publishes on the nodes' channels: noise, and again what was published there before.
    pub fn poison(&self, messages: u64) {
        self.with(|network, now| network.poison(messages, now));
    }

    /// Every way of this node takes up to so much longer.
    pub fn slow(&self, node: usize, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.with(|network, _| network.slow(node, micros));
    }

    /// The next messages for this node are thrown away, since it read too slowly.
    pub fn lag(&self, node: usize, messages: u64) {
        self.with(|network, _| network.lag(node, messages));
    }
}
