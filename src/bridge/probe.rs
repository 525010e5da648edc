//! `supportal check --redis`: is every Redis there, and would the bridge work over it?
//!
//! Connects as the bridge does, sends one canary through, and leaves nothing behind (a stream for a
//! second, in mode `streams`, which proves the rights to it). Called by the
//! command line, without a running node.

use super::channels::{self, address};
use super::deployment::{Connection, Deployment, Failure, check_role};
use super::{Error, random, streams};
use crate::config::{self, BridgeMode};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::{InfoKind, Value};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Pings of which the middle one counts: the first pays for cold caches.
const PINGS: usize = 5;

/// What one Redis is like.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Of the server.
    pub version: String,
    /// `master`, or what it does not tell.
    pub role: String,
    /// The middle one of some pings.
    pub ping: Duration,
    /// A message published and received again.
    pub canary: Duration,
}

/// One Redis of `bridge.urls` or `bridge.channels.hosts`.
#[derive(Debug)]
pub struct Finding {
    /// Its address, without the password.
    pub address: String,
    /// What it is like, or why the bridge could not work over it.
    pub facts: Result<Facts, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.facts {
            Ok(facts) => write!(
                f,
                "{address}  version {}, {}, ping {:.2?}, canary {:.2?}",
                facts.version, facts.role, facts.ping, facts.canary
            ),
            Err(reason) => write!(f, "{address}  FAILED: {reason}"),
        }
    }
}

/// What is done over a Redis: each has names, rights and a canary of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `bridge.urls`.
    Nodes,
    /// `bridge.channels.hosts`.
    Django,
}

impl Use {
    /// Is it configured at all?
    #[must_use]
    pub fn is_on(self, settings: &config::Bridge) -> bool {
        match self {
            Self::Nodes => settings.mode != BridgeMode::Off,
            Self::Django => settings.channels.enabled,
        }
    }

    /// The names used at Redis, for people and for ACL rules.
    #[must_use]
    pub fn names(self, settings: &config::Bridge) -> Vec<(&'static str, String)> {
        match self {
            Self::Nodes => names(settings),
            Self::Django => channels::probe::names(&settings.channels),
        }
    }

    fn deployments(self, settings: &config::Bridge) -> Result<Vec<Deployment>, Error> {
        let urls = settings.urls.iter();
        let hosts = settings.channels.hosts.iter();
        match self {
            Self::Nodes => urls.map(|url| Deployment::new(url, settings)).collect(),
            Self::Django => {
                channels::layer::check_random()?;
                hosts.map(|host| address::deploy(host, settings)).collect()
            }
        }
    }

    async fn canary(
        self,
        deployment: &Deployment,
        settings: &config::Bridge,
        commands: &Connection,
    ) -> Result<Duration, Failure> {
        let timeout = settings.command_timeout;
        match self {
            Self::Nodes => canary(deployment, settings, commands).await,
            Self::Django => {
                channels::probe::canary(&settings.channels, deployment, commands, timeout).await
            }
        }
    }
}

fn names(settings: &config::Bridge) -> Vec<(&'static str, String)> {
    let prefix = &settings.prefix;
    match settings.mode {
        BridgeMode::Off => Vec::new(),
        BridgeMode::Pubsub => vec![
            (
                "channel of a room",
                format!("{prefix}:room:chat_BUSINESS_SESSION"),
            ),
            ("channel of a canary", format!("{prefix}:canary:NODE")),
            ("keys", "none".to_owned()),
            (
                "rights it needs (ACL)",
                format!(
                    "resetchannels &{prefix}:* +@connection +publish +subscribe +unsubscribe +role; cluster: +spublish +ssubscribe +sunsubscribe +cluster"
                ),
            ),
        ],
        BridgeMode::Streams => vec![
            (
                "stream and channel of a room",
                format!("{prefix}:stream:{{chat_BUSINESS_SESSION}}"),
            ),
            (
                "who has said what there",
                format!("{prefix}:origins:{{chat_BUSINESS_SESSION}}"),
            ),
            (
                "those of a canary",
                format!("{prefix}:stream:{{canary:NODE}}, {prefix}:origins:{{canary:NODE}}"),
            ),
            (
                "rights it needs (ACL)",
                format!(
                    "resetchannels &{prefix}:* ~{prefix}:* +@connection +publish +subscribe +unsubscribe +role +script|load +evalsha +time +xadd +xtrim +xrange +xrevrange +hget +hset +hlen +hgetall +hdel +pexpire; cluster: +spublish +ssubscribe +sunsubscribe +cluster"
                ),
            ),
        ],
    }
}

/// Looks at every Redis of one use. Blocks, at most a few times `bridge.command_timeout` for each.
///
/// # Errors
/// When an address is none, or the system gives no runtime or no random bytes.
pub fn probe(settings: &config::Bridge, purpose: Use) -> Result<Vec<Finding>, Error> {
    let deployments = purpose.deployments(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut findings = Vec::new();
    for deployment in deployments {
        let facts = runtime.block_on(look(&deployment, settings, purpose));
        findings.push(Finding {
            address: deployment.shown.clone(),
            facts: facts.map_err(|failure| failure.to_string()),
        });
    }
    Ok(findings)
}

async fn look(
    deployment: &Deployment,
    settings: &config::Bridge,
    purpose: Use,
) -> Result<Facts, Failure> {
    let commands = deployment.commander().await?;
    let client = &commands.client;
    let mut pings = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let started = Instant::now();
        let _pong: Value = client.ping(None).await?;
        pings.push(started.elapsed());
    }
    pings.sort();
    check_role(client).await?;
    // Not allowed to ask (ACL) is no fault.
    let info = client.info::<String>(Some(InfoKind::Server)).await;
    let version = info.ok().and_then(|info| field(&info, "redis_version:"));
    let info = client.info::<String>(Some(InfoKind::Replication)).await;
    let role = info.ok().and_then(|info| field(&info, "role:"));
    let unknown = || "unknown (INFO is not allowed)".to_owned();
    Ok(Facts {
        version: version.unwrap_or_else(unknown),
        role: role.unwrap_or_else(unknown),
        ping: pings.get(PINGS / 2).copied().unwrap_or_default(),
        canary: purpose.canary(deployment, settings, &commands).await?,
    })
}

async fn canary(
    deployment: &Deployment,
    settings: &config::Bridge,
    commands: &Connection,
) -> Result<Duration, Failure> {
    let prefix = &settings.prefix;
    let who = format!("check-{:016x}", random());
    let channel = match settings.mode {
        BridgeMode::Streams => streams::probe_stream(prefix, &who),
        BridgeMode::Off | BridgeMode::Pubsub => format!("{prefix}:canary:{who}"),
    };
    let subscriptions = deployment.subscriber().await?;
    let mut messages = subscriptions.client.message_rx();
    deployment
        .subscribe(&subscriptions.client, vec![channel.clone()])
        .await?;
    let mut started = Instant::now();
    if settings.mode == BridgeMode::Streams {
        let hashes = streams::Hashes::load(deployment, &commands.client).await?;
        started = Instant::now();
        streams::probe(deployment, &commands.client, &hashes, prefix, &who).await?;
    } else {
        let canary = Value::from_static(b"canary");
        let published = deployment.publish(commands.client.clone(), channel, canary);
        published.await?;
    }
    match tokio::time::timeout(settings.command_timeout, messages.recv()).await {
        Ok(Ok(_)) => Ok(started.elapsed()),
        Ok(Err(_)) => Err(Failure::Ended),
        Err(_) => Err(Failure::Canary),
    }
}

fn field(info: &str, name: &str) -> Option<String> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().chars().take(40).collect())
}
