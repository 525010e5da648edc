//! What the nodes say to each other over one Redis goes by one of two modes, decided once at the start.

use super::envelope::NodeId;
use super::link::{Boot, RedisLink, RoomState};
use super::outbox::{Outgoing, RoomBatch, Sending, What};
use super::pubsub::Pubsub;
use super::read_context::ReadContext;
use super::streams::reads::Reads;
use super::streams::{RoomAppends, SentCommand, States, Streams};
use crate::broker::room::Room;
use crate::broker::uplink::Forwarded;
use crate::broker::{Broker, Publication};
use crate::clock::Millis;
use crate::config::{BridgeMode, Config};
use crate::name::RoomName;
use crate::redis::client::RedisClient;
use crate::redis::failure::{CommandError, LinkFailure};
use crate::redis::value::RedisValue;
use std::sync::Arc;
use std::time::Duration;

/// `bridge.mode` at work over one Redis.
#[derive(Debug)]
pub(super) enum Mode {
    /// What is published reaches whoever is there.
    Pubsub(Box<Pubsub>),
    /// One order of all nodes, and what was missed is read.
    Streams(Arc<Streams>),
}

impl Mode {
    /// The mode of the configuration; names at Redis begin with `prefix`.
    pub(super) fn new(config: &Config, prefix: &str, boot: &Boot) -> Self {
        match config.bridge.mode {
            BridgeMode::Off | BridgeMode::Pubsub => {
                Self::Pubsub(Box::new(Pubsub::new(prefix, boot, &config.bridge)))
            }
            BridgeMode::Streams => Self::Streams(Arc::new(Streams::new(config, prefix))),
        }
    }

    /// What there is in mode `streams` alone.
    pub(super) fn streams(&self) -> Option<&Streams> {
        match self {
            Self::Pubsub(_) => None,
            Self::Streams(streams) => Some(streams),
        }
    }

    /// Are marks said? A stream says itself where it ends.
    pub(super) fn says_marks(&self) -> bool {
        matches!(self, Self::Pubsub(_))
    }

    /// The channel of a room.
    pub(super) fn channel(&self, name: &RoomName) -> String {
        match self {
            Self::Pubsub(pubsub) => pubsub.channel(name),
            Self::Streams(streams) => streams.stream(name.as_str()),
        }
    }

    /// The channel of a node's canary.
    pub(super) fn canary_channel(&self, node: NodeId) -> String {
        match self {
            Self::Pubsub(pubsub) => pubsub.canary_channel(node),
            Self::Streams(streams) => streams.canary_channel(node),
        }
    }

    /// What is known of a room that nobody knew.
    pub(super) fn room_state(&self) -> RoomState {
        match self {
            Self::Pubsub(_) => RoomState::Pubsub(Box::default()),
            Self::Streams(streams) => RoomState::Streams(Box::new(streams.room_order())),
        }
    }

    /// What the worker's publication becomes, and whether it is in the outbox. Called under the
    /// room's lock.
    pub(super) fn forward(
        &self,
        link: &RedisLink,
        room: &Arc<Room>,
        number: u64,
        publication: &Publication,
    ) -> (Forwarded, bool) {
        let is_queued = link.outbox.offer(Outgoing {
            room: Arc::clone(room),
            number,
            what: What::Message(publication.clone()),
        });
        let forwarded = match self {
            Self::Pubsub(_) if is_queued => Forwarded::Queued,
            Self::Pubsub(_) => Forwarded::Dropped,
            Self::Streams(streams) => streams.forward(link, room, number, publication, is_queued),
        };
        (forwarded, is_queued)
    }

    /// One server of a Cluster stands where one alone is written.
    ///
    /// # Errors
    /// In mode `streams`: the keys of most rooms are elsewhere. What is published to one server, all are told.
    pub(super) fn meet_cluster(&self, link: &RedisLink) -> Result<(), LinkFailure> {
        if self.streams().is_some() {
            return Err(LinkFailure::Cluster);
        }
        tracing::warn!(
            redis = link.name,
            address = link.deployment.shown,
            "this Redis is a server of a Cluster, which tells all others what is published: write redis-cluster:// on every node"
        );
        Ok(())
    }

