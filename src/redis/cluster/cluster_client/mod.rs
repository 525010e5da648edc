//! The port of Redis over a Cluster: each command goes to the server that has its slot, and follows the slot.
//!
//! | A server says | |
//! |---|---|
//! | MOVED | the slot is there from now on, for all connections of this node |
//! | ASK | this command is taken there, behind ASKING; others of the slot are not |
//! | TRYAGAIN, CLUSTERDOWN | tried again after a pause |
//! | nothing: its connection broke | all slots are asked for, and the command is sent once more |
//!
//! Within `bridge.command_timeout` in all, and no more than [`SENT_ON_MAX`] times. What is sent once more may be there
//! twice: messages between nodes are numbered. Commands of a slot stay in order, see [`turns`](super::turns).

#[cfg(test)]
mod tests;

use super::redirect::SlotRedirect;
use super::servers::{ReadyServer, Servers, gone};
use super::slots::slot_of;
use super::topology::SentOn;
use super::turns::{SlotTurn, Turns};
use crate::config::redis::Endpoint;
use crate::redis::client::{
    Answer, HandedOver, Messages, RedisClient, RedisCommand, SubscriptionEvent, hand_over,
};
use crate::redis::failure::{CommandError, ErrorKind};
use crate::redis::supervise::OwnedTask;
use crate::redis::value::RedisValue;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often one command is sent on, at most.
const SENT_ON_MAX: usize = 64;

/// Of these, those that follow a server's word at once.
const AT_ONCE: usize = 4;

/// Before a command is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// As [`PAUSE`], after a connection broke: those of the other nodes did, too, and they are to hear it.
const BROKEN: Duration = Duration::from_millis(200);

/// Sends one command to a server.
type SendOne = Box<dyn Fn(&dyn RedisClient) -> Answer + Send + Sync>;

/// A client of a whole Cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterClient {
    pub(super) servers: Arc<Servers>,
    turns: Turns,
}

/// What was answered, and by whom.
type AnsweredBy = Result<(RedisValue, Endpoint), CommandError>;

