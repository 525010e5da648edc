//! The channel layer of one Django site, as this node is part of it.
//!
//! ```text
//! group_send ─> ZADD ─> BZPOPMIN ─> inbound ─> deliver_remote ─> room     (layer core)
//! group_send ─> PUBLISH ─> SUBSCRIBE ─> inbound ─> deliver_remote ─> room (layer pubsub)
//! room ─ said ─> courier ─> ZADD or PUBLISH ─> worker or group
//! ```
//!
//! Each host of the site has a link of its own ([`super::host`]), each destination of users' messages
//! a courier ([`super::courier`]); what they share is here. Two nodes of ours do not hear each other
//! this way: that is the bridge's work, whose mode is independent of this.

use super::codec::Poison;
use super::courier::{Courier, Destination};
use super::digests::Digests;
use super::event::{Ignored, Mapping};
use super::host::Host;
use super::keys::{Local, Receivers, host_of};
use super::scripts::Commands;
use crate::bridge::deployment::Deployment;
use crate::bridge::standing::Deadline;
use crate::bridge::{Error, Report};
use crate::broker::Broker;
use crate::broker::Publication;
use crate::broker::room::Room;
use crate::broker::uplink::{Author, Uplink, Way};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::channels::Layer as Kind;
use crate::metrics::Metrics;
use crate::name::RoomName;
use crate::protocol::Writer;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Random bytes of the operating system.
///
/// # Panics
/// If it has none: it had some when the layer was made, so this does not happen.
pub(super) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("invariant: the system gave random bytes at the start");
}

/// Names and encryption need random bytes: a system without them is refused at the start.
///
/// # Errors
/// What the system says.
pub(in crate::bridge) fn check_random() -> Result<(), Error> {
    getrandom::fill(&mut [0; 16]).map_err(|error| Error::Random(error.to_string()))
}

