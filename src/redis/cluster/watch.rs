//! Are the subscriptions still there, at every server of a Cluster?
//!
//! A server unsubscribes the channels of a slot when it learns that it has lost that slot, and the client library says
//! nothing of it. Three things tell: a command that is sent on, the end of a connection, and the server itself: it
//! answers a subscription with the number of channels that it has of this connection. One beside the others is
//! subscribed for that. So a slot that went away and came back is noticed, too. A slot seldom moves alone: a server that
//! sends one command on is asked which slots it has.

use super::cluster_client::{ClusterClient, subscribe_at};
use super::held::Sample;
use super::redirect::SlotRedirect;
use super::servers::ServerInbox;
use crate::config::redis::Endpoint;
use crate::redis::client::{HandedOver, SubscriptionEvent, hand_over};
use crate::redis::value::RedisValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often each server is asked.
const EVERY: Duration = Duration::from_millis(500);

/// Changes of the slots are looked at together for so long: a whole range moves slot by slot.
const GATHER: Duration = Duration::from_millis(10);

/// A server that is found for so long to have more channels than it is held to have is given up: one that it keeps
/// although its slot has moved would stand for another one that it loses.
const EXCESS_LOOKS: u32 = 6;

/// What a server says of its channels.
enum ChannelCount {
    /// This many less than it was asked for.
    Short(Endpoint, usize),
    /// More than it is held to have, over the connection of this number; or not.
    Excess(Endpoint, u64, bool),
}

/// Says which subscriptions are gone, as long as the session lasts.
pub(super) async fn watch(client: ClusterClient) {
    let Some(inbox) = &client.servers.inbox else {
        return std::future::pending().await;
    };
    let mut changes = client.servers.topology.changes.subscribe();
    let mut asked: JoinSet<Option<ChannelCount>> = JoinSet::new();
    let mut excess = HashMap::new();
    let mut next = tokio::time::Instant::now() + EVERY;
    loop {
        let mut gone = Vec::new();
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(GATHER).await;
                changes.mark_unchanged();
            }
            () = inbox.was_lost.notified() => {
                let lost = std::mem::take(&mut *inbox.lost.lock());
                for server in lost {
                    gone.extend(inbox.held.lock().take_all(&server));
                }
                // Who has its slots from now on may be known already.
                drop(client.servers.topology.refresh(None).await);
            }
            () = client.servers.topology.was_doubted.notified() => {
                tokio::time::sleep(GATHER).await;
                client.servers.topology.ask_doubted().await;
            }
            Some(answered) = asked.join_next() => {
                match answered {
                    Ok(Some(ChannelCount::Short(server, missing))) => {
                        gone.extend(look_at(&client, inbox, &server, missing).await);
                    }
                    Ok(Some(ChannelCount::Excess(server, number, is_more))) => {
                        bear(&client, &mut excess, (server, number), is_more);
                    }
                    Ok(None) | Err(_) => {}
                }
            }
            () = tokio::time::sleep_until(next) => {
                next = tokio::time::Instant::now() + EVERY;
                if asked.is_empty() {
                    ask_all(&client, inbox, &mut asked).await;
                }
            }
        }
        let topology = &client.servers.topology;
        let is_owner = |slot, server: &Endpoint| topology.is_owner(slot, server);
        gone.extend(inbox.held.lock().take_moved(is_owner));
        if !gone.is_empty() {
            let said = inbox.events.send(SubscriptionEvent::Unsubscribed(gone));
            if said.await.is_err() {
                return;
            }
        }
    }
}

async fn ask_all(
    client: &ClusterClient,
    inbox: &ServerInbox,
    asked: &mut JoinSet<Option<ChannelCount>>,
) {
    let (samples, removed) = {
        let mut held = inbox.held.lock();
        (held.samples(), held.removed)
    };
    for sample in samples {
        let Some(ready) = client.servers.ready(&sample.server) else {
            continue;
        };
        // At once: what is given up later is not counted in the answer.
        let answer = hand_over(subscribe_at(&*ready.client, &sample.channel)).await;
        let is_exact = inbox.held.lock().removed == removed;
        asked.spawn(answered(
            client.clone(),
            (sample, is_exact),
            ready.number,
            answer,
        ));
    }
}

async fn answered(
    client: ClusterClient,
    (sample, is_exact): (Sample, bool),
    number: u64,
    answer: HandedOver,
) -> Option<ChannelCount> {
    let Sample { server, count, .. } = sample;
    let inbox = client.servers.inbox.as_ref()?;
    let is_quiet = || Arc::strong_count(&inbox.asking) == 1;
    let was_quiet = is_quiet();
    match answer.answered().await {
        Ok(RedisValue::Integer(said)) => {
            let said = usize::try_from(said).unwrap_or(0);
            if said < count {
                return is_exact.then_some(ChannelCount::Short(server, count - said));
            }
            let is_more = said > inbox.held.lock().count(&server).max(count);
            (was_quiet && is_quiet()).then_some(ChannelCount::Excess(server, number, is_more))
        }
        Ok(_) => None,
        Err(error) => {
            match SlotRedirect::read(error.details(), &server) {
                Some(SlotRedirect::Moved(slot, to)) => {
                    client.servers.topology.moved(slot, &to, &server);
                }
                Some(_) => {}
                // Silent, or gone.
                None => client.servers.let_go(&server, number),
            }
            None
        }
    }
}

/// What is gone of a server that has less than it was asked for.
async fn look_at(
    client: &ClusterClient,
    inbox: &ServerInbox,
    server: &Endpoint,
    missing: usize,
) -> Vec<String> {
    let topology = &client.servers.topology;
    // The server itself knows best which slots it has lost.
    drop(topology.refresh(Some(server)).await);
    let is_owner = |slot, at: &Endpoint| at != server || topology.is_owner(slot, at);
    let mut held = inbox.held.lock();
    let mut gone = held.take_moved(is_owner);
    if gone.len() < missing {
        // One went away and came back.
        gone.extend(held.take_channels(server));
    }
    gone
}

/// Bears with a server that has more than it is held to have, for a while.
fn bear(
    client: &ClusterClient,
    excess: &mut HashMap<Endpoint, (u64, u32)>,
    (server, number): (Endpoint, u64),
    is_more: bool,
) {
    let (of, looks) = excess.remove(&server).unwrap_or((number, 0));
    if !is_more {
        return;
    }
    let looks = if of == number { looks + 1 } else { 1 };
    if looks < EXCESS_LOOKS {
        excess.insert(server, (number, looks));
    } else {
        client.servers.let_go(&server, number);
    }
}
