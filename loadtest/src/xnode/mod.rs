//! `xnode`: publishers on one node, subscribers on others, and a Redis between them. What crossing costs beside what Redis itself costs
//! at that moment, and what is lost, late or noticed when Redis is killed, stands still or is replaced.
//!
//! The run is that of any plan, with [`crossing`] beside it; [`fault`] strikes and [`watch`] looks at the nodes from threads of their own;
//! [`books`] lays what the members saw beside what the nodes say.

mod bare;
mod books;
mod campaign;
mod crossing;
mod fault;
mod stage;
mod store;
mod watch;

use crate::campaign::command;
use crate::cli::{FaultKind, Options, Servers, Xnode, flag};
use crate::plan::{Drive, Group, Plan};
use crate::report::{Facts, Report, Stated};
use crate::run::{Observer, Run};
use crate::target::{Target, target};
pub(crate) use campaign::run as run_all;
use crossing::Crossing;
use fault::Schedule;
use stage::Stage;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
pub(crate) use watch::state as bridge_state;

/// Text of a message where the flags do not say.
const TEXT_BYTES: usize = 64;
/// Messages a second in all, where neither --rate nor --window says otherwise.
const RATE: f64 = 1000.0;
/// Length of a measurement without faults where the flags do not say.
const DURATION: Duration = Duration::from_secs(10);
/// What a delivery may be older than its expiry when it is read: it was dropped or written in time, and then it travelled.
const TRAVEL: Duration = Duration::from_millis(50);
/// bridge.outbox_capacity where the flags do not say.
const OUTBOX: f64 = 16_384.0;

/// One run.
/// Errors: Something could not be started or broke; a run that only shows losses is no error.
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
    let drive = match (args.window, options.rate) {
        (Some(window), None) => Drive::Whole {
            window: window.max(1),
        },
        (Some(_), Some(_)) => return Err("either --window or --rate".to_owned()),
        (None, rate) => Drive::Open {
            rate: rate.unwrap_or(RATE),
        },
    };
    let stage = Stage::start(args, options, cores)?;
    let plan = plan(args, options, schedule, drive, stage.nodes.len() as u16);
    let target = |url: &str| {
        let options = Options {
            url: url.to_owned(),
            ..options.clone()
        };
        target(&options, 0)
    };
    let targets: Result<Vec<Target>, String> =
        stage.nodes.iter().map(|node| target(&node.url)).collect();
    let mut targets = targets?;
    if args.group_send {
        // Node 0 is the speaker's, where nobody is.
        targets.insert(0, targets.first().cloned().ok_or("no node")?);
    }
    let others = targets.split_off(1);
    let first = targets.pop().ok_or("no node")?;
    let beside = Options {
        admin: None,
        expiry: options.expiry.saturating_add(TRAVEL),
        ..options.clone()
    };
    let observer = Observer::new(&plan, &beside, stage.processes(), None, None);
    let facts = facts(args, options, &stage, schedule, drive);
    let speaker = stage.speaker(args)?;
    let group = plan.groups.first().cloned().ok_or("no group")?;
    let planned = plan.duration.as_secs_f64();
    let run = Run::new(plan, first, &beside, observer, Arc::clone(&stop)).and_then(|run| {
        run.across(others, |engine| {
            engine.speaker = speaker;
            Crossing::new(stage, facts, &group, schedule, engine)
        })
    });
    let report = run.and_then(Run::run).map_err(|e| e.to_string())?;
    let mut report = report.unless_stopped(&stop, planned);
    if report.interrupted.is_none() {
        report.goals = goals(args, &report);
    }
    Ok(report)
}

fn plan(
    args: &Xnode,
    options: &Options,
    schedule: Option<Schedule>,
    drive: Drive,
    nodes: u16,
) -> Plan {
    let group = Group::new(args.rooms.max(1), args.members.max(1), 1, drive);
    let all = schedule.map(|schedule| schedule.duration());
    Plan {
        name: "xnode".to_owned(),
        groups: vec![Group {
            nodes,
            spoken: args.group_send,
            ..group
        }],
        size: options.size.unwrap_or(TEXT_BYTES),
        duration: options.duration.or(all).unwrap_or(DURATION),
        status_every: Duration::from_secs(30),
        ..Plan::default()
    }
}

/// What is measured and how.
fn facts(
    args: &Xnode,
    options: &Options,
    stage: &Stage,
    schedule: Option<Schedule>,
    drive: Drive,
) -> Facts {
    Facts {
        command: command(),
        group_send: args.group_send,
        members: args.members,
        rate: match drive {
            Drive::Open { rate } => Some(rate),
            _ => None,
        },
        window: args.window,
        expiry_seconds: options.expiry.as_secs_f64(),
        fault: args.fault.map(flag),
        strikes: schedule.map_or(0, |schedule| schedule.times),
        must_not_lose: keeps_everything(args),
        ..stage.facts.clone()
    }
}

/// The mode keeps what a Redis that comes back with its data has taken.
fn keeps_everything(args: &Xnode) -> bool {
    args.mode == "streams" && args.appendonly && args.fault == Some(FaultKind::KillRedis)
}

/// What this run's figures should be.
fn goals(args: &Xnode, report: &Report) -> Vec<Stated> {
    let Some(across) = &report.across else {
        return Vec::new();
    };
    if args.servers != Servers::Supportal || args.group_send {
        return Vec::new();
    }
    let unexplained = across.unexplained.across_nodes.unsigned_abs() as f64;
    let within = across.losses.within_nodes as f64;
    let whole = across.longest(|strike| strike.whole);
    let ratio = across.hit_near.p99_ms / report.latency.p99_ms;
    let v = &report.verification;
    let mut goals = Vec::new();
    let mut goal = |what: &str, value: Option<f64>, at_most: f64| {
        goals.push(Stated {
            what: what.to_owned(),
            value,
            at_most,
            is_ratio: args.fault.is_none(),
        });
    };
    match args.fault {
        None => {
            let added = across.added.and_then(|added| added.in_bare_p99);
            if across.facts.rate.is_some() {
                goal("p99 added by the bridge, in p99 of bare Redis", added, 2.0);
            }
            return goals;
        }
        Some(FaultKind::KillRedis) => {
            goal("all rooms reached again after a kill, s", whole, 2.0);
            if keeps_everything(args) {
                let across = across.losses.across_nodes as f64;
                goal("messages lost across nodes", Some(across), 0.0);
                goal("duplicates", Some(v.duplicated as f64), 0.0);
            }
        }
        Some(FaultKind::StopRedis) => {
            let noticed = across.longest(|strike| strike.noticed);
            goal("noticed after, s", noticed, 3.0);
            goal("p99 within a node, times that before", Some(ratio), 1.2);
            let most = Some(across.outbox_max as f64);
            goal("publications in an outbox", most, outbox(args));
            let late = Some(v.late as f64);
            goal("deliveries older than their expiry", late, 0.0);
        }
        Some(FaultKind::Failover) => {
            let what = "all rooms reached again after the master's end, s";
            goal(what, whole, 3.0);
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
