//! From the browser to Django: users' messages on their way to a worker or a group.
//!
//! Workers push what a user said, as an event, into a bounded queue (`bridge.outbox_capacity`,
//! `bridge.outbox_bytes`) and go on. One [`UserQueue`] for each destination. What waits there goes out together, each
//! all by one command for each host, and the next ones once that is answered: however far Redis is, a
//! message waits for the one turn before its own. One connection has them in the order in which they were accepted.
//!
//! A message waits for a host until it expires, and for a Redis that takes none for now. None is sent again that
//! may be there, since a worker would answer twice: what was not answered is looked up first (`unsettled`), or lost.

use super::codec::value::{Map, Value};
use super::layer::Layer;
use super::send::Courier;
use super::under_way::Fate;
use super::unsettled::{Remnant, Went};
use super::user_queue::{Said, Taken, UserQueue};
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication};
use crate::metrics::count;
use crate::protocol::{ErrorCode, Event, Moment, Stamp};
use crate::redis::NodeEnd;
use crate::transport::{Opcode, encoder};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often one without a host looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The pause before a Redis is asked again that takes nothing for now.
const PUT_OFF: Duration = Duration::from_millis(100);

/// Most messages that go out together: each is a few commands of 7 KB in the client library.
const TOGETHER: usize = 64;

/// Bytes of what was said after which no more go out together.
const TOGETHER_BYTES: usize = 256 * 1024;

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
        let mut courier = Courier::new(&self, &layer);
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
            while !taken.said.is_empty() {
                let outcomes = carry(&layer, &taken.said, &mut courier, &ending.stop).await;
                self.tell_turned_away(&layer, &broker);
                if outcomes.is_empty() {
                    let is_refused = courier.has_way();
                    let pause = if is_refused { PUT_OFF } else { LOOK_EVERY };
                    tokio::time::sleep(pause).await;
                }
                for went in outcomes {
                    self.settle(&layer, &broker, &mut taken, went);
                }
            }
        }
    }

    /// The first one is dealt with.
    fn settle(&self, layer: &Layer, broker: &Broker, taken: &mut Taken<'_>, went: Went) {
        match went {
            Went::Sent => count(&layer.metrics.channels_sent, "to", self.label()),
            Went::Dropped(cause) => {
                count(&layer.metrics.channels_dropped, "cause", cause);
                if let Some(said) = taken.said.front() {
                    tell(layer, broker, said.author, cause);
                }
            }
        }
        taken.acknowledge();
    }
}

/// Sends the first ones of those that wait; what became of them, up to the first one that is to wait longer.
async fn carry(
    layer: &Layer,
    said: &VecDeque<Said>,
    courier: &mut Courier<'_>,
    stop: &watch::Receiver<bool>,
) -> Vec<Went> {
    let now = layer.clock.now();
    let is_over = *stop.borrow() && !layer.hosts.iter().any(|host| host.client().is_some());
    let given_up = |at: usize| is_over || said.get(at).is_none_or(|said| said.deadline <= now);
    if let Some(settled) = courier.settle(given_up).await {
        return settled;
    }
    let has_way = courier.has_way();
    let (mut fates, mut bytes) = (Vec::new(), 0);
    let (mut places, mut events) = (Vec::new(), Vec::new());
    for said in said.iter().take(TOGETHER) {
        if bytes >= TOGETHER_BYTES {
            break;
        }
        bytes += said.event.bytes();
        fates.push(if said.deadline <= now {
            Fate::Settled(Went::Dropped("expired"))
        } else if is_over {
            Fate::Settled(Went::Dropped("lost"))
        } else if !has_way {
            break;
        } else {
            match event(layer, said) {
                None => Fate::Settled(Went::Dropped("unwritable")),
                Some(event) => {
                    places.push(fates.len());
                    events.push(event);
                    Fate::Waits
                }
            }
        });
    }
    if !events.is_empty() {
        let longest = said.iter().take(fates.len()).map(|said| said.deadline);
        let longest = longest.max().unwrap_or(now).since(now);
        let sent = courier.send(&events, longest).await;
        for (&place, fate) in places.iter().zip(sent) {
            if let Some(slot) = fates.get_mut(place) {
                *slot = fate;
            }
        }
    }
    let mut outcomes = Vec::new();
    while let Some(Fate::Settled(went)) = fates.get(outcomes.len()) {
        outcomes.push(*went);
    }
    let left = fates.iter().enumerate().skip(outcomes.len());
    let left = left.map_while(|(at, fate)| match fate {
        Fate::Settled(went) => Some(Remnant::Settled(*went)),
        Fate::Unheard => Some(Remnant::Sent(places.binary_search(&at).ok()?)),
        Fate::Waits => None,
    });
    let left: VecDeque<Remnant> = left.collect();
    if !left.is_empty() {
        courier.leave_unsettled(left);
    }
    outcomes
}

/// What Django is told of it; `None` if no message of Channels can say that.
fn event<'s>(layer: &'s Layer, said: &'s Said) -> Option<Map<'s>> {
    let message = message(&said.event)?;
    let Moment { second, micros } = said.event.moment;
    let stamp = Stamp::new(second, micros);
    let timestamp = std::str::from_utf8(stamp.text(layer.writer.dialect()));
    let timestamp = timestamp.unwrap_or_default().to_owned();
    let author = said.event.author.as_deref();
    let said_by = (said.event.sender, message);
    let mapping = &layer.mapping;
    Some(mapping.write(said.room.name(), said_by, timestamp, author))
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
