//! Users' messages to a worker or a group: several at once, by the commands that each would have alone.

use super::codec::Unwritable;
use super::codec::value::Map;
use super::layer::Layer;
use super::random::fill;
use super::scripts::{Commands, HostCommands, Score, Scores};
use super::unsettled::{Go, KEPT, Remnant, Unsettled, Went};
use super::user_queue::{Destination, UserQueue};
use super::wire;
use crate::clock;
use crate::metrics::count_all;
use crate::redis::client::{HandedOver, RedisClient};
use crate::redis::failure::CommandError;
use crate::redis::fault::RedisFault;
use crate::redis::log_limiter::LogLimiter;
use crate::redis::value::RedisValue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes for Redis after which a group gets no more messages in one go: each is written once for each process.
const GROUP_BYTES: usize = 1024 * 1024;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is nothing more to do.
    Settled(Went),
    /// Nobody has it: it may be sent again.
    Waits,
    /// Redis has not answered, and will have left a mark if it has done it.
    Unheard,
}

/// A message between being sent and being answered.
enum UnderWay {
    /// Nothing was sent, and nothing will be.
    Dropped(&'static str),
    /// Nothing was sent: there is nobody to send to now.
    Waits,
    /// To so many destinations; with the answers of each host. Some destinations' hosts may be missing.
    Asked {
        destinations: u64,
        is_missing: bool,
        answers: Vec<Vec<HandedOver>>,
    },
}

impl From<Unwritable> for UnderWay {
    fn from(_too_long_or_not_of_this_format: Unwritable) -> Self {
        Self::Dropped("unwritable")
    }
}

/// What the answers to one message say.
#[derive(Default)]
struct HostAnswers {
    full: u64,
    /// Destinations that are no queues of messages.
    foreign: u64,
    /// A host has answered that it takes it.
    is_taken: bool,
    /// A host has answered that it takes nothing for now.
    is_put_off: bool,
    /// A host has not answered.
    is_unheard: bool,
    /// Why a host has it not, or may not have it.
    cause: Option<&'static str>,
}

/// The sender of one queue's messages.
pub(super) struct Courier<'q> {
    queue: &'q UserQueue,
    layer: &'q Layer,
    scores: Scores,
    failure_lines: LogLimiter,
    /// The last go, if it leaves marks.
    last: Option<Go>,
    /// Messages of it that Redis has not answered for.
    unsettled: Option<Unsettled>,
}

impl<'q> Courier<'q> {
    pub(super) fn new(queue: &'q UserQueue, layer: &'q Layer) -> Self {
        Self {
            queue,
            layer,
            scores: Scores::default(),
            failure_lines: LogLimiter::default(),
            last: None,
            unsettled: None,
        }
    }

    /// Is a host there that messages could go to?
    pub(super) fn has_way(&self) -> bool {
        match &self.queue.to {
            Destination::Worker(_) => self.layer.hosts.iter().any(|host| host.client().is_some()),
            Destination::Group(group) => self.client(self.layer.host_of_group(group)).is_some(),
        }
    }

