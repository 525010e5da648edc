//! Listening: layer `core` pulls from its receivers' keys (`pull`), layer `pubsub` is told by subscription.
//!
//! What comes by subscription has no place to wait as what is pulled has: it is dropped and counted once a
//! mailbox stays full.

use super::host::LayerHost;
use super::inbound::Inbound;
use super::layer::Layer;
use crate::broker::Broker;
use crate::metrics::{count, count_all};
use crate::redis::client::{Messages, RedisConnection, SubscriptionEvent};
use crate::redis::failure::LinkFailure;
use crate::redis::supervise::OwnedTask;
use crate::redis::wait_budget::{LOOK_EVERY, WaitBudget};
use std::sync::Arc;

/// Is any worker's mailbox full? Before anything is taken nobody knows whom it is for.
pub(super) fn is_full(broker: &Broker) -> bool {
    let mailboxes = broker.mailboxes();
    (0..mailboxes.workers()).any(|worker| mailboxes.is_full(worker))
}

/// Waits until none is.
pub(super) async fn wait_for_room(broker: &Broker) {
    while is_full(broker) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
                // Of a Cluster, which Channels do not know.
                SubscriptionEvent::Unsubscribed(_) | SubscriptionEvent::Ended => {
                    return LinkFailure::Ended;
                }
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
