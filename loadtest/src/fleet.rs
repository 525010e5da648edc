//! Several generator processes as one: starts this program again for each share of the plan, takes all of them through the
//! phases together, and makes one report of what they counted. Only this process looks at the server.

use crate::clock::{Clock, SECOND, until};
use crate::latency::Times;
use crate::report::{Interval, Report};
use crate::run::{LINES_MAX, LOOK, Observer, Order, PULSE, Shared, Task, Word, read, write};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// A generator that says nothing for so long has stopped working: it speaks every second.
const SILENCE_MAX: u64 = 30 * SECOND;
/// A generator whose pipe is closed may take this long to end.
const END_MAX: u64 = 2 * SECOND;
/// Longest wait for a word before looking at everything else.
const TICK: Duration = Duration::from_millis(20);

/// One generator.
#[derive(Debug)]
struct Member {
    process: Child,
    /// Closing it ends the process.
    input: Option<ChildStdin>,
    heard: u64,
    opened: u64,
    done: bool,
}

#[derive(Debug)]
enum MemberEvent {
    Said(Word),
    /// Its output has ended, because of this.
    Gone(String),
}

/// All generators of a run.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: Vec<Member>,
    events: Receiver<(usize, MemberEvent)>,
    clock: Clock,
    next_pulse: u64,
    stop: Arc<AtomicBool>,
    stop_told: bool,
}

/// Runs the tasks in a process each.
/// Errors: A process ended, was silent or disagreed; or something that was asked for is not there. None of them is left behind.
pub(crate) fn run(
    tasks: Vec<Task>,
    mut observer: Observer,
    clock: Clock,
    stop: Arc<AtomicBool>,
) -> io::Result<Report> {
    observer.before()?;
    let all = tasks
        .iter()
        .map(|task| task.share.connections() as u64)
        .sum();
    let mut fleet = Fleet::start(tasks, clock, stop)?;
    fleet.open(&mut observer, all)?;
    fleet.tell(&Order::GoOn(Vec::new()));
    fleet.all(|word| matches!(word, Word::Begun).then_some(()))?;
    fleet.measure(&mut observer)?;
    let rooms = fleet.all(|word| match word {
        Word::Drained(rooms) => Some(rooms),
        _ => None,
    })?;
    observer.end_of_restart();
    fleet.tell(&Order::GoOn(together(rooms)));
    fleet.all(|word| matches!(word, Word::Checked).then_some(()))?;
    while !observer.settled()? {
        fleet.rest(LOOK)?;
    }
    fleet.tell(&Order::GoOn(Vec::new()));
    let parts = fleet.all(|word| match word {
        Word::Done(part) => Some(*part),
        _ => None,
    })?;
    observer.closed()?;
    observer.report(parts)
}

/// The counters of every shared room over all processes.
fn together(rooms: Vec<Vec<Shared>>) -> Vec<Shared> {
    let mut sums: BTreeMap<u32, Shared> = BTreeMap::new();
    for shared in rooms.into_iter().flatten() {
        match sums.get_mut(&shared.room) {
            Some(sum) => sum.add(&shared),
            None => {
                sums.insert(shared.room, shared);
            }
        }
    }
    sums.into_values().collect()
}

impl Fleet {
    fn start(tasks: Vec<Task>, clock: Clock, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let (event, events) = sync_channel(LINES_MAX);
        let mut fleet = Self {
            members: Vec::new(),
            events,
            clock,
            next_pulse: clock.now() + PULSE,
            stop,
            stop_told: false,
        };
        for task in tasks {
            let member = Member::start(fleet.members.len(), event.clone(), clock.now())?;
            fleet.members.push(member);
            if let Some(member) = fleet.members.last_mut() {
                member.tell(&Order::Begin(Box::new(task)));
            }
        }
        Ok(fleet)
    }

    fn tell(&mut self, order: &Order) {
        for member in &mut self.members {
            member.tell(order);
        }
    }

