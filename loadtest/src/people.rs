//! People who lose their connection, or leave, and come back: who leaves when, how each kind of client returns, and what that cost.

use crate::clock::{SECOND, seconds};
use crate::engine::{Engine, Wanted};
use crate::latency::{Latency, Times};
use crate::plan::{Comeback, Leaving};
use crate::report::{Comings, Returns};
use crate::traffic::Ending;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The stock page tries again after this long, always.
const STOCK_PAUSE: u64 = 3 * SECOND;
/// The stock page gives up after so many tries; a successful one resets the count.
const STOCK_ATTEMPTS: u32 = 5;

#[derive(Debug, Clone, Copy, Default)]
struct Person {
    room: u32,
    slot: Option<u16>,
    attempts: u32,
    live: u32,
    timers: u32,
    lost_at: u64,
    gave_up: bool,
    /// Messages sent in the room until the connection ended.
    sent: u64,
    /// A try is under way.
    trying: u32,
}

/// The people of one group.
#[derive(Debug, Default)]
pub(crate) struct People {
    leaving: Leaving,
    group: usize,
    persons: Vec<Person>,
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// Open connections of those who may leave.
    ids: Vec<usize>,
    active: bool,
    next: u64,
    counts: Comings,
    /// A second, and the tries in it.
    peak: (u64, u64),
    away: Times,
    first_loss: u64,
    last_back: u64,
    flips: u32,
    /// Connections, by whomever.
    ended: u64,
    over: bool,
}

impl People {
    /// Nobody yet.
    pub(crate) fn new(leaving: Leaving, group: usize) -> Self {
        Self {
            leaving,
            group,
            ..Self::default()
        }
    }

    /// One more person; the number for [`Wanted::person`].
    pub(crate) fn add(&mut self, room: u32, slot: Option<u16>) -> u32 {
        self.persons.push(Person {
            room,
            slot,
            trying: 1,
            ..Person::default()
        });
        (self.persons.len() - 1) as u32
    }

    /// Begins or ends the leaving; people come back in any case.
    pub(crate) fn active(&mut self, active: bool, now: u64) {
        (self.active, self.next) = (active, now);
    }

    /// Nobody comes back any more.
    pub(crate) fn over(&mut self) {
        self.timers.clear();
        self.over = true;
    }

    /// A person's connection is open.
    pub(crate) fn opened(&mut self, engine: &Engine, id: usize, person: u32) {
        let now = engine.traffic.clock.now();
        let Some(person) = self.persons.get_mut(person as usize) else {
            return;
        };
        person.trying = person.trying.saturating_sub(1);
        person.live += 1;
        person.attempts = 0;
        if person.lost_at > 0 {
            self.away
                .saturating_record(now.saturating_sub(person.lost_at));
            person.lost_at = 0;
            self.counts.missed_while_away +=
                sent_in(engine, person.room).saturating_sub(person.sent);
            self.last_back = now;
        }
        if self.leaving.publishers || person.slot.is_none() {
            self.ids.push(id);
        }
    }

    /// A person's connection is gone or was not opened. `clean` as a browser sees it: a close frame came.
    pub(crate) fn gone(&mut self, engine: &mut Engine, ending: Ending, number: u32) {
        let Ending {
            id, clean, opened, ..
        } = ending;
        if self.over {
            return;
        }
        let now = engine.traffic.clock.now();
        if let Some(at) = self.ids.iter().position(|&open| open == id)
            && opened
        {
            self.ids.swap_remove(at);
        }
        let Some(person) = self.persons.get_mut(number as usize) else {
            return;
        };
        if opened {
            person.live = person.live.saturating_sub(1);
            self.ended += 1;
        } else {
            person.trying = person.trying.saturating_sub(1);
            self.counts.failed += 1;
        }
        if person.live == 0 && person.lost_at == 0 {
            person.lost_at = now;
            person.sent = sent_in(engine, person.room);
            if self.first_loss == 0 {
                self.first_loss = now;
            }
        }
        let mut timer = |person: &mut Person, pause: u64| {
            person.timers += 1;
            self.timers.push(Reverse((now + pause, number)));
        };
        let alone = person.live == 0 && person.timers == 0 && person.trying == 0;
        match self.leaving.comeback {
            // Its `onerror` and its `onclose` both start a retry; a close frame sets off only the second.
            Comeback::Stock => {
                for _ in 0..if clean { 1 } else { 2 } {
                    if person.attempts < STOCK_ATTEMPTS {
                        person.attempts += 1;
                        timer(person, STOCK_PAUSE);
                    }
                }
                person.gave_up = person.live == 0 && person.timers == 0 && person.trying == 0;
            }
            Comeback::Jitter { base, most } if alone => {
                let most = most.min(base << person.attempts.min(16));
                person.attempts += 1;
                let share = engine.traffic.random.f64();
                timer(person, (most as f64 * share) as u64);
            }
            Comeback::Pause { mean } if alone => {
                let pause = -(mean as f64) * (1.0 - engine.traffic.random.f64()).ln();
                timer(person, pause as u64);
            }
            Comeback::Jitter { .. } | Comeback::Pause { .. } => {}
        }
    }

