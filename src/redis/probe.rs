//! What `supportal check --redis` asks of every Redis, whatever is done over it: is it there, and
//! what is it like?

use super::client::{RedisClient, RedisCommand, RedisConnection, check_role};
use super::deployment::Deployment;
use super::error::Error;
use super::failure::{CommandError, LinkFailure};
use super::fault::RedisFault;
use super::mismatch::is_of_cluster;
use super::value::RedisValue;
use super::{health, rights};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Pings of which the middle one counts: the first pays for cold caches.
const PINGS: usize = 5;

/// What a Redis does with its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisMemory {
    /// Most bytes (`maxmemory`); 0: no limit.
    pub max: u64,
    /// What goes when it is full (`maxmemory-policy`).
    pub policy: String,
}

/// Who follows a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisReplicas {
    /// Replicas that are connected.
    pub connected: u64,
    /// Is there a `min-replicas-to-write`? Without, a master that is alone goes on, and answers for what nobody else has.
    pub are_required: bool,
}

impl RedisReplicas {
    /// Is it more than a Redis alone?
    #[must_use]
    pub fn are_meant(&self) -> bool {
        self.connected > 0 || self.are_required
    }
}

/// What one Redis is like.
#[derive(Clone, Debug)]
pub struct RedisFacts {
    /// Of the server.
    pub version: String,
    /// `master`, or what it does not tell.
    pub role: String,
    /// What Redis does with memory, if that may be asked.
    pub memory: Option<RedisMemory>,
    /// Who follows it, if that may be asked.
    pub replicas: Option<RedisReplicas>,
    /// Does a file have what was answered for (`appendonly`), if that may be asked?
    pub is_durable: Option<bool>,
    /// Is it one of a Cluster, though its address says that it is alone?
    pub is_of_cluster: bool,
    /// The middle one of some pings.
    pub ping: Duration,
    /// A message published and received again.
    pub canary: Duration,
    /// Commands that are used and not allowed, and are done without.
    pub lacks: Vec<&'static str>,
}

/// One Redis of a list.
#[derive(Debug)]
pub struct Finding {
    /// Which one: `bridge.urls[0]`, `channels.hosts[0]`.
    pub name: String,
    /// The Redis' address, without the password.
    pub address: String,
    /// What it is like, or why the bridge could not work over it.
    pub facts: Result<RedisFacts, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, .. } = self;
        match &self.facts {
            Ok(facts) => {
                write!(
                    f,
                    "{name}  {address}  version {}, {}, ping {:.2?}, canary {:.2?}",
                    facts.version, facts.role, facts.ping, facts.canary
                )?;
                if let Some(replicas) = facts.replicas.filter(RedisReplicas::are_meant) {
                    let connected = replicas.connected;
                    let are_required = if replicas.are_required { "" } else { "no " };
                    write!(
                        f,
                        ", replicas {connected}, {are_required}min-replicas-to-write"
                    )?;
                }
                if facts.lacks.is_empty() {
                    return Ok(());
                }
                let lacks = facts.lacks.join(", ");
                write!(f, "; not allowed, and done without: {lacks}")
            }
            Err(reason) => write!(f, "{name}  {address}  FAILED: {reason}"),
        }
    }
}

impl Finding {
    /// Which Redis it is, for a sentence.
    pub(crate) fn who(&self) -> String {
        format!("{} ({})", self.name, self.address)
    }
}

/// What was found of one list of Redis.
#[derive(Debug)]
pub struct Found {
    /// Every Redis, in the order of its list.
    pub findings: Vec<Finding>,
    /// What will be wrong some day, a sentence for each.
    pub warnings: Vec<String>,
    /// Nodes with other settings, a sentence for each.
    pub differences: Vec<String>,
    /// Other nodes that were heard, if any are listened for.
    pub nodes: Option<usize>,
    /// The names used at Redis, for people, and ACL rules.
    pub names: Vec<(&'static str, String)>,
}

/// Runs what is asked, without a running node.
///
/// # Errors
/// When the system gives no runtime.
pub(crate) fn block_on<T>(asked: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(asked))
}

