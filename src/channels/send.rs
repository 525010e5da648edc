//! Users' messages to a worker or a group: several at once, by the commands that each would have alone.

use super::codec::Unwritable;
use super::codec::value::Map;
use super::layer::Layer;
use super::random::fill;
use super::scripts::{HostCommands, Score, Scores};
use super::user_queue::{Destination, UserQueue};
use super::wire;
use crate::clock;
use crate::metrics::count_all;
use crate::redis::client::{HandedOver, RedisClient};
use crate::redis::failure::CommandError;
use crate::redis::fault::RedisFault;
use crate::redis::log_limiter::LogLimiter;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes for Redis after which a group gets no more messages in one go: each is written once for each process.
const GROUP_BYTES: usize = 1024 * 1024;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// Redis has it.
    Sent,
    /// By a cause of [`CAUSES`](super::user_queue::CAUSES).
    Dropped(&'static str),
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
    /// Why a host has it not, or may not have it.
    cause: Option<&'static str>,
}

/// The sender of one queue's messages.
pub(super) struct Courier<'q> {
    queue: &'q UserQueue,
    layer: &'q Layer,
    scores: Scores,
    failure_lines: LogLimiter,
}

impl<'q> Courier<'q> {
    pub(super) fn new(queue: &'q UserQueue, layer: &'q Layer) -> Self {
        Self {
            queue,
            layer,
            scores: Scores::default(),
            failure_lines: LogLimiter::default(),
        }
    }

    /// Is a host there that messages could go to?
    pub(super) fn has_way(&self) -> bool {
        match &self.queue.to {
            Destination::Worker(_) => self.layer.hosts.iter().any(|host| host.client().is_some()),
            Destination::Group(group) => self.client(self.layer.host_of_group(group)).is_some(),
        }
    }

    /// Sends messages in this order, and waits for what becomes of each; `None` of one that may be sent again: nobody
    /// has it, nor one behind it.
    pub(super) async fn send(&mut self, events: &[Map<'_>]) -> Vec<Option<Went>> {
        let under_way = match &self.queue.to {
            Destination::Worker(channel) => self.to_worker(channel, events).await,
            Destination::Group(group) if self.layer.is_core => self.to_group(group, events).await,
            Destination::Group(group) => self.publish(group, events).await,
        };
        let mut sent = Vec::new();
        for message in under_way {
            sent.push(self.answered(message).await);
        }
        let last = sent.iter().rposition(|went| *went == Some(Went::Sent));
        for went in sent.iter_mut().take(last.unwrap_or_default()) {
            // Behind the later one it would be out of order.
            went.get_or_insert(Went::Dropped("refused"));
        }
        sent
    }

    fn client(&self, host: usize) -> Option<Arc<dyn RedisClient>> {
        self.layer.hosts.get(host)?.client()
    }

    fn now(&mut self) -> Score {
        self.scores.next(clock::wall())
    }

    /// Workers look on all hosts in turn, and wait at each: so in turn they are sent to.
    async fn to_worker(&mut self, channel: &str, events: &[Map<'_>]) -> Vec<UnderWay> {
        let (mut under_way, mut trimmed) = (Vec::new(), Vec::new());
        for event in events {
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
                    answers: vec![hand_over(&*client, host, batch, &mut trimmed).await],
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
    async fn to_group(&mut self, group: &str, events: &[Map<'_>]) -> Vec<UnderWay> {
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
        for event in events {
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
                let host = batch.host;
                match self.client(host) {
                    None => is_missing = true,
                    Some(client) => {
                        answers.push(hand_over(&*client, host, batch, &mut trimmed).await);
                    }
                }
            }
            under_way.push(UnderWay::Asked {
                destinations,
                is_missing,
                answers,
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

    async fn answered(&mut self, under_way: UnderWay) -> Option<Went> {
        let (destinations, is_missing, answers) = match under_way {
            UnderWay::Dropped(cause) => return Some(Went::Dropped(cause)),
            UnderWay::Waits => return None,
            UnderWay::Asked {
                destinations,
                is_missing,
                answers,
            } => (destinations, is_missing, answers),
        };
        let mut said = HostAnswers::default();
        for answer in answers {
            self.hear(answer, &mut said).await;
        }
        let dropped = if let Some(cause) = said.cause {
            cause
        } else if said.is_put_off && !said.is_taken && !is_missing {
            return None;
        } else if said.is_put_off {
            "refused"
        } else if is_missing {
            "lost"
        } else if self.layer.is_core && said.full == destinations {
            "full"
        } else if said.full + said.foreign == destinations {
            if self.layer.is_core {
                "refused"
            } else {
                "nobody"
            }
        } else {
            // As the layer: whoever is full misses it, and the others have it.
            let dropped = &self.layer.metrics.channels_dropped;
            count_all(dropped, "cause", "full", said.full);
            count_all(dropped, "cause", "refused", said.foreign);
            return Some(Went::Sent);
        };
        Some(Went::Dropped(dropped))
    }

    /// Hears what one host says of a message. Only the last answer counts: the trims before it failed where it does.
    async fn hear(&mut self, answers: Vec<HandedOver>, said: &mut HostAnswers) {
        let mut last = None;
        for answer in answers {
            last = Some(answer.answered().await);
        }
        match last {
            None => {}
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
            Some(Err(error)) => {
                self.report(&error);
                let is_refused = error.was_answered();
                said.cause = Some(if is_refused { "refused" } else { "lost" });
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

/// Hands a message over to a host. What goes together is trimmed for once.
async fn hand_over(
    client: &dyn RedisClient,
    host: usize,
    batch: HostCommands,
    trimmed: &mut Vec<usize>,
) -> Vec<HandedOver> {
    let commands = if trimmed.contains(&host) {
        vec![batch.send]
    } else {
        trimmed.push(host);
        batch.into_commands()
    };
    wire::hand_over_all(client, commands).await
}
