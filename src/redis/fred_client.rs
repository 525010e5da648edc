//! The port of Redis by fred: address, timeouts, and what fred must not do.
//!
//! fred's own reconnecting is switched off (no policy). A client of ours lives for one connection:
//! when that breaks, both clients of the session are thrown away and the link makes new ones. So no
//! answer can be matched to the wrong command, fred resubscribes nothing behind our back, and the
//! pauses between attempts are ours. What else is set, and why (measured with fred 10.1 on
//! Redis 7.0.15):
//!
//! - `broadcast_channel_capacity`: fred's 32 slots lose 98 of 100 messages of a burst. Only the
//!   subscribing client gets many (`bridge.arrivals_capacity`), since they are allocated at once.
//! - `max_command_attempts = 1`, `fail_fast`, `default_command_timeout`: a command fails, it does not
//!   wait for better times; the outbox knows what to send again.
//! - No pipelines: fred flushes after each command of one, but gathers single commands that are
//!   waiting together into one write.
//!
//! **When is a subscription there?** fred's `subscribe` resolves once the command is written, and
//! throws Redis' answer away; an error (ACL) would even be taken for the answer to the next command.
//! So a PING follows on the same connection: Redis answers in order, hence its PONG proves the
//! subscriptions before it, and any error in its place ends the session with its clients, before
//! a wrong answer can be matched to anything. A server of a Cluster is one like any other here, with sharded
//! channels: SSUBSCRIBE is a command with an answer of its own; see [`cluster`](super::cluster) for the rest.

#![expect(
    clippy::large_futures,
    reason = "each command of fred is a future of 7 KB; a link has a few, and a bounded window of publications in boxes"
)]

use super::client::{
    Answer, Connector, Messages, Purpose, RedisClient, RedisCommand, RedisConnection, RedisFuture,
    SubscriptionEvent,
};
use super::cluster::ServerConnector;
use super::error::Error;
use super::failure::{CommandError, ErrorKind, LinkFailure};
use super::tls;
use super::value::RedisValue;
use crate::config;
use crate::config::redis::{Endpoint, Login, RedisAddress, Topology};
use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, LuaInterface, PubsubInterface};
use fred::prelude::{Builder, Config};
use fred::types::config::{
    Server, ServerConfig, TlsConfig, TlsConnector, TlsHostMapping, UnresponsiveConfig,
};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Message, RespVersion, Value};
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Event slots of a client that subscribes to nothing.
const EVENTS: usize = 16;

/// Commands that may wait inside the client: the sender's own bound is lower.
const COMMANDS: usize = 64 * 1024;

impl From<fred::error::Error> for CommandError {
    fn from(error: fred::error::Error) -> Self {
        use fred::error::ErrorKind as Fred;
        let kind = match error.kind() {
            Fred::Timeout => ErrorKind::Timeout,
            Fred::IO | Fred::Tls => ErrorKind::Transport,
            Fred::Canceled | Fred::Protocol => ErrorKind::Gone,
            _ => ErrorKind::Refused,
        };
        Self::new(kind, error.kind().to_str(), error.details())
    }
}

impl From<fred::error::Error> for LinkFailure {
    fn from(error: fred::error::Error) -> Self {
        CommandError::from(error).into()
    }
}

impl From<Value> for RedisValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(number) => Self::Integer(number),
            Value::Boolean(is_true) => Self::Integer(is_true.into()),
            Value::Array(values) => Self::Array(values.into_iter().map(Self::from).collect()),
            Value::Null | Value::Queued | Value::Map(_) => Self::Nil,
            Value::Double(number) => Self::Bytes(number.to_string().into()),
            Value::String(text) => Self::Bytes(text.into_inner()),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

/// How fred is to reach one deployment.
#[derive(Clone)]
pub(super) struct FredConnector {
    config: Config,
    /// Of a Cluster: the host of the address.
    cluster: Option<String>,
    name: String,
    timeout: Duration,
    arrivals: usize,
}

