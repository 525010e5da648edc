//! The side of a run that looks at the server and gathers the figures.

use super::restart::{Restart, Restarting};
use super::watch::ServerWatch;
use crate::cli::Options;
use crate::clock::{MILLISECOND, SECOND, nanos, seconds};
use crate::latency::Times;
use crate::ledger::{self, Ledger};
use crate::measure::{self, Process};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{Interval, Report, Sample, SoakLimits, Used};
use std::io;

/// Between two looks at a ledger that has not settled.
pub(crate) const LOOK: u64 = 200 * MILLISECOND;
/// Looks at a ledger in which something is queued: five seconds of them.
const LOOKS_MAX: u64 = 5 * SECOND / LOOK;

/// Looks at the server.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(super) plan: Plan,
    /// The server, or nodes and then their Redis.
    pids: Vec<u32>,
    admin: Option<String>,
    every: u64,
    asked: bool,
    next: u64,
    progress: Progress,
    watch: ServerWatch,
    pub(super) restarting: Option<Restarting>,
    pub(super) latency: Times,
    pub(super) handshakes: Times,
    ledger: Option<Ledger>,
    pub(super) used: Used,
    /// As far as it is known.
    pub(super) report: Report,
    looks: u64,
}

impl Observer {
    /// Nothing seen yet. With limits of a soak the verdict judges the server's memory and descriptors, too; the server is restarted in the
    /// middle if there is a way to.
    pub(crate) fn new(
        plan: &Plan,
        options: &Options,
        pids: Vec<u32>,
        soak: Option<SoakLimits>,
        restart: Option<Restart>,
    ) -> Self {
        let admin = options.admin.clone();
        Self {
            plan: plan.clone(),
            every: plan.interval(),
            asked: false,
            next: 0,
            progress: Progress::new(plan.name.clone(), plan.status_every),
            watch: ServerWatch::start(pids.clone(), admin.clone().filter(|_| !plan.memory)),
            pids,
            admin,
            restarting: restart.map(Restarting::Waiting),
            latency: Times::default(),
            handshakes: Times::default(),
            ledger: None,
            used: Used::default(),
            report: Report {
                seed: options.seed,
                soak,
                ..Report::default()
            },
            looks: 0,
        }
    }

    /// Before the first connection.
    /// Errors: A process or ledger that was asked for is not there.
    pub(crate) fn before(&mut self) -> io::Result<()> {
        self.ledger = self.fetch_ledger()?;
        self.report.ledger_before.clone_from(&self.ledger);
        self.report.memory.empty = self.process()?;
        self.report.memory.tcp_empty_bytes = measure::tcp_memory();
        Ok(())
    }

    /// So many of `all` connections are open.
    pub(crate) fn opening(&self, opened: u64, all: u64) {
        self.progress.connecting(opened, all);
    }

    /// All connections are open and the server is at rest. `nanos` is how long opening took.
    /// Errors: No such process.
    pub(crate) fn opened(
        &mut self,
        connections: usize,
        nanos: u64,
        handshakes: &Times,
    ) -> io::Result<()> {
        self.report.memory.connections = connections;
        self.report.memory.connect_seconds = seconds(nanos);
        self.handshakes += handshakes;
        self.report.memory.opened = self.process()?;
        self.report.memory.tcp_opened_bytes = measure::tcp_memory();
        Ok(())
    }

    /// The measurement begins.
    pub(crate) fn begun(&mut self) {
        self.used.start = self.each();
        self.watch.ask();
        self.next = self.every;
    }

    /// To be called again and again during the measurement.
    /// Errors: No such process.
    pub(crate) fn tick(&mut self, elapsed: u64) -> io::Result<()> {
        if !self.asked && elapsed + self.every / 4 >= self.next {
            self.watch.ask();
            self.asked = true;
        }
        self.restart_if_due(elapsed);
        let duration = nanos(self.plan.duration);
        if self.plan.memory
            && elapsed < duration / 2
            && elapsed > duration / 4
            && self.report.memory.idle.is_none()
        {
            self.report.memory.idle = self.process()?;
        }
        Ok(())
    }

