//! What comes from one Redis, as long as a session lasts.
//!
//! One task for each session, on its own so that the client library's bounded channel is emptied
//! whatever else the link does. A message that the library threw away because this was too slow shows
//! twice: in `bridge_lagged`, and exactly in the gaps, once the room's next number or mark comes.

use super::inquiry::HeardInquiry;
use super::link::RedisLink;
use super::mode::Mode;
use super::read_context::ReadContext;
use crate::broker::Broker;
use crate::redis::client::{Messages, SubscriptionEvent};
use crate::redis::failure::LinkFailure;
use std::sync::Arc;

/// The reader of one session.
pub(super) struct Arrivals {
    link: Arc<RedisLink>,
    mode: Arc<Mode>,
    context: ReadContext,
}

impl Arrivals {
    pub(super) fn new(link: Arc<RedisLink>, mode: Arc<Mode>, broker: Arc<Broker>) -> Self {
        let context = ReadContext::new(broker, link.clock);
        Self {
            link,
            mode,
            context,
        }
    }

    /// Reads until the connection is gone.
    pub(super) async fn run(mut self, mut messages: Box<dyn Messages>) -> LinkFailure {
        loop {
            if self.mode.take_held(&self.link) {
                // Messages come before the next one, and whatever else this thread does.
                tokio::task::yield_now().await;
            }
            let event = match self.mode.held_until() {
                None => messages.next().await,
                Some(due) => {
                    let pause = due.since(self.link.clock.now());
                    tokio::select! {
                        biased;
                        event = messages.next() => event,
                        () = tokio::time::sleep(pause) => continue,
                    }
                }
            };
            match event {
                SubscriptionEvent::Message { channel, bytes } => self.take(&channel, &bytes).await,
                SubscriptionEvent::Lagged(count) => {
                    self.link.metrics.bridge_lagged.inc_by(count);
                    self.mode.doubt_all(&self.link);
                }
                SubscriptionEvent::Unsubscribed(channels) => {
                    self.mode.unsubscribed(&self.link, &channels);
                }
                SubscriptionEvent::Ended => return LinkFailure::Ended,
            }
        }
    }

    async fn take(&mut self, channel: &str, bytes: &[u8]) {
        let Self {
            link,
            mode,
            context,
        } = self;
        if channel == link.nodes_channel && mode.hear_letter(link, context, bytes) {
            // About marks.
        } else if channel == link.nodes_channel {
            match link.inquiries.hear_question(bytes) {
                Some(asked) => drop(tokio::spawn(respond(
                    Arc::clone(link),
                    Arc::clone(mode),
                    asked,
                ))),
                None => link.company.hear(link.place, bytes, link.clock.now()),
            }
        } else if channel == link.canary_channel && link.inquiries.hear_answer(bytes) {
            // Taken by whoever waits for it.
        } else {
            mode.hear(link, context, channel, bytes).await;
        }
    }
}

/// Answers a question of another node, where that hears its canaries.
async fn respond(link: Arc<RedisLink>, mode: Arc<Mode>, mut asked: HeardInquiry) {
    let what = (&mut asked.answering).await;
    let answer = link.inquiries.answer(&asked, &what);
    if let Some(client) = link.client() {
        let channel = mode.canary_channel(asked.node);
        // An answer that does not arrive is missing: the asker says so.
        drop(client.publish(channel, answer).await);
    }
}
