//! What a link has in mode `streams` beside the rest: names, functions, and what waits.

use super::kept::StreamArchive;
use super::on_the_way::OnTheWay;
use super::refused::Refused;
use super::scripts::{self, Keeps};
use super::spoken::SpokenRooms;
use crate::bridge::link::RedisLink;
use crate::bridge::order::unconfirmed::UnconfirmedLoad;
use crate::bridge::order::{self, Announcement, HearContext, HearTally, Placed, RoomOrder};
use crate::bridge::read_context::ReadContext;
use crate::bridge::wall::wall_millis;
use crate::broker::room::Room;
use crate::broker::uplink::Forwarded;
use crate::broker::{Broker, Publication};
use crate::clock::Millis;
use crate::config::Config;
use crate::metrics::count_all;
use crate::name::RoomName;
use crate::redis::client::RedisClient;
use crate::redis::failure::LinkFailure;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// The two functions as Redis knows them.
#[derive(Clone, Debug)]
pub(in crate::bridge) struct Hashes {
    pub(super) append: String,
    pub(super) read: String,
}

impl Hashes {
    /// Loads both.
    ///
    /// # Errors
    /// When Redis does not answer in time, or forbids it.
    pub(in crate::bridge) async fn load(client: &dyn RedisClient) -> Result<Self, LinkFailure> {
        Ok(Self {
            append: client.load(scripts::APPEND).await?,
            read: client.load(scripts::READ).await?,
        })
    }
}

/// What a link has in this mode beside the rest.
#[derive(Debug)]
pub(in crate::bridge) struct Streams {
    pub(super) stream_prefix: String,
    pub(super) origins_prefix: String,
    pub(super) keeps: Keeps,
    pub(super) archive: Option<StreamArchive>,
    pub(in crate::bridge) order_timeout: Duration,
    pub(in crate::bridge) load: Arc<UnconfirmedLoad>,
    pub(super) hashes: Mutex<Option<Hashes>>,
    /// Which Redis a session's appends go to: another one may lack what was said to it. Empty: the function asks.
    pub(super) life: Mutex<Bytes>,
    pub(super) on_the_way: Mutex<OnTheWay>,
    /// What was appended where no order of a room knows of it.
    pub(super) spoken: Mutex<SpokenRooms>,
    /// Redis answers appends in time.
    pub(super) is_answering: AtomicBool,
    /// The node goes down: nothing waits any longer.
    pub(super) is_closing: AtomicBool,
    /// Since when the oldest append waits for its answer, in milliseconds; `u64::MAX`: none does.
    pub(super) unanswered_since: AtomicU64,
    /// Rooms to be read, each once.
    pub(super) to_read: Mutex<VecDeque<RoomName>>,
    pub(super) to_read_filled: Notify,
    /// The next read's.
    pub(super) tickets: AtomicU64,
    /// Rooms with own publications that wait, each once.
    pub(super) waiting: Mutex<Vec<RoomName>>,
    pub(super) refused: Arc<Refused>,
    /// For `/history`, while a session is up.
    pub(super) reader: Mutex<Option<Arc<dyn RedisClient>>>,
}

impl Streams {
    pub(in crate::bridge) fn new(config: &Config, prefix: &str) -> Self {
        let (bridge, history) = (&config.bridge, &config.history);
        Self {
            stream_prefix: stream_prefix(prefix),
            origins_prefix: origins_prefix(prefix),
            keeps: Keeps::new(history.capacity, history.bytes_max, history.expiry),
            archive: StreamArchive::new(&config.archive, prefix),
            order_timeout: bridge.order_timeout,
            load: Arc::new(UnconfirmedLoad::new(
                bridge.outbox_capacity,
                bridge.outbox_bytes,
            )),
            hashes: Mutex::default(),
            life: Mutex::default(),
            on_the_way: Mutex::default(),
            spoken: Mutex::default(),
            is_answering: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            unanswered_since: AtomicU64::new(u64::MAX),
            to_read: Mutex::default(),
            to_read_filled: Notify::new(),
            tickets: AtomicU64::new(0),
            waiting: Mutex::default(),
            refused: Arc::default(),
            reader: Mutex::default(),
        }
    }

    /// The stream of a room, and the channel of the same name. The braces keep it on one node of a
    /// Cluster with the room's origins.
    pub(in crate::bridge) fn stream(&self, name: &str) -> String {
        [&self.stream_prefix, name, "}"].concat()
    }

    pub(super) fn origins(&self, name: &str) -> String {
        [&self.origins_prefix, name, "}"].concat()
    }

