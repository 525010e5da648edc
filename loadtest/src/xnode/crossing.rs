//! What a run across nodes does beside its plan: the bare round trip, faults of Redis and how the rooms recover, the nodes' books.

use super::bare::Bare;
use super::books::{self, Ours, Page};
use super::fault::{self, BridgeLook, FaultEvent, Schedule, Seen, told};
use super::stage::Stage;
use super::store::Store;
use super::watch;
use crate::clock::{Clock, SECOND};
use crate::engine::Engine;
use crate::latency::{Latency, Times};
use crate::plan::Group;
use crate::report::{Across, CrossSample, Disagreement, Facts, Losses, NodeBook};
use crate::run::Companion;
use crate::traffic::Recovery;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// Longest wait for the books to agree: nodes say the last number of a quiet room after two seconds.
const AGREE_MAX: u64 = 12 * SECOND;

/// A thread that hits Redis, which it gives back.
#[derive(Debug)]
struct Striking {
    thread: JoinHandle<(Store, Result<(), String>)>,
    events: Receiver<FaultEvent>,
    ended: Arc<AtomicBool>,
}

/// The companion of the loop.
#[derive(Debug)]
pub(super) struct Crossing {
    stage: Stage,
    facts: Facts,
    group: Group,
    clock: Clock,
    bare: Option<Bare>,
    schedule: Option<Schedule>,
    striking: Option<Striking>,
    watch: Receiver<BridgeLook>,
    looks: Vec<BridgeLook>,
    seen: Vec<Seen>,
    pages: Vec<Page>,
    agreeing_since: Option<u64>,
    books: (Losses, Disagreement, Vec<NodeBook>),
    /// When the measurement began, and deliveries on other nodes at its two ends and at the last sample.
    begun: u64,
    far: (u64, u64, u64),
    samples: Vec<CrossSample>,
    /// Latencies of all samples: on other nodes, of the bare round trip.
    latency: (Times, Times),
    notes: Vec<String>,
}

impl Crossing {
    /// Nothing has happened yet.
    /// Errors: Redis is not there.
    pub(super) fn new(
        stage: Stage,
        facts: Facts,
        group: &Group,
        schedule: Option<Schedule>,
        engine: &Engine,
    ) -> io::Result<Self> {
        let clock = engine.traffic.clock;
        let bare = match (facts.rate, schedule) {
            (Some(rate), None) => {
                let bytes = engine.traffic.message.command_bytes();
                Some(Bare::open(stage.redis(), group.rooms, rate, bytes, engine)?)
            }
            _ => None,
        };
        let watched = schedule.map(|_| stage.admins());
        Ok(Self {
            facts,
            group: group.clone(),
            clock,
            bare,
            schedule,
            striking: None,
            watch: watch::looks(watched.unwrap_or_default(), clock),
            looks: Vec::new(),
            seen: Vec::new(),
            pages: Vec::new(),
            agreeing_since: None,
            books: Default::default(),
            begun: 0,
            far: (0, 0, 0),
            samples: Vec::new(),
            latency: Default::default(),
            notes: Vec::new(),
            stage,
        })
    }

    fn pages(&self) -> io::Result<Vec<Page>> {
        let admins = self.stage.admins();
        let pages = admins.iter().map(|admin| Page::fetch(admin));
        pages.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// Takes in what the other threads have seen.
    fn look(&mut self, engine: &mut Engine) {
        self.looks.extend(self.watch.try_iter());
        let events = self
            .striking
            .iter()
            .flat_map(|striking| striking.events.try_iter());
        for event in events.collect::<Vec<_>>() {
            match event {
                FaultEvent::Struck(struck) => {
                    self.note_recovery(engine);
                    let rooms = 0..engine.traffic.rooms.len() as u32;
                    let nodes = || self.group.far_nodes();
                    let rooms = rooms.flat_map(|room| nodes().map(move |node| (room, node)));
                    engine.traffic.far.recovery = Some(Recovery::begin(struck, rooms));
                    self.seen.push(Seen {
                        struck,
                        ..Seen::default()
                    });
                }
                FaultEvent::Over(over) => {
                    if let Some(seen) = self.seen.last_mut() {
                        seen.over = Some(over);
                    }
                }
            }
        }
        let recovery = engine.traffic.far.recovery.as_ref();
        let is_whole = recovery.is_some_and(|recovery| recovery.whole.is_some());
        // Messages of other rooms may be reached while Redis still stands: those said before.
        let is_over = self.seen.last().is_some_and(|seen| seen.over.is_some());
        if is_whole && is_over {
            self.note_recovery(engine);
        }
    }

    fn note_recovery(&mut self, engine: &mut Engine) {
        let recovery = engine.traffic.far.recovery.take();
        if let (Some(recovery), Some(seen)) = (recovery, self.seen.last_mut()) {
            (seen.first, seen.whole) = (recovery.first, recovery.whole);
        }
    }

    /// No more faults. Redis comes back to the stage, so that it ends after the nodes.
    fn end_faults(&mut self) {
        let Some(striking) = self.striking.take() else {
            return;
        };
        striking.ended.store(true, Ordering::Relaxed);
        match striking.thread.join() {
            Ok((store, outcome)) => {
                self.stage.store = Some(store);
                self.notes.extend(outcome.err());
            }
            Err(_panic) => self
                .notes
                .push("the thread of the faults panicked".to_owned()),
        }
    }
}

impl Companion for Crossing {
    fn start(&mut self, now: u64) -> io::Result<()> {
        self.pages = self.pages()?;
        if let Some(bare) = &mut self.bare {
            bare.start(now);
        }
        Ok(())
    }

