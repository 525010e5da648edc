//! The lane of marks: digests and questions on their way out, beside the messages and never in front of them.
//!
//! A digest leaves when Redis has answered for whatever was in the outbox when it was made. To be launched is not
//! enough: in a Cluster it goes by another connection, and a broken one's messages are sent again, which a mark that
//! was there first would make repetitions.

use super::Pubsub;
use super::asides::say_hellos;
use crate::bridge::link::RedisLink;
use crate::bridge::marks::letter::{LetterKind, LetterWriter, RoomMark, letters};
use crate::bridge::marks::questions::{MarksAnswer, OwnQuestion};
use crate::bridge::roll::FRESH;
use crate::broker::Broker;
use crate::clock::Millis;
use crate::name::RoomName;
use crate::redis::client::RedisClient;
use crate::redis::failure::{CommandError, LinkFailure};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// A room that has been quiet for so long has its mark told.
const MARK_AFTER: Duration = Duration::from_secs(2);

/// How often is looked for such rooms.
const TICK: Duration = Duration::from_secs(1);

/// Letters that all nodes together say in a second, at most, if each has as many to say: 4 MiB for each that hears them.
/// More would fill what Redis keeps for a subscriber (32 MiB by default); it would be cut off, return and ask again.
const LETTERS_A_SECOND: usize = 64;

/// Letters that one of them says in a second: at most, and whatever others there are (strangers may say that they are).
const OWN_LETTERS_A_SECOND: std::ops::RangeInclusive<usize> = 2..=32;

/// Rooms that are looked at before others have their turn.
const LOOKS: usize = 1_000;

impl Pubsub {
    /// Asks and tells, until something breaks.
    pub(in crate::bridge) async fn tell(
        &self,
        link: &RedisLink,
        broker: &Broker,
        client: &dyn RedisClient,
    ) -> LinkFailure {
        let ended = tokio::select! {
            biased;
            ended = self.keep_asking(link, broker, client) => ended,
            ended = self.keep_telling(link, broker, client) => ended,
        };
        ended.unwrap_or_else(LinkFailure::from)
    }

    async fn keep_asking(
        &self,
        link: &RedisLink,
        broker: &Broker,
        client: &dyn RedisClient,
    ) -> Result<LinkFailure, CommandError> {
        loop {
            let now = link.clock.now();
            let (due, question) = {
                let mut questions = self.questions.lock();
                let question = questions.ask(now);
                (questions.ask_due(), question)
            };
            if let Some(question) = question {
                publish_all(link, client, &written(&question)).await?;
                self.questions.lock().asked(link.clock.now());
                self.tells.notify_one();
                if question.names.is_empty() || !self.has_old(link, now - FRESH) {
                    continue;
                }
                say_hellos(link, broker, question.names);
                continue;
            }
            self.greet_old(link, broker);
            let pause = due.map_or(TICK, |due| due.since(now).min(TICK));
            // A permit is kept if it comes in between.
            drop(tokio::time::timeout(pause, self.asks.notified()).await);
        }
    }

    /// Nodes that do not know the form answer hellos in rooms.
    fn greet_old(&self, link: &RedisLink, broker: &Broker) {
        let since = self.questions.lock().check_old(link.clock.now());
        if let Some(since) = since
            && self.has_old(link, since)
        {
            say_hellos(link, broker, link.rooms.standing());
        }
    }

    fn has_old(&self, link: &RedisLink, since: Millis) -> bool {
        let heard = link.company.heard(link.place, since);
        self.questions.lock().are_old(&heard)
    }

    async fn keep_telling(
        &self,
        link: &RedisLink,
        broker: &Broker,
        client: &dyn RedisClient,
    ) -> Result<LinkFailure, CommandError> {
        // The others know from here on that this node knows the form.
        publish_all(link, client, &[self.empty_digest(link)]).await?;
        let mut next_tick = link.clock.now() + TICK;
        loop {
            let due = self.questions.lock().answer_due();
            let due = due.map_or(next_tick, |due| due.min(next_tick));
            let now = link.clock.now();
            if due > now {
                let pause = due.since(now);
                drop(tokio::time::timeout(pause, self.tells.notified()).await);
                continue;
            }
            let answer = self.questions.lock().answer(now);
            let is_tick = next_tick <= now;
            if is_tick {
                next_tick = now + TICK;
            }
            self.tell_once(link, (broker, client), answer, is_tick)
                .await?;
        }
    }

