//! What lies between the nodes and the model of Redis: connections on which bytes stay in order and take their time,
//! are held up, and are lost when a connection is.
//!
//! One task moves everything, by the moment at which it is due and then by the order in which it was sent.

use super::server::{Asked, Done, Server};
use crate::sim::seed::Choices;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use supportal::internal::redis::{
    CommandError, ErrorKind, LinkFailure, RedisValue, SubscriptionEvent,
};
use tokio::sync::{mpsc, oneshot};

/// What Redis answers, and to whom.
pub(super) type Answers = oneshot::Sender<Result<RedisValue, CommandError>>;

/// Published messages of which somebody who is no node may repeat one.
const HEARD: usize = 512;

/// Which connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those for commands.
    Commands,
    /// Those for subscriptions.
    Messages,
    /// All.
    All,
}

/// One thing on its way.
enum Event {
    /// To Redis.
    Asked(Asked, Answers),
    /// To the node.
    Answer(Result<RedisValue, CommandError>, Answers),
    /// To the node.
    Said(SubscriptionEvent),
    /// The node's system sees that the connection is gone.
    End,
}

impl Event {
    fn is_to_redis(&self) -> bool {
        matches!(self, Self::Asked(..))
    }
}

/// One connection.
#[derive(Debug)]
struct Link {
    node: usize,
    is_of_messages: bool,
    /// Redis knows it.
    is_known: bool,
    /// The node's end is open.
    is_held: bool,
    /// Nothing comes through any more.
    is_cut: bool,
    channels: BTreeSet<String>,
    inbox: Option<mpsc::UnboundedSender<SubscriptionEvent>>,
    ended: Option<oneshot::Sender<LinkFailure>>,
    /// When the last thing on its way arrives there: nothing overtakes.
    last: [u64; 2],
    /// Messages to be thrown away, and how many were.
    lag: (u64, u64),
}

/// Everything that is on its way.
#[derive(Default)]
pub(super) struct Network {
    pub(super) server: Server,
    links: BTreeMap<u64, Link>,
    /// By when it is due, and the order in which it was sent.
    events: BTreeMap<(u64, u64), (u64, Event)>,
    /// What a node that is cut off sends and is sent.
    held: Vec<(u64, Event)>,
    /// What Redis will find when it moves again.
    standing: Vec<(u64, Event)>,
    cut_off: BTreeSet<usize>,
    sequence: u64,
    /// How often was published on each channel.
    pub(super) published: BTreeMap<String, u64>,
    /// The newest of it, for those who say it again.
    heard: VecDeque<(String, Bytes)>,
    slow: BTreeMap<usize, u64>,
    choices: Option<Choices>,
}

fn gone(details: &str) -> CommandError {
    CommandError::new(ErrorKind::Transport, "IO Error", details)
}

impl Network {
    pub(super) fn new(choices: Choices) -> Self {
        Self {
            choices: Some(choices),
            ..Self::default()
        }
    }

    fn choices(&mut self) -> &mut Choices {
        self.choices.as_mut().expect("made with choices")
    }

    /// What one way takes, in microseconds.
    fn latency(&mut self, node: usize) -> u64 {
        let slow = self.slow.get(&node).copied().unwrap_or_default();
        let choices = self.choices();
        let burst = if choices.once_in(64) { 30_000 } else { 900 };
        choices.between(50, burst) + if slow > 0 { choices.below(slow) } else { 0 }
    }

    fn send(&mut self, link: u64, now: u64, event: Event) {
        let Some(node) = self.links.get(&link).map(|link| link.node) else {
            return;
        };
        let due = now + self.latency(node);
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        let last = &mut known.last[usize::from(event.is_to_redis())];
        *last = due.max(*last);
        let due = *last;
        self.sequence += 1;
        self.events.insert((due, self.sequence), (link, event));
    }

    /// A connection of a node begins; fails at once if nobody listens.
    pub(super) fn connect(
        &mut self,
        (node, is_of_messages): (usize, bool),
        now: u64,
        (answers, ended): (Answers, oneshot::Sender<LinkFailure>),
    ) -> u64 {
        self.sequence += 1;
        let id = self.sequence;
        let link = Link {
            node,
            is_of_messages,
            is_known: false,
            is_held: true,
            is_cut: false,
            channels: BTreeSet::new(),
            inbox: None,
            ended: Some(ended),
            last: [0; 2],
            lag: (0, 0),
        };
        self.links.insert(id, link);
        self.ask(id, now, Asked::Connect, answers);
        id
    }

