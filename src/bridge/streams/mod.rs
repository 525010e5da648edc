//! Mode `streams`: Redis gives every message its place, and keeps it.
//!
//! A room is a stream. One Lua function appends what a node says and publishes it with its offset, so
//! there is one order, and every node delivers in it, the one that spoke too. Who missed something
//! reads it from the stream before anything newer is delivered. What is not answered is sent again,
//! and dropped by the function if it had been appended.
//!
//! ```text
//! worker ─ publish ─> room ─ forward ─> outbox ─ batch ─> append.lua ─ XADD, PUBLISH ─┐
//!                       └ waits in own ──────────────┐                                v
//! worker <─ mailbox <─ room <─ deliver_taken <─── lane: own, follower <─────── SUBSCRIBE
//!                                                    ^      └ a gap ─> reads ─> read.lua
//!                                                    └──────────────────────────────┘
//! ```
//!
//! Redis is optional while the node runs: what does not come back within `bridge.order_timeout` is
//! delivered at once, in the order in which it was said, and a room (or, when Redis does not answer,
//! all of them) goes on so until its way works again.
//!
//! | Module | |
//! |---|---|
//! | [`follower`] | where a node is in a stream, pure |
//! | [`own`] | what waits to come back, pure |
//! | `lane` | both, for one room |
//! | `scripts` | what is said to Redis |
//! | `reads` | gaps, and `/history` |
//! | `order` | who waits, and for how long |
//! | `refused` | rooms whose keys are somebody else's |
//!
//! Limits: what waits by `bridge.outbox_capacity` and `bridge.outbox_bytes`; gaps being read by
//! `reads::READS` pages of 256 KiB and a message; a stream by `history.capacity`,
//! `history.bytes_max` and `history.expiry`.
//!
//! # Lock order
//! A room's state, then the link's rooms, then what is here; see [`broker`](crate::broker).

pub mod follower;
mod history;
mod lane;
mod order;
pub mod own;
pub(super) mod reads;
mod refused;
pub(super) mod scripts;

pub use history::{Kept, KeptMessage, NoHistory};
pub(super) use lane::Lane;
pub use scripts::Announcement;

use super::arrivals::Arrivals;
use super::deployment::{Deployment, Failure, Publishing, wall_millis};
use super::fault::is_about_room;
use super::link::Link;
use super::outbox::{Outgoing, Parcel, What};
use crate::broker::room::Room;
use crate::broker::uplink::Forwarded;
use crate::broker::{Broker, Publication};
use crate::clock::Millis;
use crate::config::Config;
use crate::metrics::count;
use crate::name::RoomName;
use bytes::Bytes;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, LuaInterface};
use fred::types::{ClusterHash, CustomCommand, Value};
use lane::{Ears, Tally};
use own::{Load, Said};
use parking_lot::Mutex;
use refused::Refused;
use scripts::{Keeps, append_arguments};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// How long the stream of a node's canary is kept.
const CANARY_KEPT: Duration = Duration::from_secs(60);

/// The two functions as Redis knows them.
#[derive(Clone, Debug)]
pub(super) struct Hashes {
    append: String,
    read: String,
}

impl Hashes {
    /// Loads both.
    ///
    /// # Errors
    /// When Redis does not answer in time, or forbids it.
    pub(super) async fn load(deployment: &Deployment, client: &Client) -> Result<Self, Failure> {
        Ok(Self {
            append: deployment.load_script(client, scripts::APPEND).await?,
            read: deployment.load_script(client, scripts::READ).await?,
        })
    }
}

/// What a link has in this mode beside the rest.
#[derive(Debug)]
pub(super) struct Streams {
    stream_prefix: String,
    origins_prefix: String,
    keeps: Keeps,
    pub(super) order_timeout: Duration,
    pub(super) load: Arc<Load>,
    hashes: Mutex<Option<Hashes>>,
    /// Redis answers appends in time.
    is_answering: AtomicBool,
    /// The node goes down: nothing waits any longer.
    is_closing: AtomicBool,
    /// Since when the oldest append waits for its answer, in milliseconds; `u64::MAX`: none does.
    unanswered_since: AtomicU64,
    /// Rooms to be read, each once.
    to_read: Mutex<VecDeque<RoomName>>,
    to_read_filled: Notify,
    /// Rooms with own publications that wait, each once.
    waiting: Mutex<Vec<RoomName>>,
    refused: Arc<Refused>,
    /// For `/history`, while a session is up.
    reader: Mutex<Option<Client>>,
}

