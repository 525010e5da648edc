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
//! | [`envelope`] | what nodes say to each other, as bytes |
//! | [`origins`] | what is missing, what came twice |
//! | `marks` | what was said last in which room, told in messages of many rooms |
//! | `outbox` | from the data plane's push to Redis' answer |
//! | `supervisor` | the way over one Redis, down or up |
//! | `link` | what all that use it share |
//! | `session` `arrivals` `subscribing` `canary` | one session of it |
//! | `mode` | which of the two: |
//! | `pubsub` | mode `pubsub`: what is missing is counted |
//! | [`order`] | the order of all nodes in one room, decided |
//! | `streams` | mode `streams`: one order, and what was missed |
//! | `inquiry` | what one node asks all others |
//! | `roll` | who the other nodes are, and whether they agree |
//! | `wall` | deadlines as other machines read them |
//! | [`probe`] `rights` | `supportal check --redis` |
//!
//! Limits: `bridge.outbox_capacity`, `bridge.outbox_bytes`, `bridge.arrivals_capacity` for each Redis;
//! rooms by the members there are; every wait by `bridge.command_timeout` or `bridge.confirm_timeout`.

mod arrivals;
mod canary;
pub mod envelope;
mod inquiry;
mod link;
mod marks;
pub(crate) mod memory;
mod mode;
pub mod order;
pub mod origins;
mod outbox;
pub mod probe;
mod pubsub;
mod read_context;
mod rights;
mod roll;
mod session;
pub(crate) mod streams;
mod subscribing;
mod supervisor;
mod wall;

use crate::broker::history::{Kept, NoHistory};
use crate::broker::room::Room;
use crate::broker::uplink::{Forwarded, Uplink, Way};
use crate::broker::{Broker, Publication};
use crate::clock::Clock;
use crate::config::{ArchiveMode, BridgeMode, Config};
use crate::metrics::{Counter, Metrics, declare, set};
use crate::name::RoomName;
use crate::redis::deployment::Deployment;
use crate::redis::{Error, LinkReport, NodeEnd, Randomness, RedisCommand, Running, Runtime, shard};
use envelope::NodeId;
pub(crate) use inquiry::ANSWERS_BYTES_MAX;
use inquiry::Inquiries;
pub use inquiry::{Answering, Replied, Respond};
use link::Boot;
use roll::Company;
use std::sync::Arc;
use std::time::Duration;
use streams::{ShardPage, ShardPlace, States};
use supervisor::SupervisedLink;

/// The node's side of all Redis deployments.
#[derive(Debug)]
pub struct Bridge {
    links: Arc<[SupervisedLink]>,
    company: Arc<Company>,
    inquiries: Arc<Inquiries>,
    clock: Clock,
    metrics: Arc<Metrics>,
    keeps_events: bool,
}

impl Bridge {
    /// Nothing from another node is kept for longer from now on: `queue.expiry`.
    pub fn set_expiry(&self, expiry: Duration) {
        for link in self.links.iter() {
            link.link.expiry.set(expiry);
        }
    }

    /// The bridge of the configuration, `None` if its mode is `off`. Nothing runs yet: the broker
    /// needs the [`Bridge::uplink`] first.
    ///
    /// # Errors
    /// When a file of certificates cannot be used.
    pub fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Option<Self>, Error> {
        let urls = match config.bridge.mode {
            BridgeMode::Off => return Ok(None),
            BridgeMode::Pubsub | BridgeMode::Streams => config.bridge.urls.as_slice(),
        };
        let deployments = Deployment::all(urls, &config.bridge)?;
        let randomness = Randomness::default();
        Ok(Some(Self::over(
            deployments,
            config,
            randomness,
            metrics,
            clock,
        )))
    }

    /// As [`Bridge::new`], in the mode of the configuration, over these deployments and with this
    /// randomness.
    #[must_use]
    pub fn over(
        deployments: Vec<Deployment>,
        config: &Config,
        randomness: Randomness,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let mut node = [0; 16];
        for half in node.as_chunks_mut::<8>().0 {
            *half = randomness.number().to_be_bytes();
        }
        let boot = Boot {
            node: NodeId(node),
            epoch: wall::wall_millis(clock),
            randomness,
        };
        let causes = [
            "full", "expired", "late", "mailbox", "poison", "refused", "shutdown",
        ];
        declare(&metrics.bridge_dropped, "cause", causes);
        let company = Arc::new(Company::new(boot.node, &config.bridge));
        let inquiries = Arc::new(Inquiries::new(boot.node));
        let links = deployments.into_iter().enumerate();
        let links = links.map(|at| {
            let who = (&boot, &company, &inquiries);
            SupervisedLink::new(at, config, who, metrics, clock)
        });
        Self {
            links: links.collect(),
            company,
            inquiries,
            clock,
            metrics: Arc::clone(metrics),
            keeps_events: config.archive.mode == ArchiveMode::Streams,
        }
    }

