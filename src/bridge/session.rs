//! One session over one Redis, from connecting to the first thing that breaks.
//!
//! Two connections (in mode `streams` a third, for gaps): commands on one, subscriptions on the other, so that a flood of arrivals (or
//! Redis cutting a slow subscriber off) does not stand in the way of what leaves. Either one's end
//! ends the session.
//!
//! A subscription is there once Redis has said so, see `redis`.
//! Only then are members welcomed, and the room's other nodes asked for their marks.

use super::arrivals::Arrivals;
use super::canary;
use super::link::RedisLink;
use super::mode::Mode;
use super::outbox::{OutboxBatch, Sending};
use super::streams::reads::Reads;
use super::streams::{RoomAppends, SentCommand};
use super::subscribing::follow;
use super::wall::wall_millis;
use crate::broker::Broker;
use crate::clock::Millis;
use crate::metrics::count_all;
use crate::redis::NodeEnd;
use crate::redis::client::{HandedOver, RedisClient, RedisConnection, check_role, hand_over};
use crate::redis::failure::{CommandError, LinkFailure};
use crate::redis::mismatch::is_of_cluster;
use crate::redis::supervise::OwnedTask;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Batches on the wire before the first is answered: one on its way there, one at work, one on its
/// way back.
const WINDOW: usize = 3;

/// A session that has proven itself with a canary.
pub(super) struct LinkSession {
    commands: RedisConnection,
    subscriptions: RedisConnection,
    arrivals: OwnedTask<LinkFailure>,
    /// What each master of a Cluster said of the slots before anything was subscribed.
    slots: Vec<String>,
    /// In mode `streams`.
    reads: Option<Reads>,
}

impl LinkSession {
    /// Connects twice, subscribes to the canary, and waits for the first one to come back.
    pub(super) async fn open(
        link: &Arc<RedisLink>,
        mode: &Arc<Mode>,
        broker: &Arc<Broker>,
    ) -> Result<Self, LinkFailure> {
        let commands = link.deployment.commander().await?;
        // Refused while Redis loads its data set.
        commands.client.ping().await?;
        check_role(&*commands.client).await?;
        if !link.deployment.is_cluster && is_of_cluster(&*commands.client).await? {
            mode.meet_cluster(link)?;
        }
        let reads = mode.open(link, &*commands.client).await?;
        let subscriptions = link.deployment.subscriber().await?;
        let slots = subscriptions.client.slots().await?;
        let messages = subscriptions.client.messages();
        let arrivals = Arrivals::new(Arc::clone(link), Arc::clone(mode), Arc::clone(broker));
        let arrivals = OwnedTask(tokio::spawn(arrivals.run(messages)));
        let channels = vec![link.canary_channel.clone(), link.nodes_channel.clone()];
        subscriptions.client.subscribe(channels).await?;
        canary::send(link, mode, &*commands.client).await?;
        Ok(Self {
            commands,
            subscriptions,
            arrivals,
            slots,
            reads,
        })
    }

    /// Where commands go.
    pub(super) fn client(&self) -> Arc<dyn RedisClient> {
        Arc::clone(&self.commands.client)
    }

    /// Carries publications both ways until something breaks. After an outage the other nodes have
    /// `settle` to subscribe again before the first one leaves.
    pub(super) async fn run(
        &mut self,
        (link, mode): (&Arc<RedisLink>, &Mode),
        broker: &Arc<Broker>,
        sending: &mut Sending,
        settle: Duration,
    ) -> LinkFailure {
        let (commands, subscriptions) = (
            Arc::clone(&self.commands.client),
            Arc::clone(&self.subscriptions.client),
        );
        tokio::select! {
            biased;
            failure = self.commands.ended() => failure,
            failure = self.subscriptions.ended() => failure,
            ended = &mut self.arrivals.0 => ended.unwrap_or_else(|_panic| {
                link.metrics.panics.inc();
                LinkFailure::Ended
            }),
            failure = send((link, mode), &*commands, sending, settle) => failure,
            failure = follow((link, mode), broker, &*subscriptions) => failure,
            failure = mode.tell(link, broker, &*commands) => failure,
            failure = canary::watch((link, mode), &*commands, &self.slots) => failure,
            failure = mode.recover(link, broker, self.reads.as_mut()) => failure,
        }
    }