impl Streams {
    pub(super) fn new(config: &Config, prefix: &str) -> Self {
        let (bridge, history) = (&config.bridge, &config.history);
        Self {
            stream_prefix: stream_prefix(prefix),
            origins_prefix: origins_prefix(prefix),
            keeps: Keeps {
                capacity: history.capacity,
                bytes_max: history.bytes_max,
                expiry: history.expiry,
            },
            order_timeout: bridge.order_timeout,
            load: Arc::new(Load::new(bridge.outbox_capacity, bridge.outbox_bytes)),
            hashes: Mutex::default(),
            is_answering: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            unanswered_since: AtomicU64::new(u64::MAX),
            to_read: Mutex::default(),
            to_read_filled: Notify::new(),
            waiting: Mutex::default(),
            refused: Arc::default(),
            reader: Mutex::default(),
        }
    }

    /// The stream of a room, and the channel of the same name. The braces keep it on one node of a
    /// Cluster with the room's origins.
    pub(super) fn stream(&self, name: &str) -> String {
        [&self.stream_prefix, name, "}"].concat()
    }

    fn origins(&self, name: &str) -> String {
        [&self.origins_prefix, name, "}"].concat()
    }

    /// The room of a channel.
    fn room<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let rest = channel.strip_prefix(self.stream_prefix.as_str())?;
        rest.strip_suffix('}')
    }

    fn hashes(&self) -> Option<Hashes> {
        self.hashes.lock().clone()
    }

    /// Appends what a room has to say, and publishes it; done when Redis has answered. What Redis
    /// refuses for this room alone is counted and done with.
    pub(super) fn append(&self, link: &Link, client: Client, parcel: Parcel) -> Publishing {
        let name = parcel.room.name().as_str();
        let keys = vec![self.stream(name), self.origins(name)];
        let (head, messages) = parcel.pieces();
        let count = messages.len() as u64;
        let arguments = append_arguments(&link.deployment, self.keeps, link.node.0, head, messages);
        let hash = self.hashes().map(|hashes| hashes.append);
        let metrics = Arc::clone(&link.metrics);
        let (refused, now) = (Arc::clone(&self.refused), link.clock.now());
        let room = Arc::clone(&parcel.room);
        Box::pin(async move {
            let appended: Result<Value, Error> = client
                .evalsha(hash.unwrap_or_default(), keys, arguments)
                .await;
            match appended {
                Ok(appended) => {
                    let appended = appended.as_u64().unwrap_or(0);
                    metrics.bridge_appended.inc_by(appended);
                    metrics
                        .bridge_repeated
                        .inc_by(count.saturating_sub(appended));
                    Ok(())
                }
                Err(error) if is_about_room(&error) => {
                    for _ in 0..count {
                        count_refused(&metrics);
                    }
                    refused.add(room.name(), &error, now);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Sends one canary: through a stream of its own, since a Redis that is full publishes and does
    /// not append.
    ///
    /// # Errors
    /// When Redis does not answer in time, or refuses it.
    pub(super) async fn send_canary(
        &self,
        link: &Link,
        client: &Client,
        number: u64,
    ) -> Result<(), Failure> {
        let name = canary(&format!("{:?}", link.node));
        let keys = vec![self.stream(&name), self.origins(&name)];
        let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
        let head = Bytes::from_static(&[0; super::envelope::HEAD_BYTES]);
        let keeps = Keeps::one(CANARY_KEPT);
        let messages = vec![(number, bytes)];
        let arguments = append_arguments(&link.deployment, keeps, link.node.0, head, messages);
        let hash = self.hashes().map(|hashes| hashes.append);
        let _appended: Value = client
            .evalsha(hash.unwrap_or_default(), keys, arguments)
            .await?;
        Ok(())
    }

    /// The channel of this node's canary.
    pub(super) fn canary_channel(&self, node: super::NodeId) -> String {
        self.stream(&canary(&format!("{node:?}")))
    }

    /// What the worker's publication becomes. Called under the room's lock.
    pub(super) fn forward(
        &self,
        link: &Link,
        room: &Arc<Room>,
        number: u64,
        publication: &Publication,
    ) -> (Forwarded, bool) {
        let is_queued = link.outbox.offer(Outgoing {
            room: Arc::clone(room),
            number,
            what: What::Message(publication.clone()),
        });
        let may_wait = is_queued && self.is_answering.load(Relaxed);
        let (now, number) = (link.clock.now(), (room.incarnation(), number));
        let mut earlier = Vec::new();
        let said = link.rooms.lane(room.name().as_str(), |lane| {
            let said = lane.say(number, publication, now, may_wait, &mut earlier);
            if said == Said::Ordered && !std::mem::replace(&mut lane.is_watched, true) {
                self.waiting.lock().push(room.name().clone());
            }
            said
        });
        let forwarded = match said {
            Some(Said::Ordered) => Forwarded::Returns,
            _ if !earlier.is_empty() => Forwarded::Recalled(earlier),
            _ if is_queued => Forwarded::Queued,
            _ => Forwarded::Dropped,
        };
        (forwarded, is_queued)
    }

    /// A room is to be read; its lane has said so.
    fn queue_read(&self, name: RoomName) {
        self.to_read.lock().push_back(name);
        self.to_read_filled.notify_one();
    }

    /// The subscription stands: read where it begins, or what was missed.
    pub(super) fn subscribed(&self, link: &Link, name: &RoomName) {
        if link.rooms.lane(name.as_str(), Lane::doubt) == Some(true) {
            self.queue_read(name.clone());
        }
    }

    /// Arrivals were lost, of whichever rooms: all are read.
    pub(super) fn doubt_all(&self, link: &Link) {
        for name in link.rooms.lanes(Lane::doubt) {
            self.queue_read(name);
        }
    }

    fn ears(&self, link: &Link) -> Ears {
        Ears {
            node: link.node,
            now: link.clock.now(),
            wall: wall_millis(),
            expiry: link.expiry,
            patience: self.order_timeout,
        }
    }

    /// Takes in what came over a channel.
    pub(super) fn hear(
        &self,
        link: &Link,
        broker: &Broker,
        arrivals: &mut Arrivals,
        message: (&str, &[u8]),
    ) {
        let (channel, bytes) = message;
        if channel == link.canary_channel {
            if let Some(number) = scripts::canary(bytes) {
                link.see_canary(number);
            }
            return;
        }
        let Some(name) = self.room(channel) else {
            return;
        };
        let announcement = match Announcement::read(bytes) {
            Ok(announcement) => announcement,
            Err(poison) => return arrivals.poison(poison, bytes),
        };
        let room = broker.named(name);
        // A worker that is behind is waited for by reading, not by standing in the way of other rooms.
        let may_deliver = room
            .as_ref()
            .is_none_or(|room| broker.full_mailbox(room).is_none());
        let ears = self.ears(link);
        let mut tally = Tally::default();
        let mut take = |ready: &mut Vec<Publication>| {
            link.rooms.lane(name, |lane| {
                lane.hear(&announcement, may_deliver, &ears, ready, &mut tally)
            })
        };
        let is_behind = within(broker, room.as_ref(), &mut take);
        self.book(link, &tally);
        if is_behind == Some(true)
            && let Some(name) = RoomName::parse(name)
        {
            self.queue_read(name);
        }
    }

    /// How the rooms are.
    pub(super) fn rooms(&self, link: &Link) -> States {
        let is_answering = self.is_answering.load(Relaxed);
        let mut states = States::default();
        link.rooms.lanes(|lane| {
            let is_ordered = is_answering && lane.is_ordered();
            states.ordered += i64::from(is_ordered);
            states.alone += i64::from(!is_ordered);
            states.reading += i64::from(!lane.is_live());
            false
        });
        states
    }

    /// Moves what was counted to the metrics.
    fn book(&self, link: &Link, tally: &Tally) {
        let metrics = &link.metrics;
        metrics.bridge_received.inc_by(tally.received);
        metrics.bridge_duplicates.inc_by(tally.known);
        metrics.bridge_delivered.inc_by(tally.delivered);
        metrics.bridge_echoes.inc_by(tally.echoes);
        metrics.bridge_recovered.inc_by(tally.read);
        metrics.bridge_gaps.inc_by(tally.account.missed);
        metrics.bridge_resets.inc_by(tally.account.resets);
        for (cause, number) in [("late", tally.late), ("poison", tally.poison)] {
            if number > 0 {
                metrics
                    .bridge_dropped
                    .get_or_create(&[("cause", cause)])
                    .inc_by(number);
            }
        }
    }
}

/// How many rooms of a link are what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct States {
    /// Their members see the order of all nodes.
    pub(super) ordered: i64,
    /// Their members see their own at once.
    pub(super) alone: i64,
    /// Of both, those that are not where their stream is.
    pub(super) reading: i64,
}

/// Runs `take` under the lock of the room, if it has members, and gives them what it chose.
fn within<T>(
    broker: &Broker,
    room: Option<&Arc<Room>>,
    take: &mut dyn FnMut(&mut Vec<Publication>) -> Option<T>,
) -> Option<T> {
    let mut result = None;
    match room {
        Some(room) => {
            broker.deliver_taken(room, |ready| result = take(ready));
        }
        None => result = take(&mut Vec::new()),
    }
    result
}

/// The name in the place of a room's for a canary; no room has a colon in its name.
fn canary(who: &str) -> String {
    format!("canary:{who}")
}

fn stream_prefix(prefix: &str) -> String {
    format!("{prefix}:stream:{{")
}

fn origins_prefix(prefix: &str) -> String {
    format!("{prefix}:origins:{{")
}

/// The stream of a canary that `supportal check` sends.
pub(super) fn probe_stream(prefix: &str, who: &str) -> String {
    [&stream_prefix(prefix), &canary(who), "}"].concat()
}

/// Appends a canary to that stream, and reads where it stands; it is gone a second later.
///
/// # Errors
/// When Redis does not answer in time, or forbids something.
pub(super) async fn probe(
    deployment: &Deployment,
    client: &Client,
    hashes: &Hashes,
    prefix: &str,
    who: &str,
) -> Result<(), Failure> {
    let stream = probe_stream(prefix, who);
    let origins = [&origins_prefix(prefix), &canary(who), "}"].concat();
    let head = Bytes::from_static(&[0; super::envelope::HEAD_BYTES]);
    let messages = vec![(1, Bytes::from_static(b"canary"))];
    let keeps = Keeps::one(Duration::from_secs(1));
    let arguments = append_arguments(deployment, keeps, [0; 16], head, messages);
    let keys = vec![stream.clone(), origins.clone()];
    let _appended: Value = client
        .evalsha(hashes.append.as_str(), keys, arguments)
        .await?;
    let newest = scripts::newest_arguments(1, scripts::PAGE_BYTES);
    let _newest: Value = client
        .evalsha(hashes.read.as_str(), vec![stream.clone()], newest)
        .await?;
    let request = follower::Request {
        after: Some(follower::Position::default()),
    };
    let _page: Value = client
        .evalsha(
            hashes.read.as_str(),
            vec![stream],
            scripts::read_arguments(request),
        )
        .await?;
    // What the appending function does once many nodes have spoken.
    for (command, rest) in [("HGETALL", &[][..]), ("HDEL", &["nobody"])] {
        let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
        let words = [&[origins.as_str()], rest].concat();
        let _answer: Value = client.custom(command, words).await?;
    }
    Ok(())
}

fn count_refused(metrics: &crate::metrics::Metrics) {
    count(&metrics.bridge_dropped, "cause", "refused");
}

/// A moment as it is kept in an atomic.
fn moment(millis: Option<Millis>) -> u64 {
    millis.map_or(u64::MAX, |Millis(millis)| millis)
}
