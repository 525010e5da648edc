//! The pipe between the process that coordinates a run and those that generate its load: lines of JSON on the standard
//! input (orders) and output (words) of the latter. Every wait ends: whoever hears nothing for long gives up, and a
//! generator whose input ends, ends at once.

use crate::cli::Options;
use crate::clock::{Clock, SECOND, nanos};
use crate::contract::Contract;
use crate::latency::Times;
use crate::plan::Plan;
use crate::report::{Interval, Part};
use crate::share::Share;
use crate::target::Target;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of one line at most: the counters of a million publishers.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Lines not yet read or written, at most.
pub(crate) const LINES_MAX: usize = 256;
/// Each side says something this often.
pub(crate) const PULSE: u64 = SECOND;
/// A generator that hears nothing for so long ends: longer than the slowest restart of a server (60 s of drain).
const SILENCE_MAX: u64 = 150 * SECOND;

/// Everything a generator must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) plan: Plan,
    pub(crate) share: Share,
    pub(crate) target: Target,
    pub(crate) contract: Contract,
    /// Time at full load before the measurement.
    pub(crate) warmup: Duration,
    /// Never sleep in the poll.
    pub(crate) spin: bool,
    pub(crate) seed: u64,
    /// Deliveries older than this are late; nanoseconds.
    pub(crate) expiry: u64,
    /// Zero of the run's clock.
    pub(crate) epoch: u64,
}

impl Task {
    /// What these options ask of this share of the plan.
    pub(crate) fn new(
        plan: &Plan,
        share: Share,
        target: Target,
        options: &Options,
        clock: &Clock,
    ) -> Self {
        Self {
            plan: plan.clone(),
            share,
            target,
            warmup: options.warmup,
            spin: options.spin,
            contract: options.contract,
            seed: options.seed,
            expiry: nanos(options.expiry),
            epoch: clock.epoch(),
        }
    }
}

/// What the coordinator says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Open the connections.
    Begin(Box<Task>),
    /// All are at the end of this phase: begin the next. With what was sent in the rooms that are shared, if it is known by now.
    GoOn(Vec<Shared>),
    /// Come to an end early.
    Stop,
    /// Nothing.
    Alive,
}

/// What a generator says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Nothing; so many of its connections are open.
    Alive { opened: u64 },
    /// All are, after so many nanoseconds.
    Opened {
        connections: usize,
        nanos: u64,
        handshakes: Times,
    },
    /// Warmed up.
    Begun,
    /// One more interval, perhaps the last.
    Slice { slice: Box<Interval>, last: bool },
    /// Its publishers have stopped and nothing has come for a while.
    Drained(Vec<Shared>),
    /// Every receiver's sequences have been compared with what was sent.
    Checked,
    /// Everything else it knows.
    Done(Box<Part>),
    /// The generator cannot go on.
    Failed(String),
}

/// Counters of a room with members in several processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) room: u32,
    /// Messages sent by each publisher.
    pub(crate) sent: Vec<u32>,
    /// Messages the server answered with an error.
    pub(crate) refused: u32,
}

impl Shared {
    /// Adds what another process counted. A publisher is in one process, so all other counts of it are 0.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, sent) in self.sent.iter_mut().zip(&other.sent) {
            *sum += sent;
        }
        self.refused += other.refused;
    }
}

/// The next line; none at the end.
/// Errors: The pipe broke, or the line is none of ours.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = String::new();
    if from.take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line)
        .map(Some)
        .map_err(io::Error::other)
}

