//! From the browser to Django: users' messages on their way to a worker or a group.
//!
//! Workers push what a user said, as an event, into a bounded queue (`bridge.outbox_capacity`,
//! `bridge.outbox_bytes`) and go on. One courier for each destination, one message at a time: users' messages
//! arrive in the order in which they were accepted. A message waits for a host until it expires; once
//! it is on the wire it is not sent again, since a worker would answer twice.

use super::codec::Unwritable;
use super::layer::{Layer, fill};
use super::scripts::Scores;
use super::value::{Map, Value};
use super::wire;
use crate::bridge::deployment::{is_about_connection, text as reason};
use crate::bridge::notice::Notices;
use crate::bridge::standing;
use crate::broker::mailbox::Mailbox;
use crate::broker::room::Room;
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication};
use crate::clock::{self, Millis};
use crate::config::Config;
use crate::metrics::{Counter, Metrics, count};
use crate::protocol::{ErrorCode, Event, Moment, Stamp};
use crate::transport::{Opcode, encoder};
use fred::clients::Client;
use fred::error::Error;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often a courier without a host looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Most users that are told at once that the queue is full; each drop is counted anyway.
const TURNED_AWAY_MAX: usize = 1024;

/// What users' messages end as, but for `sent`: the labels of `channels_dropped`.
pub(super) const CAUSES: [&str; 7] = [
    "outbox",
    "expired",
    "full",
    "nobody",
    "refused",
    "lost",
    "unwritable",
];

/// Where users' messages go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// A general channel, for `runworker`.
    Worker(String),
    /// A group.
    Group(String),
}

/// What a user said.
#[derive(Debug)]
struct Said {
    room: Arc<Room>,
    author: Author,
    event: Arc<Event<'static>>,
    deadline: Millis,
}

/// The way to one destination.
#[derive(Debug)]
pub(super) struct Courier {
    to: Destination,
    mailbox: Mailbox<Said>,
    filled: Notify,
    /// Held, since looking a series up is more than a drop may cost under a room's lock.
    full: Counter,
    /// Whose messages found no room and who are to be told so, at most [`TURNED_AWAY_MAX`].
    turned_away: Option<Mutex<Vec<Author>>>,
    /// The host that the next general message goes to, if it is there.
    turn: AtomicUsize,
}

/// What was taken from the queue and is not dealt with. However that ends, it makes room again.
struct Taken<'c> {
    courier: &'c Courier,
    metrics: &'c Metrics,
    said: VecDeque<Said>,
}

impl Taken<'_> {
    /// The first one is dealt with.
    fn settle(&mut self) -> bool {
        let Some(said) = self.said.pop_front() else {
            return false;
        };
        let bytes = said.event.bytes();
        // Nobody waits for room here: a full queue drops.
        let _nobody = self.courier.mailbox.release(1, bytes);
        true
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        while self.settle() {
            count(&self.metrics.channels_dropped, "cause", "lost");
        }
    }
}

/// Why a message did not get there.
enum Undelivered {
    /// By a cause of [`CAUSES`].
    Dropped(&'static str),
    /// The client library's, or Redis' own.
    Failed(Error),
}

impl From<Error> for Undelivered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unwritable> for Undelivered {
    fn from(_too_long_or_not_of_this_format: Unwritable) -> Self {
        Self::Dropped("unwritable")
    }
}

impl Courier {
    pub(super) fn new(to: Destination, config: &Config, metrics: &Metrics) -> Self {
        let label = [("cause", "outbox")];
        Self {
            to,
            mailbox: Mailbox::new(config.bridge.outbox_capacity, config.bridge.outbox_bytes),
            filled: Notify::new(),
            full: metrics.channels_dropped.get_or_create(&label).clone(),
            turned_away: config.channels.tell_full.then(Mutex::default),
            turn: AtomicUsize::new(0),
        }
    }

    /// Takes a message if there is room, and counts it if not.
    pub(super) fn take(
        &self,
        room: &Arc<Room>,
        author: Author,
        event: &Arc<Event<'static>>,
        deadline: Millis,
    ) {
        if self.mailbox.is_full() {
            self.full.inc();
            if let Some(authors) = &self.turned_away {
                let mut authors = authors.lock();
                if authors.len() < TURNED_AWAY_MAX {
                    authors.push(author);
                }
            }
            return;
        }
        let said = Said {
            room: Arc::clone(room),
            author,
            event: Arc::clone(event),
            deadline,
        };
        if self.mailbox.push(said, event.bytes()) {
            self.filled.notify_one();
        }
    }

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

