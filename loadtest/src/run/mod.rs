//! Runs a plan: connect, settle, warm up, measure, stop, drain, check, close; then the figures.

mod ending;
mod figures;
mod restart;
mod watch;

use crate::cli::Options;
use crate::clock::{MILLISECOND, SECOND, nanos, seconds};
use crate::engine::{Engine, Target};
use crate::ledger::{self, Ledger};
use crate::load::{Crowd, Lives};
use crate::measure::{self, Process};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{Latency, Memory, Report, Sample, SoakLimits};
use crate::traffic::{Notice, Traffic, histogram};
use hdrhistogram::Histogram;
use restart::Restarting;
pub(crate) use restart::{FAILED, Managed, Restart};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use watch::Watch;

/// Time for the server's welcome frames, and for it to join the members, after the last connection is open.
const SETTLE: u64 = SECOND;
/// The same where memory is the figure: allocators give back what they do not need within this time.
const SETTLE_MEMORY: u64 = 3 * SECOND;
/// Longest wait for what is under way at the end.
const DRAIN_MAX: u64 = 15 * SECOND;
/// Without a delivery for this long, nothing more will come.
const QUIET: u64 = 500 * MILLISECOND;
/// The loop wakes at least this often.
const TICK: u64 = 5 * MILLISECOND;
/// A poll wakes up to this much late (it counts in whole milliseconds), so closer deadlines are polled for without sleeping.
const POLL_STEP: u64 = 1_500_000;
/// CPU time comes in steps of 10 ms; less than this is not worth dividing (10 % error).
const CPU_MIN: u64 = 100 * MILLISECOND;
/// Longest time for opening all connections without one of them opening.
const OPEN_STALL: u64 = 15 * SECOND;

/// What the counters stood at.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    at: u64,
    delivered: u64,
    published: u64,
    lives: u64,
    opened: u64,
    server: Option<Process>,
    own_cpu: u64,
    own_wait: u64,
    busy: u64,
}

/// A plan that runs.
#[derive(Debug)]
pub(crate) struct Run {
    plan: Plan,
    options: Options,
    engine: Engine,
    crowds: Vec<Crowd>,
    lives: Option<Lives>,
    progress: Progress,
    stop: Arc<AtomicBool>,
    samples: Vec<Sample>,
    latency: Histogram<u64>,
    handshakes: Histogram<u64>,
    last: Mark,
    ledger: Option<Ledger>,
    memory: Memory,
    notes: Vec<String>,
    watch: Watch,
    restarting: Option<Restarting>,
    soak: Option<SoakLimits>,
}

impl Run {
    /// Ready to begin.
    ///
    /// # Errors
    /// No poll.
    pub(crate) fn new(
        plan: Plan,
        options: Options,
        target: Target,
        traffic: Traffic,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let mut engine = Engine::new(target, traffic)?;
        engine.slow_buffer = plan.groups.iter().find_map(|group| group.receive_buffer);
        Ok(Self {
            progress: Progress::new(plan.name, plan.status_every),
            engine,
            watch: Watch::start(options.pid, options.admin.clone().filter(|_| !plan.memory)),
            restarting: None,
            soak: None,
            plan,
            options,
            crowds: Vec::new(),
            lives: None,
            stop,
            samples: Vec::new(),
            latency: histogram(),
            handshakes: histogram(),
            last: Mark::default(),
            ledger: None,
            memory: Memory::default(),
            notes: Vec::new(),
        })
    }

    /// The server restarts in the middle, like this.
    pub(crate) fn with_restart(mut self, restart: Restart) -> Self {
        self.restarting = Some(Restarting::Waiting(restart));
        self.engine.forgiving = true;
        self
    }

