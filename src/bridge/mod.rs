//! Other nodes, by way of Redis: many nodes, one chat.
//!
//! What a room's members publish here goes to the same room on every other node, and what comes from
//! there goes to the members here. Redis is optional while the node runs: whatever happens to it, chat
//! within the node goes on as if it were not there, nothing waits for it (in mode `streams` for longer
//! than `bridge.order_timeout`), every queue is bounded, and every loss is counted by its cause.
//!
//! Not for: the order and the fan-out within the node (`broker`).
//!
//! ```text
//! worker ─ publish ─> room ─ forward ─> outbox ─ batch ─> PUBLISH ──┐
//!                                                                   v
//! worker <─ mailbox <─ room <─ deliver_remote <─ origins <─ SUBSCRIBE
//! ```
//!
//! | Module | |
//! |---|---|
//! | [`channels`] | Django's channel layers |
//! | [`envelope`] | what nodes say to each other, as bytes |
//! | [`origins`] | what is missing, what came twice |
//! | [`place`] | which of several Redis carries a room |
//! | `outbox` | from the data plane's push to Redis' answer |
//! | `rooms` | which rooms are subscribed |
//! | `standing` | down or up, of every Redis; tries again |
//! | `link` | the way over one Redis |
//! | `pubsub` `arrivals` `canary` | one session of it |
//! | [`streams`] | mode `streams`: one order, and what was missed |
//! | `roll` | who the other nodes are, and whether they agree |
//! | `fault` | whose fault an error of Redis is |
//! | `notice` | one line a second |
//! | `patience` | how long a full mailbox is waited for |
//! | `deployment` | fred, and what it must not do |
//! | `tls` | whom it trusts, and as whom it comes |
//! | [`probe`] `rights` | `supportal check --redis` |
//!
//! A thread with a runtime of its own runs all of it, so that a flood from other nodes competes with
//! the operator's requests for a core at most, never for a runtime. One thread: a message passes through several tasks
//! of fred and ours, and with two threads each step woke the other one.
//!
//! Limits: `bridge.outbox_capacity`, `bridge.outbox_bytes`, `bridge.arrivals_capacity` for each Redis;
//! rooms by the members there are; every wait by `bridge.command_timeout` or `bridge.confirm_timeout`.

#![expect(
    clippy::large_futures,
    reason = "each command of fred is a future of 7 KB; a link has a few, and a bounded window of publications in boxes"
)]

mod arrivals;
mod canary;
pub mod channels;
mod deployment;
pub mod envelope;
mod fault;
mod link;
mod notice;
pub mod origins;
mod outbox;
mod patience;
pub mod place;
pub mod probe;
mod pubsub;
mod rights;
mod roll;
mod rooms;
mod standing;
pub mod streams;
mod tls;

pub use standing::Report;

use crate::broker::room::Room;
use crate::broker::uplink::{Forwarded, Uplink, Way};
use crate::broker::{Broker, Publication};
use crate::clock::{Clock, Millis};
use crate::config::{BridgeMode, Config};
use crate::metrics::{Counter, Metrics};
use crate::name::RoomName;
use channels::layer::Layer;
use envelope::NodeId;
use link::Link;
use outbox::{Outgoing, What};
use parking_lot::Mutex;
use roll::Company;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Why the bridge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// A file of certificates, or of a key, cannot be used.
    #[error("{key}: {path}: {what}")]
    Certificates {
        /// The setting, or the option of an address, that names it.
        key: &'static str,
        /// The file.
        path: Box<str>,
        /// What is wrong with it.
        what: Box<str>,
    },
    /// TLS cannot be set up.
    #[error("TLS to Redis: {0}")]
    Tls(String),
    /// The system gives no thread.
    #[error("cannot start the bridge's thread")]
    Thread(#[from] io::Error),
}

/// Who this node is to the others: random at each boot.
#[derive(Clone, Copy, Debug)]
struct Origin {
    node: NodeId,
    epoch: u64,
}