    /// What one of them says next, if it says anything soon. Signs of life are taken and given here.
    fn next(&mut self) -> io::Result<Option<(usize, Word)>> {
        let now = self.clock.now();
        if now >= self.next_pulse {
            self.next_pulse = now + PULSE;
            self.tell(&Order::Alive);
        }
        if self.stop.load(Ordering::Relaxed) && !self.stop_told {
            self.stop_told = true;
            self.tell(&Order::Stop);
        }
        let silent = |member: &Member| now.saturating_sub(member.heard) > SILENCE_MAX;
        let mut members = self.members.iter();
        if let Some(number) = members.position(|member| !member.done && silent(member)) {
            return Err(fault(number, "it says nothing any more"));
        }
        let (number, event) = match self.events.recv_timeout(TICK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("all generator processes are gone"));
            }
        };
        let now = self.clock.now();
        let Some(member) = self.members.get_mut(number) else {
            return Ok(None);
        };
        member.heard = now;
        match event {
            MemberEvent::Said(Word::Alive { opened }) => {
                member.opened = opened;
                Ok(None)
            }
            MemberEvent::Said(Word::Failed(why)) => Err(fault(number, &why)),
            MemberEvent::Said(word @ Word::Done(_)) => {
                member.done = true;
                Ok(Some((number, word)))
            }
            MemberEvent::Said(word) => Ok(Some((number, word))),
            MemberEvent::Gone(_) if member.done => Ok(None),
            MemberEvent::Gone(why) => {
                let status = member.end(END_MAX);
                Err(fault(number, &format!("it ended too early, {status}{why}")))
            }
        }
    }

    /// One word of each that `take` takes.
    fn all<T>(&mut self, mut take: impl FnMut(Word) -> Option<T>) -> io::Result<Vec<T>> {
        let mut words: Vec<Option<T>> = self.members.iter().map(|_| None).collect();
        while words.iter().any(Option::is_none) {
            if let Some((number, word)) = self.next()?
                && let Some(place) = words.get_mut(number)
            {
                let taken = take(word);
                if taken.is_none() || place.is_some() {
                    return Err(fault(number, "it is not in the phase of the others"));
                }
                *place = taken;
            }
        }
        Ok(words.into_iter().flatten().collect())
    }

    /// Lets time pass.
    fn rest(&mut self, nanos: u64) -> io::Result<()> {
        let start = self.clock.now();
        while self.clock.now() - start < nanos {
            if let Some((number, _)) = self.next()? {
                return Err(fault(number, "it is not in the phase of the others"));
            }
        }
        Ok(())
    }

    fn open(&mut self, observer: &mut Observer, all: u64) -> io::Result<()> {
        let (mut ready, mut connections, mut longest) = (0, 0, 0);
        let mut handshakes = Times::default();
        while ready < self.members.len() {
            match self.next()? {
                Some((
                    _,
                    Word::Opened {
                        connections: more,
                        nanos,
                        handshakes: theirs,
                    },
                )) => {
                    ready += 1;
                    connections += more;
                    longest = nanos.max(longest);
                    handshakes += &theirs;
                }
                Some((number, _)) => return Err(fault(number, "it did not open its connections")),
                None => {
                    let opened: u64 = self.members.iter().map(|member| member.opened).sum();
                    // The line of status changes with every hundred.
                    let shown = if opened < all {
                        opened / 100 * 100
                    } else {
                        all
                    };
                    observer.opening(shown, all);
                }
            }
        }
        observer.opened(connections, longest, &handshakes)
    }

    fn measure(&mut self, observer: &mut Observer) -> io::Result<()> {
        observer.begun();
        let start = self.clock.now();
        let mut rows: Vec<VecDeque<Interval>> =
            self.members.iter().map(|_| VecDeque::new()).collect();
        let mut ended = 0;
        while ended < rows.len() {
            match self.next()? {
                Some((number, Word::Slice { slice, last })) => {
                    if let Some(row) = rows.get_mut(number) {
                        row.push_back(*slice);
                    }
                    ended += usize::from(last);
                    if ended == rows.len() {
                        observer.ended();
                    }
                }
                Some((number, _)) => return Err(fault(number, "it did not measure")),
                None => {}
            }
            while rows.iter().all(|row| !row.is_empty()) {
                observer.slices(&heads(&mut rows));
            }
            observer.tick(self.clock.now() - start)?;
        }
        // One that was late has left out an interval.
        while rows.iter().any(|row| !row.is_empty()) {
            observer.slices(&heads(&mut rows));
        }
        Ok(())
    }
}

fn heads(rows: &mut [VecDeque<Interval>]) -> Vec<Interval> {
    rows.iter_mut().filter_map(VecDeque::pop_front).collect()
}

fn fault(number: usize, what: &str) -> io::Error {
    io::Error::other(format!("generator process {}: {what}", number + 1))
}

impl Member {
    fn start(number: usize, event: SyncSender<(usize, MemberEvent)>, now: u64) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("part")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the coordinator, which lets all of them come to an end together.
            .process_group(0)
            .spawn()?;
        let input = process.stdin.take();
        if let Some(output) = process.stdout.take() {
            let mut output = BufReader::new(output);
            std::thread::spawn(move || {
                let why = loop {
                    match read(&mut output) {
                        Ok(Some(word)) => {
                            if event.send((number, MemberEvent::Said(word))).is_err() {
                                return;
                            }
                        }
                        Ok(None) => break String::new(),
                        Err(error) => break format!(" ({error})"),
                    }
                };
                // Nobody listens once the run has ended.
                event.send((number, MemberEvent::Gone(why))).ok();
            });
        }
        Ok(Self {
            process,
            input,
            heard: now,
            opened: 0,
            done: false,
        })
    }

    fn tell(&mut self, order: &Order) {
        if let Some(input) = &mut self.input {
            // A process that does not listen has ended, and the end of its output says so.
            write(input, order).ok();
        }
    }

    /// Waits for its end, at most `longest`; then kills it.
    fn end(&mut self, longest: u64) -> String {
        self.input = None;
        let process = &mut self.process;
        if !until(longest, TICK, || !matches!(process.try_wait(), Ok(None))) {
            process.kill().ok();
        }
        let status = self.process.wait();
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.input = None;
        }
        for member in &mut self.members {
            member.end(END_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_several_processes_share_are_summed_by_their_number() {
        let shared = |room, sent: &[u32], refused| Shared {
            room,
            sent: sent.to_vec(),
            refused,
        };
        let rooms = together(vec![
            vec![shared(7, &[4, 0], 1)],
            vec![shared(7, &[0, 9], 0), shared(8, &[3], 2)],
            vec![shared(8, &[0], 0)],
        ]);
        assert_eq!(rooms, [shared(7, &[4, 9], 1), shared(8, &[3], 2)]);
    }
}
