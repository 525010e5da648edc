//! The proof that messages arrive: a canary goes out every second and must come back through the
//! subscription in time. A connection that merely stands proves nothing.

use super::deployment::{Failure, check_role};
use super::link::Link;
use fred::clients::Client;
use fred::interfaces::PubsubInterface;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two canaries: with `bridge.command_timeout` it bounds how late a silent Redis is
/// noticed.
const EVERY: Duration = Duration::from_secs(1);

/// Canaries sent before the way is given up: fred throws arrivals away under a flood, and the canary
/// may be among them.
const TRIES: usize = 2;

/// Sends canaries until one does not come back.
pub(super) async fn watch(link: &Link, client: &Client) -> Failure {
    loop {
        tokio::time::sleep(EVERY).await;
        let checked = async {
            send(link, client).await?;
            // Demoted behind our back, it would still bring every canary back.
            check_role(client).await
        };
        if let Err(failure) = checked.await {
            return failure;
        }
    }
}

/// Sends one and waits for it.
pub(super) async fn send(link: &Link, client: &Client) -> Result<(), Failure> {
    let mut seen = link.canary.subscribe();
    for _ in 0..TRIES {
        let number = link.next_canary();
        let started = Instant::now();
        let channel = link.canary_channel.clone();
        let bytes = number.to_be_bytes().to_vec();
        if link.deployment.is_cluster {
            let _receivers: i64 = client.spublish(channel, bytes.as_slice()).await?;
        } else {
            let _receivers: i64 = client.publish(channel, bytes.as_slice()).await?;
        }
        let back = seen.wait_for(|&last| last >= number);
        if let Ok(Ok(_)) = tokio::time::timeout(link.timeout, back).await {
            link.canary_took(started.elapsed());
            return Ok(());
        }
    }
    Err(Failure::Canary)
}