    /// The room of a channel.
    pub(in crate::bridge) fn room<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let rest = channel.strip_prefix(self.stream_prefix.as_str())?;
        rest.strip_suffix('}')
    }

    pub(super) fn hashes(&self) -> Option<Hashes> {
        self.hashes.lock().clone()
    }

    /// The channel of this node's canary.
    pub(in crate::bridge) fn canary_channel(
        &self,
        node: crate::bridge::envelope::NodeId,
    ) -> String {
        self.stream(&canary(&format!("{node:?}")))
    }

    /// What the worker's publication becomes. Called under the room's lock.
    pub(in crate::bridge) fn forward(
        &self,
        link: &RedisLink,
        room: &Arc<Room>,
        number: u64,
        publication: &Publication,
        is_queued: bool,
    ) -> Forwarded {
        let may_wait = is_queued && self.is_answering.load(Relaxed);
        let (now, number) = (link.clock.now(), (room.incarnation(), number));
        let mut earlier = Vec::new();
        let said = link.order(room.name().as_str(), |order| {
            let said = order.say(number, publication, now, may_wait, &mut earlier);
            if said == Placed::Ordered && !std::mem::replace(&mut order.is_watched, true) {
                self.waiting.lock().push(room.name().clone());
            }
            said
        });
        match said {
            Some(Placed::Ordered) => Forwarded::Returns,
            _ if !earlier.is_empty() => Forwarded::Recalled(earlier),
            _ if is_queued => Forwarded::Queued,
            _ => Forwarded::Dropped,
        }
    }

    /// A room is to be read; its order has said so.
    pub(super) fn queue_read(&self, name: RoomName) {
        self.to_read.lock().push_back(name);
        self.to_read_filled.notify_one();
    }

    /// Subscriptions stand: read where they begin, or what was missed. Members are welcomed once it
    /// is known where their room's stream stands.
    pub(in crate::bridge) fn subscribed(&self, link: &RedisLink, names: &[RoomName]) {
        for name in names {
            if link.order(name.as_str(), RoomOrder::doubt) == Some(true) {
                self.queue_read(name.clone());
            }
        }
    }

    /// The order of a room that nobody knew.
    pub(in crate::bridge) fn room_order(&self) -> RoomOrder {
        RoomOrder::new(Arc::clone(&self.load))
    }

    /// Arrivals were lost, of whichever rooms: all are read.
    pub(in crate::bridge) fn doubt_all(&self, link: &RedisLink) {
        for name in link.orders(RoomOrder::doubt) {
            self.queue_read(name);
        }
    }

    pub(super) fn context(&self, link: &RedisLink) -> HearContext {
        HearContext {
            node: link.node,
            now: link.clock.now(),
            wall: wall_millis(link.clock),
            expiry: link.expiry.get(),
            order_timeout: self.order_timeout,
        }
    }

    /// Takes in what came over a channel.
    pub(in crate::bridge) fn hear(
        &self,
        link: &RedisLink,
        reader: &mut ReadContext,
        channel: &str,
        bytes: &[u8],
    ) {
        if channel == link.canary_channel {
            if let Some(number) = order::canary(bytes) {
                link.see_canary(number);
            }
            return;
        }
        let Some(name) = self.room(channel) else {
            return;
        };
        let announcement = match Announcement::read(bytes) {
            Ok(announcement) => announcement,
            Err(poison) => return reader.poison(link, poison, bytes),
        };
        let broker = &*reader.broker;
        let room = broker.named(name);
        // A worker that is behind is waited for by reading, not by standing in the way of other rooms.
        let may_deliver = room
            .as_ref()
            .is_none_or(|room| broker.full_mailbox(room).is_none());
        let context = self.context(link);
        let mut tally = HearTally::default();
        let mut take = |ready: &mut Vec<Publication>| {
            link.order(name, |order| {
                order.hear(&announcement, may_deliver, &context, ready, &mut tally)
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
    pub(in crate::bridge) fn states(&self, link: &RedisLink) -> States {
        let is_answering = self.is_answering.load(Relaxed);
        let mut states = States {
            awaited: self.load.entries(),
            ..States::default()
        };
        link.orders(|order| {
            let is_ordered = is_answering && order.is_ordered();
            states.ordered += i64::from(is_ordered);
            states.alone += i64::from(!is_ordered);
            states.reading += i64::from(!order.is_live());
            false
        });
        states
    }

    /// Moves what was counted to the metrics.
    pub(super) fn book(&self, link: &RedisLink, tally: &HearTally) {
        let metrics = &link.metrics;
        metrics.bridge_received.inc_by(tally.received);
        metrics.bridge_duplicates.inc_by(tally.known);
        metrics.bridge_delivered.inc_by(tally.delivered);
        metrics.bridge_echoes.inc_by(tally.echoes);
        metrics.bridge_recovered.inc_by(tally.read);
        metrics.bridge_gaps.inc_by(tally.account.missed);
        metrics.bridge_resets.inc_by(tally.account.resets);
        for (cause, number) in [("late", tally.late), ("poison", tally.poison)] {
            count_all(&metrics.bridge_dropped, "cause", cause, number);
        }
    }
}

/// How many rooms of a link are what.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bridge) struct States {
    /// Rooms whose members see the order of all nodes.
    pub(in crate::bridge) ordered: i64,
    /// Rooms whose members see their own at once.
    pub(in crate::bridge) alone: i64,
    /// Of both, those that are not where their stream is.
    pub(in crate::bridge) reading: i64,
    /// Publications that are to come back in order.
    pub(in crate::bridge) awaited: usize,
}

impl std::ops::AddAssign for States {
    fn add_assign(&mut self, other: Self) {
        self.ordered += other.ordered;
        self.alone += other.alone;
        self.reading += other.reading;
        self.awaited += other.awaited;
    }
}

/// Runs `take` under the lock of the room, if it has members, and gives them what it chose.
pub(super) fn within<T>(
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
pub(super) fn canary(who: &str) -> String {
    format!("canary:{who}")
}

fn stream_prefix(prefix: &str) -> String {
    format!("{prefix}:stream:{{")
}

fn origins_prefix(prefix: &str) -> String {
    format!("{prefix}:origins:{{")
}

/// A moment as it is kept in an atomic.
pub(super) fn moment(millis: Option<Millis>) -> u64 {
    millis.map_or(u64::MAX, |Millis(millis)| millis)
}
