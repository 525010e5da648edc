//! The channel layer's part of `supportal check --redis`: a message to a group of one member, sent
//! and received by the commands that the layer itself uses, so that a right which is missing shows.

use super::codec::value::Map;
use super::keys::Receivers;
use super::random::{check_random, fill};
use super::scripts::{Commands, Scores};
use super::wire;
use crate::clock;
use crate::config::Config;
use crate::config::channels::{ChannelsSettings, HostAddress, LayerKind};
use crate::redis::Error;
use crate::redis::client::{RedisCommand, RedisConnection, SubscriptionEvent};
use crate::redis::deployment::Deployment;
use crate::redis::failure::LinkFailure;
use crate::redis::probe::{Finding, Found, RedisMemory, block_on, leave, look_at_all};
use crate::redis::rights;
use std::time::Duration;
use tokio::time::Instant;

/// The names the layer uses at Redis, for people and for ACL rules.
fn names(settings: &ChannelsSettings) -> Vec<(&'static str, String)> {
    let (commands, prefix) = (Commands::new(settings), &settings.prefix);
    let keys = commands.keys();
    let group = "chat_BUSINESS_SESSION";
    let addresses = || settings.hosts.iter().map(HostAddress::address);
    let connection = rights::of_connection(addresses());
    let mut names = match settings.layer {
        LayerKind::Core => vec![
            ("key of a group", keys.group(group)),
            (
                "key of what waits for this node",
                keys.channel("specific.ID!"),
            ),
            (
                "rights it needs (ACL)",
                format!(
                    "~{prefix}* {connection} +zadd +zrem +zrange +zremrangebyscore +zcount +zpopmin +bzpopmin +expire +exists +set +del +eval"
                ),
            ),
        ],
        LayerKind::Pubsub => vec![
            ("channel of a group", keys.group_channel(group)),
            ("keys", "none".to_owned()),
            (
                "rights it needs (ACL)",
                format!("resetchannels &{prefix}* {connection} +publish +subscribe +unsubscribe"),
            ),
        ],
    };
    names.extend(rights::of_sentinels(addresses()));
    names
}

/// Looks at every Redis of `channels.hosts`; `None` if there is no channel layer. Blocks, at
/// most a few times `bridge.command_timeout` for each.
///
/// # Errors
/// When a file of certificates cannot be used, or the system gives no runtime or no random bytes.
pub fn probe(config: &Config) -> Result<Option<Found>, Error> {
    let (channels, settings) = (&config.channels, &config.bridge);
    if !channels.enabled {
        return Ok(None);
    }
    check_random()?;
    let hosts = channels.hosts.iter().map(HostAddress::address);
    let deployments = Deployment::all(hosts, settings)?;
    let send = async |deployment: &Deployment, commands: &RedisConnection| {
        canary(channels, deployment, commands, settings.command_timeout).await
    };
    let findings = block_on(look_at_all("channels.hosts", &deployments, send))?;
    Ok(Some(Found {
        warnings: memory_warnings(&findings),
        findings,
        differences: Vec::new(),
        nodes: None,
        names: names(channels),
    }))
}

/// What each Redis will do once its memory is full: all that the layer keeps there has an expiry, and goes under any policy
/// but one.
fn memory_warnings(findings: &[Finding]) -> Vec<String> {
    let memory = |finding: &Finding| finding.facts.as_ref().ok()?.memory.clone();
    let evicts = |finding: &Finding| {
        let RedisMemory { max, policy } = memory(finding)?;
        (max > 0 && policy != "noeviction").then(|| {
            format!(
                "{} throws groups and messages away when it is full: maxmemory-policy is {policy}; set it to noeviction",
                finding.who()
            )
        })
    };
    findings.iter().filter_map(evicts).collect()
}

/// Sends a message through one host and waits for it; how long it took. Leaves nothing behind.
///
/// # Errors
/// When Redis refuses a command, or the message does not come back within `bridge.command_timeout`.
async fn canary(
    settings: &ChannelsSettings,
    deployment: &Deployment,
    commander: &RedisConnection,
    timeout: Duration,
) -> Result<Duration, LinkFailure> {
    let check = Check {
        commands: Commands::new(settings),
        own: Receivers::new(1, &mut fill),
        event: {
            let mut event = Map::new();
            event.push("type", "supportal.check");
            event
        },
        deployment,
        commander,
    };
    let sent = async {
        match settings.layer {
            LayerKind::Core => check.core().await,
            LayerKind::Pubsub => check.pubsub().await,
        }
    };
    let sent = tokio::time::timeout(timeout * 2, sent).await;
    sent.unwrap_or(Err(LinkFailure::Canary))
}

