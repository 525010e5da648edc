//! Keeps the subscriptions over one Redis as the rooms are, as long as a session lasts.
//!
//! Several chunks are on their way at a time. Rooms whose members wait for their welcome come before those that are
//! subscribed again after an outage: a welcome waits for what is on its way, not for all rooms of the node.

use super::link::RedisLink;
use super::mode::Mode;
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::name::RoomName;
use crate::redis::client::{HandedOver, RedisClient, hand_over};
use crate::redis::failure::{CommandError, LinkFailure};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

/// Rooms in one SUBSCRIBE: what Redis works off in well under a millisecond.
const CHUNK: usize = 1_000;

/// Rooms in one go on a cluster, where each is a command of its own.
const CLUSTER_CHUNK: usize = 100;

/// Chunks that Redis has not confirmed: one on its way there, one at work, one on its way back, and one to come.
const WINDOW: usize = 4;

/// How often lingering rooms and waiting members are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Rooms that Redis is asked for.
struct AskedRooms {
    /// None: it is the link's own channels that are asked for.
    names: Option<Vec<RoomName>>,
    answer: HandedOver<()>,
    /// Some of them were known before the session.
    are_known: bool,
}

/// Subscribes and unsubscribes until something breaks.
pub(super) async fn follow(
    (link, mode): (&RedisLink, &Mode),
    broker: &Broker,
    client: &dyn RedisClient,
) -> LinkFailure {
    let mut asked = VecDeque::new();
    loop {
        if let Err(failure) = follow_once((link, mode), broker, client, &mut asked).await {
            return failure;
        }
    }
}

async fn follow_once(
    (link, mode): (&RedisLink, &Mode),
    broker: &Broker,
    client: &dyn RedisClient,
    asked: &mut VecDeque<AskedRooms>,
) -> Result<(), LinkFailure> {
    let due = link.rooms.due(link.clock.now());
    for name in &due.overdue {
        link.metrics.bridge_unconfirmed.inc();
        broker.confirm(name, Way::Nodes);
    }
    for names in due.idle.chunks(CHUNK) {
        client.unsubscribe(channels(mode, names)).await?;
    }
    let chunk = if link.deployment.is_cluster {
        CLUSTER_CHUNK
    } else {
        CHUNK
    };
    if link.take_lost_own() {
        let answer = hand_over(client.subscribe(link.own_channels())).await;
        asked.push_back(AskedRooms {
            names: None,
            answer,
            are_known: false,
        });
    }
    while asked.len() < WINDOW {
        let are_known = link.rooms.is_behind();
        let names = link.rooms.take_wanted(chunk);
        if names.is_empty() {
            break;
        }
        let answer = hand_over(client.subscribe(channels(mode, &names))).await;
        asked.push_back(AskedRooms {
            names: Some(names),
            answer,
            are_known,
        });
    }
    // Rooms that are entered meanwhile are no part of it: there may be some on their way at any time.
    if !link.rooms.is_behind() && !asked.iter().any(|rooms| rooms.are_known) {
        mode.caught_up(link);
    }
    let has_room = asked.len() < WINDOW;
    tokio::select! {
        biased;
        confirmed = oldest(asked) => match confirmed? {
            Some(names) => mode.subscribed(link, broker, &names),
            None => mode.own_subscribed(link),
        },
        // A permit of `changed` is kept if it comes in between.
        () = link.rooms.changed.notified(), if has_room => {}
        () = tokio::time::sleep(TICK) => {}
    }
    Ok(())
}

fn channels(mode: &Mode, names: &[RoomName]) -> Vec<String> {
    names.iter().map(|name| mode.channel(name)).collect()
}

/// The rooms asked for first, once Redis has confirmed them; never, if there are none.
///
/// # Cancel safety
/// What was answered is kept; may be called again.
async fn oldest(asked: &mut VecDeque<AskedRooms>) -> Result<Option<Vec<RoomName>>, CommandError> {
    poll_fn(|context| poll_oldest(asked, context)).await
}

fn poll_oldest(
    asked: &mut VecDeque<AskedRooms>,
    context: &mut Context<'_>,
) -> Poll<Result<Option<Vec<RoomName>>, CommandError>> {
    // All of them: behind a subscription each asks for the proof of it.
    for rooms in asked.iter_mut() {
        if let HandedOver::Waiting(answer) = &mut rooms.answer
            && let Poll::Ready(answered) = answer.as_mut().poll(context)
        {
            rooms.answer = HandedOver::Answered(answered);
        }
    }
    let is_answered = |rooms: &mut AskedRooms| matches!(rooms.answer, HandedOver::Answered(_));
    match asked.pop_front_if(is_answered) {
        Some(AskedRooms {
            names,
            answer: HandedOver::Answered(answered),
            ..
        }) => Poll::Ready(answered.map(|()| names)),
        _ => Poll::Pending,
    }
}
