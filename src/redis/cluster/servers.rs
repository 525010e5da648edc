//! Connections to the servers of a Cluster, for one purpose: each made when it is needed, and gone alone.

use super::held::HeldChannels;
use super::topology::ClusterTopology;
use crate::config::redis::Endpoint;
use crate::redis::client::{Purpose, RedisClient, RedisConnection, SubscriptionEvent};
use crate::redis::failure::{CommandError, ErrorKind, LinkFailure};
use crate::redis::supervise::OwnedTask;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};

/// Arrivals between the connections and whoever takes them: what waits beyond is held, and bounded, by each connection.
const ARRIVALS: usize = 64;

/// A connected server.
#[derive(Clone, Debug)]
pub(super) struct ReadyServer {
    pub(super) client: Arc<dyn RedisClient>,
    /// Of the connection.
    pub(super) number: u64,
    alive: watch::Receiver<()>,
}

impl ReadyServer {
    /// Done when the connection is gone: what was handed over in that moment the library may leave without an answer.
    pub(super) async fn ended(&mut self) {
        while self.alive.changed().await.is_ok() {}
    }
}

#[derive(Debug)]
struct ConnectedServer {
    ready: ReadyServer,
    /// Dropped with the connection.
    _alive: watch::Sender<()>,
    /// Owns the connection.
    _reader: OwnedTask<()>,
}

#[derive(Debug, Default)]
struct ServerTable {
    connected: HashMap<Endpoint, ConnectedServer>,
    /// One at a time for each server.
    connecting: HashMap<Endpoint, Arc<tokio::sync::Mutex<()>>>,
    connections: u64,
    is_closed: bool,
}

/// What comes by subscription from all servers.
#[derive(Debug)]
pub(super) struct ServerInbox {
    pub(super) events: mpsc::Sender<SubscriptionEvent>,
    pub(super) taken: Mutex<Option<mpsc::Receiver<SubscriptionEvent>>>,
    pub(super) held: Mutex<HeldChannels>,
    /// Subscriptions under way: the servers' numbers may already have them.
    pub(super) asking: Arc<()>,
    /// Servers whose connections are gone, and their subscriptions with them.
    pub(super) lost: Mutex<Vec<Endpoint>>,
    pub(super) was_lost: Notify,
}

impl Default for ServerInbox {
    fn default() -> Self {
        let (events, taken) = mpsc::channel(ARRIVALS);
        Self {
            events,
            taken: Mutex::new(Some(taken)),
            held: Mutex::default(),
            asking: Arc::default(),
            lost: Mutex::default(),
            was_lost: Notify::new(),
        }
    }
}

/// The connections.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) topology: Arc<ClusterTopology>,
    purpose: Purpose,
    /// Where the session runs: whoever asks may be on another runtime.
    pub(super) runtime: Handle,
    table: Mutex<ServerTable>,
    /// Of a client for subscriptions.
    pub(super) inbox: Option<ServerInbox>,
}

/// What says that there is no connection any more.
pub(super) fn gone(details: &str) -> CommandError {
    CommandError::new(ErrorKind::Gone, "Canceled", details)
}

impl Servers {
    pub(super) fn new(topology: Arc<ClusterTopology>, purpose: Purpose) -> Self {
        let inbox = matches!(purpose, Purpose::Messages).then(ServerInbox::default);
        Self {
            topology,
            purpose,
            runtime: Handle::current(),
            table: Mutex::default(),
            inbox,
        }
    }

    /// The server, if it is connected.
    pub(super) fn ready(&self, server: &Endpoint) -> Option<ReadyServer> {
        let table = self.table.lock();
        let connected = table.connected.get(server);
        connected.map(|connected| connected.ready.clone())
    }

