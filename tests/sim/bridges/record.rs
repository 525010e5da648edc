//! What was said and heard in a simulation of bridges, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use supportal::internal::clock::Millis;

/// The other nodes read a deadline by the wall clock, in milliseconds.
const ROUNDING: u64 = 2;

/// Lines of the trace that are printed with a failure.
const LINES_TOLD: usize = 40;

/// One message.
#[derive(Clone, Debug)]
pub struct Said {
    /// Who said it: a node between its start and its end.
    pub boot: usize,
    /// Where.
    pub room: usize,
    /// In which of that node's rooms of the name; `None` where it had no members.
    pub stay: Option<u64>,
    deadline: Millis,
    /// Its own node may have shown it out of the order of all nodes.
    is_alone: bool,
    /// The outbox was full: counted there.
    is_untold: bool,
}

/// Members of a node in a room, from the first one's join to the last one's leave.
#[derive(Clone, Debug, Default)]
struct Stay {
    /// The newest heard of each stay of others, and the first.
    heard: BTreeMap<(usize, u64), (usize, usize)>,
}

/// A node between its start and its end.
#[derive(Clone, Debug, Default)]
struct Ears {
    stays: BTreeMap<usize, Stay>,
    /// The newest of each publisher in each room. Of this node itself, for these members and of each of its stays: what
    /// it said without members, or before they came, comes back when it comes, and what it says alone does not wait.
    newest: BTreeMap<(usize, usize, Option<u64>), usize>,
    /// Everything, in order.
    heard: Vec<usize>,
    has_ended: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Record {
    said: Vec<Said>,
    ears: Vec<Ears>,
    /// Redis has lost what it had answered for.
    pub has_lost_data: bool,
    /// The step of the first failure, and its text.
    pub at: Option<(usize, String)>,
    trace: Vec<String>,
    failure: Option<String>,
}

impl Record {
    /// A node begins; its number.
    pub fn boot(&mut self) -> usize {
        self.ears.push(Ears::default());
        self.ears.len() - 1
    }

    /// A line of the trace.
    pub fn note(&mut self, now: Millis, line: &str) {
        self.trace.push(format!("{:>8} ms  {line}", now.0));
    }

    /// Something is wrong; the first time counts.
    pub fn fail(&mut self, text: String) {
        self.trace.push(format!("FAILED: {text}"));
        self.failure.get_or_insert(text);
    }

    /// What is wrong, with the last lines of the trace.
    pub fn failure(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let from = self.trace.len().saturating_sub(LINES_TOLD);
        Some(format!("{failure}\n{}", self.trace[from..].join("\n")))
    }

    /// The whole trace.
    pub fn into_trace(self) -> Vec<String> {
        self.trace
    }

    /// The number of the next message, which is its text.
    pub fn next(&self) -> usize {
        self.said.len()
    }

    /// It is said.
    pub fn say(&mut self, boot: usize, room: usize, stay: Option<u64>, deadline: Millis) {
        self.said.push(Said {
            boot,
            room,
            stay,
            deadline,
            is_alone: false,
            is_untold: false,
        });
    }

    /// What this node has said and not heard may be shown to its members out of order.
    pub fn alone(&mut self, boot: usize, room: Option<usize>) {
        for said in self.said.iter_mut().rev().take(4_096) {
            said.is_alone |= said.boot == boot && room.is_none_or(|room| said.room == room);
        }
    }

    /// The last one that was said did not leave its node.
    pub fn untold(&mut self) {
        if let Some(said) = self.said.last_mut() {
            said.is_untold = true;
        }
    }

    /// Members come to a room of a node that had none there.
    pub fn come(&mut self, boot: usize, room: usize) {
        let ears = &mut self.ears[boot];
        ears.stays.insert(room, Stay::default());
        ears.newest
            .retain(|&(of, said, _), _| (of, said) != (boot, room));
    }

    /// The last one leaves.
    pub fn leave(&mut self, boot: usize, room: usize) {
        self.ears[boot].stays.remove(&room);
    }

