//! Which rooms this node wants from one Redis, and what came of it.
//!
//! Workers say who joined first and who left last ([`Subscriptions::watch`],
//! [`Subscriptions::unwatch`]); the link's
//! own task subscribes and unsubscribes. Watches are counted, since the two may arrive out of order
//! when a room dies and comes back on another worker at the same moment.
//!
//! One lock, held for a few instructions, on the way of joins and leaves, not of messages within the
//! node. Bounds: as many entries as rooms with members on this node, and those that had some within
//! `bridge.linger`.

#[cfg(test)]
mod tests;

use super::randomness::Randomness;
use crate::clock::Millis;
use crate::name::RoomName;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::Notify;

/// How far a room's subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    /// To be asked for.
    Wanted,
    /// Asked for in this session.
    Asked,
    /// Redis has it.
    Confirmed,
}

#[derive(Debug)]
struct Watched<T> {
    /// Rooms of this name with members: one, or two for the moment in which one follows another.
    watchers: i64,
    subscription: Subscription,
    /// Members wait for their welcome.
    held: bool,
    /// When the last member left, if none is there.
    left: Millis,
    /// The room stands in [`Table::idle`]: once, however often members come and go.
    is_idle: bool,
    /// What the owner knows of it.
    state: T,
}

impl<T> Watched<T> {
    fn stands(&self) -> bool {
        self.watchers > 0 && self.subscription == Subscription::Confirmed
    }
}

#[derive(Debug)]
struct Table<T> {
    rooms: HashMap<RoomName, Watched<T>, FixedState>,
    /// To be subscribed, in order; entries of rooms that are gone are passed over.
    wanted: VecDeque<RoomName>,
    /// Of these, those whose members wait: they come first.
    urgent: VecDeque<RoomName>,
    /// Rooms that were left, each once, and when to look again.
    idle: VecDeque<(Millis, RoomName)>,
    /// Rooms whose members wait, in order, and until when.
    held: VecDeque<(Millis, RoomName)>,
    confirmed: usize,
    is_up: bool,
}

/// The rooms of one Redis, with a `T` for each.
#[derive(Debug)]
pub(crate) struct Subscriptions<T> {
    table: Mutex<Table<T>>,
    /// Something is to be subscribed, or somebody waits.
    pub(crate) changed: Notify,
    linger: Duration,
    confirm_timeout: Duration,
}

/// What is due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Left for longer than the linger: to be unsubscribed. No longer in the table.
    pub(crate) idle: Vec<RoomName>,
    /// Members have waited long enough.
    pub(crate) overdue: Vec<RoomName>,
}

impl<T> Subscriptions<T> {
    /// No rooms. A room without members is given up after `linger`; members wait for Redis up to
    /// `confirm_timeout`.
    pub(crate) fn new(
        linger: Duration,
        confirm_timeout: Duration,
        randomness: &Randomness,
    ) -> Self {
        let table = Table {
            rooms: HashMap::with_hasher(FixedState::with_seed(randomness.number())),
            wanted: VecDeque::new(),
            urgent: VecDeque::new(),
            idle: VecDeque::new(),
            held: VecDeque::new(),
            confirmed: 0,
            is_up: false,
        };
        Self {
            table: Mutex::new(table),
            changed: Notify::new(),
            linger,
            confirm_timeout,
        }
    }

    /// The room has a first member; `begin` says what is known of a room that nobody knew. True if
    /// that member need not wait.
    pub(crate) fn watch(&self, name: &RoomName, now: Millis, begin: impl FnOnce() -> T) -> bool {
        let mut table = self.table.lock();
        let is_up = table.is_up;
        if let Some(watched) = table.rooms.get_mut(name.as_str()) {
            watched.watchers += 1;
            if !is_up || watched.subscription == Subscription::Confirmed {
                return true;
            }
            if std::mem::replace(&mut watched.held, true) {
                return false;
            }
            if watched.subscription == Subscription::Wanted {
                table.urgent.push_back(name.clone());
            }
        } else {
            let watched = Watched {
                watchers: 1,
                subscription: Subscription::Wanted,
                held: is_up,
                left: Millis::NEVER,
                is_idle: false,
                state: begin(),
            };
            table.rooms.insert(name.clone(), watched);
            if !is_up {
                return true; // The next session asks for everything.
            }
            table.urgent.push_back(name.clone());
        }
        let until = now + self.confirm_timeout;
        table.held.push_back((until, name.clone()));
        drop(table);
        self.changed.notify_one();
        false
    }

    /// The room's last member has left.
    pub(crate) fn unwatch(&self, name: &RoomName, now: Millis) {
        let mut table = self.table.lock();
        let Some(watched) = table.rooms.get_mut(name.as_str()) else {
            return;
        };
        watched.watchers -= 1;
        if watched.watchers <= 0 {
            watched.left = now;
            if !std::mem::replace(&mut watched.is_idle, true) {
                table.idle.push_back((now + self.linger, name.clone()));
            }
        }
    }

    /// A session begins: nothing is subscribed, everything is wanted, members wait from here on.
    pub(crate) fn begin(&self) {
        let mut table = self.table.lock();
        let Table {
            rooms,
            wanted,
            urgent,
            ..
        } = &mut *table;
        wanted.clear();
        urgent.clear();
        for (name, watched) in rooms {
            watched.subscription = Subscription::Wanted;
            wanted.push_back(name.clone());
        }
        table.confirmed = 0;
        table.is_up = true;
    }