    fn due(&self) -> u64 {
        self.bare.as_ref().map_or(u64::MAX, Bare::due)
    }

    fn turn(&mut self, engine: &mut Engine, now: u64) -> io::Result<()> {
        self.look(engine);
        if let Some(bare) = &mut self.bare {
            let redis = |error| io::Error::other(format!("bare Redis: {error}"));
            for &(_, at) in &engine.strangers {
                bare.readable(at).map_err(redis)?;
            }
            bare.tick(now).map_err(redis)?;
        }
        Ok(())
    }

    fn begun(&mut self, engine: &mut Engine) {
        let far = &mut engine.traffic.far;
        far.latency.reset();
        self.far = (far.delivered, far.delivered, far.delivered);
        if let Some(bare) = &mut self.bare {
            bare.latency.reset();
        }
        self.begun = self.clock.now();
        if let Some((schedule, store)) = self
            .schedule
            .zip(self.stage.store.take_if(|_| self.schedule.is_some()))
        {
            let (tell, events) = channel();
            let ended = Arc::new(AtomicBool::new(false));
            let thread = fault::start(schedule, store, self.clock, tell, Arc::clone(&ended));
            self.striking = Some(Striking {
                thread,
                events,
                ended,
            });
        }
    }

    fn sample(&mut self, engine: &mut Engine, at: f64, seconds: f64) {
        let far = &mut engine.traffic.far;
        let latency = std::mem::take(&mut far.latency);
        let bare = self.bare.as_mut().map(|bare| &mut bare.latency);
        let bare = bare.map(std::mem::take).unwrap_or_default();
        // While rooms recover, all of that time so far.
        let shown = if far.recovery.is_some() {
            &far.hit_far
        } else {
            &latency
        };
        let delivered = far.delivered - self.far.2;
        self.far.2 = far.delivered;
        let states = self.looks.last().map(|look| look.nodes.as_slice());
        let states = states.unwrap_or_default();
        self.samples.push(CrossSample {
            at,
            far_per_second: delivered as f64 / seconds.max(1e-9),
            far_p99_ms: shown.millis(0.99),
            bare_p99_ms: bare.millis(0.99),
            outbox: states.iter().map(|state| state.outbox).max().unwrap_or(0),
            nodes_up: states.iter().filter(|state| state.is_up).count(),
        });
        self.latency.0 += &latency;
        self.latency.1 += &bare;
    }

    fn ended(&mut self, engine: &mut Engine) {
        self.far.1 = engine.traffic.far.delivered;
        if let Some(bare) = &mut self.bare {
            bare.stop();
        }
    }

    fn agrees(&mut self, engine: &Engine) -> io::Result<bool> {
        let now = self.clock.now();
        let since = *self.agreeing_since.get_or_insert(now);
        let losses = books::losses(books::missing(engine).into_iter());
        let traffic = &engine.traffic;
        let ours = Ours {
            losses,
            published: traffic.totals.published,
            // Welcomes were written before the first page was read.
            received: traffic.verify.counts.delivered + traffic.totals.errors.values().sum::<u64>(),
            is_spoken: self.group.spoken,
        };
        let pages = self.pages()?;
        let books = pages
            .iter()
            .zip(&self.pages)
            .map(|(now, then)| now.since(then));
        let books: Vec<NodeBook> = books.collect();
        let disagreement = books::disagreement(&ours, &books);
        self.books = (losses, disagreement, books);
        Ok(disagreement == Disagreement::default() || now - since > AGREE_MAX)
    }

    fn across(&mut self, engine: &mut Engine) -> io::Result<Across> {
        self.look(engine);
        self.note_recovery(engine);
        self.end_faults();
        let far = &engine.traffic.far;
        let struck = self.seen.iter().skip(1).map(|seen| seen.struck);
        let strikes = self.seen.iter().zip(struck.chain([u64::MAX]));
        let strikes = strikes.map(|(seen, until)| told(*seen, until, &self.looks, self.begun));
        let states = self.looks.iter().flat_map(|look| &look.nodes);
        let (sent, received) = self
            .bare
            .as_ref()
            .map_or((0, 0), |bare| (bare.sent, bare.received));
        let mut all = self.latency.0.clone();
        all += &far.hit_far;
        let percentiles = [("across nodes", &all), ("bare Redis", &self.latency.1)];
        let percentiles = percentiles.into_iter().filter(|(_, of)| !of.is_empty());
        let (losses, unexplained, books) = std::mem::take(&mut self.books);
        Ok(Across {
            far: self.far.1 - self.far.0,
            latency: Latency::of(&self.latency.0),
            bare: Latency::of(&self.latency.1),
            added: None,
            hit_near: Latency::of(&far.hit_near),
            hit_far: Latency::of(&far.hit_far),
            losses,
            unexplained,
            books,
            outbox_max: states.map(|state| state.outbox).max().unwrap_or(0),
            strikes: strikes.collect(),
            bare_sent: sent,
            bare_lost: sent.saturating_sub(received),
            samples: std::mem::take(&mut self.samples),
            percentiles: percentiles
                .map(|(name, of)| (name, of.percentiles()))
                .collect(),
            notes: std::mem::take(&mut self.notes),
            facts: self.facts.clone(),
        })
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.end_faults();
    }
}