    async fn tell_once(
        &self,
        link: &RedisLink,
        (broker, client): (&Broker, &dyn RedisClient),
        answer: Option<MarksAnswer>,
        is_tick: bool,
    ) -> Result<(), CommandError> {
        let now = link.clock.now();
        let is_answer = answer.is_some();
        let is_owed = answer.as_ref().is_some_and(|answer| answer.is_owed);
        let mut marks = if is_tick {
            self.look(link)
        } else {
            BTreeMap::new()
        };
        if let Some(answer) = answer {
            let entered = answer
                .since
                .map(|since| self.questions.lock().entered_since(since));
            add_answer(link, broker, answer, &mut marks).await;
            for mark in marks.values_mut() {
                mark.has_begun = entered
                    .as_ref()
                    .is_some_and(|entered| entered.contains(&mark.name));
            }
        }
        if marks.is_empty() && !is_owed {
            self.questions.lock().answered();
            return Ok(());
        }
        // Whatever these numbers count is in there, or went before.
        link.outbox.answered_for().await;
        let marks: Vec<RoomMark> = marks.into_values().collect();
        let head = self.questions.lock().head(now);
        let kind = (LetterKind::Digest, &head);
        let mut digests = letters(kind, &marks, LetterWriter::push_mark);
        if digests.is_empty() {
            digests.push(self.empty_digest(link));
        }
        publish_all(link, client, &digests).await?;
        if is_answer {
            self.questions.lock().answered();
        }
        for mark in &marks {
            link.outbox.marks.told(mark.incarnation, mark.number);
        }
        Ok(())
    }

    /// Marks of rooms that have gone quiet.
    fn look(&self, link: &RedisLink) -> BTreeMap<u64, RoomMark> {
        let now = link.clock.now();
        let marks = &link.outbox.marks;
        marks.take_drops(now);
        let (quiet, forgotten) = marks.visit(|said| {
            said.expire(now);
            let forgotten = std::mem::take(&mut said.forgotten);
            (said.quiet(now - MARK_AFTER), forgotten)
        });
        link.metrics.bridge_marks_forgotten.inc_by(forgotten);
        quiet
            .into_iter()
            .map(|mark| (mark.incarnation, mark))
            .collect()
    }

    /// The last marks of a node that goes down, once everything else has left.
    pub(in crate::bridge) async fn tell_last(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
    ) -> Result<(), CommandError> {
        let now = link.clock.now();
        link.outbox.marks.take_drops(now);
        let marks = link.outbox.marks.visit(|said| said.quiet(now));
        let head = self.questions.lock().head(now);
        let kind = (LetterKind::Digest, &head);
        publish_all(
            link,
            client,
            &letters(kind, &marks, LetterWriter::push_mark),
        )
        .await
    }

    fn empty_digest(&self, link: &RedisLink) -> Bytes {
        let head = self.questions.lock().head(link.clock.now());
        LetterWriter::new(LetterKind::Digest, &head).finish()
    }
}

/// The question as letters: one at least.
fn written(question: &OwnQuestion) -> Vec<Bytes> {
    let kind = (LetterKind::Question, &question.head);
    let mut written = letters(kind, &question.names, LetterWriter::push_name);
    if written.is_empty() {
        written.push(LetterWriter::new(LetterKind::Question, &question.head).finish());
    }
    written
}

/// What others asked for.
async fn add_answer(
    link: &RedisLink,
    broker: &Broker,
    answer: MarksAnswer,
    marks: &mut BTreeMap<u64, RoomMark>,
) {
    let mut names: Vec<RoomName> = answer.names.into_iter().collect();
    if let Some(since) = answer.since {
        let said = &link.outbox.marks;
        said.take_drops(link.clock.now());
        let (lately, is_whole) = said.visit(|said| (said.since(since), said.is_whole_since(since)));
        marks.extend(lately.into_iter().map(|mark| (mark.incarnation, mark)));
        if !is_whole {
            // Longer ago than is known: every room that is still there has its number.
            names.extend(broker.names(|_| true));
        }
    }
    for names in names.chunks(LOOKS) {
        let rooms = names.iter().filter(|name| link.rooms.has(name));
        for room in rooms.filter_map(|name| broker.find(name)) {
            let mark = RoomMark {
                name: room.name().clone(),
                incarnation: room.incarnation(),
                number: room.forwarded(),
                has_begun: false,
            };
            marks.insert(mark.incarnation, mark);
        }
        tokio::task::yield_now().await;
    }
}

/// Between two letters, where so many other nodes are.
fn letter_pause(others: usize) -> Duration {
    let (least, most) = OWN_LETTERS_A_SECOND.into_inner();
    let letters = (LETTERS_A_SECOND / (others + 1)).clamp(least, most);
    Duration::from_secs(1) / u32::try_from(letters).unwrap_or(1)
}

/// One after the other: whatever is asked, no more is said in a second than [`LETTERS_A_SECOND`] allows.
async fn publish_all(
    link: &RedisLink,
    client: &dyn RedisClient,
    written: &[Bytes],
) -> Result<(), CommandError> {
    for (letter, next) in written.iter().zip(1..) {
        client
            .publish(link.nodes_channel.clone(), letter.clone())
            .await?;
        link.metrics.bridge_digests.inc();
        if next < written.len() {
            let others = link.company.others(link.clock.now());
            tokio::time::sleep(letter_pause(others)).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_nodes_together_say_no_more_in_a_second_than_a_subscriber_takes() {
        for nodes in 1..=1_024_usize {
            let letters = nodes as f64 / letter_pause(nodes - 1).as_secs_f64();
            let most = LETTERS_A_SECOND.max(nodes * 2) as f64;
            assert!(letters <= most + 0.01, "{nodes} nodes, {letters} letters");
        }
        assert_eq!(letter_pause(0), Duration::from_secs(1) / 32);
        assert_eq!(letter_pause(usize::MAX - 1), Duration::from_millis(500));
    }
}