    /// Tries that are due, and people who leave.
    pub(crate) fn tick(&mut self, engine: &mut Engine, now: u64) {
        while let Some(&Reverse((due, number))) = self.timers.peek() {
            if due > now {
                break;
            }
            self.timers.pop();
            self.attempt(engine, number, now);
        }
        if self.leaving.rate <= 0.0 || !self.active {
            return;
        }
        let interval = (SECOND as f64 / self.leaving.rate) as u64;
        while self.next <= now && !self.ids.is_empty() {
            self.next += interval;
            let at = engine.traffic.random.usize(..self.ids.len());
            let id = self.ids.swap_remove(at);
            self.counts.left += 1;
            if self.leaving.abrupt {
                // Every other cut looks like a reset, the rest like the end of the stream without a close frame.
                self.flips += 1;
                engine.cut(id, self.flips.is_multiple_of(2));
            } else {
                engine.close(id);
            }
        }
    }

    fn attempt(&mut self, engine: &mut Engine, number: u32, now: u64) {
        let Some(person) = self.persons.get_mut(number as usize) else {
            return;
        };
        person.timers -= 1;
        person.trying += 1;
        self.counts.attempts += 1;
        let second = now / SECOND;
        if self.peak.0 != second {
            self.peak = (second, 0);
        }
        self.peak.1 += 1;
        self.counts.attempts_peak = self.counts.attempts_peak.max(self.peak.1);
        engine.want(Wanted {
            room: person.room,
            // A second socket of the same person listens; its first one publishes.
            slot: person
                .slot
                .filter(|_| person.live == 0 && person.trying == 1),
            group: self.group,
            person: Some(number),
            ..Wanted::default()
        });
    }

    /// When a try or a leave is due next.
    pub(crate) fn due(&self) -> u64 {
        let back = self
            .timers
            .peek()
            .map_or(u64::MAX, |&Reverse((due, _))| due);
        let leave = if self.active && self.leaving.rate > 0.0 {
            self.next
        } else {
            u64::MAX
        };
        back.min(leave)
    }

    /// What was counted.
    pub(crate) fn returns(&self) -> Returns {
        let count =
            |want: &dyn Fn(&Person) -> bool| self.persons.iter().filter(|p| want(p)).count();
        let live: u32 = self.persons.iter().map(|p| p.live.saturating_sub(1)).sum();
        let counts = Comings {
            lost: self.ended.saturating_sub(self.counts.left),
            gave_up: count(&|p| p.gave_up && p.live == 0),
            still_away: count(&|p| !p.gave_up && p.live == 0),
            extra_sockets: live as usize,
            ..self.counts
        };
        Returns {
            counts,
            away: Latency::of(&self.away),
            all_back_seconds: seconds(self.last_back.saturating_sub(self.first_loss)),
            may_give_up: self.leaving.comeback == Comeback::Stock,
        }
    }

    /// Someone is about to come back.
    pub(crate) fn returning(&self) -> bool {
        !self.timers.is_empty()
    }
}

/// Messages sent in a room so far.
fn sent_in(engine: &Engine, room: u32) -> u64 {
    let room = engine.traffic.rooms.get(room as usize);
    room.map_or(0, |room| room.sent.iter().map(|n| u64::from(*n)).sum())
}