/// 64 random bits. The standard library seeds its hashers from the system's randomness.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// The node's side of all Redis deployments.
#[derive(Debug)]
pub struct Bridge {
    links: Arc<[Arc<Link>]>,
    company: Arc<Company>,
    layer: Option<Arc<Layer>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Bridge {
    /// The bridge of the configuration, `None` if its mode is `off` and there is no channel layer.
    /// Nothing runs yet: the broker needs the [`Bridge::uplinks`] first.
    ///
    /// # Errors
    /// When a file of certificates cannot be used.
    pub fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Option<Self>, Error> {
        let layer = Layer::new(config, metrics, clock)?;
        let urls = match config.bridge.mode {
            BridgeMode::Off if layer.is_none() => return Ok(None),
            BridgeMode::Off => &[],
            BridgeMode::Pubsub | BridgeMode::Streams => config.bridge.urls.as_slice(),
        };
        let mut node = [0; 16];
        for half in node.as_chunks_mut::<8>().0 {
            *half = random().to_be_bytes();
        }
        let origin = Origin {
            node: NodeId(node),
            epoch: deployment::wall_millis(),
        };
        for cause in [
            "full", "expired", "late", "mailbox", "poison", "refused", "shutdown",
        ] {
            drop(metrics.bridge_dropped.get_or_create(&[("cause", cause)]));
        }
        let company = Arc::new(Company::new(origin.node, &config.bridge));
        let links: Result<Vec<_>, Error> = urls
            .iter()
            .enumerate()
            .map(|(index, url)| {
                let who = (origin, &company);
                Link::new(index, url, config, who, metrics, clock).map(Arc::new)
            })
            .collect();
        Ok(Some(Self {
            links: links?.into(),
            company,
            layer,
            clock,
            metrics: Arc::clone(metrics),
            stop: watch::Sender::new(false),
            thread: Mutex::new(None),
        }))
    }

    /// The broker's ways to the other nodes and to a Django site, as far as the node has them.
    #[must_use]
    pub fn uplinks(&self) -> Vec<Box<dyn Uplink>> {
        let mut uplinks: Vec<Box<dyn Uplink>> = Vec::new();
        if !self.links.is_empty() {
            let full = [("cause", "full")];
            uplinks.push(Box::new(Forwarder {
                links: Arc::clone(&self.links),
                clock: self.clock,
                full: self.metrics.bridge_dropped.get_or_create(&full).clone(),
            }));
        }
        if let Some(layer) = &self.layer {
            uplinks.push(Box::new(Arc::clone(layer)));
        }
        uplinks
    }

    /// Starts the bridge's thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn run(&self, broker: &Arc<Broker>) -> Result<(), Error> {
        let tasks: Vec<_> = self
            .links
            .iter()
            .map(|link| Arc::clone(link).supervise(Arc::clone(broker), self.stop.subscribe()))
            .collect();
        let of_layer = self.layer.iter();
        let of_layer: Vec<_> = of_layer
            .flat_map(|layer| layer.tasks(broker, &self.stop))
            .collect();
        // Built on its own thread: the caller is on another runtime, where none may be dropped.
        let (built, outcome) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("bridge".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let (runtime, result) = match runtime {
                    Ok(runtime) => (Some(runtime), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // The caller waits for this.
                drop(built.send(result));
                let Some(runtime) = runtime else {
                    return;
                };
                runtime.block_on(async {
                    let mut running = tokio::task::JoinSet::new();
                    for task in tasks {
                        running.spawn(task);
                    }
                    for task in of_layer {
                        running.spawn(task);
                    }
                    while running.join_next().await.is_some() {}
                });
                runtime.shutdown_background();
            })?;
        *self.thread.lock() = Some(thread);
        match outcome.recv() {
            Ok(result) => Ok(result?),
            Err(gone) => Err(io::Error::other(gone).into()),
        }
    }

    /// Sends what is left and leaves Django's groups, for at most three times
    /// `bridge.command_timeout` and not beyond `deadline`, and ends the thread. Blocks.
    pub fn shutdown(&self, deadline: Millis) {
        let deadlines = self.links.iter().map(|link| &link.deadline);
        for last in deadlines.chain(self.layer.iter().map(|layer| &layer.deadline)) {
            last.set(deadline);
        }
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the bridge's thread panicked");
        }
    }

