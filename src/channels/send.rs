//! Users' messages to a worker or a group: several at once, by one command for each host.

use super::codec::Unwritable;
use super::codec::value::Map;
use super::layer::Layer;
use super::random::fill;
use super::scripts::{Commands, HostKeys, HostMessage, MarkKeys, Score, Scores};
use super::under_way::{Dispatch, Dispatches, Fate, HostAnswers, UnderWay, in_order};
use super::unsettled::{CourierFlight, KEPT, Remnant, Unsettled, Went};
use super::user_queue::{Destination, UserQueue};
use super::wire;
use crate::clock;
use crate::metrics::count_all;
use crate::redis::client::RedisClient;
use crate::redis::failure::{CommandError, ErrorKind};
use crate::redis::fault::RedisFault;
use crate::redis::log_limiter::LogLimiter;
use crate::redis::value::RedisValue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes for Redis after which a group gets no more messages in one flight: each is written once for each process, and Redis
/// does nothing else meanwhile, a millisecond or two.
const GROUP_BYTES: usize = 256 * 1024;

/// The sender of one queue's messages.
pub(super) struct Courier<'q> {
    queue: &'q UserQueue,
    layer: &'q Layer,
    scores: Scores,
    failure_lines: LogLimiter,
    /// The last flight, if it leaves marks.
    last: Option<CourierFlight>,
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
    /// that Redis has, or may have. None of them waits `longest` any more.
    pub(super) async fn send(&mut self, events: &[Map<'_>], longest: Duration) -> Vec<Fate> {
        let flight = self.flight(longest);
        let marks = flight.as_ref().map(|flight| &flight.marks);
        let told = match &self.queue.to {
            Destination::Worker(channel) => self.tell_worker(channel, events, marks).await,
            Destination::Group(group) if self.layer.is_core => {
                self.tell_group(group, events, marks).await
            }
            Destination::Group(group) => self.publish(group, events).await,
        };
        let Dispatches {
            mut under_way,
            dispatches,
        } = told;
        if flight.is_some() && !dispatches.is_empty() {
            self.queue.flights.fetch_add(1, Ordering::Relaxed);
        }
        for dispatch in dispatches {
            self.hear(dispatch, flight.is_some(), &mut under_way).await;
        }
        let fate = |message| self.fate(message, flight.is_some());
        let mut fates: Vec<Fate> = under_way.into_iter().map(fate).collect();
        in_order(&mut fates);
        self.last = flight;
        fates
    }

    /// A flight of its own for what is sent now, where its marks can be read: at one host of layer `core`.
    fn flight(&self, longest: Duration) -> Option<CourierFlight> {
        let layer = self.layer;
        let [host] = &*layer.hosts else {
            return None;
        };
        if !layer.is_core {
            return None;
        }
        let flight = self.queue.flights.load(Ordering::Relaxed);
        let marks = |flight: u64| layer.key(&self.queue.marks(flight));
        Some(CourierFlight {
            lapses: host.unheard.lapses(),
            marks: MarkKeys {
                fence: layer.key(&host.unheard.fence()),
                last: marks(flight),
                marks: marks(flight + 1),
                // As long as a message may wait to be settled, whatever `queue.expiry` is by then.
                kept: longest + KEPT,
            },
        })
    }

    /// What of the last flight is not settled: these places of those that wait.
    pub(super) fn leave_unsettled(&mut self, places: VecDeque<Remnant>) {
        self.unsettled = self.last.take().map(|flight| Unsettled { flight, places });
    }

    /// Settles what the last flight has left, if there is something and Redis is there to ask: up to the first one that
    /// Redis has not. Those that are `given_up` meanwhile are lost.
    pub(super) async fn settle(&mut self, given_up: impl Fn(usize) -> bool) -> Option<Vec<Went>> {
        let mut unsettled = self.unsettled.take()?;
        let host = self.layer.hosts.first()?;
        let marks = match host.client() {
            Some(client) => {
                client
                    .send(Commands::kept(&unsettled.flight.marks.marks))
                    .await
            }
            None => Err(CommandError::new(ErrorKind::Gone, "Redis", "")),
        };
        let is_refused =
            |error: &CommandError| error.was_answered() && error.fault() != RedisFault::Redis;
        // Marks that cannot be read, now or later, are none.
        let is_unreadable = marks.as_ref().is_err_and(is_refused);
        let marks = if is_unreadable {
            Some(Vec::new())
        } else {
            marks.ok().map(wire::marks)
        };
        let Some(marks) = marks else {
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
        let is_forgotten = is_unreadable || host.unheard.lapses() != unsettled.flight.lapses;
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
        marks: Option<&MarkKeys>,
    ) -> Dispatches {
        let (layer, mut told) = (self.layer, Dispatches::default());
        let to = layer.commands.to_channel(channel);
        let mut hosts: Vec<(usize, Vec<HostMessage>)> = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let Some(host) = self.next_host() else {
                told.under_way.push(UnderWay::Waits);
                continue;
            };
            match layer
                .commands
                .write(&to, event, number, self.now(), &mut fill)
            {
                Err(unwritable) => told.under_way.push(unwritable.into()),
                Ok(message) => {
                    told.asked(1);
                    match hosts.iter_mut().find(|(index, _)| *index == host) {
                        Some((_, messages)) => messages.push(message),
                        None => hosts.push((host, vec![message])),
                    }
                }
            }
        }
        for (host, messages) in hosts {
            self.tell_host(&mut told, (host, &to), messages, marks)
                .await;
        }
        told
    }

    /// Hands messages over to one host, which is not there any more if its link has gone down just now.
    async fn tell_host(
        &self,
        told: &mut Dispatches,
        (host, to): (usize, &HostKeys),
        messages: Vec<HostMessage>,
        marks: Option<&MarkKeys>,
    ) {
        let numbers: Vec<usize> = messages.iter().map(|message| message.number).collect();
        if numbers.is_empty() {
            return;
        }
        if let Some(client) = self.client(host) {
            let command = self.layer.commands.send(to, messages, marks);
            told.dispatch(&*client, numbers, command).await;
            return;
        }
        for number in numbers {
            if let Some(UnderWay::Asked { is_missing, .. }) = told.under_way.get_mut(number) {
                *is_missing = true;
            }
        }
    }

    /// The next host that is there.
    fn next_host(&self) -> Option<usize> {
        let turn = self.queue.turn.fetch_add(1, Ordering::Relaxed);
        let hosts = self.layer.hosts.len().max(1);
        let mut next = (0..hosts).map(|step| (turn + step) % hosts);
        next.find(|host| self.client(*host).is_some())
    }

    /// Layer `core`: for every process with members in the group, who are asked for once.
    async fn tell_group(
        &mut self,
        group: &str,
        events: &[Map<'_>],
        marks: Option<&MarkKeys>,
    ) -> Dispatches {
        let layer = self.layer;
        let Some(client) = self.client(layer.host_of_group(group)) else {
            return Dispatches::all(events, || UnderWay::Waits);
        };
        let members = layer.commands.members(group, self.now());
        let members = match wire::run_all(&*client, members.into()).await {
            Ok(members) => wire::texts(members),
            // Nothing is sent yet.
            Err(error) if error.is_about_connection() => {
                return Dispatches::all(events, || UnderWay::Waits);
            }
            Err(error) => {
                self.report(&error);
                return Dispatches::all(events, || UnderWay::Dropped("refused"));
            }
        };
        let members = members.iter().map(String::as_str);
        let hosts = layer.commands.to_group(members, &layer.own);
        if hosts.is_empty() {
            return Dispatches::all(events, || UnderWay::Dropped("nobody"));
        }
        let destinations = hosts.iter().map(HostKeys::len).sum();
        let (mut told, mut bytes) = (Dispatches::default(), 0);
        let mut messages: Vec<Vec<HostMessage>> = hosts.iter().map(|_| Vec::new()).collect();
        for (number, event) in events.iter().enumerate() {
            if bytes >= GROUP_BYTES {
                told.under_way.push(UnderWay::Waits);
                continue;
            }
            let (commands, now) = (&layer.commands, self.now());
            let each = hosts
                .iter()
                .map(|to| commands.write(to, event, number, now, &mut fill));
            match each.collect::<Result<Vec<HostMessage>, Unwritable>>() {
                Err(unwritable) => told.under_way.push(unwritable.into()),
                Ok(each) => {
                    told.asked(destinations);
                    bytes += each.iter().map(HostMessage::bytes).sum::<usize>();
                    for (messages, message) in messages.iter_mut().zip(each) {
                        messages.push(message);
                    }
                }
            }
        }
        for (to, messages) in hosts.iter().zip(messages) {
            self.tell_host(&mut told, (to.host, to), messages, marks)
                .await;
        }
        told
    }

    /// Layer `pubsub`.
    async fn publish(&mut self, group: &str, events: &[Map<'_>]) -> Dispatches {
        let mut told = Dispatches::default();
        for (number, event) in events.iter().enumerate() {
            let now = self.now();
            let commands = &self.layer.commands;
            match commands.publish_to_group(group, event, now, &mut fill) {
                Err(unwritable) => told.under_way.push(unwritable.into()),
                Ok((host, command)) => match self.client(host) {
                    None => told.under_way.push(UnderWay::Waits),
                    Some(client) => {
                        told.asked(1);
                        told.dispatch(&*client, vec![number], command).await;
                    }
                },
            }
        }
        told
    }

    fn fate(&self, message: UnderWay, is_marked: bool) -> Fate {
        let dropped = |cause| Fate::Settled(Went::Dropped(cause));
        let (destinations, is_missing, said) = match message {
            UnderWay::Dropped(cause) => return dropped(cause),
            UnderWay::Waits => return Fate::Waits,
            UnderWay::Asked {
                destinations,
                is_missing,
                said,
            } => (destinations, is_missing, said),
        };
        if said.is_unheard && is_marked {
            Fate::Unheard
        } else if said.is_unheard {
            dropped("lost")
        } else if let Some(cause) = said.cause {
            dropped(cause)
        } else if said.is_taken && is_missing {
            dropped("lost")
        } else if said.is_taken && said.is_put_off {
            dropped("refused")
        } else if said.is_taken {
            Fate::Settled(self.reached(destinations, [said.full, said.foreign]))
        } else {
            // Nobody has it.
            Fate::Waits
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

    /// Hears what one host says of the messages that it was told of.
    async fn hear(&mut self, dispatch: Dispatch, is_marked: bool, under_way: &mut [UnderWay]) {
        let Dispatch { messages, answer } = dispatch;
        let mut hear = |change: &dyn Fn(usize, &mut HostAnswers)| {
            for (place, message) in messages.iter().enumerate() {
                if let Some(UnderWay::Asked { said, .. }) = under_way.get_mut(*message) {
                    change(place, said);
                }
            }
        };
        match answer.answered().await {
            Ok(RedisValue::Bytes(_fenced)) if self.layer.is_core => {
                hear(&|_, said| said.is_put_off = true);
            }
            Ok(answer) if self.layer.is_core => {
                let missed = wire::missed(&answer.into_array(), messages.len());
                hear(&|place, said| {
                    said.full += missed.full.get(place).copied().unwrap_or_default();
                    said.foreign += missed.foreign;
                    said.is_taken = true;
                });
                if let Some(fault) = missed.fault {
                    self.report(&fault);
                }
            }
            Ok(answer) => hear(&|_, said| {
                said.full += u64::from(answer.number() == 0);
                said.is_taken = true;
            }),
            Err(error) if error.was_answered() && error.fault() == RedisFault::Redis => {
                hear(&|_, said| said.is_put_off = true);
            }
            Err(error) if error.was_answered() => {
                hear(&|_, said| said.cause = Some("refused"));
                self.report(&error);
            }
            Err(error) => {
                hear(&|_, said| said.is_unheard = true);
                if !is_marked {
                    self.report(&error);
                }
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