/// Writes one line.
/// Errors: The pipe broke.
pub(crate) fn write<T: Serialize>(to: &mut impl Write, what: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(what).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// The generator's end.
#[derive(Debug)]
pub(crate) struct Link {
    orders: Receiver<Order>,
    pending: VecDeque<Vec<Shared>>,
    words: SyncSender<Word>,
    opened: u64,
    heard: u64,
    next: u64,
}

impl Link {
    /// Listens on standard input and waits for the task. [`Order::Stop`] sets `stop`; when the input ends, so does the process.
    /// Errors: There is no task.
    pub(crate) fn open(stop: Arc<AtomicBool>) -> io::Result<(Self, LastWord, Task)> {
        let mut input = io::BufReader::new(io::stdin());
        let Some(Order::Begin(task)) = read(&mut input)? else {
            return Err(io::Error::other("no task: this is for the program itself"));
        };
        let (order, orders) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            while let Ok(Some(line)) = read(&mut input) {
                if matches!(line, Order::Stop) {
                    stop.store(true, Ordering::Relaxed);
                } else if order.send(line).is_err() {
                    return;
                }
            }
            // The coordinator is gone: nobody is left to report to, and the connections must not stay.
            std::process::exit(1);
        });
        let (words, word) = sync_channel(LINES_MAX);
        // Histograms become text beside the loop, which must not stall its latencies.
        let writer = std::thread::spawn(move || {
            let mut output = io::stdout();
            while let Ok(word) = word.recv() {
                if write(&mut output, &word).is_err() {
                    return;
                }
            }
        });
        let link = Self {
            orders,
            pending: VecDeque::new(),
            words: words.clone(),
            opened: 0,
            heard: 0,
            next: 0,
        };
        Ok((link, LastWord { words, writer }, *task))
    }

    /// Says something.
    /// Errors: Nobody listens.
    pub(crate) fn tell(&self, word: Word) -> io::Result<()> {
        let gone = |_| io::Error::other("the coordinating process does not listen");
        self.words.send(word).map_err(gone)
    }

    /// For the next sign of life.
    pub(super) fn opening(&mut self, opened: u64) {
        self.opened = opened;
    }

    /// Gives and takes signs of life.
    /// Errors: The coordinator has been silent for too long.
    pub(super) fn pulse(&mut self, now: u64) -> io::Result<()> {
        if self.heard == 0 {
            self.heard = now;
        }
        while let Ok(order) = self.orders.try_recv() {
            self.heard = now;
            if let Order::GoOn(rooms) = order {
                self.pending.push_back(rooms);
            }
        }
        if now.saturating_sub(self.heard) > SILENCE_MAX {
            return Err(io::Error::other("the coordinating process is silent"));
        }
        if now >= self.next {
            self.next = now + PULSE;
            self.tell(Word::Alive {
                opened: self.opened,
            })?;
        }
        Ok(())
    }

    /// The order to go on, if it has come.
    pub(super) fn order(&mut self) -> Option<Vec<Shared>> {
        self.pending.pop_front()
    }
}

/// Has the last word.
#[derive(Debug)]
pub(crate) struct LastWord {
    words: SyncSender<Word>,
    writer: JoinHandle<()>,
}

impl LastWord {
    /// Waits until everything is written, after the fault if there was one. The [`Link`] must be gone.
    pub(crate) fn finish(self, fault: Option<&io::Error>) {
        if let Some(fault) = fault {
            // Without a writer the coordinator sees the end of the pipe, as below.
            self.words.send(Word::Failed(fault.to_string())).ok();
        }
        drop(self.words);
        self.writer.join().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written_and_others_are_errors() {
        let mut pipe = Vec::new();
        let shared = |sent: [u32; 2], refused| Shared {
            room: 3,
            sent: sent.to_vec(),
            refused,
        };
        write(&mut pipe, &Order::GoOn(vec![shared([1, 2], 4)])).unwrap();
        write(&mut pipe, &Order::Stop).unwrap();
        pipe.extend(b"{\"Unheard\":1}\n");
        let mut pipe = pipe.as_slice();
        let Some(Order::GoOn(rooms)) = read(&mut pipe).unwrap() else {
            panic!("go on")
        };
        assert_eq!(rooms, [shared([1, 2], 4)]);
        assert!(matches!(read(&mut pipe).unwrap(), Some(Order::Stop)));
        assert!(read::<Order>(&mut pipe).is_err());
        assert!(read::<Order>(&mut pipe).unwrap().is_none());
    }
}