    /// The node goes down: from here on nobody's own messages wait for the order of all nodes, and
    /// those that do are delivered. What is said still goes to the other nodes.
    pub fn close(&self, broker: &Broker) {
        for link in self.links.iter() {
            if let Some(streams) = &link.streams {
                streams.close(link, broker);
            }
        }
    }

    /// How each Redis is, in the order of `bridge.urls`.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.links.iter().map(|link| link.report()).collect()
    }

    /// Which other nodes have other settings, one sentence for each, and how many nodes are heard.
    #[must_use]
    pub fn others(&self) -> (Vec<String>, usize) {
        let differences = self.company.differences(self.clock.now());
        (differences, self.company.len())
    }

    /// How each Redis of the channel layer is, in the order of `bridge.channels.hosts`.
    #[must_use]
    pub fn channel_reports(&self) -> Vec<Report> {
        let layer = self.layer.as_ref();
        layer.map_or_else(Vec::new, |layer| layer.reports())
    }

    /// Brings the gauges up to date, at the moment of a scrape.
    pub fn measure(&self) {
        if let Some(layer) = &self.layer {
            layer.measure();
        }
        let (mut entries, mut bytes, mut wanted, mut confirmed) = (0, 0, 0, 0);
        let (mut waiting_back, mut ordered, mut alone, mut reading) = (0_usize, 0_i64, 0, 0);
        for link in self.links.iter() {
            let (waiting, their_bytes) = link.outbox.load();
            let (rooms, there) = link.rooms.counts();
            entries += waiting;
            bytes += their_bytes;
            wanted += rooms;
            confirmed += there;
            if let Some(streams) = &link.streams {
                let rooms = streams.rooms(link);
                waiting_back += streams.load.entries();
                ordered += rooms.ordered;
                alone += rooms.alone;
                reading += rooms.reading;
            }
        }
        let metrics = &self.metrics;
        metrics.bridge_outbox.set(entries.cast_signed() as i64);
        metrics.bridge_outbox_bytes.set(bytes.cast_signed() as i64);
        metrics
            .bridge_awaited
            .set(waiting_back.cast_signed() as i64);
        for (state, number) in [("ordered", ordered), ("alone", alone), ("reading", reading)] {
            metrics
                .bridge_rooms
                .get_or_create(&[("state", state)])
                .set(number);
        }
        for (state, number) in [("wanted", wanted), ("confirmed", confirmed)] {
            metrics
                .bridge_subscriptions
                .get_or_create(&[("state", state)])
                .set(number.cast_signed() as i64);
        }
    }
}

/// The broker's end of the bridge: pushes and returns.
#[derive(Debug)]
struct Forwarder {
    links: Arc<[Arc<Link>]>,
    clock: Clock,
    /// Held, since looking a series up is more than a drop may cost under a room's lock.
    full: Counter,
}

impl Forwarder {
    fn link(&self, name: &RoomName) -> Option<&Arc<Link>> {
        let place = place::link_of(name.as_str(), self.links.len());
        self.links.get(place)
    }
}

impl Uplink for Forwarder {
    fn way(&self) -> Way {
        Way::Nodes
    }

    fn forward(&self, room: &Arc<Room>, number: u64, publication: &Publication) -> Forwarded {
        let Some(link) = self.link(room.name()) else {
            return Forwarded::Dropped;
        };
        if let Some(streams) = &link.streams {
            let (forwarded, is_queued) = streams.forward(link, room, number, publication);
            if !is_queued {
                self.full.inc();
            }
            return forwarded;
        }
        let outgoing = Outgoing {
            room: Arc::clone(room),
            number,
            what: What::Message(publication.clone()),
        };
        if link.outbox.offer(outgoing) {
            Forwarded::Queued
        } else {
            self.full.inc();
            Forwarded::Dropped
        }
    }

    fn watch(&self, name: &RoomName) -> bool {
        self.link(name)
            .is_none_or(|link| link.rooms.watch(name, self.clock.now()))
    }

    fn unwatch(&self, name: &RoomName) {
        if let Some(link) = self.link(name) {
            link.rooms.unwatch(name, self.clock.now());
        }
    }
}