/// What the parts of a channel layer share.
#[derive(Debug)]
pub(in crate::bridge) struct Layer {
    pub(super) is_core: bool,
    pub(super) commands: Commands,
    pub(super) own: Receivers,
    pub(super) mapping: Mapping,
    /// Writes the error that a user is told.
    pub(super) writer: Writer,
    pub(super) tell_full: bool,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// `queue.expiry`.
    pub(super) expiry: Duration,
    pub(super) group_expiry: Duration,
    /// `bridge.command_timeout`.
    pub(super) timeout: Duration,
    pub(in crate::bridge) deadline: Deadline,
    pub(super) pause_max: Duration,
    pub(super) hosts: Box<[Arc<Host>]>,
    couriers: Box<[Arc<Courier>]>,
    /// Couriers that have nothing more to send, once the node goes down.
    pub(super) done: watch::Sender<usize>,
    digests: Mutex<Digests>,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Layer {
    /// The layer of the configuration, `None` if there is none.
    ///
    /// # Errors
    /// When a host is none, or the system has no random bytes.
    pub(in crate::bridge) fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Option<Arc<Self>>, Error> {
        let channels = &config.bridge.channels;
        if !channels.enabled {
            return Ok(None);
        }
        check_random()?;
        let hosts: Result<Vec<_>, Error> = channels
            .hosts
            .iter()
            .enumerate()
            .map(|(index, host)| {
                let deployment = Deployment::new(host.address(), &config.bridge)?;
                Ok(Arc::new(Host::new(
                    index,
                    deployment,
                    &config.bridge,
                    metrics,
                    clock,
                )))
            })
            .collect();
        let destinations = [
            channels.send_to.clone().map(Destination::Worker),
            channels.send_to_group.clone().map(Destination::Group),
        ];
        let courier = |to| Arc::new(Courier::new(to, &config.bridge, metrics));
        let own = Receivers::new(channels.receivers, &mut fill);
        // Readable for consumers that hear several nodes, and different for each.
        let process = own.names().first().map_or("", String::as_str);
        let node = match config.bridge.node.as_str() {
            "" => process
                .trim_start_matches("specific.")
                .trim_end_matches('!'),
            node => node,
        };
        let layer = Self {
            is_core: channels.layer == Kind::Core,
            commands: Commands::new(channels),
            mapping: Mapping::new(channels, config.chat.dialect, node),
            own,
            writer: Writer::new(config.chat.dialect),
            tell_full: channels.tell_full,
            clock,
            metrics: Arc::clone(metrics),
            expiry: config.queue.expiry,
            group_expiry: channels.group_expiry,
            timeout: config.bridge.command_timeout,
            deadline: Deadline::new(),
            pause_max: config.bridge.reconnect_max,
            hosts: hosts?.into(),
            couriers: destinations.into_iter().flatten().map(courier).collect(),
            done: watch::Sender::new(0),
            digests: Mutex::default(),
        };
        layer.declare();
        Ok(Some(Arc::new(layer)))
    }

    /// Makes every series of the closed sets appear at zero.
    fn declare(&self) {
        let metrics = &self.metrics;
        for poison in Poison::ALL {
            drop(
                metrics
                    .channels_poison
                    .get_or_create(&[("reason", poison.label())]),
            );
        }
        let reasons = Ignored::ALL.map(Ignored::label);
        for reason in reasons.into_iter().chain(["no_room"]) {
            drop(
                metrics
                    .channels_ignored
                    .get_or_create(&[("reason", reason)]),
            );
        }
        for cause in super::courier::CAUSES
            .into_iter()
            .chain(["lagged", "mailbox"])
        {
            drop(metrics.channels_dropped.get_or_create(&[("cause", cause)]));
        }
    }

    /// Everything that is to run, until `stop` says so.
    pub(in crate::bridge) fn tasks(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        stop: &watch::Sender<bool>,
    ) -> Vec<Running> {
        let mut tasks: Vec<Running> = Vec::new();
        for host in &self.hosts {
            let (host, layer, broker) = (Arc::clone(host), Arc::clone(self), Arc::clone(broker));
            tasks.push(Box::pin(host.supervise(layer, broker, stop.subscribe())));
        }
        for courier in &self.couriers {
            let (courier, layer, broker) =
                (Arc::clone(courier), Arc::clone(self), Arc::clone(broker));
            tasks.push(Box::pin(courier.supervise(layer, broker, stop.subscribe())));
        }
        tasks
    }

    /// Where a group's memberships are kept, or its publications go.
    fn host(&self, name: &RoomName) -> Option<&Arc<Host>> {
        let index = if self.is_core {
            self.commands.host_of_group(name.as_str())
        } else {
            let channel = self.commands.keys().group_channel(name.as_str());
            host_of(&channel, self.hosts.len())
        };
        self.hosts.get(index)
    }

    /// A key or channel of this node alone, beside its receivers'.
    pub(super) fn key(&self, name: &str) -> Vec<u8> {
        let process = self.own.names().first().map_or("", String::as_str);
        format!("{}${name}", self.commands.keys().channel(process)).into_bytes()
    }

    /// How many couriers there are.
    pub(super) fn couriers(&self) -> usize {
        self.couriers.len()
    }

    /// The room behind a name that was shortened, while this node is in its group.
    pub(super) fn digested(&self, digest: &str) -> Option<String> {
        let digests = self.digests.lock();
        digests.get(digest).map(|name| name.as_str().to_owned())
    }

    /// This node's channel in a group; from now on, what comes for it is known.
    pub(super) fn member(&self, name: &RoomName) -> String {
        let member = self.own.member(name.as_str());
        if let Some(Local::Digest(digest)) = self.own.group_of(&member) {
            let is_wanted =
                |room: &RoomName| self.host(room).is_some_and(|host| host.rooms.has(room));
            self.digests.lock().insert(digest, name, is_wanted);
        }
        member
    }

    /// As [`Layer::member`], when it is given up.
    pub(super) fn former_member(&self, name: &RoomName) -> String {
        let member = self.own.member(name.as_str());
        if let Some(Local::Digest(digest)) = self.own.group_of(&member) {
            self.digests.lock().remove(digest);
        }
        member
    }

    /// How each host is, in the order of `bridge.channels.hosts`.
    pub(in crate::bridge) fn reports(&self) -> Vec<Report> {
        let waiting = self.couriers.iter().map(|courier| courier.waiting()).sum();
        let hosts = self.hosts.iter();
        hosts.map(|host| host.report(waiting)).collect()
    }

    /// Brings the gauges up to date.
    pub(in crate::bridge) fn measure(&self) {
        let (mut wanted, mut joined) = (0, 0);
        for host in &self.hosts {
            let (rooms, there) = host.rooms.counts();
            wanted += rooms;
            joined += there;
        }
        for (state, number) in [("wanted", wanted), ("joined", joined)] {
            let series = self
                .metrics
                .channels_groups
                .get_or_create(&[("state", state)]);
            series.set(number.cast_signed() as i64);
        }
        let waiting: usize = self.couriers.iter().map(|courier| courier.waiting()).sum();
        self.metrics
            .channels_outbox
            .set(waiting.cast_signed() as i64);
    }
}

impl Uplink for Arc<Layer> {
    fn way(&self) -> Way {
        Way::Django
    }

    fn said(&self, room: &Arc<Room>, author: Author, said: &Publication) {
        for courier in &self.couriers {
            courier.take(room, author, said);
        }
    }

    fn watch(&self, name: &RoomName) -> bool {
        self.host(name)
            .is_none_or(|host| host.rooms.watch(name, self.clock.now()))
    }

    fn unwatch(&self, name: &RoomName) {
        if let Some(host) = self.host(name) {
            host.rooms.unwatch(name, self.clock.now());
        }
    }
}