/// fred's own shows the passwords.
impl fmt::Debug for FredConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FredConnector")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FredConnector {
    /// From an address and the settings.
    ///
    /// # Errors
    /// When a file of certificates cannot be read.
    pub(super) fn new(
        address: &RedisAddress,
        settings: &config::BridgeSettings,
    ) -> Result<Self, Error> {
        let mut config = Config {
            server: server(&address.topology),
            // Behind a Cluster, and by itself, there is 0.
            database: Some(address.database).filter(|database| *database > 0),
            username: address.login.username.clone(),
            password: secret(&address.login),
            // In RESP3 fred logs in by HELLO as an inline command: a space or a line break in a
            // password ends it there, and what follows is a command of its own. In RESP2 it says
            // AUTH in bulk strings (redis.io/docs/reference/protocol-spec), whatever they hold.
            version: RespVersion::RESP2,
            fail_fast: true,
            ..Config::default()
        };
        if let Some(options) = &address.tls {
            config.tls = Some(TlsConfig {
                connector: TlsConnector::from(tls::client(options, settings)?),
                // Of a Cluster, see `connect_to`.
                hostnames: TlsHostMapping::None,
            });
        }
        let name = if settings.node.is_empty() {
            "supportal"
        } else {
            &settings.node
        };
        Ok(Self {
            config,
            cluster: match &address.topology {
                Topology::Cluster(nodes) => nodes.first().map(|at| at.host.clone()),
                _ => None,
            },
            name: name.to_owned(),
            timeout: settings.command_timeout,
            arrivals: settings.arrivals_capacity,
        })
    }

    async fn open(&self, purpose: Purpose) -> Result<RedisConnection, LinkFailure> {
        let timeout = self.timeout;
        let (events, blocking) = match purpose {
            Purpose::Commands => (EVENTS, None),
            Purpose::Blocking(patience) => (EVENTS, Some(patience)),
            Purpose::Messages => (self.arrivals, None),
        };
        let mut builder = Builder::from_config(self.config.clone());
        builder.with_performance_config(|performance| {
            performance.default_command_timeout = timeout + blocking.unwrap_or_default();
            performance.broadcast_channel_capacity = events;
        });
        builder.with_connection_config(|connection| {
            connection.connection_timeout = timeout;
            connection.internal_command_timeout = timeout;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = COMMANDS;
            connection.reconnect_on_auth_error = true;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive = UnresponsiveConfig {
                // A connection that waits is silent; whoever waits has a timeout.
                max_timeout: blocking.is_none().then_some(timeout * 2),
                interval: timeout / 2,
            };
        });
        let client = builder.build()?;
        // Resolving, connecting and logging in have a timeout each; their sum has one too.
        let opened = tokio::time::timeout(timeout * 2, client.init()).await;
        let task = match opened {
            Ok(opened) => opened?,
            Err(_elapsed) => {
                let kind = ErrorKind::Timeout;
                return Err(CommandError::new(kind, "Timeout Error", "connecting").into());
            }
        };
        let task = FredTask(task);
        let name = CustomCommand::new_static("CLIENT", ClusterHash::Random, false);
        // For CLIENT LIST only: not being allowed to is no harm.
        let named: Result<Value, _> = client.custom(name, vec!["SETNAME", &self.name]).await;
        drop(named);
        let client = FredClient {
            client,
            is_cluster: self.cluster.is_some(),
        };
        Ok(RedisConnection::new(
            Arc::new(client),
            Box::pin(task.ended()),
        ))
    }
}

impl Connector for FredConnector {
    fn connect(&self, purpose: Purpose) -> RedisFuture<Result<RedisConnection, LinkFailure>> {
        let connector = self.clone();
        Box::pin(async move { connector.open(purpose).await })
    }
}

impl ServerConnector for FredConnector {
    fn connect_to(
        &self,
        server: Endpoint,
        purpose: Purpose,
    ) -> RedisFuture<Result<RedisConnection, LinkFailure>> {
        let mut connector = self.clone();
        // A Cluster names its servers by address; certificates name hosts.
        let is_address = server.host.parse::<IpAddr>().is_ok();
        let name = self.cluster.clone().filter(|_| is_address);
        let server = Server::new_with_tls(server.host, server.port, name);
        connector.config.server = ServerConfig::Centralized { server };
        Box::pin(async move { connector.open(purpose).await })
    }
}

/// fred's task; dropping this ends it.
struct FredTask(ConnectHandle);

impl FredTask {
    async fn ended(mut self) -> LinkFailure {
        match (&mut self.0).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => LinkFailure::Ended,
        }
    }
}

impl Drop for FredTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connected client of fred.
#[derive(Clone)]
struct FredClient {
    client: Client,
    is_cluster: bool,
}

impl fmt::Debug for FredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FredClient")
            .field("id", &self.client.id())
            .finish_non_exhaustive()
    }
}

