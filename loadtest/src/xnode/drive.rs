//! The loop of a run across nodes: connect, warm up, measure while Redis is hit, stop, wait, check the books, close.

use super::bare::Bare;
use super::books::{self, Disagreement, Losses, NodeBook, Ours, Page};
use super::fault::{Event, Look, Seen};
use super::outcome::{Cpu, Latencies, Mark, Outcome, Sample};
use super::speech::Speech;
use super::watch::Watch;
use crate::clock::{MILLISECOND, SECOND, nanos};
use crate::engine::{Engine, Wanted};
use crate::latency::histogram;
use crate::measure;
use crate::traffic::{Notice, Recovery};
use hdrhistogram::Histogram;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Longest time for opening all connections without one of them opening.
const OPEN_STALL: u64 = 15 * SECOND;
/// Time for welcomes and subscriptions after the last connection is open.
const SETTLE: u64 = SECOND;
/// The loop wakes at least this often.
const TICK: u64 = 2 * MILLISECOND;
/// A poll wakes up to this much late, so closer deadlines are polled for without sleeping.
const POLL_STEP: u64 = 1_500_000;
/// Without a delivery for this long, nothing more comes.
const QUIET: u64 = SECOND;
/// Longest wait for the books to agree: nodes say the last number of a quiet room after two seconds.
const AGREE_MAX: u64 = 12 * SECOND;
/// Between two looks at them.
const LOOK: u64 = 250 * MILLISECOND;
/// Between two samples of the series.
const SAMPLE: u64 = 500 * MILLISECOND;

/// What is driven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) nodes: u16,
    pub(super) rooms: usize,
    pub(super) members: usize,
    /// A Python process speaks: nobody's socket does, and nobody is on the speaker's node.
    pub(super) is_spoken: bool,
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
}

impl Size {
    /// Members take the nodes in turns, the first of each room on the first. Who listens to a Python process is on another node than
    /// the speaker, wherever it is.
    fn node_of(&self, member: usize) -> u16 {
        (member % usize::from(self.nodes.max(1))) as u16 + u16::from(self.is_spoken)
    }

    /// The nodes' numbers that are not the speaker's.
    fn far_nodes(&self) -> std::ops::Range<u16> {
        let first = u16::from(!self.is_spoken);
        let nodes = first..self.nodes.min(self.members as u16);
        nodes.start + u16::from(self.is_spoken)..nodes.end + u16::from(self.is_spoken)
    }
}

/// The loop and what belongs to it.
#[derive(Debug)]
pub(super) struct Drive {
    pub(super) engine: Engine,
    pub(super) size: Size,
    pub(super) speech: Speech,
    pub(super) bare: Option<Bare>,
    pub(super) admins: Vec<String>,
    pub(super) processes: (Vec<u32>, Option<u32>),
    pub(super) stop: Arc<AtomicBool>,
    voices: Vec<(u32, usize)>,
    calm: Latencies,
    hit: Latencies,
    samples: Vec<Sample>,
    looks: Vec<Look>,
    seen: Vec<Seen>,
    last: Mark,
}

