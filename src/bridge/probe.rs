//! `supportal check --redis`: is every Redis there, and would the bridge work over it?
//!
//! Connects as the bridge does, sends one canary through, and leaves nothing behind (a stream for a
//! second, in mode `streams`, which proves the rights to it). Called by the
//! command line, without a running node.

use super::deployment::{Connection, Deployment, Failure, check_role};
use super::envelope::NodeId;
use super::fault::{Fault, judge};
use super::roll::{Card, Roll, nodes_channel};
use super::{Error, channels, random, rights, streams};
use crate::clock::Millis;
use crate::config::{self, BridgeMode, Config};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::{ClusterHash, CustomCommand, InfoKind, Value};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Pings of which the middle one counts: the first pays for cold caches.
const PINGS: usize = 5;

/// How long other nodes are listened for: each says something once a second.
pub const LISTEN: Duration = Duration::from_millis(2_500);

/// Cards of other nodes that are kept of one Redis.
const CARDS_MAX: usize = 4_096;

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
    /// Commands that are used and not allowed, and are done without.
    pub lacks: Vec<&'static str>,
}

/// One Redis of `bridge.urls` or `channels.hosts`.
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
            Ok(facts) => {
                write!(
                    f,
                    "{address}  version {}, {}, ping {:.2?}, canary {:.2?}",
                    facts.version, facts.role, facts.ping, facts.canary
                )?;
                if facts.lacks.is_empty() {
                    return Ok(());
                }
                let lacks = facts.lacks.join(", ");
                write!(f, "; not allowed, and done without: {lacks}")
            }
            Err(reason) => write!(f, "{address}  FAILED: {reason}"),
        }
    }
}

/// What is done over a Redis: each has names, rights and a canary of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `bridge.urls`.
    Nodes,
    /// `channels.hosts`.
    Django,
}

impl Use {
    /// Is it configured at all?
    #[must_use]
    pub fn is_on(self, config: &Config) -> bool {
        match self {
            Self::Nodes => config.bridge.mode != BridgeMode::Off,
            Self::Django => config.channels.enabled,
        }
    }

    fn deployments(self, config: &Config) -> Result<Vec<Deployment>, Error> {
        let urls = config.bridge.urls.iter();
        let hosts = config.channels.hosts.iter();
        match self {
            Self::Nodes => urls
                .map(|url| Deployment::new(url, &config.bridge))
                .collect(),
            Self::Django => {
                channels::layer::check_random()?;
                hosts
                    .map(|host| Deployment::new(host.address(), &config.bridge))
                    .collect()
            }
        }
    }

    async fn canary(
        self,
        deployment: &Deployment,
        config: &Config,
        commands: &Connection,
    ) -> Result<Duration, Failure> {
        let timeout = config.bridge.command_timeout;
        match self {
            Self::Nodes => canary(deployment, &config.bridge, commands).await,
            Self::Django => {
                channels::probe::canary(&config.channels, deployment, commands, timeout).await
            }
        }
    }
}

fn names(settings: &config::Bridge, deployments: &[Deployment]) -> Vec<(&'static str, String)> {
    let mut prefixes: Vec<String> = Vec::new();
    for deployment in deployments {
        if !prefixes.contains(&deployment.prefix) {
            prefixes.push(deployment.prefix.clone());
        }
    }
    let mut names = Vec::new();
    for prefix in &prefixes {
        names.extend(match settings.mode {
            BridgeMode::Off => Vec::new(),
            BridgeMode::Pubsub => vec![
                (
                    "channel of a room",
                    format!("{prefix}:room:chat_BUSINESS_SESSION"),
                ),
                ("channel of a canary", format!("{prefix}:canary:NODE")),
                ("keys", "none".to_owned()),
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
            ],
        });
        names.push(("channel of the nodes", nodes_channel(prefix)));
    }
    names.extend(rights::of_nodes(settings, &prefixes));
    names
}

