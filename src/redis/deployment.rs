//! One Redis deployment as the client library wants it: address, timeouts, and what fred must not do.
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

use super::fault::{Fault, judge};
use super::tls;
use crate::config;
use crate::config::redis::{Endpoint, Login, Place, RedisAddress};
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, ClusterInterface, LuaInterface, PubsubInterface};
use fred::prelude::{Builder, Config, FredResult};
use fred::types::config::{
    ClusterDiscoveryPolicy, Server, ServerConfig, TlsConfig, TlsConnector, TlsHostMapping,
    UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand, RespVersion, Value};
use std::pin::Pin;
use std::time::Duration;

/// Event slots of a client that subscribes to nothing.
const EVENTS: usize = 16;

/// Commands that may wait inside the client: the sender's own bound is lower.
const COMMANDS: usize = 64 * 1024;

/// Why the way over a Redis is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The library's: refused, broken, timed out, not allowed.
    #[error("{}", text(.0))]
    Redis(#[from] Error),
    /// It is a replica: what is published there reaches nobody else.
    #[error("it is a read-only replica")]
    Replica,
    /// A canary did not come back: what is published does not arrive.
    #[error("a canary did not come back within bridge.command_timeout")]
    Canary,
    /// The slots of a cluster have moved: subscriptions with them.
    #[error("the cluster's slots have moved")]
    Moved,
    /// The library's task panicked or vanished.
    #[error("the connection's task ended")]
    Ended,
    /// The node is going down.
    #[error("the node is going down")]
    Stopped,
}

/// What fred or Redis says, in one line, without the address it may repeat and without rooms' names.
pub(crate) fn text(error: &Error) -> String {
    let details = crate::name::hide_rooms(error.details());
    let end = details.floor_char_boundary(160);
    let details: String = details
        .get(..end)
        .unwrap_or_default()
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    match error.kind() {
        ErrorKind::Timeout => "no answer within bridge.command_timeout".to_owned(),
        kind @ (ErrorKind::IO | ErrorKind::Tls) => {
            format!("{}: {details}{}", kind.to_str(), fix(error.details()))
        }
        kind => format!("{}: {details}", kind.to_str()),
    }
}

/// What to do where certificates do not agree: rustls tells the cause alone.
fn fix(details: &str) -> &'static str {
    const TRUST: &str =
        "; name the server's certificate, or its authority's, in bridge.ca_file or ssl_ca_certs";
    const FIXES: [(&str, &str); 4] = [
        ("CaUsedAsEndEntity", TRUST),
        ("UnknownIssuer", TRUST),
        (
            "NotValidForName",
            "; write the host that the certificate names, or ?ssl_check_hostname=false",
        ),
        (
            "AlertReceived(CertificateRequired)",
            "; it asks who we are: set bridge.client_cert and bridge.client_key",
        ),
    ];
    let known = FIXES.iter().find(|(cause, _)| details.contains(cause));
    known.map_or("", |(_, fix)| fix)
}

/// A publication on its way; it begins when it is first polled.
pub(crate) type Publishing = Pin<Box<dyn Future<Output = FredResult<()>> + Send>>;

/// How to reach one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    config: Config,
    pub(crate) is_cluster: bool,
    /// For people: no password.
    pub(crate) shown: String,
    /// What the names of channels and keys between nodes begin with. Publishing ignores databases, so
    /// the number is part of it; 0 is not, for nodes that do not know this yet.
    pub(crate) prefix: String,
    name: String,
    timeout: Duration,
    arrivals: usize,
}

