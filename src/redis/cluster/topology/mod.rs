//! What a node knows of a Cluster: who has which slot, and what its servers are to know.
//!
//! Kept for the life of the node, and shared by its connections: what one learns of a slot the others know. A server
//! that sends a command on says where one slot is; all are asked for when a server is gone, or says that subscriptions
//! are.

#[cfg(test)]
mod tests;

use super::slots::{SlotMap, slot_of};
use crate::clock::Millis;
use crate::config::redis::Endpoint;
use crate::redis::client::{Purpose, RedisCommand, RedisConnection, RedisFuture};
use crate::redis::failure::{CommandError, ErrorKind, LinkFailure};
use crate::redis::log_limiter::LogLimiter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Servers that are asked for all slots at once: one that is gone must not be the only one.
const ASKED: usize = 3;

/// All slots are asked for at most so often.
const REFRESH: Duration = Duration::from_millis(50);

/// So long a server's word on one slot stands against what another one says of all: servers hear of a move in turn.
const NEWS: Duration = Duration::from_secs(1);

/// A slot counts as open for so many times `bridge.command_timeout` after a server has said so: a canary is sent twice,
/// and waited for.
const OPEN: u32 = 3;

/// Servers that are asked for their view, at most: beyond, one has to do for all.
const DOUBTED_MAX: usize = 16;

/// Functions that a server is to know, at most.
const FUNCTIONS_MAX: usize = 16;

/// Opens connections to single servers of a Cluster.
pub(in crate::redis) trait ServerConnector: Debug + Send + Sync {
    /// A connected client of this server alone. Fails as [`Connector::connect`](crate::redis::client::Connector::connect).
    fn connect_to(
        &self,
        server: Endpoint,
        purpose: Purpose,
    ) -> RedisFuture<Result<RedisConnection, LinkFailure>>;
}

/// How a command was sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentOn {
    /// The slot has moved (MOVED).
    Moved,
    /// The slot is about to move, and this command's keys have (ASK).
    Asked,
    /// Tried again: some of its keys have moved (TRYAGAIN), nobody has the slot for now (CLUSTERDOWN), or the server is
    /// gone.
    Again,
}

impl SentOn {
    /// All, with their names as a label.
    pub(crate) const ALL: [(&str, Self); 3] = [
        ("moved", Self::Moved),
        ("asked", Self::Asked),
        ("again", Self::Again),
    ];
}

/// What is known of one Cluster.
#[derive(Debug)]
pub(crate) struct ClusterTopology {
    pub(super) connector: Arc<dyn ServerConnector>,
    /// Of the address.
    seeds: Vec<Endpoint>,
    /// `bridge.command_timeout`.
    pub(super) timeout: Duration,
    slots: Mutex<Option<SlotMap>>,
    /// Where slots have moved, as a server said, and when. At most one for each slot.
    news: Mutex<HashMap<u16, (Endpoint, Instant)>>,
    /// Slots whose keys are under way, and when a server said so last. At most one for each slot.
    open: Mutex<HashMap<u16, Instant>>,
    /// Servers that have lost a slot: perhaps more of them.
    doubted: Mutex<Vec<Endpoint>>,
    pub(super) was_doubted: Notify,
    /// Rises with each change of `slots`.
    pub(super) changes: watch::Sender<u64>,
    refreshed: tokio::sync::Mutex<Option<Instant>>,
    /// Whose turn it is to be asked.
    turn: AtomicUsize,
    functions: Mutex<Vec<&'static str>>,
    sent_on: [AtomicU64; SentOn::ALL.len()],
    notices: Mutex<LogLimiter>,
    started: Instant,
}