impl Drive {
    pub(super) fn new(
        engine: Engine,
        size: Size,
        speech: Speech,
        admins: Vec<String>,
        processes: (Vec<u32>, Option<u32>),
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            engine,
            size,
            speech,
            bare: None,
            admins,
            processes,
            stop,
            voices: Vec::new(),
            calm: Latencies::new(),
            hit: Latencies::new(),
            samples: Vec::new(),
            looks: Vec::new(),
            seen: Vec::new(),
            last: Mark::default(),
        }
    }

    /// Opens all connections.
    ///
    /// # Errors
    /// They do not open.
    pub(super) fn connect(&mut self) -> Result<(), String> {
        for _ in 0..self.size.rooms {
            let room = self.engine.add_room(1);
            for member in 0..self.size.members {
                let speaks = member == 0 && !self.size.is_spoken;
                self.engine.want(Wanted {
                    room,
                    slot: speaks.then_some(0),
                    group: 0,
                    slow: false,
                    notify: false,
                    person: None,
                    node: self.size.node_of(member),
                });
            }
        }
        let (mut opening, mut last) = (usize::MAX, self.now());
        while self.engine.opening() > 0 && !self.stopped() {
            let now = self.turn()?;
            if self.engine.opening() < opening {
                (opening, last) = (self.engine.opening(), now);
            } else if now - last > OPEN_STALL {
                return Err(format!("{opening} connections were not opened"));
            }
        }
        self.rest(SETTLE)
    }

    /// The measurement and everything around it; the connections are open.
    ///
    /// # Errors
    /// The loop, Redis' bare connection or an admin listener failed.
    pub(super) fn run(
        mut self,
        watch: &Watch,
        events: &Receiver<Event>,
        begin: impl FnOnce(),
    ) -> Result<(Outcome, Engine), String> {
        let pages = self.pages()?;
        let now = self.now();
        let voices = self.voices();
        self.speech.start(voices.into_iter(), now);
        if let Some(bare) = &mut self.bare {
            bare.start(now);
        }
        self.rest(nanos(self.size.warmup))?;
        self.forget();
        let start = self.mark();
        self.last = start.clone();
        begin();
        self.measure(&start, watch, events)?;
        let end = self.mark();
        self.sample(&end, start.at);
        self.speech.stop();
        if let Some(bare) = &mut self.bare {
            bare.stop();
        }
        self.drain()?;
        let bare = self.bare.as_ref();
        let bare = bare.map_or((0, 0), |bare| (bare.sent, bare.received));
        let (losses, disagreement, nodes) = self.agree(&pages)?;
        self.look(watch, events);
        self.note_recovery();
        self.close()?;
        let totals = &self.engine.traffic.totals;
        let mut refused = totals.refused.clone();
        refused.extend(totals.closed.clone());
        refused.extend(totals.errors.clone());
        let outcome = Outcome {
            start,
            end,
            calm: self.calm,
            hit: self.hit,
            samples: self.samples,
            looks: self.looks,
            seen: self.seen,
            losses,
            disagreement,
            nodes,
            bare,
            refused,
        };
        Ok((outcome, self.engine))
    }

    fn now(&self) -> u64 {
        self.engine.traffic.clock.now()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn turn(&mut self) -> Result<u64, String> {
        let now = self.now();
        let bare = self.bare.as_ref().map_or(u64::MAX, Bare::due);
        let wait = self
            .speech
            .due()
            .min(bare)
            .min(now + TICK)
            .saturating_sub(now);
        let wait = if wait < POLL_STEP {
            0
        } else {
            wait - MILLISECOND
        };
        let text = |error: io::Error| error.to_string();
        self.engine.turn(Duration::from_nanos(wait)).map_err(text)?;
        let start = self.now();
        for notice in std::mem::take(&mut self.engine.traffic.notices) {
            if let Notice::Opened(id) = notice
                && let Some(client) = self.engine.client(id)
                && (client.receiver.slot.is_some() || self.size.is_spoken)
            {
                self.voices.push((client.receiver.room, id));
            }
        }
        if let Some(bare) = &mut self.bare {
            let redis = |error| format!("bare Redis: {error}");
            for &(_, at) in &self.engine.strangers {
                bare.readable(at).map_err(redis)?;
            }
            bare.tick(start).map_err(redis)?;
        }
        self.speech.tick(&mut self.engine, start)?;
        let end = self.now();
        self.engine.busy += end - start;
        Ok(end)
    }

    fn rest(&mut self, length: u64) -> Result<(), String> {
        let start = self.now();
        while !self.stopped() && self.turn()? - start < length {}
        Ok(())
    }

    /// One for each room, in their order.
    fn voices(&self) -> Vec<(u32, usize)> {
        let mut voices = self.voices.clone();
        voices.sort_unstable();
        voices.dedup_by_key(|(room, _)| *room);
        voices
    }

    /// What was counted so far was the warm-up's.
    fn forget(&mut self) {
        let traffic = &mut self.engine.traffic;
        traffic.latency.reset();
        traffic.far.latency.reset();
        traffic.lag.reset();
        if let Some(bare) = &mut self.bare {
            bare.latency.reset();
        }
    }

    fn measure(
        &mut self,
        start: &Mark,
        watch: &Watch,
        events: &Receiver<Event>,
    ) -> Result<(), String> {
        let duration = nanos(self.size.duration);
        let mut next = start.at + SAMPLE;
        loop {
            let now = self.turn()?;
            self.look(watch, events);
            if now - start.at >= duration || self.stopped() {
                return Ok(());
            }
            if now >= next {
                next += SAMPLE;
                let mark = self.light_mark();
                self.sample(&mark, start.at);
            }
        }
    }

    /// Takes in what the other threads have seen.
    fn look(&mut self, watch: &Watch, events: &Receiver<Event>) {
        self.looks.extend(watch.looks());
        for event in events.try_iter() {
            match event {
                Event::Struck(struck) => {
                    self.slice();
                    self.note_recovery();
                    let rooms = self.far_rooms();
                    let recovery = Recovery::begin(struck, rooms.into_iter());
                    self.engine.traffic.far.recovery = Some(recovery);
                    self.seen.push(Seen {
                        struck,
                        ..Seen::default()
                    });
                }
                Event::Over(over) => {
                    if let Some(seen) = self.seen.last_mut() {
                        seen.over = Some(over);
                    }
                }
            }
        }
        let recovery = self.engine.traffic.far.recovery.as_ref();
        let is_whole = recovery.is_some_and(|recovery| recovery.whole.is_some());
        // Messages of other rooms may be reached while Redis still stands: those said before.
        let is_over = self.seen.last().is_some_and(|seen| seen.over.is_some());
        if is_whole && is_over {
            self.slice();
            self.note_recovery();
        }
    }

    fn note_recovery(&mut self) {
        let recovery = self.engine.traffic.far.recovery.take();
        if let (Some(recovery), Some(seen)) = (recovery, self.seen.last_mut()) {
            (seen.first, seen.whole) = (recovery.first, recovery.whole);
        }
    }

    fn far_rooms(&self) -> Vec<(u32, u16)> {
        let nodes = self.size.far_nodes();
        let rooms = 0..self.engine.traffic.rooms.len() as u32;
        rooms
            .flat_map(|room| nodes.clone().map(move |node| (room, node)))
            .collect()
    }

    /// Puts the latencies since the last call where they belong.
    fn slice(&mut self) -> Latencies {
        let take = |of: &mut Histogram<u64>| std::mem::replace(of, histogram());
        let traffic = &mut self.engine.traffic;
        let slice = Latencies {
            near: take(&mut traffic.latency),
            far: take(&mut traffic.far.latency),
            bare: self
                .bare
                .as_mut()
                .map_or_else(histogram, |bare| take(&mut bare.latency)),
        };
        match traffic.far.recovery {
            Some(_) => self.hit.add(&slice),
            None => self.calm.add(&slice),
        }
        slice
    }

    fn sample(&mut self, mark: &Mark, start: u64) {
        let slice = self.slice();
        let then = std::mem::replace(&mut self.last, mark.clone());
        let seconds = (mark.at.saturating_sub(then.at) as f64 / 1e9).max(1e-9);
        let p99 = |of: &Histogram<u64>| of.value_at_quantile(0.99) as f64 / 1e6;
        let states = self.looks.last().map(|look| look.nodes.as_slice());
        let states = states.unwrap_or_default();
        self.samples.push(Sample {
            at: mark.at.saturating_sub(start) as f64 / 1e9,
            near_per_second: (mark.near - then.near) as f64 / seconds,
            far_per_second: (mark.far - then.far) as f64 / seconds,
            near_p99_ms: p99(&slice.near),
            far_p99_ms: p99(&slice.far),
            bare_p99_ms: p99(&slice.bare),
            outbox: states.iter().map(|state| state.outbox).max().unwrap_or(0),
            nodes_up: states.iter().filter(|state| state.is_up).count(),
        });
    }

    fn light_mark(&self) -> Mark {
        let traffic = &self.engine.traffic;
        let far = traffic.far.delivered;
        Mark {
            at: self.now(),
            near: traffic.verify.counts.delivered.saturating_sub(far),
            far,
            published: traffic.totals.published,
            busy: self.engine.busy,
            cpu: Cpu::default(),
        }
    }

    fn mark(&self) -> Mark {
        let (nodes, redis) = &self.processes;
        let trees = nodes
            .iter()
            .map(|&pid| measure::process_tree(pid).unwrap_or_default());
        let trees: Vec<_> = trees.collect();
        let redis = redis.and_then(measure::process_tree).unwrap_or_default();
        let waits = trees.iter().map(|tree| tree.wait_nanos).sum::<u64>();
        Mark {
            cpu: Cpu {
                nodes: trees.iter().map(|tree| tree.cpu_nanos).collect(),
                redis: redis.cpu_nanos,
                own: measure::own_cpu(),
                own_wait: measure::own_wait(),
                servers_wait: waits + redis.wait_nanos,
            },
            ..self.light_mark()
        }
    }

    fn drain(&mut self) -> Result<(), String> {
        let (mut last, mut delivered) = (self.now(), 0);
        loop {
            let now = self.turn()?;
            let counted = self.engine.traffic.verify.counts.delivered;
            if counted != delivered {
                (delivered, last) = (counted, now);
            }
            if now - last > QUIET {
                return Ok(());
            }
        }
    }

    fn pages(&self) -> Result<Vec<Page>, String> {
        self.admins.iter().map(|admin| Page::fetch(admin)).collect()
    }

    /// Reads the nodes' books until they agree with ours, or for long enough.
    fn agree(&mut self, before: &[Page]) -> Result<(Losses, Disagreement, Vec<NodeBook>), String> {
        let begun = self.now();
        loop {
            let missing = books::missing(&self.engine);
            let losses = books::losses(missing.into_iter());
            let traffic = &self.engine.traffic;
            let errors = traffic.totals.errors.values().sum::<u64>();
            let counts = &traffic.verify.counts;
            let ours = Ours {
                losses,
                published: traffic.totals.published,
                // Welcomes were written before the first page was read.
                received: counts.delivered + errors,
                is_spoken: self.size.is_spoken,
            };
            let pages = self.pages()?;
            let since = |(now, then): (&Page, &Page)| now.since(then);
            let nodes: Vec<NodeBook> = pages.iter().zip(before).map(since).collect();
            let disagreement = books::disagreement(&ours, &nodes);
            if disagreement.is_none() || self.now() - begun > AGREE_MAX || self.stopped() {
                return Ok((losses, disagreement, nodes));
            }
            self.rest(LOOK)?;
        }
    }

    fn close(&mut self) -> Result<(), String> {
        for id in self.engine.ids() {
            self.engine
                .with(id, |client, traffic| client.close(traffic));
        }
        let start = self.now();
        while self.engine.connections() > 0 && self.turn()? - start < 5 * SECOND {}
        Ok(())
    }
}
