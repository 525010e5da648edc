//! How long the order of all nodes is waited for.
//!
//! A publication that does not come back within `bridge.order_timeout` is delivered at once, and its
//! room goes on alone: perhaps only that room's gap takes long. When Redis does not answer an append
//! within that time, or the session ends, all rooms do. Rooms are ordered again once answers are quick.

use super::redis_streams::{Streams, moment, within};
use crate::bridge::link::RedisLink;
use crate::bridge::order::RoomOrder;
use crate::broker::{Broker, Publication};
use crate::clock::Millis;
use crate::name::RoomName;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// `bridge.order_timeout` is looked at this many times.
const LOOKS: u32 = 5;

/// Publications that may wait for the next batch while rooms become ordered again.
const BACKLOG: usize = 512;

/// How often refused rooms are read again.
const AGAIN: Duration = Duration::from_secs(1);

impl Streams {
    /// Looks after what waits, for the length of a session.
    pub(in crate::bridge) async fn watch_order(&self, link: &RedisLink, broker: &Broker) {
        let mut looks = tokio::time::interval(self.order_timeout / LOOKS);
        loop {
            looks.tick().await;
            let now = link.clock.now();
            let since = self.unanswered_since.load(Relaxed);
            if self.is_answering.load(Relaxed) && now.since(Millis(since)) > self.order_timeout {
                self.go_alone(link, broker);
            }
            self.look(link, broker, now);
        }
    }

    /// Recalls what has waited for too long.
    fn look(&self, link: &RedisLink, broker: &Broker, now: Millis) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let mut still = Vec::new();
        for name in waiting {
            let is_late = link.order(name.as_str(), |order| {
                let oldest = order.oldest();
                order.is_watched = oldest.is_some();
                oldest.map(|oldest| now.since(oldest) > self.order_timeout)
            });
            match is_late.flatten() {
                Some(true) => {
                    self.recall(link, broker, &name);
                    still.push(name);
                }
                Some(false) => still.push(name),
                None => {}
            }
        }
        self.waiting.lock().append(&mut still);
    }

    /// Gives a room's members what waits there; the room goes on alone.
    fn recall(&self, link: &RedisLink, broker: &Broker, name: &RoomName) {
        let mut recalled = 0;
        let mut take = |ready: &mut Vec<Publication>| {
            let fall = |order: &mut RoomOrder| recalled = order.fall(ready);
            link.order(name.as_str(), fall)
        };
        let room = broker.named(name.as_str());
        within(broker, room.as_ref(), &mut take);
        link.metrics.bridge_recalled.inc_by(recalled);
    }

    /// No room waits any longer.
    fn go_alone(&self, link: &RedisLink, broker: &Broker) {
        self.is_answering.store(false, Relaxed);
        for name in link.orders(|order| order.oldest().is_some()) {
            self.recall(link, broker, &name);
        }
    }

    /// A session is over: rooms go on alone, and everything is to be read in the next one.
    pub(in crate::bridge) fn went_down(&self, link: &RedisLink, broker: &Broker) {
        self.reader.lock().take();
        self.unanswered_since.store(u64::MAX, Relaxed);
        self.go_alone(link, broker);
        self.begin(link);
    }

    /// A session begins.
    pub(in crate::bridge) fn begin(&self, link: &RedisLink) {
        self.to_read.lock().clear();
        self.on_the_way.lock().clear();
        self.refused.clear();
        link.orders(|order| {
            order.close();
            false
        });
        // Another Redis may lack what was said there.
        for name in self.spoken.lock().recent(link.clock.now()) {
            self.queue_read(name);
        }
    }

    /// The node goes down: what is said from here on is delivered at once.
    pub(in crate::bridge) fn close(&self, link: &RedisLink, broker: &Broker) {
        self.is_closing.store(true, Relaxed);
        self.go_alone(link, broker);
    }

    /// The oldest append that is not answered began then.
    pub(in crate::bridge) fn waits_since(&self, oldest: Option<Millis>) {
        self.unanswered_since.store(moment(oldest), Relaxed);
    }

    /// Redis answered after so long, and so much is still to be sent.
    pub(in crate::bridge) fn answered(&self, link: &RedisLink, took: Duration, backlog: usize) {
        let is_quick = took <= self.order_timeout / 2 && backlog <= BACKLOG;
        if is_quick && !self.is_answering.load(Relaxed) && !self.is_closing.load(Relaxed) {
            link.orders(|order| {
                order.rise();
                false
            });
            self.is_answering.store(true, Relaxed);
        }
    }

    /// A canary came back after so long. While nothing else is on its way that is how quick answers are: rooms are
    /// ordered again although nobody speaks on this node.
    pub(in crate::bridge) fn proven(&self, link: &RedisLink, took: Duration) {
        if self.unanswered_since.load(Relaxed) == u64::MAX {
            self.answered(link, took, 0);
        }
    }

    /// Reads refused rooms again, for the length of a session.
    pub(in crate::bridge) async fn ask_again(&self, link: &RedisLink) {
        let mut looks = tokio::time::interval(AGAIN);
        loop {
            looks.tick().await;
            let rooms: Vec<RoomName> = self.refused.rooms.lock().iter().cloned().collect();
            for name in rooms {
                match link.order(name.as_str(), RoomOrder::ask_again) {
                    Some(true) => self.queue_read(name),
                    Some(false) => {}
                    // Nobody is there any longer.
                    None => self.refused.remove(&name),
                }
            }
        }
    }
}