    /// Connects to the server, unless somebody has meanwhile.
    ///
    /// # Errors
    /// When the server is not there, does not answer in time, or does not let us in.
    pub(super) async fn connect(
        self: &Arc<Self>,
        server: &Endpoint,
    ) -> Result<ReadyServer, CommandError> {
        let one_at_a_time = {
            let mut table = self.table.lock();
            let connecting = table.connecting.entry(server.clone()).or_default();
            Arc::clone(connecting)
        };
        let _own_turn = one_at_a_time.lock().await;
        if let Some(ready) = self.ready(server) {
            return Ok(ready);
        }
        let own = Arc::clone(self);
        let opened = own.open(server.clone());
        let opened = OwnedTask(self.runtime.spawn(opened));
        let connection = joined(opened).await?;
        self.keep(server, connection)
    }

    async fn open(self: Arc<Self>, server: Endpoint) -> Result<RedisConnection, LinkFailure> {
        let topology = &self.topology;
        let connection = topology.connector.connect_to(server, self.purpose).await?;
        if matches!(self.purpose, Purpose::Commands) {
            for function in topology.functions() {
                connection.client.load(function).await?;
            }
        }
        Ok(connection)
    }

    fn keep(
        self: &Arc<Self>,
        server: &Endpoint,
        connection: RedisConnection,
    ) -> Result<ReadyServer, CommandError> {
        let client = Arc::clone(&connection.client);
        let mut table = self.table.lock();
        if table.is_closed {
            return Err(gone("the session is over"));
        }
        table.connections += 1;
        let (own_end, alive) = watch::channel(());
        let ready = ReadyServer {
            client,
            number: table.connections,
            alive,
        };
        let read = read(
            Arc::downgrade(self),
            (server.clone(), ready.number),
            connection,
        );
        let connected = ConnectedServer {
            ready: ready.clone(),
            _alive: own_end,
            _reader: OwnedTask(self.runtime.spawn(read)),
        };
        table.connected.insert(server.clone(), connected);
        Ok(ready)
    }

    /// The connection of this number is of no use any more.
    pub(super) fn let_go(&self, server: &Endpoint, number: u64) {
        let mut table = self.table.lock();
        let connected = table.connected.get(server);
        if connected.is_none_or(|connected| connected.ready.number != number) {
            return;
        }
        let ended = table.connected.remove(server);
        // A server that has left the Cluster needs no place here.
        table
            .connecting
            .retain(|_, connecting| Arc::strong_count(connecting) > 1);
        drop(table);
        drop(ended);
        if let Some(inbox) = &self.inbox {
            inbox.lost.lock().push(server.clone());
            inbox.was_lost.notify_one();
        }
    }

    /// The session is over.
    pub(super) fn close(&self) {
        let mut table = self.table.lock();
        table.is_closed = true;
        let connected = std::mem::take(&mut table.connected);
        drop(table);
        drop(connected);
    }
}

async fn joined(
    mut opened: OwnedTask<Result<RedisConnection, LinkFailure>>,
) -> Result<RedisConnection, CommandError> {
    match (&mut opened.0).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(LinkFailure::Redis(error))) => Err(error),
        Ok(Err(failure)) => Err(gone(&failure.to_string())),
        Err(_panic) => Err(gone("connecting ended")),
    }
}

/// Passes on what comes by subscription, until the connection is gone.
async fn read(
    servers: Weak<Servers>,
    (server, number): (Endpoint, u64),
    mut connection: RedisConnection,
) {
    let inbox = servers.upgrade();
    let events = inbox.and_then(|servers| Some(servers.inbox.as_ref()?.events.clone()));
    match events {
        None => drop(connection.ended().await),
        Some(events) => {
            let mut messages = connection.client.messages();
            let passed_on = async {
                loop {
                    let event = messages.next().await;
                    if event == SubscriptionEvent::Ended || events.send(event).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = passed_on => {}
                _ended = connection.ended() => {}
            }
        }
    }
    if let Some(servers) = servers.upgrade() {
        servers.let_go(&server, number);
    }
}