impl ClusterClient {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        Self {
            servers,
            turns: Turns::default(),
        }
    }

    /// Takes a command to whoever has its slot, in a task of its own once it is handed over: it follows its slot while
    /// nobody looks at its answer. Whoever waits for many looks at one after the other, and the time of the last would
    /// be over before it is sent on.
    async fn carried(self, slot: Option<u16>, send: SendOne) -> AnsweredBy {
        let runtime = self.servers.runtime.clone();
        match hand_over(Box::pin(self.carry(slot, send))).await {
            HandedOver::Answered(answered) => answered,
            HandedOver::Waiting(carrying) => {
                let mut carrying = OwnedTask(runtime.spawn(carrying));
                let carried = (&mut carrying.0).await;
                carried.unwrap_or_else(|_panic| Err(gone("the session is over")))
            }
        }
    }

    /// Takes a command to whoever has its slot; without a slot, to any server.
    async fn carry(self, slot: Option<u16>, send: SendOne) -> AnsweredBy {
        // Before anything is waited for: whoever hands commands over in order has them carried in order.
        let mut turn = slot.map(|slot| self.turns.take(slot));
        let mut last = None;
        let carried = self.follow(slot, turn.as_mut(), &send, &mut last);
        let timeout = self.servers.topology.timeout;
        if let Ok(answered) = tokio::time::timeout(timeout, carried).await {
            return answered;
        }
        let timed_out = || CommandError::new(ErrorKind::Timeout, "Timeout Error", "no answer");
        Err(last.unwrap_or_else(timed_out))
    }

    async fn follow(
        &self,
        slot: Option<u16>,
        mut turn: Option<&mut SlotTurn>,
        send: &SendOne,
        last: &mut Option<CommandError>,
    ) -> AnsweredBy {
        let topology = &self.servers.topology;
        if let Some(turn) = &mut turn {
            turn.ready().await;
        }
        let mut asked = None;
        for hops in 0..SENT_ON_MAX {
            let is_asking = asked.is_some();
            let owner = || slot.map_or_else(|| topology.any(), |slot| topology.owner(slot));
            let Some(server) = asked.take().or_else(owner).or_else(|| topology.any()) else {
                return Err(gone("no server is known"));
            };
            let ready = self.ready(&server, turn.as_deref_mut()).await;
            if let (Ok(ready), Some(turn)) = (&ready, turn.as_deref_mut())
                && !turn.may_take(ready.number)
            {
                turn.send_on().await;
                asked = is_asking.then_some(server);
                continue;
            }
            let sent = match ready {
                Ok(ready) => {
                    self.send_once((&server, ready), (slot, is_asking), send)
                        .await
                }
                Err(error) => Err(error),
            };
            let error = match sent {
                Ok(answer) => return Ok((answer, server)),
                Err(error) => error,
            };
            let (how, is_to_refresh) = match SlotRedirect::read(error.details(), &server) {
                Some(SlotRedirect::Moved(moved, to)) => {
                    topology.moved(moved, &to, &server);
                    (SentOn::Moved, false)
                }
                Some(SlotRedirect::Ask(to)) => {
                    asked = Some(to);
                    (SentOn::Asked, false)
                }
                Some(SlotRedirect::TryAgain) => (SentOn::Again, false),
                Some(SlotRedirect::Unserved) => (SentOn::Again, true),
                None if error.is_broken() => (SentOn::Again, true),
                None => return Err(error),
            };
            topology.count(how, slot, &server);
            if let Some(slot) = slot.filter(|_| error.is_about_slot()) {
                topology.open(slot);
            }
            let pause = if error.is_broken() { BROKEN } else { PAUSE };
            *last = Some(error);
            if let Some(turn) = &mut turn {
                turn.send_on().await;
            }
            // Two servers may name each other until they have heard of a move.
            if how == SentOn::Again || hops >= AT_ONCE {
                tokio::time::sleep(pause).await;
            }
            if is_to_refresh {
                // Who is not there now may be there next time.
                drop(topology.refresh(None).await);
            }
        }
        Err(last.take().unwrap_or_else(|| gone("sent on too often")))
    }

    /// The server, connected.
    async fn ready(
        &self,
        server: &Endpoint,
        turn: Option<&mut SlotTurn>,
    ) -> Result<ReadyServer, CommandError> {
        if let Some(ready) = self.servers.ready(server) {
            return Ok(ready);
        }
        // Whoever comes behind must not be connected before.
        if let Some(turn) = turn {
            turn.send_on().await;
        }
        self.servers.connect(server).await
    }

    async fn send_once(
        &self,
        (server, mut ready): (&Endpoint, ReadyServer),
        (slot, is_asking): (Option<u16>, bool),
        send: &SendOne,
    ) -> Result<RedisValue, CommandError> {
        let (client, number) = (Arc::clone(&ready.client), ready.number);
        let answering = async {
            if !is_asking {
                return send(&*client).await;
            }
            let asking = hand_over(client.send(RedisCommand::new("ASKING", []))).await;
            let sent = hand_over(send(&*client)).await;
            match asking.answered().await {
                Ok(_) => sent.answered().await,
                Err(error) => Err(error),
            }
        };
        // In this order: what was answered is not sent once more.
        let answered = tokio::select! {
            biased;
            answered = answering => answered,
            () = ready.ended() => Err(gone("the connection ended")),
        };
        let is_of_use = |error: &CommandError| match SlotRedirect::read(error.details(), server) {
            // Of another slot: the answer to another command.
            Some(SlotRedirect::Moved(moved, _)) => slot.is_none_or(|slot| slot == moved),
            _ => !error.is_broken(),
        };
        if let Err(error) = &answered
            && !is_of_use(error)
        {
            self.servers.let_go(server, number);
        }
        answered
    }

    /// Sends one command that has a slot, or none.
    fn begin(
        &self,
        slot: Option<u16>,
        send: impl Fn(&dyn RedisClient) -> Answer + Send + Sync + 'static,
    ) -> Answer {
        let own = self.clone();
        Box::pin(async move {
            let (answer, _server) = own.carried(slot, Box::new(send)).await?;
            Ok(answer)
        })
    }

    fn subscribe_one(&self, channel: String) -> Answer<()> {
        let own = self.clone();
        Box::pin(async move {
            let inbox = own.servers.inbox.as_ref();
            let _asking = inbox.map(|inbox| Arc::clone(&inbox.asking));
            let slot = Some(slot_of(channel.as_bytes()));
            let wanted = channel.clone();
            let send = move |client: &dyn RedisClient| subscribe_at(client, &wanted);
            let (_count, server) = own.clone().carried(slot, Box::new(send)).await?;
            if let Some(inbox) = &own.servers.inbox {
                inbox.held.lock().add(&server, &channel);
            }
            Ok(())
        })
    }

    async fn load_at_all(self, function: &'static str) -> Result<String, CommandError> {
        let topology = &self.servers.topology;
        topology.add_function(function);
        let mut loaded = Err(gone("no server is known"));
        for server in topology.servers() {
            let ready = match self.servers.ready(&server) {
                Some(ready) => Ok(ready),
                None => self.servers.connect(&server).await,
            };
            let answered = match ready {
                Ok(ready) => ready.client.load(function).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(name) => loaded = Ok(name),
                // One that comes back is told as it is connected.
                Err(error) if error.is_broken() && loaded.is_ok() => {}
                Err(error) if error.is_broken() => loaded = Err(error),
                Err(error) => return Err(error),
            }
        }
        loaded
    }
}