/// Looks at each of a list; `canary` sends one message through it, and says how long that took.
pub(crate) async fn look_at_all(
    list: &str,
    deployments: &[Deployment],
    canary: impl AsyncFn(&Deployment, &RedisConnection) -> Result<Duration, LinkFailure>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, deployment) in deployments.iter().enumerate() {
        let send = async |commands: &RedisConnection| canary(deployment, commands).await;
        let facts = look(deployment, send).await;
        findings.push(Finding {
            name: health::name(list, place),
            address: deployment.shown.clone(),
            facts: facts.map_err(|failure| failure.to_string()),
        });
    }
    findings
}

async fn look(
    deployment: &Deployment,
    canary: impl AsyncFnOnce(&RedisConnection) -> Result<Duration, LinkFailure>,
) -> Result<RedisFacts, LinkFailure> {
    let commands = deployment.commander().await?;
    let client = &*commands.client;
    let mut pings = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let started = Instant::now();
        client.ping().await?;
        pings.push(started.elapsed());
    }
    pings.sort();
    check_role(client).await?;
    // Not allowed to ask (ACL) is no fault.
    let version = info_field(client, "server", "redis_version:").await;
    let role = info_field(client, "replication", "role:").await;
    let memory = memory_of(client).await;
    let replicas = replicas_of(client).await;
    let is_durable = info_field(client, "persistence", "aof_enabled:").await;
    let is_of_cluster = !deployment.is_cluster && is_of_cluster(client).await?;
    let lacks = rights::HARMLESS.iter();
    let mut lacking = Vec::new();
    for (name, words) in lacks {
        let asked = client.send(command(name, words)).await;
        if asked.is_err_and(|error| error.fault() == RedisFault::Rights) {
            lacking.push(*name);
        }
    }
    if deployment.is_cluster {
        // Before a key whose slot is on its way elsewhere.
        client.send(command("ASKING", &[])).await?;
    }
    let unknown = || "unknown (INFO is not allowed)".to_owned();
    Ok(RedisFacts {
        version: version.unwrap_or_else(unknown),
        role: role.unwrap_or_else(unknown),
        memory,
        replicas,
        is_durable: is_durable.map(|enabled| enabled != "0"),
        is_of_cluster,
        ping: pings.get(PINGS / 2).copied().unwrap_or_default(),
        canary: canary(&commands).await?,
        lacks: lacking,
    })
}

/// Is it allowed to unsubscribe? The connection is of no use afterwards.
///
/// fred waits for no answer to its own UNSUBSCRIBE, and throws one away that is none: as a command of
/// ours it is refused where it stands, or answered by what comes behind it.
pub(crate) async fn leave(
    deployment: &Deployment,
    subscriptions: &RedisConnection,
    channel: String,
) -> Result<(), LinkFailure> {
    let client = &subscriptions.client;
    let channel = channel.as_str();
    let (leaving, behind) = if deployment.is_cluster {
        ("SUNSUBSCRIBE", command("SSUBSCRIBE", &[channel]))
    } else {
        ("UNSUBSCRIBE", command("PING", &[]))
    };
    let (leave, behind) = (
        client.send(command(leaving, &[channel])),
        client.send(behind),
    );
    tokio::select! {
        biased;
        left = leave => left?,
        answered = behind => answered?,
    };
    Ok(())
}

fn command(name: &'static str, words: &[&str]) -> RedisCommand {
    let words = words.iter();
    RedisCommand {
        name,
        arguments: words.map(|word| word.as_bytes().to_vec()).collect(),
    }
}

async fn memory_of(client: &dyn RedisClient) -> Option<RedisMemory> {
    let max = info_field(client, "memory", "maxmemory:").await?;
    Some(RedisMemory {
        max: max.parse().ok()?,
        policy: info_field(client, "memory", "maxmemory_policy:").await?,
    })
}

async fn replicas_of(client: &dyn RedisClient) -> Option<RedisReplicas> {
    let connected = info_field(client, "replication", "connected_slaves:").await?;
    // A line that is there once the setting is above 0.
    let required = info_field(client, "replication", "min_slaves_good_slaves:").await;
    Some(RedisReplicas {
        connected: connected.parse().ok()?,
        are_required: required.is_some(),
    })
}

/// What a section of INFO says; `None` if it may not be asked.
async fn info_field(client: &dyn RedisClient, section: &str, name: &str) -> Option<String> {
    let info: Result<RedisValue, CommandError> = client.send(command("INFO", &[section])).await;
    let info = info.ok()?.into_bytes()?;
    field(std::str::from_utf8(&info).ok()?, name)
}

fn field(info: &str, name: &str) -> Option<String> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().chars().take(40).collect())
}
