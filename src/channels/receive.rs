//! Listening: layer `core` pulls from its receivers' keys, layer `pubsub` is told by subscription.
//!
//! What is pulled waits in Redis until this node has room for it: while a worker's mailbox is full,
//! nothing is taken, and the site's senders see `capacity` as they do with a Python process that is
//! slow. What comes by subscription has no such place to wait: it is dropped and counted once a
//! mailbox stays full.

use super::host::LayerHost;
use super::inbound::Inbound;
use super::layer::Layer;
use super::scripts::{Commands, POP_TIMEOUT_SECS};
use super::wire;
use crate::broker::Broker;
use crate::metrics::{count, count_all};
use crate::redis::client::{Messages, RedisClient, RedisConnection, SubscriptionEvent};
use crate::redis::failure::LinkFailure;
use crate::redis::supervise::OwnedTask;
use crate::redis::wait_budget::{LOOK_EVERY, WaitBudget};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Messages taken from one receiver before the next one has its turn.
pub(super) const DRAIN: usize = 128;

/// Starts to pull.
pub(super) async fn core(
    host: &Arc<LayerHost>,
    layer: &Arc<Layer>,
    broker: &Arc<Broker>,
) -> Result<(RedisConnection, OwnedTask<LinkFailure>), LinkFailure> {
    let timeout = Duration::from_secs(POP_TIMEOUT_SECS);
    let connection = host.deployment.receiver(timeout).await?;
    let takes_many = takes_many(&*connection.client, layer).await?;
    let puller = Puller {
        takes_many,
        host: Arc::clone(host),
        client: Arc::clone(&connection.client),
        inbound: Inbound::new(Arc::clone(layer), Arc::clone(broker)),
    };
    let task = OwnedTask(tokio::spawn(puller.run()));
    Ok((connection, task))
}

/// Has this Redis BZMPOP, and may we use it? Before Redis 7, and with rights (ACL) for the commands of the Python layer
/// alone, messages are taken in two steps.
async fn takes_many(client: &dyn RedisClient, layer: &Layer) -> Result<bool, LinkFailure> {
    // Of a key that nobody writes; for a millisecond, since 0 is for ever.
    let probe = Commands::pop_many(vec![layer.key("probe")], 1, "0.001");
    match client.send(probe).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_about_connection() => Err(error.into()),
        Err(_unknown_or_forbidden) => Ok(false),
    }
}

struct Puller {
    takes_many: bool,
    host: Arc<LayerHost>,
    client: Arc<dyn RedisClient>,
    inbound: Inbound,
}

impl Puller {
    async fn run(mut self) -> LinkFailure {
        let mut turn = 0;
        loop {
            if let Err(failure) = self.pull(turn).await {
                return failure;
            }
            turn += 1;
        }
    }

    /// Waits for a message and takes what waits behind it.
    async fn pull(&mut self, turn: usize) -> Result<(), LinkFailure> {
        self.wait_for_room().await;
        let layer = &self.inbound.layer;
        let canary = layer.key("canary");
        let mut keys = layer.commands.receivers(&layer.own, turn);
        keys.insert(0, canary.clone());
        let Some((key, messages)) = self.pop(keys).await? else {
            return Ok(());
        };
        for message in &messages {
            if key == canary {
                self.host.see_canary(message);
            } else {
                self.inbound.take(message);
            }
        }
        if self.takes_many || key == canary {
            return Ok(());
        }
        self.wait_for_room().await;
        let drain = Commands::drain(&key, DRAIN);
        for message in wire::members(self.client.send(drain).await?) {
            self.inbound.take(&message);
        }
        Ok(())
    }

    /// The first messages of the first key that has some: one, or many where Redis can do that.
    async fn pop(&self, keys: Vec<Vec<u8>>) -> Result<Option<(Bytes, Vec<Bytes>)>, LinkFailure> {
        if self.takes_many {
            let timeout = POP_TIMEOUT_SECS.to_string();
            let pop = Commands::pop_many(keys, DRAIN, &timeout);
            return Ok(wire::popped_many(self.client.send(pop).await?));
        }
        let popped = wire::popped(self.client.send(Commands::pop(keys)).await?);
        Ok(popped.map(|(key, message)| (key, vec![message])))
    }

    async fn wait_for_room(&self) {
        if !is_full(&self.inbound.broker) {
            return;
        }
        self.host.hold_back(true);
        while is_full(&self.inbound.broker) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.host.hold_back(false);
    }
}

/// Is any worker's mailbox full? Before anything is taken nobody knows whom it is for.
fn is_full(broker: &Broker) -> bool {
    let mailboxes = broker.mailboxes();
    (0..mailboxes.workers()).any(|worker| mailboxes.is_full(worker))
}

/// Starts to listen.
pub(super) async fn pubsub(
    host: &Arc<LayerHost>,
    layer: &Arc<Layer>,
    broker: &Arc<Broker>,
) -> Result<(RedisConnection, OwnedTask<LinkFailure>), LinkFailure> {
    let connection = host.deployment.subscriber().await?;
    let messages = connection.client.messages();
    let canary = String::from_utf8_lossy(&layer.key("canary")).into_owned();
    let subscriber = GroupSubscriber {
        host: Arc::clone(host),
        canary: canary.clone(),
        budget: WaitBudget::new(layer.clock),
        inbound: Inbound::new(Arc::clone(layer), Arc::clone(broker)),
    };
    let task = OwnedTask(tokio::spawn(subscriber.run(messages)));
    connection.client.subscribe(vec![canary]).await?;
    Ok((connection, task))
}

struct GroupSubscriber {
    host: Arc<LayerHost>,
    inbound: Inbound,
    canary: String,
    budget: WaitBudget,
}

impl GroupSubscriber {
    async fn run(mut self, mut messages: Box<dyn Messages>) -> LinkFailure {
        loop {
            match messages.next().await {
                SubscriptionEvent::Message { channel, bytes } => {
                    self.take(&channel, &bytes).await;
                }
                SubscriptionEvent::Lagged(lost) => {
                    let dropped = &self.inbound.layer.metrics.channels_dropped;
                    count_all(dropped, "cause", "lagged", lost);
                }
                SubscriptionEvent::Ended => return LinkFailure::Ended,
            }
        }
    }

    async fn take(&mut self, channel: &str, bytes: &[u8]) {
        if channel == self.canary {
            return self.host.see_canary(bytes);
        }
        let Some(group) = self.inbound.layer.commands.keys().group_of(channel) else {
            return;
        };
        if !self.budget.wait(|| is_full(&self.inbound.broker)).await {
            return count(
                &self.inbound.layer.metrics.channels_dropped,
                "cause",
                "mailbox",
            );
        }
        self.inbound.hear(group, bytes);
    }
}
