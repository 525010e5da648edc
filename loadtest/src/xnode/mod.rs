//! `xnode`: publishers on one node, subscribers on others, and a Redis between them. What crossing costs beside what Redis itself costs
//! at that moment, and what is lost, late or noticed when Redis is killed, stands still or is replaced.
//!
//! One loop drives all connections ([`drive`]); [`fault`] strikes and [`watch`] looks at the nodes from threads of their own;
//! [`books`] lays what the members saw beside what the nodes say.

mod bare;
mod books;
mod campaign;
mod drive;
mod fault;
mod outcome;
mod report;
mod speech;
mod stage;
mod store;
mod text;
mod watch;

use crate::cli::{FaultKind, Options, Servers, Xnode};
use crate::clock::{Clock, MILLISECOND, nanos};
use crate::engine::Engine;
use crate::latency::Latency;
use crate::traffic::Traffic;
use bare::Bare;
pub(crate) use campaign::run as run_all;
use drive::{Drive, Size};
use fault::{Event, Schedule};
use outcome::Outcome;
use report::{Asked, Frame, Goal, Report};
use speech::{Pace, Speech};
use stage::Stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use watch::Watch;

/// Text of a message where the flags do not say.
const TEXT_BYTES: usize = 64;
/// Messages a second in all, where neither --rate nor --window says otherwise.
const RATE: f64 = 1000.0;
/// Length of a measurement without faults where the flags do not say.
const DURATION: Duration = Duration::from_secs(10);
/// What a delivery may be older than its expiry when it is read: it was dropped or written in time, and then it travelled.
const TRAVEL: u64 = 50 * MILLISECOND;
/// bridge.outbox_capacity where the flags do not say.
const OUTBOX: f64 = 16_384.0;

/// One run.
///
/// # Errors
/// Something could not be started or broke; a run that only shows losses is no error.
pub(crate) fn run(
    args: &Xnode,
    options: &Options,
    stop: Arc<AtomicBool>,
) -> Result<Report, String> {
    let cores = args.campaign.cores();
    if let Some(core) = cores.1 {
        pin(core);
    }
    let schedule = Schedule::of(args, options.seed);
    let mut stage = Stage::set(args, options, cores)?;
    let clock = Clock::start();
    let pace = match (args.window, options.rate) {
        (Some(window), None) => Pace::Closed(window.max(1)),
        (Some(_), Some(_)) => return Err("either --window or --rate".to_owned()),
        (None, rate) => Pace::Open(rate.unwrap_or(RATE)),
    };
    let size = Size {
        nodes: stage.nodes.len() as u16,
        rooms: args.rooms.max(1),
        members: args.members.max(1),
        is_spoken: args.group_send,
        warmup: options.warmup,
        duration: options
            .duration
            .or(schedule.map(|schedule| schedule.duration()))
            .unwrap_or(DURATION),
    };
    let planned = size.duration.as_secs_f64();
    let engine = engine(&stage, options, clock, size.is_spoken)?;
    let speech = Speech::new(stage.mouth(args)?, pace, size.members, &options.business);
    let processes = stage.processes();
    let mut drive = Drive::new(
        engine,
        size,
        speech,
        stage.admins(),
        processes,
        Arc::clone(&stop),
    );
    drive.connect()?;
    if let (Pace::Open(rate), None, Some(redis)) = (pace, schedule, stage.redis()) {
        let bytes = drive.engine.traffic.message.command_bytes();
        let bare = Bare::open(redis, size.rooms, rate, bytes, &drive.engine);
        drive.bare = Some(bare.map_err(|error| format!("{redis}: {error}"))?);
    }
    let measured = measure(drive, &mut stage, schedule, clock)?;
    let mut report = judge(args, options, &stage, schedule, pace, measured);
    report.interrupted = crate::report::interrupted(&stop, report.seconds, planned);
    if report.interrupted.is_some() {
        report.goals.clear();
    }
    Ok(report)
}

/// What the loop saw, and why the faults stopped, if they did.
struct Measured {
    outcome: Outcome,
    engine: Engine,
    notes: Vec<String>,
}

fn measure(
    drive: Drive,
    stage: &mut Stage,
    schedule: Option<Schedule>,
    clock: Clock,
) -> Result<Measured, String> {
    let watched = if schedule.is_some() {
        stage.admins()
    } else {
        Vec::new()
    };
    let watch = Watch::start(watched, clock);
    let (tell, events): (Sender<Event>, Receiver<Event>) = channel();
    let ended = Arc::new(AtomicBool::new(false));
    let mut striking = None;
    let store = schedule.and_then(|_| stage.store.take());
    let begin = || {
        if let Some((schedule, store)) = schedule.zip(store) {
            striking = Some(fault::start(
                schedule,
                store,
                clock,
                tell,
                Arc::clone(&ended),
            ));
        }
    };
    let ran = drive.run(&watch, &events, begin);
    ended.store(true, Ordering::Relaxed);
    let mut notes = Vec::new();
    if let Some(striking) = striking {
        let joined = striking.join();
        let (store, outcome) = joined.map_err(|_panic| "the thread of the faults panicked")?;
        stage.store = Some(store);
        notes.extend(outcome.err());
    }
    let (outcome, engine) = ran?;
    Ok(Measured {
        outcome,
        engine,
        notes,
    })
}