/// Subscribes one channel at one server; how many that has of this connection then.
pub(super) fn subscribe_at(client: &dyn RedisClient, channel: &str) -> Answer {
    let sent = client.send(RedisCommand::new("SSUBSCRIBE", [channel.as_bytes()]));
    let channel = channel.to_owned();
    Box::pin(async move {
        let mut parts = sent.await?.into_array().into_iter().skip(1);
        let named = parts.next().and_then(RedisValue::into_bytes);
        match parts.next() {
            Some(count) if named.is_some_and(|named| named == channel) => Ok(count),
            // The connection is of no use: whose answers these are nobody knows.
            _ => Err(gone("the answer to another command")),
        }
    })
}

impl RedisClient for ClusterClient {
    fn send(&self, command: RedisCommand) -> Answer {
        let first = command.arguments.first();
        let slot = first.map(|first| slot_of(first));
        self.begin(slot, move |client| client.send(command.clone()))
    }

    fn ping(&self) -> Answer {
        self.begin(None, |client| client.ping())
    }

    fn publish(&self, channel: String, bytes: Bytes) -> Answer {
        let slot = Some(slot_of(channel.as_bytes()));
        self.begin(slot, move |client| {
            client.publish(channel.clone(), bytes.clone())
        })
    }

    fn load(&self, function: &'static str) -> Answer<String> {
        let own = self.clone();
        Box::pin(own.load_at_all(function))
    }

    fn evaluate(&self, function: String, keys: Vec<String>, arguments: Vec<Bytes>) -> Answer {
        let slot = keys.first().map(|key| slot_of(key.as_bytes()));
        self.begin(slot, move |client| {
            client.evaluate(function.clone(), keys.clone(), arguments.clone())
        })
    }

    fn subscribe(&self, channels: Vec<String>) -> Answer<()> {
        let own = self.clone();
        Box::pin(async move {
            // Each a command of its own, since the channels of one must share a slot. All are handed over together,
            // and leave in a few writes for each server.
            let mut asked = Vec::with_capacity(channels.len());
            for channel in channels {
                asked.push(hand_over(own.subscribe_one(channel)).await);
            }
            for answer in asked {
                answer.answered().await?;
            }
            Ok(())
        })
    }

    fn unsubscribe(&self, channels: Vec<String>) -> Answer<()> {
        let own = self.clone();
        Box::pin(async move {
            let Some(inbox) = &own.servers.inbox else {
                return Ok(());
            };
            for channel in channels {
                let servers = inbox.held.lock().remove(&channel);
                for server in servers {
                    if let Some(ready) = own.servers.ready(&server) {
                        let left = ready.client.unsubscribe(vec![channel.clone()]).await;
                        if left.is_err() {
                            own.servers.let_go(&server, ready.number);
                        }
                    }
                }
            }
            Ok(())
        })
    }

    fn messages(&self) -> Box<dyn Messages> {
        let inbox = self.servers.inbox.as_ref();
        Box::new(ClusterMessages(
            inbox.and_then(|inbox| inbox.taken.lock().take()),
        ))
    }
}

/// What comes from all servers; for whoever asks first.
struct ClusterMessages(Option<mpsc::Receiver<SubscriptionEvent>>);

impl Messages for ClusterMessages {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = SubscriptionEvent> + Send + '_>> {
        Box::pin(async {
            let event = match &mut self.0 {
                Some(events) => events.recv().await,
                None => None,
            };
            event.unwrap_or(SubscriptionEvent::Ended)
        })
    }
}
