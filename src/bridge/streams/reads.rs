//! Reading what was missed, for several rooms at the same time and one page at a time for each, over
//! a connection of its own: a long gap of one room stands in nobody's way.

use super::redis_streams::{Hashes, Streams, within};
use super::scripts::read_arguments;
use crate::bridge::link::RedisLink;
use crate::bridge::order::{HearTally, Page, RoomOrder, Turned};
use crate::broker::uplink::Way;
use crate::broker::{Broker, Publication};
use crate::name::RoomName;
use crate::redis::client::{RedisClient, RedisCommand, RedisConnection};
use crate::redis::failure::LinkFailure;
use crate::redis::wait_budget::LOOK_EVERY;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::JoinSet;

/// Rooms that are read from one Redis at the same time. A round trip each, so that ten thousand
/// rooms that begin a session are read within a second.
pub(in crate::bridge) const READS: usize = 16;

/// The reading connection of one session.
pub(in crate::bridge) struct Reads {
    streams: Arc<Streams>,
    connection: RedisConnection,
}

impl Reads {
    /// Connects, and loads the functions for this connection and the others.
    ///
    /// # Errors
    /// When Redis is not there, does not answer in time, or forbids it.
    pub(in crate::bridge) async fn open(
        link: &RedisLink,
        streams: &Arc<Streams>,
        appending: &dyn RedisClient,
    ) -> Result<Self, LinkFailure> {
        let life = life_of(link, appending).await?;
        *streams.life.lock() = life;
        let connection = link.deployment.commander().await?;
        let hashes = Hashes::load(&*connection.client).await?;
        if let Some(archive) = &streams.archive {
            archive.load(&*connection.client).await?;
        }
        *streams.hashes.lock() = Some(hashes);
        *streams.reader.lock() = Some(Arc::clone(&connection.client));
        Ok(Self {
            streams: Arc::clone(streams),
            connection,
        })
    }

    /// Reads whatever rooms are to be read, until something breaks.
    pub(in crate::bridge) async fn run(
        &mut self,
        link: &Arc<RedisLink>,
        broker: &Arc<Broker>,
    ) -> LinkFailure {
        let mut tasks = JoinSet::new();
        for _ in 0..READS {
            let client = Arc::clone(&self.connection.client);
            tasks.spawn(read_on(
                (Arc::clone(link), Arc::clone(&self.streams)),
                Arc::clone(broker),
                client,
            ));
        }
        tokio::select! {
            biased;
            failure = self.connection.ended() => failure,
            ended = tasks.join_next() => match ended {
                Some(Ok(failure)) => failure,
                _ => {
                    link.metrics.panics.inc();
                    LinkFailure::Ended
                }
            },
        }
    }
}

/// Which Redis a connection goes to, from its start to its end; empty in a Cluster, where it may be any.
async fn life_of(link: &RedisLink, client: &dyn RedisClient) -> Result<Bytes, LinkFailure> {
    if link.deployment.is_cluster {
        return Ok(Bytes::new());
    }
    let unknown = Bytes::from_static(b"-");
    let info = client.send(RedisCommand::new("INFO", [b"server"])).await;
    let info = match info {
        Ok(info) => info.into_bytes().unwrap_or_default(),
        Err(error) if error.is_about_connection() => return Err(error.into()),
        // INFO may be forbidden (ACL): a failover is learnt of by what was seen alone.
        Err(_forbidden) => return Ok(unknown),
    };
    let info = String::from_utf8_lossy(&info);
    let life = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    let life = life.map(|life| life.trim().chars().take(16).collect::<String>());
    Ok(life
        .filter(|life| !life.is_empty())
        .map_or(unknown, Bytes::from))
}

async fn read_on(
    (link, streams): (Arc<RedisLink>, Arc<Streams>),
    broker: Arc<Broker>,
    client: Arc<dyn RedisClient>,
) -> LinkFailure {
    loop {
        let name = streams.next_read().await;
        match read(&link, &streams, &broker, &*client, &name).await {
            Ok(Turned::Live) => {}
            Ok(Turned::More) => streams.queue_read(name),
            Err(failure) => return failure,
        }
    }
}

/// One page of one room.
async fn read(
    link: &RedisLink,
    streams: &Streams,
    broker: &Broker,
    client: &dyn RedisClient,
    name: &RoomName,
) -> Result<Turned, LinkFailure> {
    let room = broker.named(name.as_str());
    if let Some(room) = &room
        && broker.full_mailbox(room).is_some()
    {
        tokio::time::sleep(LOOK_EVERY).await;
        return Ok(Turned::More);
    }
    let ticket = streams.tickets.fetch_add(1, Relaxed);
    let request = link.order(name.as_str(), |order| order.request(ticket));
    let after = match request {
        Some(Some(after)) => after,
        // Given up meanwhile, or subscribed anew: then it is queued again. Or left and entered: then it was queued twice.
        Some(None) => return Ok(Turned::Live),
        // Nobody is there.
        None => {
            let spoken = streams.spoken.lock().seen(name.as_str());
            if let Some(seen) = spoken {
                streams.tell(link, client, name, seen).await?;
            }
            return Ok(Turned::Live);
        }
    };
    let hash = streams.hashes().map(|hashes| hashes.read);
    let keys = vec![
        streams.stream(name.as_str()),
        streams.origins(name.as_str()),
    ];
    let answer = client
        .evaluate(hash.unwrap_or_default(), keys, read_arguments(after))
        .await;
    link.metrics.bridge_reads.inc();
    let is_own = link.order(name.as_str(), |order| order.answered(ticket));
    if is_own != Some(true) && answer.is_ok() {
        return Ok(Turned::Live);
    }
    let page = match answer {
        Ok(answer) => Page::from(answer),
        Err(error) if error.is_about_room() || error.is_about_slot() => {
            let key = |name: &str| streams.stream(name);
            streams.refused.add(link, (name, key), &error);
            link.order(name.as_str(), RoomOrder::give_up);
            welcome(link, broker, name);
            return Ok(Turned::Live);
        }
        Err(error) => return Err(error.into()),
    };
    let context = streams.context(link);
    let mut tally = HearTally::default();
    // The room may have died, or come to life, while Redis was asked.
    let room = broker.named(name.as_str());
    let mut take = |ready: &mut Vec<Publication>| {
        link.order(name.as_str(), |order| {
            order.turn(&page, &context, ready, &mut tally)
        })
    };
    let turned = within(broker, room.as_ref(), &mut take);
    streams.book(link, &tally);
    if let Some(seen) = link.order(name.as_str(), RoomOrder::take_due).flatten() {
        streams.tell(link, client, name, seen).await?;
    }
    if turned == Some(Turned::Live) {
        streams.refused.remove(name);
        welcome(link, broker, name);
    }
    Ok(turned.unwrap_or(Turned::Live))
}

/// The room's subscription stands, and what comes by it has a place to go on from.
fn welcome(link: &RedisLink, broker: &Broker, name: &RoomName) {
    if link.rooms.confirm(name) {
        broker.confirm(name, Way::Nodes);
    }
}

impl Streams {
    /// The next room to read; waits for one.
    ///
    /// # Cancel safety
    /// A room that was taken has been returned.
    async fn next_read(&self) -> RoomName {
        loop {
            {
                let mut to_read = self.to_read.lock();
                if let Some(name) = to_read.pop_front() {
                    if !to_read.is_empty() {
                        self.to_read_filled.notify_one();
                    }
                    return name;
                }
            }
            self.to_read_filled.notified().await;
        }
    }
}