    /// Opens what a session has in this mode beside the rest; `client` is what will publish.
    pub(super) async fn open(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
    ) -> Result<Option<Reads>, LinkFailure> {
        match self {
            Self::Pubsub(_) => Ok(None),
            Self::Streams(streams) => Ok(Some(Reads::open(link, streams, client).await?)),
        }
    }

    /// Tells the marks of this node's rooms, and asks for those of others; for ever, where there are none.
    pub(super) async fn tell(
        &self,
        link: &RedisLink,
        broker: &Broker,
        client: &dyn RedisClient,
    ) -> LinkFailure {
        match self {
            Self::Pubsub(pubsub) => Box::pin(pubsub.tell(link, broker, client)).await,
            Self::Streams(_) => std::future::pending().await,
        }
    }

    /// The node goes down, and everything it said has left: the marks of that, too.
    pub(super) async fn tell_last(&self, link: &RedisLink, client: &dyn RedisClient) {
        if let Self::Pubsub(pubsub) = self {
            // Whoever does not hear them counts less; nobody is left here to try again.
            drop(pubsub.tell_last(link, client).await);
        }
    }

    /// Takes in what came where all nodes speak; false if it was nothing of this mode.
    pub(super) fn hear_letter(
        &self,
        link: &RedisLink,
        context: &mut ReadContext,
        bytes: &[u8],
    ) -> bool {
        match self {
            Self::Pubsub(pubsub) => pubsub.hear_letter(link, context, bytes),
            Self::Streams(_) => false,
        }
    }

    /// When the next thing is due that came and is held.
    pub(super) fn held_until(&self) -> Option<Millis> {
        match self {
            Self::Pubsub(pubsub) => pubsub.held_until(),
            Self::Streams(_) => None,
        }
    }

    /// Takes in one thing that was held and is due; false if there is none.
    pub(super) fn take_held(&self, link: &RedisLink) -> bool {
        match self {
            Self::Pubsub(pubsub) => pubsub.take_held(link),
            Self::Streams(_) => false,
        }
    }

    /// Reads gaps, and looks after who waits for an order; for ever, where there is neither.
    pub(super) async fn recover(
        &self,
        link: &Arc<RedisLink>,
        broker: &Arc<Broker>,
        reads: Option<&mut Reads>,
    ) -> LinkFailure {
        let (Self::Streams(streams), Some(reads)) = (self, reads) else {
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            failure = reads.run(link, broker) => failure,
            () = streams.watch_order(link, broker) => LinkFailure::Ended,
            () = streams.ask_again(link) => LinkFailure::Ended,
        }
    }

    /// A session begins.
    pub(super) fn begin(&self, link: &RedisLink) {
        match self {
            Self::Pubsub(pubsub) => pubsub.begin(link),
            Self::Streams(streams) => streams.begin(link),
        }
    }

    /// A session is over.
    pub(super) fn went_down(&self, link: &RedisLink, broker: &Broker) {
        match self {
            Self::Pubsub(pubsub) => pubsub.went_down(link),
            Self::Streams(streams) => streams.went_down(link, broker),
        }
    }

    /// The node goes down: nothing waits for the order of all nodes any longer.
    pub(super) fn close(&self, link: &RedisLink, broker: &Broker) {
        if let Self::Streams(streams) = self {
            streams.close(link, broker);
        }
    }

    /// Redis has subscribed these rooms.
    pub(super) fn subscribed(&self, link: &RedisLink, broker: &Broker, names: &[RoomName]) {
        match self {
            Self::Pubsub(pubsub) => pubsub.subscribed(link, broker, names),
            Self::Streams(streams) => streams.subscribed(link, names),
        }
    }

