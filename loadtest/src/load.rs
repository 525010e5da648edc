//! The groups and the storm of a plan, running.

use crate::clock::{SECOND, nanos};
use crate::engine::{Engine, Wanted};
use crate::people::People;
use crate::plan::{Drive, Group, Storm};
use crate::traffic::Notice;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A closed loop that waits longer than this for its own message starts anew.
const STALL: u64 = 5 * SECOND;
/// Messages of [`Drive::Once`] in one tick: a batch the server takes without a queue.
const ONCE_BATCH: usize = 100;

/// A closed loop over a whole room.
#[derive(Debug, Clone, Copy, Default)]
struct RoomLoop {
    room: u32,
    publisher: usize,
    /// Deliveries given up as lost.
    given_up: u64,
    delivered: u64,
    progress: u64,
}

/// A group that runs.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    group: Group,
    number: usize,
    /// Connections; where a Python process speaks, rooms.
    publishers: Vec<usize>,
    loops: Vec<RoomLoop>,
    stopped: Vec<usize>,
    publishing: bool,
    next: u64,
    turn: usize,
    pauses: BinaryHeap<Reverse<(u64, usize)>>,
    next_check: u64,
    next_cycle: u64,
    resting: bool,
    people: Option<People>,
}

impl Crowd {
    /// Makes the rooms and asks for the connections.
    pub(crate) fn open(group: Group, number: usize, engine: &mut Engine) -> Self {
        let first = engine.traffic.rooms.len() as u32;
        let mut people = group.leaving.map(|leaving| People::new(leaving, number));
        for _ in 0..group.rooms {
            let room = engine.add_room(group.publishers);
            if let Some(room) = engine.traffic.rooms.last_mut() {
                room.background = group.background;
            }
            for member in 0..group.members {
                let slot = u16::try_from(member)
                    .ok()
                    .filter(|_| member < group.publishers && !group.spoken);
                let slow = member + group.stopped >= group.members;
                let person = people.as_mut().map(|people| people.add(room, slot));
                engine.want(Wanted {
                    room,
                    slot,
                    group: number,
                    slow,
                    person,
                    node: group.node_of(member),
                    ..Wanted::default()
                });
            }
        }
        let voices = first as usize..first as usize + group.rooms;
        let voices = if group.spoken { voices } else { 0..0 };
        Self {
            group,
            number,
            publishers: voices.collect(),
            people,
            ..Self::default()
        }
    }

    /// A connection was opened or is gone.
    pub(crate) fn notice(&mut self, engine: &mut Engine, notice: Notice) {
        if let Notice::Opened(id) = notice
            && let Some(client) = engine.client(id)
            && client.group == self.number
        {
            if client.receiver.slot.is_some() {
                self.publishers.push(id);
            }
            if client.receiver.slow {
                self.stopped.push(id);
            }
            if let (Some(people), Some(person)) = (&mut self.people, client.person) {
                people.opened(engine, id, person);
            }
        }
        if let Notice::Gone { group, ending, .. } = notice
            && group == self.number
            && let (Some(people), Some(person)) = (&mut self.people, ending.person)
        {
            if ending.opened {
                self.publishers.retain(|&id| id != ending.id);
            }
            people.gone(engine, ending, person);
        }
    }

    /// Begins to publish.
    pub(crate) fn start(&mut self, engine: &mut Engine) {
        let now = engine.traffic.clock.now();
        engine.traffic.random.shuffle(&mut self.publishers);
        self.publishing = true;
        (self.next, self.next_check) = (now, now + SECOND);
        self.next_cycle = now + self.group.cycle.map_or(u64::MAX / 2, nanos);
        self.rest(engine, true);
        if let Some(people) = &mut self.people {
            people.active(true, now);
        }
        match self.group.drive {
            Drive::Closed { window } => {
                for &id in &self.publishers {
                    engine.with(id, |client, traffic| client.prime(traffic, window));
                }
            }
            Drive::Human { pause } => {
                for &id in &self.publishers {
                    let first = (nanos(pause) as f64 * engine.traffic.random.f64()) as u64;
                    self.pauses.push(Reverse((now + first, id)));
                }
            }
            Drive::Whole { .. } => {
                let is_spoken = self.group.spoken;
                let looping = |&publisher: &usize| RoomLoop {
                    room: match engine.client(publisher) {
                        Some(client) if !is_spoken => client.receiver.room,
                        _ => publisher as u32,
                    },
                    publisher,
                    progress: now,
                    ..RoomLoop::default()
                };
                self.loops = self.publishers.iter().map(looping).collect();
            }
            Drive::Open { .. } | Drive::Once => {}
        }
    }