    /// The node is gone.
    pub fn end(&mut self, boot: usize) {
        self.ears[boot].has_ended = true;
        self.ears[boot].stays.clear();
    }

    /// The members of a node are given something.
    pub fn hear(&mut self, boot: usize, room: usize, number: usize, deadline: Millis) {
        let Some(said) = self.said.get(number).cloned() else {
            return self.fail(format!("boot {boot} heard {number}, which nobody said"));
        };
        if said.room != room {
            self.fail(format!(
                "boot {boot} heard {number} in room {room}: {said:?}"
            ));
        }
        if deadline.0 > said.deadline.0.saturating_add(ROUNDING) {
            self.fail(format!(
                "boot {boot} may hear {number} until {deadline:?}, which expires: {said:?}"
            ));
        }
        let ears = &mut self.ears[boot];
        // What it said without members has a life of its own each time.
        let life = said.stay.unwrap_or(u64::MAX - number as u64);
        let life = (said.boot == boot).then_some(life);
        let newest = ears.newest.insert((said.boot, room, life), number);
        ears.heard.push(number);
        if let (Some(stay), Some(known)) = (said.stay, ears.stays.get_mut(&room)) {
            let heard = known.heard.entry((said.boot, stay));
            heard.or_insert((number, number)).1 = number;
        }
        if let Some(newest) = newest.filter(|newest| *newest >= number) {
            self.fail(format!(
                "boot {boot} heard {number} of boot {} in room {room} after {newest}",
                said.boot
            ));
        }
    }

    /// Has this node heard that?
    pub fn has_heard(&self, boot: usize, number: usize) -> bool {
        self.ears[boot].heard.contains(&number)
    }

    /// What this node should have been given and was not: of nodes that it had heard in that room before, and that are
    /// still there; with `of_standing`, only what members said that are still in the room.
    pub fn lost(&self, boot: usize, of_standing: bool) -> Vec<usize> {
        let ears = &self.ears[boot];
        let heard: BTreeSet<usize> = ears.heard.iter().copied().collect();
        let stays = self
            .said
            .iter()
            .map(|said| ((said.boot, said.room), said.stay));
        let newest: BTreeMap<_, _> = stays.collect();
        let stands = |said: &Said| {
            let is_newest = newest.get(&(said.boot, said.room)) == Some(&said.stay);
            is_newest && self.ears[said.boot].stays.contains_key(&said.room)
        };
        let is_lost = |number: &usize| {
            let said = &self.said[*number];
            let stay = ears.stays.get(&said.room);
            let first = stay
                .zip(said.stay)
                .and_then(|(stay, of)| stay.heard.get(&(said.boot, of)))
                .map(|&(first, _)| first);
            said.boot != boot
                && (if of_standing {
                    stands(said)
                } else {
                    !said.is_untold
                })
                && !self.ears[said.boot].has_ended
                && first.is_some_and(|first| first < *number)
                && !heard.contains(number)
        };
        (0..self.said.len()).filter(is_lost).collect()
    }

    /// Two nodes that were given the same were given it in one order, but for their own that they did not wait for.
    pub fn check_one_order(&mut self) {
        for boot in 0..self.ears.len() {
            for other in 0..boot {
                if let Some((first, second)) = self.disorder(boot, other) {
                    self.fail(format!(
                        "boot {boot} heard {first} before {second}, boot {other} after: {:?}, {:?}",
                        self.said[first], self.said[second]
                    ));
                    return;
                }
            }
        }
    }

    fn disorder(&self, boot: usize, other: usize) -> Option<(usize, usize)> {
        let places: BTreeMap<usize, usize> =
            (self.ears[other].heard.iter().copied()).zip(0..).collect();
        let mut last: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for &number in &self.ears[boot].heard {
            let said = &self.said[number];
            let is_own = said.boot == boot || said.boot == other;
            if said.is_alone && is_own {
                continue;
            }
            let Some(&place) = places.get(&number) else {
                continue;
            };
            if let Some((before, known)) = last.insert(said.room, (place, number))
                && before > place
            {
                return Some((known, number));
            }
        }
        None
    }
}
