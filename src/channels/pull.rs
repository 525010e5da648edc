//! Listening in layer `core`: pulls from this node's receivers.
//!
//! What is pulled waits in Redis until this node has room for it: while a worker's mailbox is full,
//! nothing is taken, and the site's senders see `capacity` as they do with a Python process that is
//! slow.
//!
//! A message is waited for by a pop of one, and what is popped is nowhere if the connection breaks before it is here:
//! at most one in each cut, and that is counted. What waits behind it is taken by a script that keeps a copy until this
//! node has heard of it ([`Commands::take`]); the next session reads back what was not heard. A fence keeps a call of
//! the last session, which may reach Redis late, from taking anything once the next one has read.

use super::host::LayerHost;
use super::inbound::Inbound;
use super::layer::Layer;
use super::receive::{is_full, wait_for_room};
use super::scripts::{Commands, POP_TIMEOUT_SECS};
use super::wire;
use crate::broker::Broker;
use crate::metrics::count_all;
use crate::redis::RedisCommand;
use crate::redis::client::{HandedOver, RedisClient, RedisConnection, hand_over};
use crate::redis::failure::{CommandError, LinkFailure};
use crate::redis::supervise::OwnedTask;
use crate::redis::value::RedisValue;
use std::sync::Arc;
use std::time::Duration;

/// Replaces the last session's fence by a new one: what was said to Redis in that session takes nothing any more.
///
/// # Errors
/// What Redis says; then the last fence is the one to replace.
pub(super) async fn fence(
    host: &LayerHost,
    layer: &Layer,
    client: &dyn RedisClient,
) -> Result<(), LinkFailure> {
    let last = RedisCommand::new("DEL", [&layer.key(&host.unheard.fence())]);
    host.unheard.begin();
    let commands = vec![
        last,
        set(layer, &host.unheard.fence()),
        RedisCommand::new("INFO", [b"server"]),
        RedisCommand::new("EXISTS", [&layer.key(&host.unheard.memory())]),
    ];
    let mut answers = Vec::new();
    for answer in wire::hand_over_all(client, commands).await {
        answers.push(answer.answered().await);
    }
    let memory = answers.pop().unwrap_or(Ok(RedisValue::Nil));
    // INFO may be forbidden (ACL): then nobody knows what Redis remembers.
    let server = answers.pop().and_then(Result::ok).and_then(wire::run_id);
    let begun = answers.pop().unwrap_or(Ok(RedisValue::Nil));
    let ended = answers.pop().unwrap_or(Ok(RedisValue::Nil));
    if begun.is_err() || ended.is_err() {
        host.unheard.revoke();
    }
    begun?;
    ended?;
    if !host.unheard.meet(server) || memory?.number() == 0 {
        host.unheard.lapse();
    }
    client.send(set(layer, &host.unheard.memory())).await?;
    Ok(())
}

/// Two keys are set: the fence, a mark beside the memberships, which what erases them later erases too; and what is there as
/// long as Redis has not forgotten. Whoever did not hear that a fence was replaced finds none either.
fn set(layer: &Layer, name: &str) -> RedisCommand {
    let seconds = layer.group_expiry.as_secs().max(1).to_string();
    RedisCommand::new("SET", [&layer.key(name), b"1", b"EX", seconds.as_bytes()])
}

/// Deletes what is no sorted set where only this node's may be; true if there was something.
///
/// # Errors
/// What Redis says.
pub(super) async fn heal(
    host: &LayerHost,
    layer: &Layer,
    client: &dyn RedisClient,
) -> Result<bool, LinkFailure> {
    let mut keys = keys(layer, 0);
    keys.push(layer.key(&host.unheard.taken()));
    let healed = client.send(Commands::heal(keys)).await?.number();
    count_all(&host.metrics.channels_foreign_keys, "whose", "own", healed);
    if healed > 0 && host.is_fault_due() {
        tracing::warn!(
            host = host.name,
            address = host.deployment.shown,
            keys = healed,
            "deleted what others have left under a name of this node's alone"
        );
    }
    Ok(healed > 0)
}

/// The canary's key, and the receivers': those that are waited at.
fn keys(layer: &Layer, turn: usize) -> Vec<Vec<u8>> {
    let mut keys = layer.commands.receivers(&layer.own, turn);
    keys.insert(0, layer.key("canary"));
    keys
}