    /// Messages that have not been dealt with.
    pub(super) fn waiting(&self) -> usize {
        self.mailbox.len()
    }

    fn label(&self) -> &'static str {
        match self.to {
            Destination::Worker(_) => "worker",
            Destination::Group(_) => "group",
        }
    }

    /// Carries messages until `stop` says so, whatever happens on the way.
    pub(super) async fn supervise(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        stop: watch::Receiver<bool>,
    ) {
        let begin = || {
            let (layer, broker) = (Arc::clone(&layer), Arc::clone(&broker));
            Arc::clone(&self).run(layer, broker, stop.clone())
        };
        let mourn = || {
            tracing::error!(
                to = self.label(),
                "the courier's code panicked; it begins anew"
            );
        };
        standing::outlive(&layer.metrics, Duration::ZERO, begin, mourn).await;
        layer.done.send_modify(|done| *done += 1);
    }

    /// Carries messages until `stop` says so and nothing is left that can be sent.
    async fn run(
        self: Arc<Self>,
        layer: Arc<Layer>,
        broker: Arc<Broker>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut empty = Vec::new();
        let mut scores = Scores::default();
        let mut notices = Notices::default();
        loop {
            self.mailbox.swap(&mut empty);
            let mut taken = Taken {
                courier: &self,
                metrics: &layer.metrics,
                said: empty.drain(..).collect(),
            };
            if taken.said.is_empty() {
                if *stop.borrow() {
                    break;
                }
                tokio::select! {
                    () = self.filled.notified() => {}
                    // Whoever pushes has ended before the node says stop.
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                continue;
            }
            while let Some(said) = taken.said.front() {
                let sent = self.carry(&layer, &broker, said, &mut scores, &stop).await;
                self.tell_turned_away(&layer, &broker);
                let cause = match sent {
                    Ok(()) => {
                        count(&layer.metrics.channels_sent, "to", self.label());
                        None
                    }
                    Err(Undelivered::Dropped(cause)) => Some(cause),
                    Err(Undelivered::Failed(error)) => {
                        if notices.is_due(layer.clock.now()) {
                            tracing::warn!(
                                to = self.label(),
                                reason = reason(&error),
                                "a user's message did not reach Django"
                            );
                        }
                        Some(if is_about_connection(&error) {
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
                taken.settle();
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
        let event = layer.mapping.write(said.room.name(), message, timestamp);
        loop {
            if said.deadline <= layer.clock.now() {
                return Err(Undelivered::Dropped("expired"));
            }
            if *stop.borrow() && !is_up(layer) {
                return Err(Undelivered::Dropped("lost"));
            }
            let (second, micros) = clock::wall();
            let now = scores.next(second, micros);
            let is_sent = match &self.to {
                Destination::Worker(channel) => match self.any(layer) {
                    None => false,
                    Some(client) => {
                        let batch = layer.commands.send(channel, &event, now, &mut fill)?;
                        let full = wire::run_all(&client, batch.into_commands()).await?;
                        if wire::number(&full) > 0 {
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
    fn any(&self, layer: &Layer) -> Option<Client> {
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
    now: super::Score,
) -> Result<bool, Undelivered> {
    let client = |index: usize| layer.hosts.get(index)?.client();
    let Some(host) = client(layer.commands.host_of_group(group)) else {
        return Ok(false);
    };
    let members = layer.commands.members(group, now);
    let members = wire::texts(wire::run_all(&host, members.into()).await?);
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
                full += wire::number(&wire::run_all(&client, batch.into_commands()).await?);
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
        for _ in 0..full {
            count(&layer.metrics.channels_dropped, "cause", "full");
        }
        Ok(true)
    }
}

/// Layer `pubsub`. False if the host is not there.
async fn publish(
    layer: &Layer,
    group: &str,
    event: &Map<'_>,
    now: super::Score,
) -> Result<bool, Undelivered> {
    let commands = &layer.commands;
    let (index, command) = commands.publish_to_group(group, event, now, &mut fill)?;
    let Some(client) = layer.hosts.get(index).and_then(|host| host.client()) else {
        return Ok(false);
    };
    if wire::number(&wire::run(&client, command).await?) == 0 {
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
        deadline: layer.clock.now() + layer.expiry,
        event: None,
    };
    let Author { worker, connection } = author;
    broker.direct(worker, connection, publication, false, None);
}

/// What a user said; `None` if no message of Channels can say it.
fn message<'e>(event: &'e Event<'_>) -> Option<Value<'e>> {
    match &event.json {
        Some(json) => super::text::read_said(json),
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