struct Check<'c> {
    commands: Commands,
    own: Receivers,
    event: Map<'static>,
    deployment: &'c Deployment,
    commander: &'c RedisConnection,
}

impl Check<'_> {
    /// A group of this check alone.
    fn group(&self) -> String {
        let names = self.own.names();
        let own = names.first().map_or("", String::as_str);
        own.trim_end_matches('!').replace("specific", "check")
    }

    /// Joins, sends as another process would, receives, leaves. All at this host: which one a key
    /// belongs to among several does not matter here.
    async fn core(&self) -> Result<Duration, LinkFailure> {
        let client = &*self.commander.client;
        let receiver = self.deployment.receiver(Duration::from_secs(1)).await?;
        let (group, mut scores) = (self.group(), Scores::default());
        let mut now = || scores.next(clock::wall());
        let member = self.own.member(&group);
        let fence = self.commands.keys().group(&format!("{group}fence"));
        let fence = || fence.clone().into_bytes();
        client
            .send(RedisCommand::new("SET", [&fence(), b"1", b"EX", b"60"]))
            .await?;
        let groups = [(group.as_str(), member.clone(), now())];
        client.send(self.commands.join(fence(), groups)).await?;
        let started = Instant::now();
        let members = self.commands.members(&group, now());
        let members = wire::texts(wire::run_all(client, members.into()).await?);
        let nobody = Receivers::new(1, &mut fill);
        let members = members.iter().map(String::as_str);
        let batches = self
            .commands
            .send_to_group(members, &nobody, &self.event, now(), &mut fill);
        for batch in batches.unwrap_or_default() {
            client.send(batch.send).await?;
        }
        let pop = Commands::pop(self.commands.receivers(&self.own, 0));
        let popped = wire::popped(receiver.client.send(pop).await?);
        let took = started.elapsed();
        let groups = [(group.as_str(), member)];
        client.send(self.commands.leave(fence(), groups)).await?;
        client.send(RedisCommand::new("DEL", [&fence()])).await?;
        self.further().await?;
        self.read(popped.as_ref().map(|(_, message)| &**message), took)
    }

    /// What the layer uses beside these, at a key of this check alone.
    async fn further(&self) -> Result<(), LinkFailure> {
        let key = |name| {
            self.commands
                .keys()
                .group(&format!("{}{name}", self.group()))
        };
        let keys = ["fence", "heard", "taken", "receiver"].map(|name| key(name).into_bytes());
        let [fence, heard, taken, receiver] = keys;
        let own = [fence.clone(), heard, taken.clone()];
        let take = self.commands.take(own, vec![receiver.clone()]);
        let others = vec![
            RedisCommand::new("SET", [&fence, b"1", b"EX", b"1"]),
            RedisCommand::new("EXISTS", [&fence]),
            RedisCommand::new("ZADD", [&receiver, b"1", b"message"]),
            take,
            Commands::kept(&taken),
            RedisCommand::new("DEL", [&fence, &taken]),
        ];
        wire::run_all(&*self.commander.client, others).await?;
        Ok(())
    }

    async fn pubsub(&self) -> Result<Duration, LinkFailure> {
        let group = self.group();
        let subscriptions = self.deployment.subscriber().await?;
        let mut messages = subscriptions.client.messages();
        let channel = self.commands.keys().group_channel(&group);
        let subscribe = subscriptions.client.subscribe(vec![channel.clone()]);
        subscribe.await?;
        let now = Scores::default().next(clock::wall());
        let started = Instant::now();
        let published = self
            .commands
            .publish_to_group(&group, &self.event, now, &mut fill);
        if let Ok((_host, publish)) = published {
            self.commander.client.send(publish).await?;
        }
        let received = messages.next().await;
        let took = started.elapsed();
        leave(self.deployment, &subscriptions, channel).await?;
        match received {
            SubscriptionEvent::Message { bytes, .. } => self.read(Some(&bytes), took),
            SubscriptionEvent::Lagged(_) | SubscriptionEvent::Ended => self.read(None, took),
        }
    }

    /// The message must be the one that was sent.
    fn read(&self, message: Option<&[u8]>, took: Duration) -> Result<Duration, LinkFailure> {
        let (second, _) = clock::wall();
        let mut scratch = Vec::new();
        let arrival = message.and_then(|message| {
            let codec = self.commands.codec();
            codec.decode(message, second, &mut scratch).ok()
        });
        match arrival {
            Some(arrival) if arrival.event == self.event => Ok(took),
            _ => Err(LinkFailure::Canary),
        }
    }
}
