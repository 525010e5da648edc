//! The loop of a run: connect, settle, warm up, measure; `ending` has the rest.

use super::companion::Companion;
use super::observer::Observer;
use crate::cli::Options;
use crate::clock::{Clock, MILLISECOND, SECOND, nanos, seconds};
use crate::engine::Engine;
use crate::load::{Crowd, Lives};
use crate::measure;
use crate::people::People;
use crate::plan::Plan;
use crate::report::{Interval, Part, Report, Window};
use crate::target::Target;
use crate::traffic::{Beside, Notice, Traffic};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time for the server's welcome frames, and for it to join the members, after the last connection is open.
const SETTLE: u64 = SECOND;
/// The same where memory is the figure: allocators give back what they do not need within this time.
const SETTLE_MEMORY: u64 = 3 * SECOND;
/// Longest wait for what is under way at the end.
pub(super) const DRAIN_MAX: u64 = 15 * SECOND;
/// Without a delivery for this long, nothing more will come.
pub(super) const QUIET: u64 = 500 * MILLISECOND;
/// The same over several nodes.
pub(super) const COMPANION_QUIET: u64 = SECOND;
/// The loop wakes at least this often.
const TICK: u64 = 5 * MILLISECOND;
/// The same with a companion, whose events come from other threads.
const COMPANION_TICK: u64 = 2 * MILLISECOND;
/// A measurement whose storm does not end lasts at most so many times as long.
const STORM_MAX: u64 = 4;
/// Longest time for opening all connections without one of them opening.
const OPEN_STALL: u64 = 15 * SECOND;

/// A plan that runs.
#[derive(Debug)]
pub(crate) struct Run {
    plan: Plan,
    warmup: u64,
    spin: bool,
    pub(super) engine: Engine,
    pub(super) crowds: Vec<Crowd>,
    pub(super) lives: Option<Lives>,
    stop: Arc<AtomicBool>,
    last: Window,
    pub(super) notes: Vec<String>,
    pub(super) observer: Observer,
    pub(super) companion: Option<Box<dyn Companion>>,
}

impl Run {
    /// Ready to begin.
    /// Errors: No poll.
    pub(crate) fn new(
        plan: Plan,
        target: Target,
        options: &Options,
        observer: Observer,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (clock, expiry) = (Clock::start(), nanos(options.expiry));
        let mut traffic = Traffic::new(clock, target.run, plan.size, options.seed, expiry);
        traffic.contract = options.contract;
        let mut engine = Engine::new(target, traffic)?;
        engine.slow_buffer = plan.groups.iter().find_map(|group| group.receive_buffer);
        engine.forgiving = plan.restart.is_some();
        Ok(Self {
            plan,
            warmup: nanos(options.warmup),
            spin: options.spin,
            engine,
            crowds: Vec::new(),
            lives: None,
            stop,
            last: Window::default(),
            notes: Vec::new(),
            observer,
            companion: None,
        })
    }