    /// The broker's way to the other nodes.
    #[must_use]
    pub fn uplink(&self) -> Box<dyn Uplink> {
        let full = [("cause", "full")];
        Box::new(Forwarder {
            links: Arc::clone(&self.links),
            clock: self.clock,
            full: self.metrics.bridge_dropped.get_or_create(&full).clone(),
            keeps_events: self.keeps_events,
        })
    }

    /// Everything that is to run until the node's end.
    #[must_use]
    pub fn tasks(&self, broker: &Arc<Broker>, ending: &NodeEnd) -> Vec<Running> {
        let links = self.links.iter();
        links
            .map(|link| -> Running {
                Box::pin(link.clone().supervise(Arc::clone(broker), ending.clone()))
            })
            .collect()
    }

    /// Starts all of it on the thread of `runtime`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn run(&self, broker: &Arc<Broker>, runtime: &Runtime) -> Result<(), Error> {
        runtime.run(self.tasks(broker, &runtime.end()))
    }

    /// The node goes down: from here on nobody's own messages wait for the order of all nodes, and
    /// those that do are delivered. What is said still goes to the other nodes.
    pub fn close(&self, broker: &Broker) {
        for link in self.links.iter() {
            link.mode.close(&link.link, broker);
        }
    }

    /// Who this node is to the others, as they name it: they show the first eight digits.
    #[must_use]
    pub fn node(&self) -> String {
        format!("{:?}", self.company.node())
    }

    /// How each Redis is, in the order of `bridge.urls`.
    #[must_use]
    pub fn reports(&self) -> Vec<LinkReport> {
        self.links.iter().map(|link| link.link.report()).collect()
    }

    /// Which other nodes have other settings, one sentence for each, and how many nodes are heard.
    #[must_use]
    pub fn others(&self) -> (Vec<String>, usize) {
        let differences = self.company.differences(self.clock.now());
        (differences, self.company.len())
    }

    /// The newest `limit` messages of a room, at most `history.capacity`, none older than
    /// `history.expiry`, and at most 4 MiB of them. Takes at most `bridge.command_timeout`.
    ///
    /// # Errors
    /// [`NoHistory`].
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn history(&self, room: &RoomName, limit: usize) -> Result<Kept, NoHistory> {
        let place = shard::link_of(room.as_str(), self.links.len());
        let link = self.links.get(place);
        let Some((link, streams)) = link.and_then(|way| Some((&way.link, way.mode.streams()?)))
        else {
            return Err(NoHistory::NotKept);
        };
        streams.history(link, room, limit).await
    }

    /// How many Redis there are: as many archives, with `archive.mode = "streams"`.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.links.len()
    }

    /// Up to `limit` events of the archive of a Redis, by its place in `bridge.urls`, behind a place there; no further ones
    /// once they have `bytes_max` bytes. Takes at most `bridge.command_timeout`.
    ///
    /// # Errors
    /// [`NoHistory`].
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn archived(
        &self,
        shard: usize,
        after: ShardPlace,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ShardPage, NoHistory> {
        let link = self.links.get(shard);
        let Some((link, streams)) = link.and_then(|way| Some((&way.link, way.mode.streams()?)))
        else {
            return Err(NoHistory::NotKept);
        };
        streams.archived(link, after, limit, bytes_max).await
    }

    /// From here on the questions of other nodes are answered by this.
    pub fn answer_with(&self, respondent: Arc<dyn Respond>) {
        self.inquiries.answer_with(respondent);
    }

    /// Asks all other nodes that are heard, over the Redis of a room or the first that is up, and waits until they
    /// have answered, at most for `timeout`. Nobody is asked while no Redis is up.
    ///
    /// # Cancel safety
    /// The question may have been asked.
    pub async fn inquire(
        &self,
        room: Option<&RoomName>,
        what: &[u8],
        timeout: Duration,
    ) -> Replied {
        let of_room = |room: &RoomName| shard::link_of(room.as_str(), self.links.len());
        let of_room = room.and_then(|room| self.links.get(of_room(room)));
        let mut ways = of_room.into_iter().chain(self.links.iter());
        let way = ways.find_map(|way| Some((&way.link, way.link.client()?)));
        let Some((link, client)) = way else {
            return Replied::default();
        };
        let nodes = self.company.others(self.clock.now());
        let mut answers = Vec::new();
        if nodes > 0 {
            let (mut inquiry, question) = self.inquiries.ask(what);
            let asked = async {
                // Without an answer of Redis nobody may have been asked: then nobody answers.
                drop(client.publish(link.nodes_channel.clone(), question).await);
                inquiry.collect(nodes, &mut answers).await;
            };
            // Those that have not answered by then are missing.
            drop(tokio::time::timeout(timeout, asked).await);
        }
        Replied {
            asked: nodes,
            answers,
        }
    }

    /// How many other nodes Redis gives what is published in a room; `None` if it does not say: it is down, or PUBSUB is
    /// not among the rights of its user. Takes at most `bridge.command_timeout`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn hearers(&self, room: &RoomName) -> Option<usize> {
        let place = shard::link_of(room.as_str(), self.links.len());
        let SupervisedLink { link, mode, .. } = self.links.get(place)?;
        let client = link.client()?;
        let name = match link.deployment.is_cluster {
            true => "PUBSUB SHARDNUMSUB",
            false => "PUBSUB NUMSUB",
        };
        let channel = mode.channel(room);
        let command = RedisCommand::new(name, [channel.as_bytes()]);
        let answer = client.send(command).await.ok()?;
        let count = answer.into_array().into_iter().nth(1)?.number();
        let is_here = link.rooms.visit(room.as_str(), |_| ()).is_some();
        Some(
            usize::try_from(count)
                .ok()?
                .saturating_sub(usize::from(is_here)),
        )
    }

    /// Brings the gauges up to date, at the moment of a scrape.
    pub fn measure(&self) {
        let (mut entries, mut bytes, mut wanted, mut confirmed) = (0, 0, 0, 0);
        let mut states = States::default();
        for SupervisedLink { link, mode, .. } in self.links.iter() {
            let (waiting, their_bytes) = link.outbox.load();
            let (rooms, there) = link.rooms.counts();
            entries += waiting;
            bytes += their_bytes;
            wanted += rooms;
            confirmed += there;
            states += mode.states(link);
        }
        let metrics = &self.metrics;
        set(&metrics.bridge_outbox, entries);
        set(&metrics.bridge_outbox_bytes, bytes);
        set(&metrics.bridge_awaited, states.awaited);
        let (differing, _) = self.company.judge(self.clock.now());
        for (state, number) in [("heard", self.company.len()), ("differing", differing)] {
            let series = metrics.bridge_nodes.get_or_create(&[("state", state)]);
            set(&series, number);
        }
        let rooms = [
            ("ordered", states.ordered),
            ("alone", states.alone),
            ("reading", states.reading),
        ];
        for (state, number) in rooms {
            let series = metrics.bridge_rooms.get_or_create(&[("state", state)]);
            series.set(number);
        }
        let subscriptions = &metrics.bridge_subscriptions;
        for (state, number) in [("wanted", wanted), ("confirmed", confirmed)] {
            set(&subscriptions.get_or_create(&[("state", state)]), number);
        }
    }
}