impl Deployment {
    /// From an address and the settings.
    ///
    /// # Errors
    /// When a file of certificates cannot be read.
    pub(crate) fn new(
        address: &RedisAddress,
        settings: &config::Bridge,
    ) -> Result<Self, super::error::Error> {
        let mut config = Config {
            server: server(&address.place),
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
                // A cluster names its nodes by address; certificates name hosts.
                hostnames: TlsHostMapping::DefaultHost,
            });
        }
        let name = if settings.node.is_empty() {
            "supportal"
        } else {
            &settings.node
        };
        Ok(Self {
            config,
            is_cluster: address.is_cluster(),
            shown: address.to_string(),
            prefix: match address.database {
                0 => settings.prefix.clone(),
                // No prefix has a slash.
                number => format!("{}/{number}", settings.prefix),
            },
            name: name.to_owned(),
            timeout: settings.command_timeout,
            arrivals: settings.arrivals_capacity,
        })
    }

    /// A connected client for commands that block, by their own argument for up to `patience`.
    ///
    /// # Errors
    /// As [`Deployment::commander`].
    pub(crate) async fn receiver(&self, patience: Duration) -> Result<Connection, Failure> {
        self.connect(EVENTS, Some(patience)).await
    }

    /// A connected client for commands.
    ///
    /// # Errors
    /// When Redis is not there, does not answer in time, or does not let us in.
    pub(crate) async fn commander(&self) -> Result<Connection, Failure> {
        self.connect(EVENTS, None).await
    }

    /// A connected client for subscriptions.
    ///
    /// # Errors
    /// As [`Deployment::commander`].
    pub(crate) async fn subscriber(&self) -> Result<Connection, Failure> {
        self.connect(self.arrivals, None).await
    }

    /// Subscribes, and returns once Redis has.
    ///
    /// # Errors
    /// When Redis does not answer in time, or forbids it.
    pub(crate) async fn subscribe(
        &self,
        client: &Client,
        channels: Vec<String>,
    ) -> Result<(), Failure> {
        if self.is_cluster {
            // One at a time: the channels of one command must share a slot, and fred expects one
            // answer.
            for channel in channels {
                client.ssubscribe(channel).await?;
            }
            return Ok(());
        }
        client.subscribe(channels).await?;
        let _pong: Value = client.ping(None).await?;
        Ok(())
    }

    /// Unsubscribes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) async fn unsubscribe(
        &self,
        client: &Client,
        channels: Vec<String>,
    ) -> Result<(), Failure> {
        if self.is_cluster {
            for channel in channels {
                client.sunsubscribe(channel).await?;
            }
            return Ok(());
        }
        client.unsubscribe(channels).await?;
        Ok(())
    }

    /// Publishes; done when Redis has answered.
    pub(crate) fn publish(&self, client: Client, channel: String, bytes: Value) -> Publishing {
        let is_cluster = self.is_cluster;
        Box::pin(async move {
            if is_cluster {
                client.spublish(channel, bytes).await
            } else {
                client.publish(channel, bytes).await
            }
        })
    }

    /// Makes a Lua function known, at every master of a cluster; its name for EVALSHA.
    ///
    /// # Errors
    /// When Redis does not answer in time, or forbids it.
    pub(crate) async fn load_script(
        &self,
        client: &Client,
        text: &'static str,
    ) -> Result<String, Failure> {
        if !self.is_cluster {
            return Ok(client.script_load(text).await?);
        }
        let mut hash = String::new();
        let routing = client.cached_cluster_state();
        for master in routing.map_or_else(Vec::new, |routing| routing.unique_primary_nodes()) {
            let load = CustomCommand::new_static("SCRIPT", ClusterHash::Random, false);
            let master = client.with_cluster_node(&master);
            hash = master.custom(load, vec!["LOAD", text]).await?;
        }
        Ok(hash)
    }

    /// Who has which slots of a cluster, in an order of its own; empty for a Redis alone.
    ///
    /// # Errors
    /// When Redis does not answer in time, or forbids it.
    pub(crate) async fn slots(&self, client: &Client) -> Result<Vec<String>, Failure> {
        if !self.is_cluster {
            return Ok(Vec::new());
        }
        let ranges: Value = client.cluster_slots().await?;
        // First slot, last slot, then the nodes, the master before its replicas.
        let mut slots: Vec<String> = ranges
            .into_array()
            .into_iter()
            .map(|range| {
                let range: Vec<Value> = range.into_array().into_iter().take(3).collect();
                format!("{range:?}")
            })
            .collect();
        slots.sort();
        Ok(slots)
    }

    async fn connect(
        &self,
        events: usize,
        blocking: Option<Duration>,
    ) -> Result<Connection, Failure> {
        let timeout = self.timeout;
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
            Err(_elapsed) => return Err(Error::new(ErrorKind::Timeout, "connecting").into()),
        };
        let connection = Connection { client, task };
        if !self.is_cluster {
            let name = CustomCommand::new_static("CLIENT", ClusterHash::Random, false);
            // For CLIENT LIST only: not being allowed to is no harm.
            let named: FredResult<Value> = connection
                .client
                .custom(name, vec!["SETNAME", &self.name])
                .await;
            drop(named);
        }
        Ok(connection)
    }
}

/// A client and its task; dropping it ends both.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    task: fred::types::ConnectHandle,
}

impl Connection {
    /// Done when the connection is gone.
    ///
    /// # Cancel safety
    /// May be called again, until it has returned once.
    pub(crate) async fn ended(&mut self) -> Failure {
        match (&mut self.task).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => Failure::Ended,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Is this server, so far as it tells us, one that may be published to?
///
/// # Errors
/// When it is a replica, or does not answer in time.
pub(crate) async fn check_role(client: &Client) -> Result<(), Failure> {
    let role = CustomCommand::new_static("ROLE", ClusterHash::Random, false);
    match client.custom::<Value, &str>(role, Vec::new()).await {
        Ok(role) => {
            let first = role.into_array().into_iter().next();
            let is_replica = first.is_some_and(|word| word.as_bytes() == Some(b"slave"));
            if is_replica {
                Err(Failure::Replica)
            } else {
                Ok(())
            }
        }
        Err(error) if is_about_connection(&error) => Err(error.into()),
        // ROLE may be forbidden (ACL): then the canary alone decides.
        Err(_forbidden) => Ok(()),
    }
}

/// Is the way over this Redis broken, or has Redis only refused a command?
pub(crate) fn is_about_connection(error: &Error) -> bool {
    let is_gone = matches!(
        error.kind(),
        ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Protocol
    );
    is_gone || judge(error.details()) == Fault::Redis
}

/// A place as the library has it.
fn server(place: &Place) -> ServerConfig {
    let server = |at: &Endpoint| Server::new(at.host.clone(), at.port);
    match place {
        Place::Server(at) => ServerConfig::new_centralized(at.host.clone(), at.port),
        Place::Socket(path) => ServerConfig::Unix { path: path.clone() },
        Place::Sentinel {
            sentinels,
            service,
            login,
        } => ServerConfig::Sentinel {
            hosts: sentinels.iter().map(server).collect(),
            service_name: service.clone(),
            username: login.username.clone(),
            password: secret(login),
        },
        Place::Cluster(nodes) => ServerConfig::Clustered {
            hosts: nodes.iter().map(server).collect(),
            policy: ClusterDiscoveryPolicy::default(),
        },
    }
}

fn secret(login: &Login) -> Option<String> {
    let password = login.password.as_ref();
    password.map(|password| password.expose().to_owned())
}
