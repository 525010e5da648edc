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

/// Sends canaries until one does not come back.
pub(super) async fn watch(
    (link, mode): (&RedisLink, &Mode),
    client: &dyn RedisClient,
) -> LinkFailure {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(failure) = watch_once((link, mode), client).await {
            return failure;
        }
    }
}

async fn watch_once(
    (link, mode): (&RedisLink, &Mode),
    client: &dyn RedisClient,
) -> Result<(), LinkFailure> {
    let changes = link.own_changes();
    prove((link, mode), client, || link.own_changes() != changes).await?;
    let card = link.company.card(link.place).write();
    client
        .publish(link.nodes_channel.clone(), card.into_bytes().into())
        .await?;
    tell_agreement(link);
    if link.deployment.is_cluster {
        // A replica takes no commands there, and each server is asked for its subscriptions.
        return Ok(());
    }
    // Demoted behind our back, it would still bring every canary back.
    check_role(client).await
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
    prove((link, mode), client, || false).await
}

/// As [`send`]; that one does not come back is no fault if its slot `has_moved` meanwhile, or is about to.
async fn prove(
    (link, mode): (&RedisLink, &Mode),
    client: &dyn RedisClient,
    has_moved: impl Fn() -> bool,
) -> Result<(), LinkFailure> {
    let send = |number| mode.send_canary(link, client, number);
    let sent = link.clock.now();
    let proves_nothing = || has_moved() || link.is_canary_under_way();
    match link.health.prove(link.timeout, send, &proves_nothing).await {
        Err(LinkFailure::Redis(error)) if error.is_about_slot() => return Ok(()),
        proven => proven?,
    }
    if !proves_nothing() {
        mode.proven(link, link.clock.now().since(sent));
    }
    Ok(())
}
