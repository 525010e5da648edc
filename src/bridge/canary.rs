//! The proof that messages arrive: a canary goes out every second and must come back through the
//! subscription in time. A connection that merely stands proves nothing. With it goes the node's card,
//! see [`roll`](super::roll).

use super::link::RedisLink;
use super::mode::Mode;
use crate::redis::client::{RedisClient, check_role};
use crate::redis::failure::LinkFailure;
use std::time::Duration;

/// Time between two canaries: with `bridge.command_timeout` it bounds how late a silent Redis is
/// noticed.
const EVERY: Duration = Duration::from_secs(1);

/// Sends canaries until one does not come back, or the slots are no longer as they were before the
/// first subscription.
pub(super) async fn watch(
    (link, mode): (&RedisLink, &Mode),
    client: &dyn RedisClient,
    slots: &[String],
) -> LinkFailure {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(failure) = watch_once((link, mode), client, slots).await {
            return failure;
        }
    }
}

async fn watch_once(
    (link, mode): (&RedisLink, &Mode),
    client: &dyn RedisClient,
    slots: &[String],
) -> Result<(), LinkFailure> {
    send(link, mode, client).await?;
    let card = link.company.card(link.place).write();
    client
        .publish(link.nodes_channel.clone(), card.into_bytes().into())
        .await?;
    tell_agreement(link);
    if !link.deployment.is_cluster {
        // Demoted behind our back, it would still bring every canary back.
        return check_role(client).await;
    }
    // One canary proves one slot; the others are as they were when they were subscribed.
    if client.slots().await? != slots {
        return Err(LinkFailure::Moved);
    }
    Ok(())
}

/// Tells the log that nodes with other settings are heard, and that there are none any more; `/health` and a gauge say who and
/// how many meanwhile.
fn tell_agreement(link: &RedisLink) {
    let Some((nodes, told)) = link.company.news(link.clock.now()) else {
        return;
    };
    match told.first() {
        Some(first) => tracing::warn!(nodes, first, "nodes have other settings than this one"),
        None => tracing::info!("all nodes have the same settings again"),
    }
}

/// Sends one and waits for it.
pub(super) async fn send(
    link: &RedisLink,
    mode: &Mode,
    client: &dyn RedisClient,
) -> Result<(), LinkFailure> {
    let send = |number| mode.send_canary(link, client, number);
    let sent = link.clock.now();
    link.health.prove(link.timeout, send, || false).await?;
    mode.proven(link, link.clock.now().since(sent));
    Ok(())
}