    /// The verdict judges the server's memory and descriptors, too.
    pub(crate) fn with_soak(mut self, limits: Option<SoakLimits>) -> Self {
        self.soak = limits;
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// The poll failed, or a process or ledger that was asked for is not there.
    pub(crate) fn run(mut self) -> io::Result<Report> {
        let before = self.fetch_ledger()?;
        self.ledger.clone_from(&before);
        self.memory.empty = self.process()?;
        self.memory.tcp_empty_bytes = measure::tcp_memory();
        self.connect()?;
        self.memory.opened = self.process()?;
        self.memory.tcp_opened_bytes = measure::tcp_memory();
        self.memory.connections = self.engine.connections();
        let (start, end) = self.measure()?;
        self.drain()?;
        self.end_of_restart();
        let lost_explained = self.check();
        let returns = self
            .crowds
            .iter()
            .find_map(|crowd| Some(crowd.people()?.returns()));
        let after = self.settled_ledger()?;
        self.memory.end = self.process()?;
        self.close_all()?;
        self.memory.closed = self.process()?;
        let figures = self.figures(start, end);
        let latency = Latency::of(&self.latency);
        let handshakes = Latency::of(&self.handshakes);
        self.progress.finish();
        Ok(Report {
            scenario: self.plan.name.to_owned(),
            seed: self.options.seed,
            text_bytes: self.plan.size,
            command_bytes: self.engine.traffic.message.command_bytes(),
            open_loop: !self.engine.traffic.lag.is_empty(),
            figures,
            latency,
            handshakes,
            lag: Latency::of(&self.engine.traffic.lag),
            verification: self.engine.traffic.verify.counts.clone(),
            lost_explained,
            totals: self.engine.traffic.totals.clone(),
            memory: self.memory,
            ledger_before: before,
            ledger_after: after,
            samples: self.samples,
            notes: self.notes,
            returns,
            soak: self.soak,
            slow_latency: Latency::of(&self.engine.traffic.slow_latency),
            percentiles: crate::report::percentile_curve(&self.latency),
        })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn process(&self) -> io::Result<Option<Process>> {
        let Some(pid) = self.options.pid else {
            return Ok(None);
        };
        match measure::process_tree(pid) {
            Some(process) => Ok(Some(process)),
            // A server that dies during the run is a finding, not a wrong flag: the report says so.
            None if self.memory.empty.is_some() => Ok(None),
            None => Err(io::Error::other(format!(
                "--pid {pid}: no such process (it ended?)"
            ))),
        }
    }

    fn fetch_ledger(&mut self) -> io::Result<Option<Ledger>> {
        let Some(admin) = &self.options.admin else {
            return Ok(None);
        };
        ledger::fetch(admin).map(Some).map_err(io::Error::other)
    }

    /// One turn of the loop with all its consequences. `half` as in [`Crowd::tick`].
    fn turn(&mut self, half: bool) -> io::Result<u64> {
        let now = self.engine.traffic.clock.now();
        let due = self
            .crowds
            .iter()
            .map(Crowd::due)
            .min()
            .unwrap_or(u64::MAX)
            .min(now + TICK);
        let wait = due.saturating_sub(now);
        let wait = if self.options.spin || wait < POLL_STEP {
            0
        } else {
            wait - MILLISECOND
        };
        self.engine.turn(Duration::from_nanos(wait))?;
        let start = self.engine.traffic.clock.now();
        let notices = std::mem::take(&mut self.engine.traffic.notices);
        for notice in notices {
            for crowd in &mut self.crowds {
                crowd.notice(&mut self.engine, notice);
            }
            if let Some(lives) = &mut self.lives {
                lives.notice(&mut self.engine, notice);
            } else if let Notice::Own(id) = notice {
                self.engine.drop_connection(id);
            }
        }
        for crowd in &mut self.crowds {
            crowd.tick(&mut self.engine, start, half);
        }
        if let Some(lives) = &mut self.lives {
            lives.tick(&mut self.engine, start);
        }
        let end = self.engine.traffic.clock.now();
        self.engine.busy += end - start;
        Ok(end)
    }

    fn connect(&mut self) -> io::Result<()> {
        for (number, group) in self.plan.groups.iter().enumerate() {
            self.crowds
                .push(Crowd::open(group.clone(), number, &mut self.engine));
        }
        let number = self.plan.groups.len();
        self.lives = self
            .plan
            .storm
            .map(|storm| Lives::open(storm, number, &mut self.engine));
        let start = self.engine.traffic.clock.now();
        let (mut last, mut opening) = (start, usize::MAX);
        let all = self.engine.opening() as u64;
        while self.engine.opening() > 0 && !self.stopped() {
            let now = self.turn(false)?;
            if self.engine.opening() < opening {
                (opening, last) = (self.engine.opening(), now);
            } else if now - last > OPEN_STALL {
                self.notes.push(format!(
                    "{opening} connections were not opened: the server stopped answering"
                ));
                self.engine.give_up_opening();
                break;
            }
            self.progress.connecting(all - opening as u64, all);
        }
        let opened = self.engine.traffic.clock.now();
        self.memory.connect_seconds = seconds(opened - start);
        self.handshakes
            .add(&self.engine.traffic.handshakes)
            .map_err(io::Error::other)?;
        let settle = if self.plan.memory {
            SETTLE_MEMORY
        } else {
            SETTLE
        };
        let connections = self.engine.connections() as u64;
        while !self.stopped() {
            let now = self.turn(false)?;
            let welcomed = self.engine.traffic.totals.unpublished_frames >= connections;
            let short = if self.plan.memory || !welcomed {
                settle
            } else {
                settle / 4
            };
            if now - opened > short {
                break;
            }
        }
        Ok(())
    }

    fn measure(&mut self) -> io::Result<(Mark, Mark)> {
        for crowd in &mut self.crowds {
            crowd.start(&mut self.engine);
        }
        let begun = self.engine.traffic.clock.now();
        if let Some(lives) = &mut self.lives {
            lives.start(begun);
        }
        while !self.stopped() && self.turn(false)? - begun < nanos(self.options.warmup) {}
        for histogram in [
            &mut self.engine.traffic.latency,
            &mut self.engine.traffic.lag,
        ] {
            histogram.reset();
        }
        self.engine.traffic.handshakes.reset();
        let start = self.mark(self.process()?);
        self.last = start;
        self.watch.ask();
        let duration = nanos(self.plan.duration);
        let every = (duration / 240).clamp(500 * MILLISECOND, 10 * SECOND);
        let mut next = start.at + every;
        let mut asked = false;
        loop {
            let elapsed = self.turn(self.half(start.at))?.saturating_sub(start.at);
            if elapsed >= duration || self.stopped() {
                break;
            }
            if !asked && start.at + elapsed + every / 4 >= next {
                self.watch.ask();
                asked = true;
            }
            self.restart_if_due(elapsed);
            if start.at + elapsed >= next {
                next += every;
                asked = false;
                self.sample(start.at, duration)?;
            }
            if self.plan.memory
                && elapsed < duration / 2
                && elapsed > duration / 4
                && self.memory.idle.is_none()
            {
                self.memory.idle = self.process()?;
            }
        }
        let end = self.mark(self.process()?);
        self.sample(start.at, duration)?;
        Ok((start, end))
    }

    fn half(&self, start: u64) -> bool {
        self.engine.traffic.clock.now().saturating_sub(start) * 2 > nanos(self.plan.duration)
    }

    fn mark(&self, server: Option<Process>) -> Mark {
        Mark {
            at: self.engine.traffic.clock.now(),
            delivered: self.engine.traffic.verify.counts.delivered,
            published: self.engine.traffic.totals.published,
            lives: self.lives.as_ref().map_or(0, |lives| lives.ended),
            opened: self.engine.traffic.totals.opened,
            server,
            own_cpu: measure::own_cpu(),
            own_wait: measure::own_wait(),
            busy: self.engine.busy,
        }
    }

    /// Takes the interval's figures into the series and the total.
    fn sample(&mut self, start: u64, duration: u64) -> io::Result<()> {
        let mark = self.mark(None);
        let seconds_past = seconds(mark.at - self.last.at).max(1e-9);
        let rate = |now: u64, then: u64| (now - then) as f64 / seconds_past;
        let (look, new) = self.watch.newest();
        let look = look.clone();
        match look.ledger {
            Some(Ok(ledger)) => self.ledger = Some(ledger),
            Some(Err(why)) if new && !self.engine.forgiving => self.notes.push(why),
            _ => {}
        }
        let traffic = &mut self.engine.traffic;
        let sample = Sample {
            at: seconds(mark.at - start),
            deliveries: rate(mark.delivered, self.last.delivered),
            published: rate(mark.published, self.last.published),
            handshakes: rate(mark.opened, self.last.opened),
            p50_ms: traffic.latency.value_at_quantile(0.5) as f64 / 1e6,
            p99_ms: traffic.latency.value_at_quantile(0.99) as f64 / 1e6,
            connections: self.engine.clients_open(),
            tcp_buffer_bytes: look.tcp_buffer_bytes,
            server: look.process,
            queued: self.ledger.as_ref().map(|ledger| ledger.queued),
            dropped: self.ledger.as_ref().map(Ledger::dropped_total),
            causes: self
                .ledger
                .as_ref()
                .map(|ledger| ledger.dropped.clone())
                .unwrap_or_default(),
            unexplained: self.ledger.as_ref().map(|ledger| ledger.unexplained),
        };
        let traffic = &mut self.engine.traffic;
        self.latency
            .add(&traffic.latency)
            .map_err(io::Error::other)?;
        self.handshakes
            .add(&traffic.handshakes)
            .map_err(io::Error::other)?;
        traffic.latency.reset();
        traffic.handshakes.reset();
        self.last = mark;
        let lost = self.engine.traffic.verify.counts.lost;
        let errors = self.engine.traffic.totals.troubles();
        self.progress
            .measuring(&sample, seconds(duration), lost, errors);
        self.samples.push(sample);
        Ok(())
    }
}