    /// Sends what is left, for a node that goes down.
    pub(super) async fn flush(
        &self,
        (link, mode): (&RedisLink, &Mode),
        sending: &mut Sending,
        ending: &NodeEnd,
    ) {
        sending.begin();
        let flushed = async {
            loop {
                sending.collect();
                if !sending.has_unsent() {
                    return mode.tell_last(link, &*self.commands.client).await;
                }
                let mut flight =
                    Flight::launch((link, mode), &*self.commands.client, batch(link, sending))
                        .await;
                if flight.landed((link, mode)).await.is_err() {
                    return;
                }
                land((link, mode), sending, &flight);
            }
        };
        // Whatever is not out by then is lost with the node.
        let time = ending.deadline.left(link.clock, link.timeout * 2);
        drop(tokio::time::timeout(time, flushed).await);
    }
}

/// One batch on the wire.
struct Flight {
    commands: VecDeque<(HandedOver, RoomAppends)>,
    entries: usize,
    messages: u64,
    launched: Millis,
}

impl Flight {
    /// Hands the batch's commands to the client, in order. Polling a command once is what hands it
    /// over; the answers are waited for later.
    async fn launch(
        (link, mode): (&RedisLink, &Mode),
        client: &dyn RedisClient,
        batch: OutboxBatch,
    ) -> Self {
        let launched = link.clock.now();
        let sent = mode.publish(link, client, batch.parcels);
        let mut commands = VecDeque::with_capacity(sent.len());
        for SentCommand { answer, rooms } in sent {
            commands.push_back((hand_over(answer).await, rooms));
        }
        Self {
            commands,
            entries: batch.entries,
            messages: batch.messages,
            launched,
        }
    }

    /// Done when Redis has answered every command.
    ///
    /// # Cancel safety
    /// What was answered is kept; may be called again.
    async fn landed(&mut self, way: (&RedisLink, &Mode)) -> Result<(), CommandError> {
        poll_fn(|context| self.poll_landed(way, context)).await
    }

    fn poll_landed(
        &mut self,
        (link, mode): (&RedisLink, &Mode),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CommandError>> {
        while let Some((command, _)) = self.commands.front_mut() {
            if let HandedOver::Waiting(answer) = command {
                let answered = std::task::ready!(answer.as_mut().poll(context));
                *command = HandedOver::Answered(answered);
            }
            if let Some((HandedOver::Answered(answered), rooms)) = self.commands.pop_front() {
                mode.settle(link, &rooms, answered)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Publishes what the data plane puts into the outbox.
async fn send(
    (link, mode): (&RedisLink, &Mode),
    client: &dyn RedisClient,
    sending: &mut Sending,
    settle: Duration,
) -> LinkFailure {
    sending.begin();
    mode.before_sending(link, sending, settle).await;
    let mut flights: VecDeque<Flight> = VecDeque::new();
    loop {
        sending.collect();
        while flights.len() < WINDOW && sending.has_unsent() {
            let batch = batch(link, sending);
            flights.push_back(Flight::launch((link, mode), client, batch).await);
        }
        mode.waits_since(flights.front().map(|flight| flight.launched));
        let has_room = flights.len() < WINDOW;
        // In this order: what is filled is collected whatever else happens.
        tokio::select! {
            biased;
            landed = front((link, mode), &mut flights) => match landed {
                Err(error) => return error.into(),
                Ok(()) => if let Some(flight) = flights.pop_front() {
                    land((link, mode), sending, &flight);
                },
            },
            () = link.outbox.filled.notified(), if has_room => {}
        }
    }
}

/// Done when the first flight has landed; never, if there is none.
async fn front(
    way: (&RedisLink, &Mode),
    flights: &mut VecDeque<Flight>,
) -> Result<(), CommandError> {
    match flights.front_mut() {
        Some(flight) => flight.landed(way).await,
        None => std::future::pending().await,
    }
}

fn batch(link: &RedisLink, sending: &mut Sending) -> OutboxBatch {
    let (now, wall) = (link.clock.now(), wall_millis(link.clock));
    let batch = sending.batch(now, wall);
    tally(link, sending);
    batch
}

fn land((link, mode): (&RedisLink, &Mode), sending: &mut Sending, flight: &Flight) {
    sending.settle(flight.entries);
    let took = link.clock.now().since(flight.launched);
    mode.answered(link, took, sending.unsent());
    link.metrics.bridge_published.inc_by(flight.messages);
}

/// Moves what a sender counted to the metrics.
pub(super) fn tally(link: &RedisLink, sending: &mut Sending) {
    let metrics = &link.metrics;
    metrics
        .bridge_resent
        .inc_by(std::mem::take(&mut sending.resent));
    let expired = std::mem::take(&mut sending.expired);
    count_all(&metrics.bridge_dropped, "cause", "expired", expired);
}