    /// A session is over: nobody waits. The rooms whose members did.
    pub(crate) fn end(&self) -> Vec<RoomName> {
        let mut table = self.table.lock();
        table.is_up = false;
        table.confirmed = 0;
        let Table { rooms, held, .. } = &mut *table;
        let waited = held.drain(..).filter(|(_, name)| {
            rooms
                .get_mut(name.as_str())
                .is_some_and(|watched| std::mem::take(&mut watched.held))
        });
        waited.map(|(_, name)| name).collect()
    }

    /// This room is not subscribed any more, although it was asked for: it is wanted again.
    pub(crate) fn lose(&self, name: &str, visit: impl FnOnce(&mut T)) {
        let mut table = self.table.lock();
        let Table {
            rooms,
            wanted,
            confirmed,
            ..
        } = &mut *table;
        let known = rooms.get_key_value(name).map(|(name, _)| name.clone());
        let Some((name, watched)) = known.and_then(|name| {
            let watched = rooms.get_mut(name.as_str())?;
            Some((name, watched))
        }) else {
            return;
        };
        visit(&mut watched.state);
        let lost = std::mem::replace(&mut watched.subscription, Subscription::Wanted);
        if lost == Subscription::Wanted {
            return;
        }
        *confirmed -= usize::from(lost == Subscription::Confirmed);
        wanted.push_back(name);
        drop(table);
        self.changed.notify_one();
    }

    /// The next rooms to subscribe, at most `max`, first those whose members wait.
    pub(crate) fn take_wanted(&self, max: usize) -> Vec<RoomName> {
        let mut table = self.table.lock();
        let Table {
            rooms,
            wanted,
            urgent,
            ..
        } = &mut *table;
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(name) = urgent.pop_front().or_else(|| wanted.pop_front())
        {
            if let Some(watched) = rooms.get_mut(name.as_str())
                && watched.subscription == Subscription::Wanted
            {
                watched.subscription = Subscription::Asked;
                taken.push(name);
            }
        }
        taken
    }

    /// Are there rooms still to be asked for that were known before the session?
    pub(crate) fn is_behind(&self) -> bool {
        !self.table.lock().wanted.is_empty()
    }

    /// Redis has this room, if it was asked for in this session; true if members wait for that.
    pub(crate) fn confirm(&self, name: &RoomName) -> bool {
        let mut table = self.table.lock();
        let Some(watched) = table.rooms.get_mut(name.as_str()) else {
            return false;
        };
        if watched.subscription == Subscription::Wanted {
            return false; // Else nobody would ask for it any more.
        }
        let is_new = watched.subscription == Subscription::Asked;
        watched.subscription = Subscription::Confirmed;
        let held = std::mem::take(&mut watched.held);
        table.confirmed += usize::from(is_new);
        held
    }

    /// What is due at `now`.
    pub(crate) fn due(&self, now: Millis) -> Due {
        let mut due = Due::default();
        let mut table = self.table.lock();
        let linger = self.linger;
        let Table {
            rooms,
            idle,
            held,
            confirmed,
            is_up,
            ..
        } = &mut *table;
        while idle.front().is_some_and(|(until, _)| *until <= now)
            && let Some((_, name)) = idle.pop_front()
        {
            let Some(watched) = rooms.get_mut(name.as_str()) else {
                continue;
            };
            let until = watched.left + linger;
            if watched.watchers > 0 {
                watched.is_idle = false;
            } else if until > now {
                // Somebody was there meanwhile. Not in order any more, so up to one linger late.
                idle.push_back((until, name));
            } else {
                // While Redis is down none is counted, whatever it was in the last session.
                let is_counted = *is_up && watched.subscription == Subscription::Confirmed;
                *confirmed -= usize::from(is_counted);
                rooms.remove(name.as_str());
                due.idle.push(name);
            }
        }
        while held.front().is_some_and(|(until, _)| *until <= now)
            && let Some((_, name)) = held.pop_front()
        {
            if let Some(watched) = rooms.get_mut(name.as_str())
                && std::mem::take(&mut watched.held)
            {
                due.overdue.push(name);
            }
        }
        due
    }

    /// Runs `visit` on what is known of a room; `None` if the room is not wanted.
    pub(crate) fn visit<R>(&self, name: &str, visit: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut table = self.table.lock();
        let watched = table.rooms.get_mut(name)?;
        Some(visit(&mut watched.state))
    }

    /// Runs `visit` on what is known of every room; the names of those for which it is true.
    pub(crate) fn visit_all(&self, mut visit: impl FnMut(&mut T) -> bool) -> Vec<RoomName> {
        let mut table = self.table.lock();
        let mut names = Vec::new();
        for (name, watched) in &mut table.rooms {
            if visit(&mut watched.state) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Has this room members, and is it subscribed?
    pub(crate) fn stands(&self, name: &RoomName) -> bool {
        let table = self.table.lock();
        table.rooms.get(name.as_str()).is_some_and(Watched::stands)
    }

    /// The rooms with members that are subscribed.
    pub(crate) fn standing(&self) -> Vec<RoomName> {
        let table = self.table.lock();
        let standing = table.rooms.iter().filter(|(_, watched)| watched.stands());
        standing.map(|(name, _)| name.clone()).collect()
    }

    /// Has this room members, or had some within the linger?
    pub(crate) fn has(&self, name: &RoomName) -> bool {
        self.table.lock().rooms.contains_key(name.as_str())
    }

    /// Rooms wanted, and of these confirmed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let table = self.table.lock();
        (table.rooms.len(), table.confirmed)
    }
}
