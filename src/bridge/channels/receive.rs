//! Listening: layer `core` pulls from its receivers' keys, layer `pubsub` is told by subscription.
//!
//! What is pulled waits in Redis until this node has room for it: while a worker's mailbox is full,
//! nothing is taken, and the site's senders see `capacity` as they do with a Python process that is
//! slow. What comes by subscription has no such place to wait: it is dropped and counted once a
//! mailbox stays full.

use super::host::Host;
use super::inbound::Inbound;
use super::layer::Layer;
use super::scripts::{Commands, POP_TIMEOUT_SECS};
use super::session::Task;
use super::wire;
use crate::bridge::deployment::{Connection, Failure};
use crate::bridge::patience::{LOOK_EVERY, Patience};
use crate::broker::Broker;
use crate::metrics::count;
use fred::clients::Client;
use fred::interfaces::EventInterface;
use fred::types::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Messages taken from one receiver before the next one has its turn, beside the one that ended the
/// wait.
const DRAIN: usize = 128;

/// Starts to pull.
pub(super) async fn core(
    host: &Arc<Host>,
    layer: &Arc<Layer>,
    broker: &Arc<Broker>,
) -> Result<(Connection, Task), Failure> {
    let patience = Duration::from_secs(POP_TIMEOUT_SECS);
    let connection = host.deployment.receiver(patience).await?;
    let puller = Puller {
        host: Arc::clone(host),
        layer: Arc::clone(layer),
        broker: Arc::clone(broker),
        client: connection.client.clone(),
    };
    let task = Task(tokio::spawn(puller.run()));
    Ok((connection, task))
}

struct Puller {
    host: Arc<Host>,
    layer: Arc<Layer>,
    broker: Arc<Broker>,
    client: Client,
}

impl Puller {
    async fn run(self) -> Failure {
        let mut inbound = Inbound::new(Arc::clone(&self.layer), Arc::clone(&self.broker));
        let mut turn = 0;
        loop {
            if let Err(failure) = self.pull(&mut inbound, turn).await {
                return failure;
            }
            turn += 1;
        }
    }

    /// Waits for a message and takes what waits behind it. Redis looks at the keys in their order, so
    /// each time another one is the first: a busy room cannot keep the others out.
    async fn pull(&self, inbound: &mut Inbound, turn: usize) -> Result<(), Failure> {
        self.wait_for_room().await;
        let mut pop = self.layer.commands.pop(&self.layer.own);
        let receivers = pop.arguments.len().saturating_sub(1);
        if let Some(keys) = pop.arguments.get_mut(..receivers) {
            keys.rotate_left(turn % receivers.max(1));
        }
        let canary = self.layer.key("canary");
        pop.arguments.insert(0, canary.clone());
        let Some((key, message)) = wire::popped(wire::run(&self.client, pop).await?) else {
            return Ok(());
        };
        if key == canary {
            self.host.see_canary(&message);
            return Ok(());
        }
        inbound.take(&message);
        self.wait_for_room().await;
        let drain = Commands::drain(&key, DRAIN);
        for message in wire::members(wire::run(&self.client, drain).await?) {
            inbound.take(&message);
        }
        Ok(())
    }

    async fn wait_for_room(&self) {
        if !is_full(&self.broker) {
            return;
        }
        self.host.hold_back(true);
        while is_full(&self.broker) {
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
    host: &Arc<Host>,
    layer: &Arc<Layer>,
    broker: &Arc<Broker>,
) -> Result<(Connection, Task), Failure> {
    let connection = host.deployment.subscriber().await?;
    let messages: Receiver<Message> = connection.client.message_rx();
    let canary = String::from_utf8_lossy(&layer.key("canary")).into_owned();
    let listener = Listener {
        host: Arc::clone(host),
        layer: Arc::clone(layer),
        broker: Arc::clone(broker),
        canary: canary.clone(),
        patience: Patience::new(layer.clock),
    };
    let task = Task(tokio::spawn(listener.run(messages)));
    host.deployment
        .subscribe(&connection.client, vec![canary])
        .await?;
    Ok((connection, task))
}

struct Listener {
    host: Arc<Host>,
    layer: Arc<Layer>,
    broker: Arc<Broker>,
    canary: String,
    patience: Patience,
}

impl Listener {
    async fn run(mut self, mut messages: Receiver<Message>) -> Failure {
        let mut inbound = Inbound::new(Arc::clone(&self.layer), Arc::clone(&self.broker));
        loop {
            match messages.recv().await {
                Ok(message) => self.take(&mut inbound, &message).await,
                Err(RecvError::Lagged(lost)) => {
                    let label = [("cause", "lagged")];
                    let series = self.layer.metrics.channels_dropped.get_or_create(&label);
                    series.inc_by(lost);
                }
                Err(RecvError::Closed) => return Failure::Ended,
            }
        }
    }

    async fn take(&mut self, inbound: &mut Inbound, message: &Message) {
        let channel: &str = &message.channel;
        let Some(bytes) = message.value.as_bytes() else {
            return;
        };
        if channel == self.canary {
            return self.host.see_canary(bytes);
        }
        let Some(group) = self.layer.commands.keys().group_of(channel) else {
            return;
        };
        if !self.patience.wait(|| is_full(&self.broker)).await {
            return count(&self.layer.metrics.channels_dropped, "cause", "mailbox");
        }
        inbound.hear(group, bytes);
    }
}
