//! `supportal check --redis`: would the nodes hear each other over every Redis of `bridge.urls`?
//!
//! Connects as the bridge does, sends one canary through, and leaves nothing behind (a stream for a
//! second, in mode `streams`, which proves the rights to it). Called by the
//! command line, without a running node.

use super::envelope::NodeId;
use super::roll::{Card, Roll, nodes_channel};
use super::{rights, streams};
use crate::clock::Millis;
use crate::config::{self, ArchiveMode, BridgeMode, Config};
use crate::redis::client::{RedisConnection, SubscriptionEvent};
use crate::redis::deployment::Deployment;
use crate::redis::failure::LinkFailure;
use crate::redis::mismatch::is_of_cluster;
use crate::redis::probe::{Finding, Found, RedisMemory, block_on, leave, look_at_all};
use crate::redis::{Error, Randomness};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How long other nodes are listened for: each says something once a second.
pub const LISTEN: Duration = Duration::from_millis(2_500);

/// Cards of other nodes that are kept of one Redis.
const CARDS_MAX: usize = 4_096;

fn names(
    settings: &config::BridgeSettings,
    deployments: &[Deployment],
) -> Vec<(&'static str, String)> {
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
                    "ids of messages there",
                    format!("{prefix}:ids:{{chat_BUSINESS_SESSION}}"),
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

/// Looks at every Redis of `bridge.urls`, and listens for other nodes; `None` if the mode is `off`.
/// Blocks, at most a few times `bridge.command_timeout` for each, and [`LISTEN`] for all.
///
/// # Errors
/// When a file of certificates cannot be used, or the system gives no runtime.
pub fn probe(config: &Config) -> Result<Option<Found>, Error> {
    let settings = &config.bridge;
    if settings.mode == BridgeMode::Off {
        return Ok(None);
    }
    let deployments = Deployment::all(&settings.urls, settings)?;
    let send = async |deployment: &Deployment, commands: &RedisConnection| {
        canary(deployment, settings, commands).await
    };
    let looked = async {
        let findings = look_at_all("bridge.urls", &deployments, send).await;
        (findings, listen(settings, &deployments).await)
    };
    let (findings, mut roll) = block_on(looked)?;
    let is_up = |finding: &Finding| finding.facts.is_ok().then_some(Millis(0));
    let up: Vec<Option<Millis>> = findings.iter().map(is_up).collect();
    let is_archive = config.archive.mode == ArchiveMode::Streams;
    let archive_bytes = is_archive.then_some(config.archive.bytes_max as u64);
    let warnings = match settings.mode {
        BridgeMode::Streams => {
            let mut warnings = memory_warnings(&findings, archive_bytes);
            warnings.extend(replica_warnings(&findings));
            warnings.extend(restart_warnings(&findings));
            warnings
        }
        BridgeMode::Off | BridgeMode::Pubsub => cluster_warnings(&findings),
    };
    Ok(Some(Found {
        findings,
        warnings,
        differences: roll.differences(&up, Millis(0), Duration::ZERO),
        nodes: Some(roll.len()),
        names: names(settings, &deployments),
    }))
}

/// What each Redis will do once its memory is full, with an archive of so many bytes or none.
fn memory_warnings(findings: &[Finding], archive_bytes: Option<u64>) -> Vec<String> {
    let mut warnings = Vec::new();
    for finding in findings {
        let (who, facts) = (finding.who(), &finding.facts);
        let memory = facts.as_ref().ok().and_then(|facts| facts.memory.as_ref());
        let Some(RedisMemory { max, policy }) = memory.filter(|memory| memory.max > 0) else {
            continue;
        };
        if policy != "noeviction" {
            let what = archive_bytes.map_or("whole rooms", |_| "whole rooms, or the archive,");
            warnings.push(format!(
                "{who} throws {what} away when it is full: maxmemory-policy is {policy}; set it to noeviction"
            ));
        }
        if let Some(bytes) = archive_bytes.filter(|bytes| bytes >= max) {
            warnings.push(format!(
                "{who} is full before the archive is: maxmemory is {max}, archive.bytes_max {bytes}; raise the one or lower the other"
            ));
        }
    }
    warnings
}

/// What a failover would lose.
fn replica_warnings(findings: &[Finding]) -> Vec<String> {
    let followed = findings.iter().filter(|finding| {
        let replicas = finding.facts.as_ref().ok().and_then(|facts| facts.replicas);
        replicas.is_some_and(|replicas| replicas.connected > 0 && !replicas.are_required)
    });
    let warning = |finding: &Finding| {
        let who = finding.who();
        format!(
            "{who} goes on when no replica hears it, and a failover then loses what it answered for (it is counted); \
             set min-replicas-to-write 1, and min-replicas-max-lag to the seconds that may be lost"
        )
    };
    followed.map(warning).collect()
}

/// What a restart would lose.
fn restart_warnings(findings: &[Finding]) -> Vec<String> {
    let is_durable = |finding: &Finding| finding.facts.as_ref().ok()?.is_durable;
    let forgetful = findings
        .iter()
        .filter(|finding| is_durable(finding) == Some(false));
    let warning = |finding: &Finding| {
        format!(
            "{} has appendonly no: its restart loses what it answered for since its last snapshot (save), \
             without one everything; set appendonly yes",
            finding.who()
        )
    };
    forgetful.map(warning).collect()
}

/// Where a Cluster is spoken to by one of its servers.
fn cluster_warnings(findings: &[Finding]) -> Vec<String> {
    let of_clusters = findings.iter().filter(|finding| {
        let facts = finding.facts.as_ref();
        facts.is_ok_and(|facts| facts.is_of_cluster)
    });
    let warning = |finding: &Finding| {
        format!(
            "{} is a server of a Cluster, which tells all others what is published, and does not hear nodes that speak to the Cluster; \
             write redis-cluster:// on every node",
            finding.who()
        )
    };
    of_clusters.map(warning).collect()
}

/// Who else says something, and what, over all at the same time.
async fn listen(settings: &config::BridgeSettings, deployments: &[Deployment]) -> Roll {
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

async fn collect(deployment: &Deployment, cards: &mut Vec<Card>) -> Result<(), LinkFailure> {
    let subscriptions = deployment.subscriber().await?;
    let mut messages = subscriptions.client.messages();
    let channel = nodes_channel(&deployment.prefix);
    subscriptions.client.subscribe(vec![channel]).await?;
    loop {
        let card = match messages.next().await {
            SubscriptionEvent::Message { bytes, .. } => Card::read(&bytes),
            SubscriptionEvent::Lagged(_) | SubscriptionEvent::Ended => return Ok(()),
        };
        cards.extend(card.filter(|_| cards.len() < CARDS_MAX));
    }
}

async fn canary(
    deployment: &Deployment,
    settings: &config::BridgeSettings,
    commands: &RedisConnection,
) -> Result<Duration, LinkFailure> {
    let is_streams = settings.mode == BridgeMode::Streams;
    if is_streams && !deployment.is_cluster && is_of_cluster(&*commands.client).await? {
        return Err(LinkFailure::Cluster);
    }
    let prefix = &deployment.prefix;
    let who = format!("check-{:016x}", Randomness::default().number());
    let channel = match settings.mode {
        BridgeMode::Streams => streams::probe_stream(prefix, &who),
        BridgeMode::Off | BridgeMode::Pubsub => format!("{prefix}:canary:{who}"),
    };
    let subscriptions = deployment.subscriber().await?;
    let mut messages = subscriptions.client.messages();
    let subscribe = subscriptions.client.subscribe(vec![channel.clone()]);
    subscribe.await?;
    let mut started = Instant::now();
    if is_streams {
        let hashes = streams::Hashes::load(&*commands.client).await?;
        started = Instant::now();
        streams::probe(deployment, &*commands.client, &hashes, prefix, &who).await?;
    } else {
        let canary = Bytes::from_static(b"canary");
        commands.client.publish(channel.clone(), canary).await?;
    }
    let took = match tokio::time::timeout(settings.command_timeout, messages.next()).await {
        Ok(SubscriptionEvent::Message { .. }) => started.elapsed(),
        Ok(SubscriptionEvent::Lagged(_) | SubscriptionEvent::Ended) => {
            return Err(LinkFailure::Ended);
        }
        Err(_) => return Err(LinkFailure::Canary),
    };
    leave(deployment, &subscriptions, channel).await?;
    Ok(took)
}