    /// A command leaves a node.
    pub(super) fn ask(&mut self, link: u64, now: u64, asked: Asked, answers: Answers) {
        match self.links.get(&link) {
            Some(known) if known.is_held => self.send(link, now, Event::Asked(asked, answers)),
            _ => drop(answers.send(Err(gone("the connection is gone")))),
        }
    }

    /// What comes by subscription goes there from here on.
    pub(super) fn listen(&mut self, link: u64, inbox: mpsc::UnboundedSender<SubscriptionEvent>) {
        if let Some(link) = self.links.get_mut(&link) {
            link.inbox = Some(inbox);
        }
    }

    /// The node lets go of a connection. What it sent may still arrive, or not.
    pub(super) fn let_go(&mut self, link: u64, now: u64) {
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        known.is_held = false;
        known.inbox = None;
        let arrives = self.choices().percent(70);
        if !arrives {
            self.drop_events(link, |event| event.is_to_redis());
        }
        let (answers, _nobody) = oneshot::channel();
        self.send(link, now, Event::Asked(Asked::Leave, answers));
    }

    fn drop_events(&mut self, link: u64, is_lost: impl Fn(&Event) -> bool) {
        let is_kept = |of: u64, event: &Event| of != link || !is_lost(event);
        self.events.retain(|_, (of, event)| is_kept(*of, event));
        self.held.retain(|(of, event)| is_kept(*of, event));
        self.standing.retain(|(of, event)| is_kept(*of, event));
    }

    /// Does everything that is due; when the next thing is.
    pub(super) fn turn(&mut self, now: u64) -> Option<u64> {
        while let Some((&at, _)) = self.events.first_key_value()
            && at.0 <= now
            && let Some((link, event)) = self.events.remove(&at)
        {
            let node = self.links.get(&link).map_or(usize::MAX, |link| link.node);
            if self.cut_off.contains(&node) {
                self.held.push((link, event));
                continue;
            }
            match event {
                Event::Asked(..) if self.server.health.stands_still => {
                    self.standing.push((link, event));
                }
                Event::Asked(asked, answers) => self.arrive(link, now, asked, answers),
                Event::Answer(answer, answers) => drop(answers.send(answer)),
                Event::Said(said) => self.hand(link, said),
                Event::End => self.end(link),
            }
        }
        self.events.first_key_value().map(|(at, _)| at.0)
    }

    /// Redis reads something.
    fn arrive(&mut self, link: u64, now: u64, asked: Asked, answers: Answers) {
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        if known.is_cut {
            return;
        }
        match asked {
            Asked::Connect if self.server.health.is_down => {
                self.links.remove(&link);
                return drop(answers.send(Err(gone("RedisConnection refused"))));
            }
            Asked::Connect => known.is_known = true,
            Asked::Leave => {
                self.links.remove(&link);
                return;
            }
            _ if !known.is_known => return,
            _ => {}
        }
        let mut done = Done::default();
        let is_publish = matches!(asked, Asked::Publish(..));
        let mut answer = self.server.execute(now, asked, &mut done);
        if let Some(known) = self.links.get_mut(&link) {
            known.channels.extend(done.subscribed);
            known
                .channels
                .retain(|channel| !done.unsubscribed.contains(channel));
        }
        for (channel, bytes) in done.published {
            let receivers = self.publish(now, &channel, &bytes);
            if is_publish {
                answer = Ok(RedisValue::Integer(receivers as i64));
            }
        }
        self.send(link, now, Event::Answer(answer, answers));
    }

    /// To how many connections it goes.
    fn publish(&mut self, now: u64, channel: &str, bytes: &Bytes) -> usize {
        *self.published.entry(channel.to_owned()).or_default() += 1;
        if self.heard.len() == HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back((channel.to_owned(), bytes.clone()));
        let hears = |link: &&Link| link.is_known && link.channels.contains(channel);
        let links = self.links.iter().filter(|(_, link)| hears(link));
        let links: Vec<u64> = links.map(|(&id, _)| id).collect();
        let receivers = links.len();
        for link in links {
            let (channel, bytes) = (channel.into(), bytes.clone());
            let message = SubscriptionEvent::Message { channel, bytes };
            self.send(link, now, Event::Said(message));
        }
        receivers
    }

