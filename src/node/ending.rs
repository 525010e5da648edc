//! The end of a node, in order: not ready, notice, closes, the last answers.

use super::NodeParts;
use crate::clock::Millis;
use crate::protocol::CloseReason;
use crate::server::Visitors;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After `server.drain_notice`: load balancers still send clients until they have seen `/ready`.
    Announced,
    /// At once: nobody sends clients here but themselves.
    Unannounced,
}

/// Once the connections are gone, requests that came before the listener closed have this long: more
/// than a round trip, and a connection that never says anything does not hold the exit for longer.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A stop leaves the workers this long to say 1012 to everybody whose socket takes it.
const STOP_MAX: Duration = Duration::from_secs(1);

impl NodeParts {
    /// Ends everything within `server.drain_grace`; `stop` cuts that short.
    pub(super) async fn end(
        &self,
        ending: Ending,
        mut visitors: Visitors,
        stop: impl Future<Output = ()>,
    ) {
        // Not ready first: who asks sends nobody any more by the time that the listener closes.
        self.draining.send_replace(true);
        let (settings, clock) = (&self.config.server, self.clock);
        let (grace, deadline) = (settings.drain_grace, clock.now() + settings.drain_grace);
        let notice = match ending {
            Ending::Announced => settings.notice(),
            Ending::Unannounced => Duration::ZERO,
        };
        let connections = self.metrics.connections.get();
        tracing::info!(connections, ?notice, ?grace, "draining");
        let (answers_out, all_answered) = oneshot::channel::<()>();
        let mut joined = self.join(deadline, all_answered);
        let in_order = async {
            // Without a notice nobody is let in after the first "not ready".
            if !notice.is_zero() {
                tokio::time::sleep(notice).await;
            }
            let left = deadline.since(clock.now());
            self.close(left - self.for_bridge(left));
            let replied = async {
                // Half of the time: an apology must still find the members of its room.
                self.decide(left / 2, answers_out).await;
                std::future::pending().await
            };
            let ended = tokio::select! {
                ended = &mut joined => ended,
                ended = replied => ended,
                () = tokio::time::sleep(left + STOP_MAX) => {
                    return tracing::error!("a worker does not end: a consumer has not returned");
                }
            };
            if ended.is_err() {
                tracing::error!("waiting for the workers failed");
            }
            let left = deadline.since(clock.now());
            if let Some(upstream) = &self.upstream {
                // Who uploads or downloads has the whole grace, and so have the site's WebSockets.
                upstream.end(left).await;
            }
            let left = deadline.since(clock.now()).min(LAST_ANSWERS);
            // Whoever has not asked by then is not answered.
            drop(tokio::time::timeout(left, visitors.recv()).await);
        };
        let is_stopped = tokio::select! {
            biased;
            () = pin!(stop) => true,
            () = in_order => false,
        };
        if is_stopped {
            tracing::warn!("stopped before the drain was done");
            self.close(Duration::ZERO);
            let decided = async {
                self.vetting.shutdown(Duration::ZERO).await;
                drop(joined.await);
            };
            drop(tokio::time::timeout(STOP_MAX, decided).await);
        }
        tracing::info!(left = self.metrics.connections.get(), "stopped");
    }

    /// Waits, on a thread of its own, until the workers have ended, and ends what carries and keeps what was said.
    /// `all_answered` ends once nobody waits for answers any more.
    fn join(&self, deadline: Millis, all_answered: oneshot::Receiver<()>) -> JoinHandle<()> {
        let (workers, redis) = (Arc::clone(&self.workers), Arc::clone(&self.redis));
        let (archive, vetting) = (self.archive.clone(), self.vetting.clone());
        let (clock, handle) = (self.clock, Handle::current());
        tokio::task::spawn_blocking(move || {
            workers.join();
            // What was said last is decided too: nobody says anything any more.
            handle.block_on(vetting.decided());
            // Dropped on the other side.
            drop(all_answered.blocking_recv());
            // Last: what the members said to the end is on its way to the other nodes.
            redis.shutdown(deadline);
            // And what anybody said, the site to the end included, is in the journal.
            if let Some(archive) = archive {
                archive.close(clock, deadline.max(clock.now() + STOP_MAX / 2));
            }
        })
    }

    /// Waits until what is being answered, and what is being vetted, has come to its end, at most for `grace`;
    /// `answers_out` is dropped once what is left concerns nobody but the members here.
    async fn decide(&self, grace: Duration, answers_out: oneshot::Sender<()>) {
        let replies = self.assistant.shutdown(grace);
        let vetted = self.vetting.shutdown(grace);
        if self.is_alone() {
            let published = async {
                // The archive takes it too.
                vetted.await;
                drop(answers_out);
            };
            tokio::join!(published, replies);
        } else {
            // Who asked may be on another node by now.
            tokio::join!(vetted, replies);
            drop(answers_out);
        }
    }

    /// Takes nobody new any more and has all connections closed, spread over `grace`.
    fn close(&self, grace: Duration) {
        self.closing.send_replace(true);
        if let Some(bridge) = &self.bridge {
            bridge.close(&self.broker);
        }
        self.workers.drain(CloseReason::Restart, grace);
    }

    /// Does nobody else hear what is said here?
    fn is_alone(&self) -> bool {
        self.bridge.is_none() && self.channels.is_none()
    }

    /// What of the time `left` is kept for the bridge, once nobody says anything any more: as long as a
    /// Redis may take, but not most of a short grace.
    fn for_bridge(&self, left: Duration) -> Duration {
        if self.is_alone() {
            return Duration::ZERO;
        }
        (self.config.bridge.command_timeout * 2).min(left / 5)
    }
}