    /// One more interval.
    pub(crate) fn slice(&mut self, slice: &Interval) {
        self.asked = false;
        self.next += self.every;
        let window = &slice.window;
        let rate = |count: u64| count as f64 / seconds(window.nanos).max(1e-9);
        let (look, new) = self.watch.newest();
        let look = look.clone();
        match look.ledger {
            Some(Ok(ledger)) => self.ledger = Some(ledger),
            Some(Err(why)) if new && self.restarting.is_none() => self.report.notes.push(why),
            _ => {}
        }
        let ledger = self.ledger.as_ref();
        let sample = Sample {
            at: seconds(slice.at),
            deliveries: rate(window.delivered),
            published: rate(window.published),
            handshakes: rate(window.opened),
            p50_ms: slice.latency.millis(0.5),
            p99_ms: slice.latency.millis(0.99),
            connections: slice.connections,
            tcp_buffer_bytes: look.tcp_buffer_bytes,
            server: look.process,
            queued: ledger.map(|ledger| ledger.queued),
            dropped: ledger.map(Ledger::dropped_total),
            causes: ledger.map(|l| l.dropped.clone()).unwrap_or_default(),
            unexplained: ledger.map(|ledger| ledger.unexplained),
        };
        self.latency += &slice.latency;
        self.handshakes += &slice.handshakes;
        let duration = self.plan.duration.as_secs_f64();
        self.progress
            .measuring(&sample, duration, slice.lost, slice.errors);
        self.report.samples.push(sample);
    }

    /// The measurement is over.
    pub(crate) fn ended(&mut self) {
        self.used.end = self.each();
    }

    /// Reads the ledger. True once nothing is queued, or after so many looks; to be called every [`LOOK`].
    /// Errors: No such process.
    pub(crate) fn settled(&mut self) -> io::Result<bool> {
        self.looks += 1;
        let settled = match self.fetch_ledger() {
            Ok(ledger) => {
                let of = ledger.as_ref();
                let settled = of.is_none_or(|l| l.queued == 0 && l.unexplained == 0);
                self.report.ledger_after = ledger;
                settled
            }
            Err(why) => {
                self.report.ledger_after = None;
                self.report.notes.push(why.to_string());
                true
            }
        };
        if settled || self.looks > LOOKS_MAX {
            self.report.memory.end = self.process()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// All connections are closed.
    /// Errors: No such process.
    pub(crate) fn closed(&mut self) -> io::Result<()> {
        self.report.memory.closed = self.process()?;
        self.progress.finish();
        Ok(())
    }

    fn each(&self) -> Vec<Option<Process>> {
        let trees = self.pids.iter().map(|&pid| measure::process_tree(pid));
        trees.collect()
    }

    fn process(&self) -> io::Result<Option<Process>> {
        let sum = Process::sum(self.each().into_iter());
        match self.pids.first() {
            // A server that dies during the run is a finding, not a wrong flag: the report says so.
            Some(pid) if sum.is_none() && self.report.memory.empty.is_none() => Err(
                io::Error::other(format!("--pid {pid}: no such process (it ended?)")),
            ),
            _ => Ok(sum),
        }
    }

    fn fetch_ledger(&self) -> io::Result<Option<Ledger>> {
        let Some(admin) = &self.admin else {
            return Ok(None);
        };
        ledger::fetch(admin).map(Some).map_err(io::Error::other)
    }

    /// Begins the restart when its time has come.
    pub(super) fn restart_if_due(&mut self, elapsed: u64) {
        let due = self.plan.restart.is_some_and(|at| elapsed >= nanos(at));
        if !due {
            return;
        }
        if let Some(Restarting::Waiting(_)) = &self.restarting
            && let Some(Restarting::Waiting(restart)) = self.restarting.take()
        {
            let handle = std::thread::spawn(move || restart.act());
            self.restarting = Some(Restarting::Running(handle));
        }
    }

    /// Waits for it and notes what happened; the new server lives as long as the run.
    pub(crate) fn end_of_restart(&mut self) {
        let Some(Restarting::Running(handle)) = self
            .restarting
            .take_if(|it| matches!(it, Restarting::Running(_)))
        else {
            return;
        };
        if let Ok((server, text)) = handle.join() {
            self.report.notes.push(text);
            self.restarting = Some(Restarting::Done { _server: server });
        }
    }
}
