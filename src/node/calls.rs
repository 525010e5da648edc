//! Looks after the workers while consumers of the program's own run on them.

use crate::broker::Broker;
use crate::chat::Calls;
use crate::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;

/// Longest between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Until the node closes: says which consumer has not returned in time, once for each time, and keeps new
/// rooms away from its worker meanwhile; `/ready` says no as long as there is one.
pub(super) async fn watch(
    calls: Arc<Calls>,
    broker: Arc<Broker>,
    clock: Clock,
    mut closing: Receiver<bool>,
) {
    let pause = (calls.timeout() / 4).min(PAUSE_MAX);
    loop {
        tokio::select! {
            _closing = closing.wait_for(|is_closing| *is_closing) => return,
            () = tokio::time::sleep(pause) => {}
        }
        for worker in 0..calls.workers() {
            let overdue = calls.overdue(worker, clock.now());
            let was_stuck = broker.placement().set_stuck(worker, overdue.is_some());
            match overdue {
                Some(call) if !was_stuck => tracing::error!(
                    worker,
                    route = call.route,
                    consumer = call.consumer,
                    "a consumer has not returned within consumers.timeout; its worker serves nobody meanwhile"
                ),
                None if was_stuck => tracing::warn!(worker, "the consumer has returned"),
                _ => {}
            }
        }
    }
}