/// Starts to pull.
pub(super) async fn core(
    host: &Arc<LayerHost>,
    layer: &Arc<Layer>,
    broker: &Arc<Broker>,
) -> Result<(RedisConnection, OwnedTask<LinkFailure>), LinkFailure> {
    let timeout = Duration::from_secs(POP_TIMEOUT_SECS);
    let connection = host.deployment.receiver(timeout).await?;
    let puller = Puller {
        host: Arc::clone(host),
        client: Arc::clone(&connection.client),
        inbound: Inbound::new(Arc::clone(layer), Arc::clone(broker)),
    };
    let task = OwnedTask(tokio::spawn(puller.run()));
    Ok((connection, task))
}

struct Puller {
    host: Arc<LayerHost>,
    client: Arc<dyn RedisClient>,
    inbound: Inbound,
}

impl Puller {
    async fn run(mut self) -> LinkFailure {
        if let Err(failure) = self.read_back().await {
            return failure;
        }
        let (mut turn, mut has_more) = (0, false);
        loop {
            match self.pull(turn, has_more).await {
                Ok(more) => has_more = more,
                Err(failure) => return failure,
            }
            turn += 1;
        }
    }

    /// Reads what the last session has taken and not heard of.
    async fn read_back(&mut self) -> Result<(), LinkFailure> {
        let unheard = &self.host.unheard;
        if !unheard.is_taking() {
            return Ok(());
        }
        self.wait_for_room().await;
        let layer = &self.inbound.layer;
        let taken = Commands::kept(&layer.key(&unheard.taken()));
        let mut answer = self.client.send(taken.clone()).await;
        if answer.as_ref().is_err_and(CommandError::is_about_room)
            && heal(&self.host, layer, &*self.client).await?
        {
            answer = self.client.send(taken).await;
        }
        let messages = wire::messages(answer?);
        if messages.is_empty() {
            // Nothing was taken, and now nothing will be.
            unheard.end_take();
        } else {
            unheard.hear();
        }
        for message in messages {
            self.inbound.take(&message);
        }
        Ok(())
    }

    /// Takes what waits if there was something, and waits for the next message; all in one go. True if there was more
    /// than that one.
    async fn pull(&mut self, turn: usize, has_more: bool) -> Result<bool, LinkFailure> {
        self.wait_for_room().await;
        let (host, layer) = (Arc::clone(&self.host), Arc::clone(&self.inbound.layer));
        let (unheard, client) = (&host.unheard, Arc::clone(&self.client));
        let receivers = layer.commands.receivers(&layer.own, turn);
        let mut taking = None;
        if has_more {
            unheard.take();
            let own = [unheard.fence(), unheard.heard(), unheard.taken()];
            let own = own.map(|name| layer.key(&name));
            let take = layer.commands.take(own, receivers.clone());
            taking = Some(hand_over(client.send(take)).await);
        }
        let waiting = hand_over(client.send(Commands::waiting(receivers))).await;
        unheard.pop();
        let popping = hand_over(client.send(Commands::pop(keys(&layer, turn)))).await;
        if let Some(taking) = taking {
            let messages = wire::messages(taking.answered().await?);
            unheard.hear();
            for message in messages {
                self.inbound.take(&message);
            }
        }
        let has_more = waiting.answered().await?.number() > 0;
        self.hear_popped(popping).await?;
        Ok(has_more)
    }

    async fn hear_popped(&mut self, popping: HandedOver) -> Result<(), LinkFailure> {
        let popped = popping.answered().await;
        if popped.as_ref().err().is_none_or(CommandError::was_answered) {
            self.host.unheard.end_pop();
        }
        match popped.map(wire::popped) {
            Ok(None) => Ok(()),
            Ok(Some((key, message))) => {
                if key == self.inbound.layer.key("canary") {
                    self.host.see_canary(&message);
                } else {
                    self.inbound.take(&message);
                }
                Ok(())
            }
            Err(error) => {
                let layer = &self.inbound.layer;
                if error.is_about_room() && heal(&self.host, layer, &*self.client).await? {
                    return Ok(());
                }
                Err(error.into())
            }
        }
    }

    async fn wait_for_room(&self) {
        let broker = &self.inbound.broker;
        if is_full(broker) {
            self.host.hold_back(true);
            wait_for_room(broker).await;
            self.host.hold_back(false);
        }
    }
}