impl FredClient {
    async fn custom(&self, command: RedisCommand) -> Result<RedisValue, CommandError> {
        let RedisCommand { name, arguments } = command;
        let hash = if arguments.is_empty() {
            ClusterHash::Random
        } else {
            ClusterHash::FirstKey
        };
        let custom = CustomCommand::new_static(name, hash, false);
        let arguments: Vec<Value> = arguments
            .into_iter()
            .map(|argument| Value::Bytes(argument.into()))
            .collect();
        let value: Value = self.client.custom(custom, arguments).await?;
        Ok(value.into())
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<(), CommandError> {
        self.client.subscribe(channels).await?;
        let _pong: Value = self.client.ping(None).await?;
        Ok(())
    }

    async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), CommandError> {
        if self.is_cluster {
            for channel in channels {
                self.client.sunsubscribe(channel).await?;
            }
            return Ok(());
        }
        Ok(self.client.unsubscribe(channels).await?)
    }
}

impl RedisClient for FredClient {
    fn send(&self, command: RedisCommand) -> Answer {
        let own = self.clone();
        Box::pin(async move { own.custom(command).await })
    }

    fn ping(&self) -> Answer {
        let client = self.client.clone();
        Box::pin(async move {
            let pong: Value = client.ping(None).await?;
            Ok(pong.into())
        })
    }

    fn publish(&self, channel: String, bytes: Bytes) -> Answer {
        let Self { client, is_cluster } = self.clone();
        Box::pin(async move {
            let receivers: Value = if is_cluster {
                client.spublish(channel, bytes).await?
            } else {
                client.publish(channel, bytes).await?
            };
            Ok(receivers.into())
        })
    }

    fn load(&self, function: &'static str) -> Answer<String> {
        let client = self.client.clone();
        Box::pin(async move { Ok(client.script_load(function).await?) })
    }

    fn evaluate(&self, function: String, keys: Vec<String>, arguments: Vec<Bytes>) -> Answer {
        let client = self.client.clone();
        Box::pin(async move {
            let arguments: Vec<Value> = arguments.into_iter().map(Value::Bytes).collect();
            let value: Value = client.evalsha(function, keys, arguments).await?;
            Ok(value.into())
        })
    }

    fn subscribe(&self, channels: Vec<String>) -> Answer<()> {
        let own = self.clone();
        Box::pin(async move { own.subscribe(channels).await })
    }

    fn unsubscribe(&self, channels: Vec<String>) -> Answer<()> {
        let own = self.clone();
        Box::pin(async move { own.unsubscribe(channels).await })
    }

    fn messages(&self) -> Box<dyn Messages> {
        Box::new(FredMessages(self.client.message_rx()))
    }
}

/// What fred holds of a subscriber's messages.
struct FredMessages(Receiver<Message>);

impl Messages for FredMessages {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = SubscriptionEvent> + Send + '_>> {
        Box::pin(async {
            loop {
                match self.0.recv().await {
                    Ok(message) => {
                        let channel: &str = &message.channel;
                        let channel = channel.into();
                        // What is published is bytes.
                        if let Some(bytes) = message.value.into_bytes() {
                            return SubscriptionEvent::Message { channel, bytes };
                        }
                    }
                    Err(RecvError::Lagged(lost)) => return SubscriptionEvent::Lagged(lost),
                    Err(RecvError::Closed) => return SubscriptionEvent::Ended,
                }
            }
        })
    }
}

/// A topology as the library has it.
fn server(topology: &Topology) -> ServerConfig {
    let server = |at: &Endpoint| Server::new(at.host.clone(), at.port);
    match topology {
        Topology::Server(at) => ServerConfig::new_centralized(at.host.clone(), at.port),
        Topology::Socket(path) => ServerConfig::Unix { path: path.clone() },
        Topology::Sentinel {
            sentinels,
            service,
            login,
        } => ServerConfig::Sentinel {
            hosts: sentinels.iter().map(server).collect(),
            service_name: service.clone(),
            username: login.username.clone(),
            password: secret(login),
        },
        // One server at a time, see `connect_to`.
        Topology::Cluster(nodes) => ServerConfig::Centralized {
            server: nodes.first().map_or_else(|| Server::new("", 0), server),
        },
    }
}

fn secret(login: &Login) -> Option<String> {
    let password = login.password.as_ref();
    password.map(|password| password.expose().to_owned())
}
