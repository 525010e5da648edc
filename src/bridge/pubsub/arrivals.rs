//! What comes in mode `pubsub`: checked, numbered against loss and repetition, delivered.
//!
//! A full mailbox of a worker is waited for as long as the
//! [`WaitBudget`](crate::redis::wait_budget::WaitBudget) lasts; after that its publications are
//! dropped and counted.

use super::Pubsub;
use super::asides::say_aside;
use crate::bridge::envelope::{Envelope, EnvelopeEntry, EnvelopeHead};
use crate::bridge::link::{MarkTimes, RedisLink};
use crate::bridge::marks::letter::{Letter, LetterKind};
use crate::bridge::origins::{Novelty, Origins};
use crate::bridge::outbox::What;
use crate::bridge::read_context::ReadContext;
use crate::bridge::wall::wall_millis;
use crate::broker::Publication;
use crate::broker::room::Room;
use crate::clock::Millis;
use crate::metrics::count;
use crate::name::RoomName;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What one envelope said.
#[derive(Default)]
struct ArrivalTally<'a> {
    fresh: Vec<(u64, &'a [u8])>,
    received: u64,
    duplicates: u64,
    missed: u64,
    hello: bool,
}

impl Pubsub {
    /// Takes in what came over a channel.
    pub(in crate::bridge) async fn hear(
        &self,
        link: &RedisLink,
        context: &mut ReadContext,
        channel: &str,
        bytes: &[u8],
    ) {
        if channel == link.canary_channel {
            return link.see_canary(bytes);
        }
        let Some(name) = self.room(channel) else {
            return;
        };
        let envelope = match Envelope::read(bytes) {
            Ok(envelope) => envelope,
            Err(poison) => return context.poison(link, poison, bytes),
        };
        if envelope.head().node == link.node {
            link.metrics.bridge_echoes.inc();
            return;
        }
        let now = link.clock.now();
        let heard = link.origins(name, |origins| hear(origins, &envelope, now));
        // Unsubscribed a moment ago: nobody here is in that room.
        let Some(heard) = heard else {
            return;
        };
        let metrics = &link.metrics;
        metrics.bridge_received.inc_by(heard.received);
        metrics.bridge_duplicates.inc_by(heard.duplicates);
        metrics.bridge_gaps.inc_by(heard.missed);
        let Some(room) = context.broker.named(name) else {
            return;
        };
        if heard.hello {
            say_aside(link, Arc::clone(&room), What::Mark);
        }
        for (deadline, frame) in heard.fresh {
            deliver(link, context, &room, (deadline, frame)).await;
        }
    }
}

impl Pubsub {
    /// Takes in what came where all nodes speak; false if it was nothing about marks.
    pub(in crate::bridge) fn hear_letter(
        &self,
        link: &RedisLink,
        context: &mut ReadContext,
        bytes: &[u8],
    ) -> bool {
        let letter = match Letter::read(bytes) {
            None => return false,
            Some(Ok(letter)) => letter,
            Some(Err(poison)) => {
                context.poison(link, poison, bytes);
                return true;
            }
        };
        if letter.head.node == link.node {
            return true;
        }
        let now = link.clock.now();
        let holds = |name: &RoomName| link.rooms.has(name);
        self.questions.lock().hear(&letter, now, holds);
        self.tells.notify_one();
        if letter.kind == LetterKind::Digest && letter.marks().next().is_some() {
            // A copy: a slice would keep the library's whole read buffer alive.
            let digest = Bytes::copy_from_slice(bytes);
            self.held.lock().push(digest, now);
        }
        true
    }

    /// When the next digest is due that is held.
    pub(in crate::bridge) fn held_until(&self) -> Option<Millis> {
        self.held.lock().next()
    }

    /// Takes in the oldest digest, if it is due: one at a time, since messages of members wait meanwhile. False if none is.
    pub(in crate::bridge) fn take_held(&self, link: &RedisLink) -> bool {
        let now = link.clock.now();
        let due = self.held.lock().pop(now);
        let Some((heard, digest)) = due else {
            return false;
        };
        if let Some(Ok(letter)) = Letter::read(&digest) {
            let missed_since = self.questions.lock().missed_since(now);
            let times = MarkTimes {
                heard,
                missed_since,
            };
            let mut missed = 0;
            for mark in letter.marks() {
                let head = EnvelopeHead {
                    node: letter.head.node,
                    epoch: letter.head.epoch,
                    incarnation: mark.incarnation,
                };
                missed += link.mark((&head, &mark), times, now);
            }
            link.metrics.bridge_gaps.inc_by(missed);
        }
        true
    }
}