    /// Sends messages in this order, and waits for what becomes of each. One that may be sent again has none behind it
    /// that Redis has, or may have.
    pub(super) async fn send(&mut self, events: &[Map<'_>]) -> Vec<Fate> {
        let go = self.go();
        let under_way = match &self.queue.to {
            Destination::Worker(channel) => self.tell_worker(channel, events, go.as_ref()).await,
            Destination::Group(group) if self.layer.is_core => {
                self.tell_group(group, events, go.as_ref()).await
            }
            Destination::Group(group) => self.publish(group, events).await,
        };
        let mut fates = Vec::new();
        for message in under_way {
            fates.push(self.answered(message, go.is_some()).await);
        }
        in_order(&mut fates);
        self.last = go;
        fates
    }

    /// A go of its own for what is sent now, where its marks can be read: at one host of layer `core`.
    fn go(&self) -> Option<Go> {
        let layer = self.layer;
        let [host] = &*layer.hosts else {
            return None;
        };
        if !layer.is_core {
            return None;
        }
        let go = self.queue.goes.fetch_add(1, Ordering::Relaxed);
        let marks = |go: u64| layer.key(&self.queue.marks(go));
        Some(Go {
            lapses: host.unheard.lapses(),
            fence: layer.key(&host.unheard.fence()),
            last: marks(go),
            marks: marks(go + 1),
            // As long as a message may wait to be settled, and no less than that.
            kept: layer.expiry.get() + KEPT,
        })
    }

    /// What of the last go is not settled: these places of those that wait.
    pub(super) fn leave_unsettled(&mut self, places: VecDeque<Remnant>) {
        self.unsettled = self.last.take().map(|go| Unsettled { go, places });
    }

    /// Settles what the last go has left, if there is something and Redis is there to ask: up to the first one that
    /// Redis has not. Those that are `given_up` meanwhile are lost.
    pub(super) async fn settle(&mut self, given_up: impl Fn(usize) -> bool) -> Option<Vec<Went>> {
        let mut unsettled = self.unsettled.take()?;
        let host = self.layer.hosts.first()?;
        let marks = match host.client() {
            Some(client) => client.send(Commands::kept(&unsettled.go.marks)).await.ok(),
            None => None,
        };
        let Some(marks) = marks.map(wire::marks) else {
            let places = unsettled.places.iter().enumerate();
            let lost = places.take_while(|(at, _)| given_up(*at)).count();
            let lost = unsettled.places.drain(..lost).map(|place| match place {
                Remnant::Settled(went) => went,
                Remnant::Sent(_) => Went::Dropped("lost"),
            });
            let lost: Vec<Went> = lost.collect();
            self.report_lost(&lost);
            if !unsettled.places.is_empty() {
                self.unsettled = Some(unsettled);
            }
            return Some(lost);
        };
        let is_forgotten = host.unheard.lapses() != unsettled.go.lapses;
        let went = unsettled.places.into_iter().map_while(|place| match place {
            Remnant::Settled(went) => Some(went),
            Remnant::Sent(_) if is_forgotten => Some(Went::Dropped("lost")),
            Remnant::Sent(number) => {
                let mark = marks.iter().find(|mark| mark.number == number)?;
                Some(self.reached(mark.destinations, mark.missed))
            }
        });
        let went: Vec<Went> = went.collect();
        self.report_lost(&went);
        Some(went)
    }

    fn report_lost(&mut self, went: &[Went]) {
        let is_lost = went.contains(&Went::Dropped("lost"));
        if is_lost && self.failure_lines.is_due(self.layer.clock.now()) {
            tracing::warn!(
                to = self.queue.label(),
                reason = "its connection broke before Redis answered",
                "a user's message did not reach Django"
            );
        }
    }

    fn client(&self, host: usize) -> Option<Arc<dyn RedisClient>> {
        self.layer.hosts.get(host)?.client()
    }

    fn now(&mut self) -> Score {
        self.scores.next(clock::wall())
    }

    /// Workers look on all hosts in turn, and wait at each: so in turn they are sent to.
    async fn tell_worker(
        &mut self,
        channel: &str,
        events: &[Map<'_>],
        go: Option<&Go>,
    ) -> Vec<UnderWay> {
        let (mut under_way, mut trimmed) = (Vec::new(), Vec::new());
        for (number, event) in events.iter().enumerate() {
            let Some((host, client)) = self.next_host() else {
                under_way.push(UnderWay::Waits);
                continue;
            };
            let now = self.now();
            let sent = self.layer.commands.send(channel, event, now, &mut fill);
            under_way.push(match sent {
                Err(unwritable) => unwritable.into(),
                Ok(batch) => UnderWay::Asked {
                    destinations: 1,
                    is_missing: false,
                    answers: vec![
                        hand_over(
                            &*client,
                            Go::mark(go, HostCommands { host, ..batch }, number),
                            &mut trimmed,
                        )
                        .await,
                    ],
                },
            });
        }
        under_way
    }

    /// The next host that is there.
    fn next_host(&self) -> Option<(usize, Arc<dyn RedisClient>)> {
        let turn = self.queue.turn.fetch_add(1, Ordering::Relaxed);
        let hosts = self.layer.hosts.len().max(1);
        (0..hosts).find_map(|step| {
            let host = (turn + step) % hosts;
            Some((host, self.client(host)?))
        })
    }

    /// Layer `core`: for every process with members in the group, who are asked for once.
    async fn tell_group(
        &mut self,
        group: &str,
        events: &[Map<'_>],
        go: Option<&Go>,
    ) -> Vec<UnderWay> {
        let all = |each: fn() -> UnderWay| events.iter().map(|_| each()).collect();
        let layer = self.layer;
        let Some(client) = self.client(layer.host_of_group(group)) else {
            return all(|| UnderWay::Waits);
        };
        let members = layer.commands.members(group, self.now());
        let members = match wire::run_all(&*client, members.into()).await {
            Ok(members) => wire::texts(members),
            // Nothing is sent yet.
            Err(error) if error.is_about_connection() => return all(|| UnderWay::Waits),
            Err(error) => {
                self.report(&error);
                return all(|| UnderWay::Dropped("refused"));
            }
        };
        let (mut under_way, mut trimmed, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (number, event) in events.iter().enumerate() {
            if bytes >= GROUP_BYTES {
                under_way.push(UnderWay::Waits);
                continue;
            }
            let names = members.iter().map(String::as_str);
            let (commands, now) = (&layer.commands, self.now());
            let batches = commands.send_to_group(names, &layer.own, event, now, &mut fill);
            let batches = match batches {
                Err(unwritable) => {
                    under_way.push(unwritable.into());
                    continue;
                }
                Ok(batches) if batches.is_empty() => {
                    under_way.push(UnderWay::Dropped("nobody"));
                    continue;
                }
                Ok(batches) => batches,
            };
            let (mut destinations, mut is_missing, mut answers) = (0, false, Vec::new());
            for batch in batches {
                destinations += batch.destinations as u64;
                bytes += batch.send.arguments.iter().map(Vec::len).sum::<usize>();
                match self.client(batch.host) {
                    None => is_missing = true,
                    Some(client) => {
                        let batch = Go::mark(go, batch, number);
                        answers.push(hand_over(&*client, batch, &mut trimmed).await);
                    }
                }
            }
            under_way.push(if answers.is_empty() {
                UnderWay::Waits
            } else {
                UnderWay::Asked {
                    destinations,
                    is_missing,
                    answers,
                }
            });
        }
        under_way
    }

    /// Layer `pubsub`.
    async fn publish(&mut self, group: &str, events: &[Map<'_>]) -> Vec<UnderWay> {
        let mut under_way = Vec::new();
        for event in events {
            let now = self.now();
            let commands = &self.layer.commands;
            let published = commands.publish_to_group(group, event, now, &mut fill);
            under_way.push(match published {
                Err(unwritable) => unwritable.into(),
                Ok((host, command)) => match self.client(host) {
                    None => UnderWay::Waits,
                    Some(client) => UnderWay::Asked {
                        destinations: 1,
                        is_missing: false,
                        answers: vec![wire::hand_over_all(&*client, vec![command]).await],
                    },
                },
            });
        }
        under_way
    }

    async fn answered(&mut self, under_way: UnderWay, is_marked: bool) -> Fate {
        let dropped = |cause| Fate::Settled(Went::Dropped(cause));
        let (destinations, is_missing, answers) = match under_way {
            UnderWay::Dropped(cause) => return dropped(cause),
            UnderWay::Waits => return Fate::Waits,
            UnderWay::Asked {
                destinations,
                is_missing,
                answers,
            } => (destinations, is_missing, answers),
        };
        let mut said = HostAnswers::default();
        for answer in answers {
            self.hear(answer, is_marked, &mut said).await;
        }
        if said.is_unheard && is_marked {
            Fate::Unheard
        } else if said.is_unheard {
            dropped("lost")
        } else if let Some(cause) = said.cause {
            dropped(cause)
        } else if said.is_put_off && !said.is_taken && !is_missing {
            Fate::Waits
        } else if said.is_put_off {
            dropped("refused")
        } else if is_missing {
            dropped("lost")
        } else {
            Fate::Settled(self.reached(destinations, [said.full, said.foreign]))
        }
    }

    /// What became of a message of which every host has said who missed it.
    fn reached(&self, destinations: u64, [full, foreign]: [u64; 2]) -> Went {
        if full == destinations {
            return Went::Dropped(if self.layer.is_core { "full" } else { "nobody" });
        }
        if full + foreign == destinations {
            return Went::Dropped("refused");
        }
        // As the layer: whoever is full misses it, and the others have it.
        let dropped = &self.layer.metrics.channels_dropped;
        count_all(dropped, "cause", "full", full);
        count_all(dropped, "cause", "refused", foreign);
        Went::Sent
    }

    /// Hears what one host says of a message. Only the last answer counts: the trims before it failed where it does.
    async fn hear(&mut self, answers: Vec<HandedOver>, is_marked: bool, said: &mut HostAnswers) {
        let mut last = None;
        for answer in answers {
            last = Some(answer.answered().await);
        }
        match last {
            None => {}
            Some(Ok(RedisValue::Bytes(_fenced))) if self.layer.is_core => said.is_put_off = true,
            Some(Ok(answer)) if self.layer.is_core => {
                let missed = wire::missed(&answer);
                said.full += missed.full;
                said.foreign += missed.foreign;
                said.is_taken = true;
                if let Some(fault) = missed.fault {
                    self.report(&fault);
                }
            }
            Some(Ok(answer)) if answer.number() == 0 => said.full += 1,
            Some(Ok(_)) => said.is_taken = true,
            Some(Err(error)) if error.was_answered() && error.fault() == RedisFault::Redis => {
                said.is_put_off = true;
            }
            Some(Err(error)) if error.was_answered() => {
                self.report(&error);
                said.cause = Some("refused");
            }
            Some(Err(error)) => {
                if !is_marked {
                    self.report(&error);
                }
                said.is_unheard = true;
            }
        }
    }

    /// At most one line a second: each message is counted anyway.
    fn report(&mut self, error: &CommandError) {
        if self.failure_lines.is_due(self.layer.clock.now()) {
            tracing::warn!(
                to = self.queue.label(),
                reason = %error,
                "a user's message did not reach Django"
            );
        }
    }
}

/// What is known of those before one that Redis has, or may have: they are not sent behind it.
fn in_order(fates: &mut [Fate]) {
    let sent = Fate::Settled(Went::Sent);
    let last_sent = fates.iter().rposition(|fate| *fate == sent);
    for fate in fates.iter_mut().take(last_sent.unwrap_or_default()) {
        if *fate == Fate::Unheard {
            *fate = Fate::Settled(Went::Dropped("lost"));
        }
    }
    let is_there = |fate: &Fate| [sent, Fate::Unheard].contains(fate);
    let last = fates.iter().rposition(is_there);
    for fate in fates.iter_mut().take(last.unwrap_or_default()) {
        if *fate == Fate::Waits {
            *fate = Fate::Settled(Went::Dropped("refused"));
        }
    }
}

/// Hands a message over to a host. What goes together is trimmed for once.
async fn hand_over(
    client: &dyn RedisClient,
    batch: HostCommands,
    trimmed: &mut Vec<usize>,
) -> Vec<HandedOver> {
    let commands = if trimmed.contains(&batch.host) {
        vec![batch.send]
    } else {
        trimmed.push(batch.host);
        batch.into_commands()
    };
    wire::hand_over_all(client, commands).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_again_behind_what_redis_may_have() {
        let settled = |cause| Fate::Settled(Went::Dropped(cause));
        let (sent, waits, unheard) = (Fate::Settled(Went::Sent), Fate::Waits, Fate::Unheard);
        for (mut fates, expected) in [
            (vec![sent, waits, waits], vec![sent, waits, waits]),
            (vec![waits, sent], vec![settled("refused"), sent]),
            (vec![waits, unheard], vec![settled("refused"), unheard]),
            (
                vec![unheard, sent, unheard],
                vec![settled("lost"), sent, unheard],
            ),
            (vec![sent, unheard, waits], vec![sent, unheard, waits]),
            (vec![], vec![]),
        ] {
            in_order(&mut fates);
            assert_eq!(fates, expected);
        }
    }
}
