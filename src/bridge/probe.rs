//! `supportal check --redis`: is every Redis there, and would the bridge work over it?
//!
//! Connects as the bridge does, sends one canary through, and leaves nothing behind. Called by the
//! command line, without a running node.

use super::deployment::{Connection, Deployment, Failure, check_role};
use super::{Error, random};
use crate::config::{self, BridgeMode};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::{InfoKind, Value};
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

/// One Redis of `bridge.urls`.
#[derive(Debug)]
pub struct Finding {
    /// Its address, without the password.
    pub address: String,
    /// What it is like, or why the bridge could not work over it.
    pub facts: Result<Facts, String>,
}

/// The names the bridge uses at Redis, for people and for ACL rules.
#[must_use]
pub fn names(settings: &config::Bridge) -> Vec<(&'static str, String)> {
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
    }
}

/// Looks at every Redis. Blocks, at most a few times `bridge.command_timeout` for each.
///
/// # Errors
/// When an address is none, or the system gives no runtime.
pub fn probe(settings: &config::Bridge) -> Result<Vec<Finding>, Error> {
    let deployments: Result<Vec<Deployment>, Error> = settings
        .urls
        .iter()
        .map(|url| Deployment::new(url, settings))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut findings = Vec::new();
    for deployment in deployments? {
        let facts = runtime.block_on(look(&deployment, settings));
        findings.push(Finding {
            address: deployment.shown.clone(),
            facts: facts.map_err(|failure| failure.to_string()),
        });
    }
    Ok(findings)
}

async fn look(deployment: &Deployment, settings: &config::Bridge) -> Result<Facts, Failure> {
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
        canary: canary(deployment, settings, &commands).await?,
    })
}

async fn canary(
    deployment: &Deployment,
    settings: &config::Bridge,
    commands: &Connection,
) -> Result<Duration, Failure> {
    let channel = format!("{}:canary:check-{:016x}", settings.prefix, random());
    let subscriptions = deployment.subscriber().await?;
    let mut messages = subscriptions.client.message_rx();
    deployment
        .subscribe(&subscriptions.client, vec![channel.clone()])
        .await?;
    let started = Instant::now();
    deployment
        .publish(
            commands.client.clone(),
            channel,
            Value::from_static(b"canary"),
        )
        .await?;
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