/// What was found, of one use.
#[derive(Debug)]
pub struct Found {
    /// Every Redis, in the order of its list.
    pub findings: Vec<Finding>,
    /// Nodes with other settings, a sentence for each.
    pub differences: Vec<String>,
    /// Other nodes that were heard.
    pub nodes: usize,
    /// The names used at Redis, for people, and ACL rules.
    pub names: Vec<(&'static str, String)>,
}

/// Looks at every Redis of one use, and listens for other nodes. Blocks, at most a few times
/// `bridge.command_timeout` for each, and [`LISTEN`] for all.
///
/// # Errors
/// When a file of certificates cannot be used, or the system gives no runtime or no random bytes.
pub fn probe(config: &Config, purpose: Use) -> Result<Found, Error> {
    let settings = &config.bridge;
    let deployments = purpose.deployments(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut findings = Vec::new();
    for deployment in &deployments {
        let facts = runtime.block_on(look(deployment, config, purpose));
        findings.push(Finding {
            address: deployment.shown.clone(),
            facts: facts.map_err(|failure| failure.to_string()),
        });
    }
    let (names, mut roll) = match purpose {
        Use::Django => (channels::probe::names(&config.channels), Roll::default()),
        Use::Nodes => (
            names(settings, &deployments),
            runtime.block_on(listen(settings, &deployments)),
        ),
    };
    let is_up = |finding: &Finding| finding.facts.is_ok().then_some(Millis(0));
    let up: Vec<Option<Millis>> = findings.iter().map(is_up).collect();
    Ok(Found {
        findings,
        differences: roll.differences(&up, Millis(0), Duration::ZERO),
        nodes: roll.len(),
        names,
    })
}

/// Who else says something, and what, over all at the same time.
async fn listen(settings: &config::Bridge, deployments: &[Deployment]) -> Roll {
    let own = NodeId([0; 16]);
    let mut heard = tokio::task::JoinSet::new();
    for (place, deployment) in deployments.iter().cloned().enumerate() {
        let own = Card::new(own, settings, place, 0);
        heard.spawn(async move {
            let mut cards = Vec::new();
            // What it finds is already said elsewhere.
            drop(tokio::time::timeout(LISTEN, collect(&deployment, &mut cards)).await);
            (own, cards)
        });
    }
    let mut roll = Roll::default();
    while let Some(Ok((own, cards))) = heard.join_next().await {
        for card in cards {
            roll.hear(&own, card, Millis(0));
        }
    }
    roll
}

async fn collect(deployment: &Deployment, cards: &mut Vec<Card>) -> Result<(), Failure> {
    let subscriptions = deployment.subscriber().await?;
    let mut messages = subscriptions.client.message_rx();
    let channel = nodes_channel(&deployment.prefix);
    deployment
        .subscribe(&subscriptions.client, vec![channel])
        .await?;
    while let Ok(message) = messages.recv().await {
        let card = message.value.as_bytes().and_then(Card::read);
        cards.extend(card.filter(|_| cards.len() < CARDS_MAX));
    }
    Ok(())
}

async fn look(deployment: &Deployment, config: &Config, purpose: Use) -> Result<Facts, Failure> {
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
    let lacks = rights::HARMLESS.iter();
    let mut lacking = Vec::new();
    for (name, words) in lacks {
        let command = CustomCommand::new_static(name, ClusterHash::Random, false);
        let asked = client.custom::<Value, &str>(command, words.to_vec()).await;
        if asked.is_err_and(|error| judge(error.details()) == Fault::Rights) {
            lacking.push(*name);
        }
    }
    if deployment.is_cluster {
        // Before a key whose slot is on its way elsewhere.
        let asking = CustomCommand::new_static("ASKING", ClusterHash::Random, false);
        let _ok: Value = client.custom(asking, Vec::<&str>::new()).await?;
    }
    let unknown = || "unknown (INFO is not allowed)".to_owned();
    Ok(Facts {
        version: version.unwrap_or_else(unknown),
        role: role.unwrap_or_else(unknown),
        ping: pings.get(PINGS / 2).copied().unwrap_or_default(),
        canary: purpose.canary(deployment, config, &commands).await?,
        lacks: lacking,
    })
}

async fn canary(
    deployment: &Deployment,
    settings: &config::Bridge,
    commands: &Connection,
) -> Result<Duration, Failure> {
    let prefix = &deployment.prefix;
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
        let published = deployment.publish(commands.client.clone(), channel.clone(), canary);
        published.await?;
    }
    let took = match tokio::time::timeout(settings.command_timeout, messages.recv()).await {
        Ok(Ok(_)) => started.elapsed(),
        Ok(Err(_)) => return Err(Failure::Ended),
        Err(_) => return Err(Failure::Canary),
    };
    leave(deployment, &subscriptions, channel).await?;
    Ok(took)
}

/// Is it allowed to unsubscribe? The connection is of no use afterwards.
///
/// fred waits for no answer to its own UNSUBSCRIBE, and throws one away that is none: as a command of
/// ours it is refused where it stands, or answered by what comes behind it.
pub(super) async fn leave(
    deployment: &Deployment,
    subscriptions: &Connection,
    channel: String,
) -> Result<(), Failure> {
    let client = &subscriptions.client;
    let (leaving, behind) = if deployment.is_cluster {
        ("SUNSUBSCRIBE", ("SSUBSCRIBE", vec![channel.clone()]))
    } else {
        ("UNSUBSCRIBE", ("PING", Vec::new()))
    };
    let send = |name, words: Vec<String>| {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        client.custom::<Value, String>(command, words)
    };
    let (leave, behind) = (send(leaving, vec![channel]), send(behind.0, behind.1));
    tokio::select! {
        biased;
        left = leave => left?,
        answered = behind => answered?,
    };
    Ok(())
}

fn field(info: &str, name: &str) -> Option<String> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().chars().take(40).collect())
}
