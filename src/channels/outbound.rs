//! From the browser to Django: users' messages on their way to a worker or a group.
//!
//! Workers push what a user said, as an event, into a bounded queue (`bridge.outbox_capacity`,
//! `bridge.outbox_bytes`) and go on. One [`UserQueue`] for each destination, one message at a time: users' messages
//! arrive in the order in which they were accepted. A message waits for a host until it expires; once
//! it is on the wire it is not sent again, since a worker would answer twice.

use super::codec::Unwritable;
use super::codec::value::{Map, Value};
use super::layer::Layer;
use super::random::fill;
use super::scripts::Scores;
use super::user_queue::{Destination, Said, Taken, UserQueue};
use super::wire;
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication};
use crate::clock;
use crate::metrics::{count, count_all};
use crate::protocol::{ErrorCode, Event, Moment, Stamp};
use crate::redis::NodeEnd;
use crate::redis::client::RedisClient;
use crate::redis::failure::CommandError;
use crate::redis::log_limiter::LogLimiter;
use crate::transport::{Opcode, encoder};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How often one without a host looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why a message did not get there.
enum Undelivered {
    /// By a cause of [`CAUSES`](super::user_queue::CAUSES).
    Dropped(&'static str),
    /// The client library's, or Redis' own.
    Failed(CommandError),
}

impl From<CommandError> for Undelivered {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unwritable> for Undelivered {
    fn from(_too_long_or_not_of_this_format: Unwritable) -> Self {
        Self::Dropped("unwritable")
    }
}

impl UserQueue {
    /// Tells those whose messages found no room. Not where they are turned away: that is under a
    /// room's lock.
    fn tell_turned_away(&self, layer: &Layer, broker: &Broker) {
        if let Some(authors) = &self.turned_away {
            let authors = std::mem::take(&mut *authors.lock());
            for author in authors {
                tell(layer, broker, author, "outbox");
            }
        }
    }

    /// Carries messages until the node's end and nothing is left that can be sent.
    pub(super) async fn run(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        mut ending: NodeEnd,
    ) {
        let mut empty = Vec::new();
        let mut scores = Scores::default();
        let mut failure_lines = LogLimiter::default();
        loop {
            self.mailbox.swap(&mut empty);
            let mut taken = Taken {
                queue: &self,
                metrics: &layer.metrics,
                said: empty.drain(..).collect(),
            };
            if taken.said.is_empty() {
                if *ending.stop.borrow() {
                    break;
                }
                tokio::select! {
                    () = self.filled.notified() => {}
                    // Whoever pushes has ended before the node says stop.
                    _ = ending.stop.wait_for(|stop| *stop) => {}
                }
                continue;
            }
            while let Some(said) = taken.said.front() {
                let sent = self
                    .carry(&layer, &broker, said, &mut scores, &ending.stop)
                    .await;
                self.tell_turned_away(&layer, &broker);
                let cause = match sent {
                    Ok(()) => {
                        count(&layer.metrics.channels_sent, "to", self.label());
                        None
                    }
                    Err(Undelivered::Dropped(cause)) => Some(cause),
                    Err(Undelivered::Failed(error)) => {
                        if failure_lines.is_due(layer.clock.now()) {
                            tracing::warn!(
                                to = self.label(),
                                reason = %error,
                                "a user's message did not reach Django"
                            );
                        }
                        Some(if error.is_about_connection() {
                            "lost"
                        } else {
                            "refused"
                        })
                    }
                };
                if let Some(cause) = cause {
                    count(&layer.metrics.channels_dropped, "cause", cause);
                    tell(&layer, &broker, said.author, cause);
                }
                taken.acknowledge();
            }
        }
    }