impl ClusterTopology {
    /// Nothing is known yet but where to ask.
    pub(in crate::redis) fn new(
        connector: Arc<dyn ServerConnector>,
        seeds: Vec<Endpoint>,
        timeout: Duration,
    ) -> Self {
        Self {
            connector,
            seeds,
            timeout,
            slots: Mutex::default(),
            news: Mutex::default(),
            open: Mutex::default(),
            doubted: Mutex::default(),
            was_doubted: Notify::new(),
            changes: watch::Sender::new(0),
            refreshed: tokio::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
            functions: Mutex::default(),
            sent_on: Default::default(),
            notices: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Who has a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<Endpoint> {
        let slots = self.slots.lock();
        slots.as_ref()?.owner(slot).map(|owner| (**owner).clone())
    }

    /// Has this server the slot, so far as is known?
    pub(super) fn is_owner(&self, slot: u16, server: &Endpoint) -> bool {
        let slots = self.slots.lock();
        let owner = slots.as_ref().and_then(|slots| slots.owner(slot));
        owner.is_none_or(|owner| **owner == *server)
    }

    /// The servers that have slots; before they are known, those of the address.
    pub(super) fn servers(&self) -> Vec<Endpoint> {
        let servers = self.slots.lock().as_ref().map(SlotMap::servers);
        servers.unwrap_or_else(|| self.seeds.clone())
    }

    /// Some server, another one each time.
    pub(super) fn any(&self) -> Option<Endpoint> {
        let mut servers = self.servers();
        let at = self.turn.fetch_add(1, Relaxed) % servers.len().max(1);
        (at < servers.len()).then(|| servers.swap_remove(at))
    }

    /// A slot is there from here on, says who had it: that server is to be asked for the others.
    pub(super) fn moved(&self, slot: u16, to: &Endpoint, said_by: &Endpoint) {
        let news = (to.clone(), Instant::now());
        let mut slots = self.slots.lock();
        let is_news = slots.as_mut().is_some_and(|slots| slots.moved(slot, to));
        self.news.lock().insert(slot, news);
        drop(slots);
        if is_news {
            self.changes.send_modify(|changes| *changes += 1);
        }
        self.doubt(said_by);
    }

    fn doubt(&self, server: &Endpoint) {
        let mut doubted = self.doubted.lock();
        if !doubted.contains(server) && doubted.len() < DOUBTED_MAX {
            doubted.push(server.clone());
        }
        drop(doubted);
        self.was_doubted.notify_one();
    }

    /// Asks each server that has lost a slot which ones it has.
    pub(super) async fn ask_doubted(&self) {
        let doubted = std::mem::take(&mut *self.doubted.lock());
        for server in doubted {
            drop(self.refresh(Some(&server)).await);
        }
    }

    /// These are the slots as one server sees them; what others have said since `asked`, or shortly before, is newer.
    fn set(&self, mut slots: SlotMap, asked: Instant) {
        let mut own = self.slots.lock();
        let mut news = self.news.lock();
        news.retain(|_, (_, said)| *said + NEWS > asked);
        for (slot, (to, _)) in news.iter() {
            slots.moved(*slot, to);
        }
        drop(news);
        *own = Some(slots);
        drop(own);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// A slot's keys are under way.
    pub(super) fn open(&self, slot: u16) {
        let mut open = self.open.lock();
        open.retain(|_, said| said.elapsed() < self.timeout * OPEN);
        open.insert(slot, Instant::now());
    }

    /// Were this channel's keys under way a moment ago? What is published beside them is heard once they are there.
    pub(crate) fn is_open(&self, channel: &str) -> bool {
        let open = self.open.lock();
        let said = open.get(&slot_of(channel.as_bytes()));
        said.is_some_and(|said| said.elapsed() < self.timeout * OPEN)
    }

    /// A command was sent on; the log hears of the first one, and then of one a second at most.
    pub(super) fn count(&self, how: SentOn, slot: Option<u16>, server: &Endpoint) {
        let counts = self.sent_on.iter().zip(SentOn::ALL);
        for (count, _) in counts.filter(|(_, (_, known))| *known == how) {
            count.fetch_add(1, Relaxed);
        }
        let millis = self.started.elapsed().as_millis();
        let now = Millis(u64::try_from(millis).unwrap_or(u64::MAX));
        if self.notices.lock().is_due(now) {
            tracing::info!(
                slot,
                %server,
                ?how,
                "a server of the Cluster does not take commands for a slot: they follow the slot"
            );
        }
    }

    /// How often commands were sent on since this was asked last, in the order of [`SentOn::ALL`].
    pub(crate) fn take_sent_on(&self) -> [u64; SentOn::ALL.len()] {
        [0, 1, 2].map(|at: usize| {
            let count = self.sent_on.get(at);
            count.map_or(0, |count| count.swap(0, Relaxed))
        })
    }

    /// Asks for all slots: `first` if given, else servers in turn. Whoever comes while it is being asked has that
    /// answer.
    pub(super) async fn refresh(&self, first: Option<&Endpoint>) -> Result<(), LinkFailure> {
        let asked = Instant::now();
        let mut refreshed = self.refreshed.lock().await;
        if let Some(last) = *refreshed {
            // What one server says is not what another would.
            if last > asked && first.is_none() {
                return Ok(());
            }
            tokio::time::sleep_until(last + REFRESH).await;
        }
        let asked = Instant::now();
        let mut asking = JoinSet::new();
        for server in self.candidates(first) {
            let connector = Arc::clone(&self.connector);
            asking.spawn(ask(connector, server));
        }
        let mut failure = LinkFailure::Ended;
        while let Some(said) = asking.join_next().await {
            match said {
                Ok(Ok(slots)) => {
                    self.set(slots, asked);
                    *refreshed = Some(Instant::now());
                    return Ok(());
                }
                Ok(Err(error)) => failure = error,
                Err(_panic) => {}
            }
        }
        *refreshed = Some(Instant::now());
        Err(failure)
    }

    fn candidates(&self, first: Option<&Endpoint>) -> Vec<Endpoint> {
        if let Some(first) = first {
            return vec![first.clone()];
        }
        let mut all = self.servers();
        let seeds = self.seeds.iter();
        let unknown: Vec<Endpoint> = seeds.filter(|seed| !all.contains(seed)).cloned().collect();
        all.extend(unknown);
        let turn = self.turn.fetch_add(ASKED, Relaxed) % all.len().max(1);
        all.rotate_left(turn);
        all.truncate(ASKED);
        all
    }

    /// What each server is to know that appends.
    pub(super) fn functions(&self) -> Vec<&'static str> {
        self.functions.lock().clone()
    }

    /// One more of these.
    pub(super) fn add_function(&self, function: &'static str) {
        let mut functions = self.functions.lock();
        if !functions.contains(&function) && functions.len() < FUNCTIONS_MAX {
            functions.push(function);
        }
    }
}

async fn ask(
    connector: Arc<dyn ServerConnector>,
    server: Endpoint,
) -> Result<SlotMap, LinkFailure> {
    let connection = connector
        .connect_to(server.clone(), Purpose::Commands)
        .await?;
    let command = RedisCommand::new("CLUSTER", [b"SLOTS"]);
    let answer = connection.client.send(command).await?;
    SlotMap::read(answer, &server).ok_or_else(|| {
        let details = "CLUSTERDOWN it says of no slot who has it";
        CommandError::new(ErrorKind::Refused, "Cluster Error", details).into()
    })
}