    /// The client takes a message in, or throws it away.
    fn hand(&mut self, link: u64, said: SubscriptionEvent) {
        let Some(Link {
            lag,
            inbox: Some(inbox),
            ..
        }) = self.links.get_mut(&link)
        else {
            return;
        };
        if lag.0 > 0 {
            lag.0 -= 1;
            lag.1 += 1;
            return;
        }
        let lost = std::mem::take(&mut lag.1);
        if lost > 0 {
            drop(inbox.send(SubscriptionEvent::Lagged(lost)));
        }
        drop(inbox.send(said));
    }

    /// The node learns that a connection is gone: nothing it waits for comes.
    fn end(&mut self, link: u64) {
        self.drop_events(link, |_| true);
        if let Some(mut known) = self.links.remove(&link)
            && let Some(ended) = known.ended.take()
        {
            drop(ended.send(gone("the connection was reset").into()));
        }
    }

    fn links_of(&self, node: Option<usize>, which: Which) -> Vec<u64> {
        let is_meant = |link: &&Link| {
            let is_kind = match which {
                Which::All => true,
                Which::Messages => link.is_of_messages,
                Which::Commands => !link.is_of_messages,
            };
            is_kind && node.is_none_or(|node| link.node == node)
        };
        let links = self.links.iter().filter(|(_, link)| is_meant(link));
        links.map(|(&id, _)| id).collect()
    }

    /// Connections are cut: of what is on its way to Redis a part is still done, and nobody hears the answers. The
    /// node's system sees it some time later.
    pub(super) fn cut(&mut self, node: Option<usize>, which: Which, now: u64) {
        for link in self.links_of(node, which) {
            let under_way = self.events.iter();
            let under_way = under_way.filter(|(_, (of, event))| *of == link && event.is_to_redis());
            let places: Vec<(u64, u64)> = under_way.map(|(&at, _)| at).collect();
            let done = self.choices().index(places.len() + 1);
            let is_reached = !self.server.health.is_down && !self.server.health.stands_still;
            for at in places.into_iter().take(if is_reached { done } else { 0 }) {
                if let Some((link, Event::Asked(asked, answers))) = self.events.remove(&at) {
                    self.arrive(link, now, asked, answers);
                }
            }
            self.drop_events(link, |_| true);
            let later = self.choices().below(200_000);
            if let Some(known) = self.links.get_mut(&link) {
                known.is_cut = true;
                known.is_known = false;
                self.send(link, now + later, Event::End);
            }
        }
    }

    /// The process ends, and every connection with it.
    pub(super) fn kill(&mut self, now: u64) {
        self.cut(None, Which::All, now);
        self.standing.clear();
        self.server.health = super::server::Health {
            is_down: true,
            ..Default::default()
        };
        self.server.forget_functions();
    }

    /// Redis stands still, or moves again and works off what came meanwhile.
    pub(super) fn stand_still(&mut self, stands_still: bool, now: u64) {
        self.server.health.stands_still = stands_still;
        if !stands_still {
            for (link, event) in std::mem::take(&mut self.standing) {
                self.send(link, now, event);
            }
        }
    }

    /// Nothing passes between a node and Redis, or what was held up does, as far as anybody still sends it.
    pub(super) fn cut_off(&mut self, node: usize, is_cut_off: bool, now: u64) {
        if is_cut_off {
            self.cut_off.insert(node);
            return;
        }
        self.cut_off.remove(&node);
        for (link, event) in std::mem::take(&mut self.held) {
            match self.links.get(&link).map(|link| link.node) {
                Some(of) if of == node => self.send(link, now, event),
                Some(_) => self.held.push((link, event)),
                None => {}
            }
        }
    }

    /// Somebody who is no node publishes: noise, or what was published before, on the same channel.
    pub(super) fn poison(&mut self, messages: u64, now: u64) {
        for _ in 0..messages {
            let heard = self.heard.len();
            if heard == 0 {
                return;
            }
            let choices = self.choices();
            let (at, is_noise) = (choices.index(heard), choices.percent(40));
            let length = choices.index(80);
            let noise: Vec<u8> = (0..length).map(|_| choices.bits() as u8).collect();
            let (channel, bytes) = self.heard[at].clone();
            let bytes = if is_noise { noise.into() } else { bytes };
            self.publish(now, &channel, &bytes);
        }
    }

    /// Every way of a node takes up to so many microseconds more.
    pub(super) fn slow(&mut self, node: usize, micros: u64) {
        self.slow.insert(node, micros);
    }

    /// The next messages of a node are thrown away by its client library.
    pub(super) fn lag(&mut self, node: usize, messages: u64) {
        for link in self.links_of(Some(node), Which::Messages) {
            if let Some(link) = self.links.get_mut(&link) {
                link.lag.0 = messages;
            }
        }
    }
}