    /// Stops publishing; slow readers read again.
    pub(crate) fn stop(&mut self, engine: &mut Engine) {
        self.publishing = false;
        for &id in &self.publishers {
            engine.with(id, |client, _| {
                client.window = 0;
                Ok(())
            });
        }
        self.rest(engine, false);
        if let Some(people) = &mut self.people {
            people.active(false, 0);
        }
    }

    /// Makes the readers that stop stop, or read again.
    fn rest(&mut self, engine: &mut Engine, resting: bool) {
        self.resting = resting;
        for &id in &self.stopped {
            engine.with(id, |client, traffic| {
                // The server may have closed the slow reader, and the place be another's by now:
                // stopping that one would look like 25 s of handshake and a lost message.
                if !client.receiver.slow {
                    return Ok(());
                }
                client.reading = !resting;
                client.readable(id, traffic)
            });
        }
    }

    /// Publishes what is due. `half` is set in the second half of the measurement.
    pub(crate) fn tick(&mut self, engine: &mut Engine, now: u64, half: bool) {
        if let Some(people) = &mut self.people {
            people.tick(engine, now);
        }
        if !self.publishing {
            return;
        }
        match self.group.drive {
            Drive::Open { rate } => self.tick_open(engine, now, rate),
            Drive::Human { pause } => self.tick_human(engine, now, nanos(pause) as f64),
            Drive::Whole { window } => self.tick_whole(engine, now, u64::from(window.max(1))),
            Drive::Once if half => {
                for _ in 0..ONCE_BATCH {
                    let Some(&id) = self.publishers.get(self.turn) else {
                        break;
                    };
                    self.turn += 1;
                    self.publish(engine, id, now);
                }
            }
            Drive::Closed { window } if now >= self.next_check => {
                self.next_check = now + SECOND;
                self.restart_stalled(engine, now, window);
            }
            Drive::Once | Drive::Closed { .. } => {}
        }
        if let Some(cycle) = self.group.cycle
            && now >= self.next_cycle
        {
            self.next_cycle = now + nanos(cycle);
            self.rest(engine, !self.resting);
        }
    }

    fn tick_open(&mut self, engine: &mut Engine, now: u64, rate: f64) {
        let interval = ((SECOND as f64 / rate.max(0.001)) as u64).max(1);
        while self.next <= now && !self.publishers.is_empty() {
            let turn = self.turn % self.publishers.len();
            self.turn = turn + 1;
            if let Some(&id) = self.publishers.get(turn) {
                let intended = self.next;
                let late = engine.traffic.clock.now().saturating_sub(intended);
                engine.traffic.lag.saturating_record(late);
                self.publish(engine, id, intended);
            }
            self.next += interval;
        }
        // Nobody can send before somebody is connected: that is no delay of the server's answer.
        while self.next <= now && self.people.is_some() {
            engine.traffic.totals.nobody_there += 1;
            self.next += interval;
        }
    }

    fn tick_human(&mut self, engine: &mut Engine, now: u64, mean: f64) {
        while let Some(&Reverse((due, id))) = self.pauses.peek() {
            if due > now {
                break;
            }
            self.pauses.pop();
            self.publish(engine, id, due);
            let pause = -mean * (1.0 - engine.traffic.random.f64()).ln();
            self.pauses.push(Reverse((due + pause as u64, id)));
        }
    }

    fn tick_whole(&mut self, engine: &mut Engine, now: u64, window: u64) {
        let members = self.group.members as u64;
        let mut loops = std::mem::take(&mut self.loops);
        for this in &mut loops {
            while let Some(room) = engine.traffic.rooms.get(this.room as usize) {
                let sent = room.sent.first().copied().map_or(0, u64::from);
                if room.delivered != this.delivered {
                    (this.delivered, this.progress) = (room.delivered, now);
                }
                let owed = (sent * members).saturating_sub(room.delivered + this.given_up);
                if owed <= (window - 1) * members {
                    let at = engine.traffic.clock.now();
                    self.publish(engine, this.publisher, at);
                    let room = engine.traffic.rooms.get(this.room as usize);
                    // A publisher that is gone says nothing.
                    if room
                        .and_then(|room| room.sent.first())
                        .copied()
                        .map(u64::from)
                        == Some(sent)
                    {
                        break;
                    }
                } else if now.saturating_sub(this.progress) > STALL {
                    this.given_up += owed;
                    this.progress = now;
                    engine.traffic.totals.stalls += 1;
                } else {
                    break;
                }
            }
        }
        self.loops = loops;
    }

