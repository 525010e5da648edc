//! The channel layer of one Django site, as this node is part of it.
//!
//! ```text
//! group_send ─> ZADD ─> BZPOPMIN, EVAL ─> inbound ─> deliver_remote ─> room     (layer core)
//! group_send ─> PUBLISH ─> SUBSCRIBE ─> inbound ─> deliver_remote ─> room (layer pubsub)
//! room ─ said ─> outbound ─> ZADD or PUBLISH ─> worker or group
//! ```
//!
//! Each host of the site has a link of its own (`link`), each destination of users' messages
//! a queue (`user_queue`); what they share is here. Two nodes of ours do not hear each other
//! this way: that is the bridge's work, whose mode is independent of this.

use super::codec::Poison;
use super::digests::Digests;
use super::event::{Ignored, Mapping};
use super::host::LayerHost;
use super::keys::{Local, Receivers, host_of};
use super::random::{check_random, fill};
use super::scripts::Commands;
use super::user_queue::{CAUSES, Destination, UserQueue};
use crate::clock::{Clock, SharedDuration};
use crate::config::Config;
use crate::config::channels::{HostAddress, LayerKind, SentKind};
use crate::metrics::{Metrics, declare, set};
use crate::name::RoomName;
use crate::protocol::{EventWriter, Sender};
use crate::redis::deployment::Deployment;
use crate::redis::{Error, LinkReport};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What the parts of a channel layer share.
#[derive(Debug)]
pub struct Layer {
    pub(super) is_core: bool,
    pub(super) commands: Commands,
    pub(super) own: Receivers,
    pub(super) mapping: Mapping,
    /// Writes the error that a user is told.
    pub(super) writer: EventWriter,
    pub(super) tell_full: bool,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// `queue.expiry`.
    pub(super) expiry: SharedDuration,
    pub(super) group_expiry: Duration,
    /// `bridge.command_timeout`.
    pub(super) timeout: Duration,
    pub(super) pause_max: Duration,
    pub(super) hosts: Box<[Arc<LayerHost>]>,
    pub(super) queues: Box<[Arc<UserQueue>]>,
    /// Whose messages the queues take.
    pub(super) senders: Box<[Sender]>,
    /// Destinations for which there is nothing more to send, once the node goes down.
    pub(super) done: watch::Sender<usize>,
    digests: Mutex<Digests>,
}

impl Layer {
    /// What Django says is worth delivering for so long from now on: `queue.expiry`.
    pub fn set_expiry(&self, expiry: Duration) {
        self.expiry.set(expiry);
    }

    /// The layer of the configuration, `None` if there is none.
    ///
    /// # Errors
    /// When a host is none, or the system has no random bytes.
    pub fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Option<Arc<Self>>, Error> {
        let channels = &config.channels;
        if !channels.enabled {
            return Ok(None);
        }
        check_random()?;
        let hosts = channels.hosts.iter().map(HostAddress::address);
        let hosts = Deployment::all(hosts, &config.bridge)?;
        let host = |at| Arc::new(LayerHost::new(at, &config.bridge, metrics, clock));
        let destinations = [
            channels.send_to.clone().map(Destination::Worker),
            channels.send_to_group.clone().map(Destination::Group),
        ];
        let queue = |to| Arc::new(UserQueue::new(to, config, metrics));
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
            is_core: channels.layer == LayerKind::Core,
            commands: Commands::new(channels),
            mapping: Mapping::new(channels, config.chat.dialect, node),
            own,
            writer: EventWriter::new(config.chat.dialect),
            tell_full: channels.tell_full,
            clock,
            metrics: Arc::clone(metrics),
            expiry: SharedDuration::new(config.queue.expiry),
            group_expiry: channels.group_expiry,
            timeout: config.bridge.command_timeout,
            pause_max: config.bridge.reconnect_max,
            hosts: hosts.into_iter().enumerate().map(host).collect(),
            queues: destinations.into_iter().flatten().map(queue).collect(),
            senders: channels.send.iter().copied().map(sender).collect(),
            done: watch::Sender::new(0),
            digests: Mutex::default(),
        };
        layer.declare();
        Ok(Some(Arc::new(layer)))
    }

    /// Makes every series of the closed sets appear at zero.
    fn declare(&self) {
        let metrics = &self.metrics;
        let poison = Poison::ALL.map(|poison| poison.label());
        declare(&metrics.channels_poison, "reason", poison);
        let whose = ["group", "own"];
        declare(&metrics.channels_foreign_keys, "whose", whose);
        let ignored = Ignored::ALL.map(Ignored::label).into_iter();
        declare(
            &metrics.channels_ignored,
            "reason",
            ignored.chain(["no_room"]),
        );
        let causes = CAUSES.into_iter().chain(["cut", "lagged", "mailbox"]);
        declare(&metrics.channels_dropped, "cause", causes);
    }

    /// Where a room's memberships are kept, or its publications go.
    pub(super) fn host(&self, name: &RoomName) -> Option<&Arc<LayerHost>> {
        self.hosts.get(self.host_of_group(name.as_str()))
    }

    /// The index of a group's host.
    pub(super) fn host_of_group(&self, group: &str) -> usize {
        if self.is_core {
            return self.commands.host_of_group(group);
        }
        let channel = self.commands.keys().group_channel(group);
        host_of(&channel, self.hosts.len())
    }

    /// A key or channel of this node alone, beside its receivers'.
    pub(super) fn key(&self, name: &str) -> Vec<u8> {
        let process = self.own.names().first().map_or("", String::as_str);
        format!("{}${name}", self.commands.keys().channel(process)).into_bytes()
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

    /// How each host is, in the order of `channels.hosts`.
    pub(crate) fn reports(&self) -> Vec<LinkReport> {
        let waiting = self.queues.iter().map(|queue| queue.waiting()).sum();
        let hosts = self.hosts.iter();
        hosts.map(|host| host.report(waiting)).collect()
    }

    /// Brings the gauges up to date.
    pub(crate) fn measure(&self) {
        let (mut wanted, mut joined) = (0, 0);
        for host in &self.hosts {
            let (rooms, there) = host.rooms.counts();
            wanted += rooms;
            joined += there.saturating_sub(host.memberships.lock().refused());
        }
        for (state, number) in [("wanted", wanted), ("joined", joined)] {
            let groups = &self.metrics.channels_groups;
            set(&groups.get_or_create(&[("state", state)]), number);
        }
        let waiting = self.queues.iter().map(|queue| queue.waiting());
        set(&self.metrics.channels_outbox, waiting.sum());
    }
}

const fn sender(sent: SentKind) -> Sender {
    match sent {
        SentKind::User => Sender::User,
        SentKind::System => Sender::System,
    }
}