/// The broker's end of the bridge: pushes and returns.
#[derive(Debug)]
struct Forwarder {
    links: Arc<[SupervisedLink]>,
    clock: Clock,
    /// Held, since looking a series up is more than a drop may cost under a room's lock.
    full: Counter,
    /// `archive.mode = "streams"`: what is forwarded is kept too.
    keeps_events: bool,
}

impl Forwarder {
    fn link(&self, name: &RoomName) -> Option<&SupervisedLink> {
        self.links
            .get(shard::link_of(name.as_str(), self.links.len()))
    }
}

impl Uplink for Forwarder {
    fn way(&self) -> Option<Way> {
        Some(Way::Nodes)
    }

    fn reads_events(&self) -> bool {
        self.keeps_events
    }

    fn keeps_events(&self) -> bool {
        self.keeps_events
    }

    fn forward(&self, room: &Arc<Room>, number: u64, publication: &Publication) -> Forwarded {
        let Some(SupervisedLink { link, mode, .. }) = self.link(room.name()) else {
            return Forwarded::Dropped;
        };
        let (forwarded, is_queued) = mode.forward(link, room, number, publication);
        if !is_queued {
            self.full.inc();
        }
        forwarded
    }

    fn watch(&self, name: &RoomName) -> bool {
        self.link(name)
            .is_none_or(|SupervisedLink { link, mode, .. }| {
                let now = self.clock.now();
                link.rooms.watch(name, now, || mode.room_state())
            })
    }

    fn unwatch(&self, name: &RoomName) {
        if let Some(SupervisedLink { link, .. }) = self.link(name) {
            link.rooms.unwatch(name, self.clock.now());
        }
    }
}