    fn publish(&self, engine: &mut Engine, id: usize, intended: u64) {
        if self.group.spoken {
            engine.speak(id as u32, intended);
            return;
        }
        engine.with(id, |client, traffic| {
            if client.group == self.number {
                client.publish(traffic, intended)
            } else {
                Ok(())
            }
        });
    }

    fn restart_stalled(&self, engine: &mut Engine, now: u64, window: u32) {
        for &id in &self.publishers {
            engine.with(id, |client, traffic| {
                if client.outstanding == 0 || now.saturating_sub(client.progress) < STALL {
                    return Ok(());
                }
                traffic.totals.stalls += 1;
                client.prime(traffic, window)
            });
        }
    }

    /// When something is due next.
    pub(crate) fn due(&self) -> u64 {
        let people = self.people.as_ref().map_or(u64::MAX, People::due);
        people.min(self.due_to_publish())
    }

    /// The connections are about to be closed for good.
    pub(crate) fn over(&mut self) {
        if let Some(people) = &mut self.people {
            people.over();
        }
    }

    /// What leaving and coming back cost, where people do.
    pub(crate) fn people(&self) -> Option<&People> {
        self.people.as_ref()
    }

    fn due_to_publish(&self) -> u64 {
        match self.group.drive {
            _ if !self.publishing => u64::MAX,
            Drive::Open { .. } => self.next,
            Drive::Human { .. } => self
                .pauses
                .peek()
                .map_or(u64::MAX, |&Reverse((due, _))| due),
            Drive::Once | Drive::Closed { .. } | Drive::Whole { .. } => u64::MAX,
        }
    }
}

/// The short lives.
#[derive(Debug)]
pub(crate) struct Lives {
    storm: Storm,
    number: usize,
    /// Rooms whose life has ended.
    waiting: Vec<u32>,
    publishing: bool,
    next: u64,
    pub(crate) ended: u64,
}

impl Lives {
    /// Makes the rooms of the lanes; nobody connects before [`Lives::start`].
    pub(crate) fn open(storm: Storm, number: usize, engine: &mut Engine) -> Self {
        Self {
            storm,
            number,
            waiting: (0..storm.lanes).map(|_| engine.add_room(1)).collect(),
            publishing: false,
            next: 0,
            ended: 0,
        }
    }

    /// Begins.
    pub(crate) fn start(&mut self, now: u64) {
        (self.publishing, self.next) = (true, now);
    }

    /// Nobody is born any more.
    pub(crate) fn stop(&mut self) {
        self.publishing = false;
    }

    /// Lives not ended.
    pub(crate) fn living(&self) -> usize {
        self.storm.lanes - self.waiting.len()
    }

    /// Starts lives that are due.
    pub(crate) fn tick(&mut self, engine: &mut Engine, now: u64) {
        while self.publishing && self.next <= now {
            let Some(room) = self.waiting.pop() else {
                break;
            };
            let group = self.number;
            engine.want(Wanted {
                room,
                slot: Some(0),
                group,
                notify: true,
                ..Wanted::default()
            });
            if self.storm.rate > 0.0 {
                self.next = (self.next + (SECOND as f64 / self.storm.rate) as u64)
                    .max(now.saturating_sub(SECOND));
            }
        }
    }

    /// Something happened to a connection.
    pub(crate) fn notice(&mut self, engine: &mut Engine, notice: Notice) {
        match notice {
            Notice::Opened(id) => {
                if engine
                    .client(id)
                    .is_none_or(|client| client.group != self.number)
                {
                    return;
                }
                let now = engine.traffic.clock.now();
                if self.storm.silent {
                    engine.close(id);
                } else {
                    engine.with(id, |client, traffic| client.publish(traffic, now));
                }
            }
            // Only connections of a storm ask for this notice.
            Notice::Own(id) => engine.close(id),
            Notice::Gone { group, room, .. } if group == self.number => {
                self.waiting.push(room);
                self.ended += 1;
            }
            Notice::Gone { .. } => {}
        }
    }
}