    async fn carry(
        &self,
        layer: &Layer,
        broker: &Broker,
        said: &Said,
        scores: &mut Scores,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), Undelivered> {
        let message = message(&said.event).ok_or(Undelivered::Dropped("unwritable"))?;
        let Moment { second, micros } = said.event.moment;
        let stamp = Stamp::new(second, micros);
        let timestamp = std::str::from_utf8(stamp.text(layer.writer.dialect()));
        let timestamp = timestamp.unwrap_or_default();
        let author = said.event.author.as_deref();
        let mapping = &layer.mapping;
        let said_by = (said.event.sender, message);
        let event = mapping.write(said.room.name(), said_by, timestamp, author);
        loop {
            if said.deadline <= layer.clock.now() {
                return Err(Undelivered::Dropped("expired"));
            }
            if *stop.borrow() && !is_up(layer) {
                return Err(Undelivered::Dropped("lost"));
            }
            let now = scores.next(clock::wall());
            let is_sent = match &self.to {
                Destination::Worker(channel) => match self.any(layer) {
                    None => false,
                    Some(client) => {
                        let batch = layer.commands.send(channel, &event, now, &mut fill)?;
                        let full = wire::run_all(&*client, batch.into_commands()).await?;
                        if full.number() > 0 {
                            return Err(Undelivered::Dropped("full"));
                        }
                        true
                    }
                },
                Destination::Group(group) if layer.is_core => {
                    send_to_group(layer, group, &event, now).await?
                }
                Destination::Group(group) => publish(layer, group, &event, now).await?,
            };
            if is_sent {
                return Ok(());
            }
            self.tell_turned_away(layer, broker);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The next host that is there: workers look on all of them in turn.
    fn any(&self, layer: &Layer) -> Option<Arc<dyn RedisClient>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let hosts = layer.hosts.len().max(1);
        (0..hosts).find_map(|step| layer.hosts.get((turn + step) % hosts)?.client())
    }
}

fn is_up(layer: &Layer) -> bool {
    layer.hosts.iter().any(|host| host.client().is_some())
}

/// Layer `core`: for every process with members in the group. False if the host that knows them is
/// not there.
async fn send_to_group(
    layer: &Layer,
    group: &str,
    event: &Map<'_>,
    now: super::scripts::Score,
) -> Result<bool, Undelivered> {
    let client = |index: usize| layer.hosts.get(index)?.client();
    let Some(host) = client(layer.commands.host_of_group(group)) else {
        return Ok(false);
    };
    let members = layer.commands.members(group, now);
    let members = wire::texts(wire::run_all(&*host, members.into()).await?);
    let names = members.iter().map(String::as_str);
    let batches = layer
        .commands
        .send_to_group(names, &layer.own, event, now, &mut fill)?;
    if batches.is_empty() {
        return Err(Undelivered::Dropped("nobody"));
    }
    let (mut full, mut destinations, mut missing) = (0, 0, false);
    for batch in batches {
        destinations += batch.destinations as u64;
        match client(batch.host) {
            Some(client) => {
                let answer = wire::run_all(&*client, batch.into_commands()).await?;
                full += answer.number();
            }
            None => missing = true,
        }
    }
    if missing {
        Err(Undelivered::Dropped("lost"))
    } else if full == destinations {
        Err(Undelivered::Dropped("full"))
    } else {
        // As the layer: whoever is full misses it, and the others have it.
        count_all(&layer.metrics.channels_dropped, "cause", "full", full);
        Ok(true)
    }
}

/// Layer `pubsub`. False if the host is not there.
async fn publish(
    layer: &Layer,
    group: &str,
    event: &Map<'_>,
    now: super::scripts::Score,
) -> Result<bool, Undelivered> {
    let commands = &layer.commands;
    let (index, command) = commands.publish_to_group(group, event, now, &mut fill)?;
    let Some(client) = layer.hosts.get(index).and_then(|host| host.client()) else {
        return Ok(false);
    };
    if client.send(command).await?.number() == 0 {
        return Err(Undelivered::Dropped("nobody"));
    }
    Ok(true)
}

/// Tells a user, if so configured, that a message got nowhere.
fn tell(layer: &Layer, broker: &Broker, author: Author, cause: &'static str) {
    if !layer.tell_full || cause == "nobody" {
        return;
    }
    let mut payload = Vec::new();
    layer.writer.error(&mut payload, ErrorCode::Busy);
    let publication = Publication {
        frame: encoder::frame(Opcode::Text, &payload),
        deadline: layer.clock.now() + layer.expiry.get(),
        event: None,
    };
    let Author { worker, connection } = author;
    broker.direct(worker, connection, publication, false, None);
}

/// What a user said; `None` if no message of Channels can say it.
fn message<'e>(event: &'e Event<'_>) -> Option<Value<'e>> {
    match &event.json {
        Some(json) => super::codec::text::read_said(json),
        None => Some(Value::from(&*event.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Sender;

    fn said(text: &'static str, json: Option<&str>) -> Event<'static> {
        Event {
            json: json.map(|json| json.to_owned().into()),
            ..Event::new(Sender::User, text, Moment::from((0, 0)))
        }
    }

    #[test]
    fn a_text_is_told_as_it_is_and_another_value_as_that_value() {
        let text = said("\"quoted\", no JSON", None);
        assert_eq!(message(&text), Some(Value::from("\"quoted\", no JSON")));
        let number = said("5", Some("5"));
        assert_eq!(message(&number), Some(Value::Integer(5)));
        let list = said("[1, 'a']", Some("[1, \"a\"]"));
        let values = vec![Value::Integer(1), Value::from("a")];
        assert_eq!(message(&list), Some(Value::List(values)));
    }

    #[test]
    fn what_no_message_of_channels_can_say_is_not_told() {
        assert_eq!(message(&said("", Some(r#"["\ud800"]"#))), None);
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(message(&said("", Some(&nested(65)))), None);
        assert!(message(&said("", Some(&nested(64)))).is_some());
    }
}