async fn deliver(
    link: &RedisLink,
    context: &mut ReadContext,
    room: &Arc<Room>,
    (deadline, frame): (u64, &[u8]),
) {
    let metrics = &link.metrics;
    let left = deadline.saturating_sub(wall_millis(link.clock));
    if left == 0 {
        count(&metrics.bridge_dropped, "cause", "late");
        return;
    }
    // Another node's clock or settings must not keep it here for longer than ours do; nor does a wait for a mailbox.
    let deadline = link.clock.now() + Duration::from_millis(left).min(link.expiry.get());
    let broker = Arc::clone(&context.broker);
    let is_full = || broker.full_mailbox(room).is_some();
    if !context.budget.wait(is_full).await {
        count(&link.metrics.bridge_dropped, "cause", "mailbox");
        return;
    }
    let publication = Publication {
        // A copy: a slice would keep the library's whole read buffer alive.
        frame: Bytes::copy_from_slice(frame),
        deadline,
        event: None,
    };
    broker.deliver_remote(room, &publication);
    link.metrics.bridge_delivered.inc();
}

/// Sorts the entries of an envelope into fresh and known ones.
fn hear<'a>(origins: &mut Origins, envelope: &Envelope<'a>, now: Millis) -> ArrivalTally<'a> {
    let head: &EnvelopeHead = envelope.head();
    let mut heard = ArrivalTally::default();
    for entry in envelope.entries() {
        match entry {
            EnvelopeEntry::Message {
                number,
                deadline,
                frame,
            } => {
                heard.received += 1;
                match origins.message(head, number, now) {
                    Novelty::Fresh { missed } => {
                        heard.missed += missed;
                        heard.fresh.push((deadline, frame));
                    }
                    Novelty::Duplicate => heard.duplicates += 1,
                }
            }
            EnvelopeEntry::Mark { number } => heard.missed += origins.mark(head, number, now),
            EnvelopeEntry::Hello => heard.hello = true,
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use crate::bridge::Bridge;
    use crate::bridge::envelope::NodeId;
    use crate::bridge::marks::held::HELD_FOR;
    use crate::bridge::marks::letter::{LetterHead, LetterKind, LetterWriter, RoomMark, letters};
    use crate::bridge::read_context::ReadContext;
    use crate::broker::Broker;
    use crate::clock::Clock;
    use crate::config::redis::RedisAddress;
    use crate::config::{BridgeMode, Config};
    use crate::metrics::Metrics;
    use crate::name::RoomName;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// The time, in milliseconds.
    static TIME: AtomicU64 = AtomicU64::new(0);

    #[test]
    fn digests_that_are_due_are_taken_in_one_at_a_time_so_that_messages_go_in_between() {
        let mut config = Config::default();
        config.bridge.mode = BridgeMode::Pubsub;
        // Nobody listens there.
        config.bridge.urls = vec![RedisAddress::parse("redis://127.0.0.1:1").unwrap()];
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::simulated(|| Duration::from_millis(TIME.load(Ordering::Relaxed)));
        let bridge = Bridge::new(&config, &metrics, clock).unwrap().unwrap();
        let broker = Arc::new(Broker::new(&config.broker, Vec::new(), None));
        let (link, mode) = (&bridge.links[0].link, &bridge.links[0].mode);
        let name = RoomName::chat("1", "abc").unwrap();
        link.rooms.watch(&name, clock.now(), || mode.room_state());
        assert!(link.enter(&name));
        let mut context = ReadContext::new(broker, clock);
        let head = LetterHead {
            node: NodeId([7; 16]),
            epoch: 1,
            asked: 0,
            absence: 0,
        };
        for number in 1..=3 {
            let mark = RoomMark {
                name: name.clone(),
                incarnation: 1,
                number,
                has_begun: false,
            };
            let written = letters(
                (LetterKind::Digest, &head),
                &[mark],
                LetterWriter::push_mark,
            );
            assert!(mode.hear_letter(link, &mut context, &written[0]));
        }
        let mut counted = Vec::new();
        TIME.store(
            u64::try_from(HELD_FOR.as_millis()).unwrap(),
            Ordering::Relaxed,
        );
        while mode.take_held(link) {
            counted.push(metrics.bridge_gaps.get());
        }
        assert_eq!(counted, [0, 1, 2]);
    }
}