fn engine(
    stage: &Stage,
    options: &Options,
    clock: Clock,
    is_spoken: bool,
) -> Result<Engine, String> {
    let target = |url: &str| {
        let options = Options {
            url: url.to_owned(),
            ..options.clone()
        };
        crate::target::target(&options)
    };
    let targets: Result<Vec<_>, String> =
        stage.nodes.iter().map(|node| target(&node.url)).collect();
    let mut targets = targets?;
    if is_spoken && let Some(first) = targets.first().cloned() {
        // Node 0 is the speaker's, where nobody is.
        targets.insert(0, first);
    }
    let mut targets = targets.into_iter();
    let first = targets.next().ok_or("no node")?;
    let size = options.size.unwrap_or(TEXT_BYTES);
    let expiry = nanos(options.expiry).saturating_add(TRAVEL);
    let traffic = Traffic::new(clock, first.run, size, options.seed, expiry);
    let mut engine = Engine::new(first, traffic).map_err(|error| error.to_string())?;
    targets.for_each(|target| engine.add_node(target));
    Ok(engine)
}

fn judge(
    args: &Xnode,
    options: &Options,
    stage: &Stage,
    schedule: Option<Schedule>,
    pace: Pace,
    measured: Measured,
) -> Report {
    let Measured {
        outcome,
        engine,
        notes,
    } = measured;
    let struck = outcome.seen.iter().skip(1).map(|seen| seen.struck);
    let ends = struck.chain([u64::MAX]);
    let begun = outcome.start.at;
    let strikes = outcome.seen.iter().zip(ends);
    let strikes = strikes
        .map(|(seen, until)| fault::told(*seen, until, &outcome.looks, begun))
        .collect();
    let frame = Frame {
        asked: Asked {
            command: crate::campaign::command(),
            seed: options.seed,
            rooms: args.rooms,
            members: args.members,
            group_send: args.group_send,
            rate: match pace {
                Pace::Open(rate) => Some(rate),
                Pace::Closed(_) => None,
            },
            window: args.window,
            text_bytes: options.size.unwrap_or(TEXT_BYTES),
            expiry_seconds: options.expiry.as_secs_f64(),
        },
        facts: stage.facts.clone(),
        lag: Latency::of(&engine.traffic.lag),
        verification: engine.traffic.verify.counts.clone(),
        totals: engine.traffic.totals.clone(),
        strikes,
        strikes_wanted: schedule.map_or(0, |schedule| schedule.times),
        fault: schedule.map(|schedule| match schedule.kind {
            FaultKind::KillRedis => "kill-redis",
            FaultKind::StopRedis => "stop-redis",
            FaultKind::Failover => "failover",
        }),
        must_not_lose: keeps_everything(args),
        notes,
    };
    let mut report = Report::new(frame, outcome);
    report.goals = goals(args, &report);
    report
}

/// The mode keeps what a Redis that comes back with its data has taken.
fn keeps_everything(args: &Xnode) -> bool {
    args.mode == "streams" && args.appendonly && args.fault == Some(FaultKind::KillRedis)
}

/// What this run's figures should be.
fn goals(args: &Xnode, report: &Report) -> Vec<Goal> {
    if args.servers != Servers::Supportal || args.group_send {
        return Vec::new();
    }
    let unexplained = report.unexplained.across_nodes.unsigned_abs() as f64;
    let within = report.losses.within_nodes as f64;
    let whole = report.longest(|strike| strike.whole);
    let ratio = report.hit.near.p99_ms / report.latency.near.p99_ms;
    let mut goals = Vec::new();
    let mut goal = |what: &str, value: Option<f64>, at_most: f64| {
        goals.push(Goal::at_most(what, value, at_most));
    };
    match args.fault {
        None => {
            let added = report.added.and_then(|added| added.in_bare_p99);
            if report.asked.rate.is_some() {
                goal("p99 added by the bridge, in p99 of bare Redis", added, 2.0);
            }
            return goals;
        }
        Some(FaultKind::KillRedis) => {
            goal("all rooms reached again after a kill, s", whole, 2.0);
            if keeps_everything(args) {
                goal(
                    "messages lost across nodes",
                    Some(report.losses.across_nodes as f64),
                    0.0,
                );
                goal(
                    "duplicates",
                    Some(report.verification.duplicated as f64),
                    0.0,
                );
            }
        }
        Some(FaultKind::StopRedis) => {
            goal(
                "noticed after, s",
                report.longest(|strike| strike.noticed),
                3.0,
            );
            goal("p99 within a node, times that before", Some(ratio), 1.2);
            goal(
                "publications in an outbox",
                Some(report.outbox_max as f64),
                outbox(args),
            );
            goal(
                "deliveries older than their expiry",
                Some(report.verification.late as f64),
                0.0,
            );
        }
        Some(FaultKind::Failover) => {
            goal(
                "all rooms reached again after the master's end, s",
                whole,
                3.0,
            );
        }
    }
    goal("deliveries lost within nodes", Some(within), 0.0);
    goal("cross-node losses without a count", Some(unexplained), 0.0);
    goals
}

/// bridge.outbox_capacity of the nodes.
fn outbox(args: &Xnode) -> f64 {
    let given = args.set.iter().rev();
    let given = given.filter_map(|setting| setting.strip_prefix("bridge.outbox_capacity="));
    given
        .filter_map(|value| value.parse().ok())
        .next()
        .unwrap_or(OUTBOX)
}

/// Keeps this thread, and those it starts, on one core. Where that is not possible, the report's shares of waiting say so.
fn pin(core: usize) {
    #[cfg(target_os = "linux")]
    {
        let mut only = rustix::thread::CpuSet::new();
        only.set(core);
        rustix::thread::sched_setaffinity(None, &only).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _unused = core;
}