    /// Redis has subscribed all rooms that were known before the session.
    pub(super) fn caught_up(&self, link: &RedisLink) {
        if let Self::Pubsub(pubsub) = self {
            pubsub.caught_up(link);
        }
    }

    /// Takes parcels to the other nodes, by as many commands as that takes.
    pub(super) fn publish(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
        parcels: Vec<RoomBatch>,
    ) -> Vec<SentCommand> {
        match self {
            Self::Pubsub(pubsub) => {
                let publish = |parcel: RoomBatch| SentCommand {
                    answer: pubsub.publish(link, client, parcel),
                    rooms: Vec::new(),
                };
                parcels.into_iter().map(publish).collect()
            }
            Self::Streams(streams) => streams.append(link, client, parcels),
        }
    }

    /// Redis has answered one of these.
    ///
    /// # Errors
    /// Where it is not done with.
    pub(super) fn settle(
        &self,
        link: &RedisLink,
        rooms: &RoomAppends,
        answered: Result<RedisValue, CommandError>,
    ) -> Result<(), CommandError> {
        match self {
            Self::Pubsub(_) => answered.map(drop),
            Self::Streams(streams) => streams.settle(link, rooms, answered),
        }
    }

    /// Before the first parcel of a session leaves: after an outage the other nodes have `quiet_period` to
    /// subscribe again.
    pub(super) async fn before_sending(
        &self,
        link: &RedisLink,
        sending: &mut Sending,
        quiet_period: Duration,
    ) {
        match self {
            // Whatever broke this link broke the other nodes' too, and nobody keeps what they do not
            // hear.
            Self::Pubsub(_) => tokio::time::sleep(quiet_period).await,
            Self::Streams(streams) => {
                sending.collect();
                streams.answered(link, Duration::ZERO, sending.unsent());
            }
        }
    }

    /// The oldest parcel that is not answered left then.
    pub(super) fn waits_since(&self, oldest: Option<Millis>) {
        if let Self::Streams(streams) = self {
            streams.waits_since(oldest);
        }
    }

    /// Redis answered after so long, and so much is still to be sent.
    pub(super) fn answered(&self, link: &RedisLink, took: Duration, unsent: usize) {
        if let Self::Streams(streams) = self {
            streams.answered(link, took, unsent);
        }
    }

    /// A canary came back after so long.
    pub(super) fn proven(&self, link: &RedisLink, took: Duration) {
        if let Self::Streams(streams) = self {
            streams.proven(link, took);
        }
    }

    /// Sends one canary, on the way that messages take.
    pub(super) async fn send_canary(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
        number: u64,
    ) -> Result<(), LinkFailure> {
        match self {
            Self::Pubsub(_) => {
                link.send_canary(number);
                let bytes = number.to_be_bytes().to_vec().into();
                client.publish(link.canary_channel.clone(), bytes).await?;
                Ok(())
            }
            Self::Streams(streams) => streams.send_canary(link, client, number).await,
        }
    }

    /// Arrivals were lost, of whichever rooms.
    pub(super) fn doubt_all(&self, link: &RedisLink) {
        match self {
            Self::Pubsub(pubsub) => pubsub.lagged(link),
            Self::Streams(streams) => streams.doubt_all(link),
        }
    }

    /// Takes in what came over a channel.
    pub(super) async fn hear(
        &self,
        link: &RedisLink,
        context: &mut ReadContext,
        channel: &str,
        bytes: &[u8],
    ) {
        match self {
            Self::Pubsub(pubsub) => pubsub.hear(link, context, channel, bytes).await,
            Self::Streams(streams) => streams.hear(link, context, channel, bytes),
        }
    }

    /// How the rooms are.
    pub(super) fn states(&self, link: &RedisLink) -> States {
        self.streams()
            .map_or_else(States::default, |streams| streams.states(link))
    }
}