    /// The same over several nodes: those besides the first.
    /// Errors: The companion's.
    pub(crate) fn across<C: Companion + 'static>(
        mut self,
        others: Vec<Target>,
        companion: impl FnOnce(&mut Engine) -> io::Result<C>,
    ) -> io::Result<Self> {
        (others.into_iter()).for_each(|target| self.engine.add_node(target));
        self.companion = Some(Box::new(companion(&mut self.engine)?));
        Ok(self)
    }

    /// Runs it.
    /// Errors: The poll failed, or a process or ledger that was asked for is not there.
    pub(crate) fn run(mut self) -> io::Result<Report> {
        self.observer.before()?;
        let nanos = self.connect()?;
        let connections = self.engine.connections();
        let handshakes = &self.engine.traffic.handshakes;
        self.observer.opened(connections, nanos, handshakes)?;
        let window = self.measure()?;
        let again = self.engine.tokens_again();
        let known = (again > 0).then(|| format!("{again} handshakes brought a token again"));
        self.notes.extend(known);
        self.drain()?;
        self.observer.end_of_restart();
        self.agree_with_companion()?;
        let lost_explained = self.check();
        let mut people = self.crowds.iter().filter_map(Crowd::people);
        let returns = people.next().map(People::returns);
        self.settle()?;
        self.close_all()?;
        let companion = self.companion.take();
        let across = companion.map(|mut companion| companion.across(&mut self.engine));
        self.observer.closed()?;
        let traffic = self.engine.traffic;
        let report = self.observer.report(Part {
            window,
            connections,
            command_bytes: traffic.message.command_bytes(),
            verification: traffic.verify.counts,
            lost_explained,
            totals: traffic.totals,
            returns,
            lag: traffic.lag,
            slow_latency: traffic.slow_latency,
            beside: traffic.beside,
            notes: self.notes,
        });
        Ok(report.with_across(across.transpose()?))
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One turn of the loop with all its consequences. `half` as in [`Crowd::tick`].
    pub(super) fn turn(&mut self, half: bool) -> io::Result<u64> {
        let now = self.engine.traffic.clock.now();
        let due = self.crowds.iter().map(Crowd::due).min();
        let mut due = due.unwrap_or(u64::MAX).min(now + TICK);
        if let Some(companion) = &self.companion {
            due = due.min(companion.due()).min(now + COMPANION_TICK);
        }
        if self.spin {
            self.engine.turn(Duration::ZERO)?;
        } else {
            self.engine.turn_until(due, now)?;
        }
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
        if let Some(companion) = &mut self.companion {
            companion.turn(&mut self.engine, start)?;
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

    /// Opens everything; how long that took.
    fn connect(&mut self) -> io::Result<u64> {
        self.open_groups(false);
        let number = self.plan.groups.len();
        let storm = self.plan.storm;
        self.lives = storm.map(|storm| Lives::open(storm, number, &mut self.engine));
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
            self.observer.opening(all - opening as u64, all);
        }
        let opened = self.engine.traffic.clock.now();
        let settle = if self.plan.memory {
            SETTLE_MEMORY
        } else {
            SETTLE
        };
        let connections = self.engine.connections() as u64;
        while !self.stopped() {
            let now = self.turn(false)?;
            let welcomed = self.engine.traffic.totals.unpublished_frames >= connections;
            // A companion's nodes subscribe to the rooms meanwhile.
            let short = if self.plan.memory || !welcomed || self.companion.is_some() {
                settle
            } else {
                settle / 4
            };
            if now - opened > short {
                break;
            }
        }
        Ok(opened - start)
    }

    fn open_groups(&mut self, late: bool) {
        for (number, group) in self.plan.groups.iter().enumerate() {
            if group.late == late {
                let crowd = Crowd::open(group.clone(), number, &mut self.engine);
                self.crowds.push(crowd);
            }
        }
    }

    /// Opens what comes late once its time has come, and notes when all of that is there.
    fn storm(&mut self, is_due: bool) {
        let is_opening = self.engine.opening() > 0;
        let now = self.engine.traffic.clock.now();
        let Some(beside) = &mut self.engine.traffic.beside else {
            return;
        };
        if beside.begun.is_none() && is_due {
            beside.begun = Some(now);
            self.engine.patient = true;
            self.open_groups(true);
        } else if beside.begun.is_some() && !is_opening {
            beside.over.get_or_insert(now);
        }
    }

    /// A storm is under way, and nobody has lost patience with it.
    fn is_storming(&self, is_enough: bool) -> bool {
        let beside = self.engine.traffic.beside.as_ref();
        beside.is_some_and(|beside| beside.over.is_none()) && !is_enough
    }

    fn measure(&mut self) -> io::Result<Window> {
        if let Some(companion) = &mut self.companion {
            companion.start(self.engine.traffic.clock.now())?;
        }
        for crowd in &mut self.crowds {
            crowd.start(&mut self.engine);
        }
        let begun = self.engine.traffic.clock.now();
        if let Some(lives) = &mut self.lives {
            lives.start(begun);
        }
        while !self.stopped() && self.turn(false)? - begun < self.warmup {}
        for histogram in [
            &mut self.engine.traffic.latency,
            &mut self.engine.traffic.lag,
            &mut self.engine.traffic.handshakes,
        ] {
            histogram.reset();
        }
        self.observer.begun();
        self.engine.traffic.beside = (self.plan.late() > 0).then(Beside::default);
        if let Some(companion) = &mut self.companion {
            companion.begun(&mut self.engine);
        }
        let start = self.mark();
        self.last = start;
        let duration = nanos(self.plan.duration);
        let every = self.plan.interval();
        let mut next = start.nanos + every;
        loop {
            let elapsed = self
                .turn(self.half(start.nanos))?
                .saturating_sub(start.nanos);
            let is_over = elapsed >= duration && !self.is_storming(elapsed > STORM_MAX * duration);
            if is_over || self.stopped() {
                break;
            }
            self.storm(elapsed * 2 > duration);
            self.observer.tick(elapsed)?;
            if start.nanos + elapsed >= next {
                next += every;
                let mark = self.mark();
                self.slice(mark, start.nanos);
            }
        }
        self.observer.ended();
        let end = self.mark();
        self.slice(end, start.nanos);
        if let Some(companion) = &mut self.companion {
            companion.ended(&mut self.engine);
        }
        Ok(end.since(&start))
    }

    fn half(&self, start: u64) -> bool {
        self.engine.traffic.clock.now().saturating_sub(start) * 2 > nanos(self.plan.duration)
    }

    /// What the counters stand at.
    fn mark(&self) -> Window {
        Window {
            nanos: self.engine.traffic.clock.now(),
            delivered: self.engine.traffic.verify.counts.delivered,
            published: self.engine.traffic.totals.published,
            lives: self.lives.as_ref().map_or(0, |lives| lives.ended),
            opened: self.engine.traffic.totals.opened,
            cpu: measure::own_cpu(),
            waited: measure::own_wait(),
            busy: self.engine.busy,
        }
    }

    /// Hands over what happened since the last slice.
    fn slice(&mut self, mark: Window, start: u64) {
        let window = mark.since(&std::mem::replace(&mut self.last, mark));
        let at = mark.nanos - start;
        if let Some(companion) = &mut self.companion {
            companion.sample(&mut self.engine, seconds(at), seconds(window.nanos));
        }
        let connections = self.engine.clients_open();
        let traffic = &mut self.engine.traffic;
        self.observer.slice(&Interval {
            at,
            window,
            connections,
            lost: traffic.verify.counts.lost,
            errors: traffic.totals.troubles(),
            latency: std::mem::take(&mut traffic.latency),
            handshakes: std::mem::take(&mut traffic.handshakes),
        });
    }
}
