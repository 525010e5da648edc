//! `xnode --all`: every figure of the bridge, ours and the others in turns, each in a process of its own.

use crate::again::Again;
use crate::campaign::{
    Against, Baseline, Bench, Case, Compared, Goal, Metric, OURS, Work, check_names, metric,
};
use crate::cli::{Options, Servers, Xnode};
use crate::ours::{our_server, quoted};
use crate::server::shell;
use clap::ValueEnum;
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The longest measurement (20 kills in five minutes, and some), with starting, opening, draining and closing around it.
const LONGEST: Duration = Duration::from_secs(400 + 120);

const CPU: &str = "cpu_micros_per_delivery";
const FAR_P50: &str = "far_p50_ms";
const COLUMNS: &[Metric] = &[
    metric("deliveries_per_second", "deliveries/s", 0, false),
    metric("p50_ms", "same node p50 ms", 3, false),
    metric("p99_ms", "p99", 3, false),
    metric(FAR_P50, "across p50 ms", 3, false),
    metric("far_p99_ms", "p99", 3, false),
    metric("bare_p50_ms", "bare p50 ms", 3, false),
    metric("bare_p99_ms", "p99", 3, false),
    metric(CPU, "CPU µs/delivery", 3, true),
    metric("redis_micros_per_delivery", "of it Redis", 3, false),
    metric("lost_within", "lost within", 0, false),
    metric("lost_across", "lost across", 0, false),
    metric("unexplained", "unexplained", 0, false),
];

/// Who is measured beside ours, and what is judged besides what each run states itself.
type OtherServers = Option<(&'static str, &'static [Goal])>;

const BUN: OtherServers = Some((
    "bun",
    &[Goal::of(CPU, Against::Peer(Cow::Borrowed("bun")), 1.0)],
));
/// Deliveries for a CPU second of nodes and Redis, 100 times Python's.
const PYTHON: OtherServers = Some((
    "channels",
    &[Goal::of(
        CPU,
        Against::Over(Cow::Borrowed("channels")),
        100.0,
    )],
));
/// group_send to browser at 50 messages/s.
const PYTHON_P50: OtherServers = Some(("channels", &[Goal::of(FAR_P50, Against::Value, 0.6)]));

/// Name, title, flags, seconds (0: as long as the faults take), who is beside, measured once whatever `--rounds` says.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str, f64, OtherServers, bool)] = &[
    ("latency", "1,000 subscribers in 100 rooms, 1,000 messages/s, 10,000 deliveries/s",
        "--rooms 100 --members 10 --rate 1000", 15.0, None, false),
    ("latency-busy", "the same at 4,000 messages/s, 40,000 deliveries/s",
        "--rooms 100 --members 10 --rate 4000", 15.0, None, false),
    ("cpu-1x100", "closed loop, one publisher, 1 room of 100",
        "--rooms 1 --members 100 --window 1", 8.0, BUN, false),
    ("cpu-10x10", "closed loop, 10 rooms of 10, a publisher in each",
        "--rooms 10 --members 10 --window 1", 8.0, BUN, false),
    ("cpu-1x100-w8", "1 room of 100, eight messages under way",
        "--rooms 1 --members 100 --window 8", 8.0, BUN, false),
    ("cpu-10x10-w8", "10 rooms of 10, eight messages under way in each",
        "--rooms 10 --members 10 --window 8", 8.0, BUN, false),
    ("django-1x100", "group_send to browser, closed loop, 1 room of 100, four messages under way",
        "--group-send --rooms 1 --members 100 --window 4", 8.0, PYTHON, false),
    ("django-10x10", "group_send to browser, closed loop, 10 rooms of 10, one message under way in each",
        "--group-send --rooms 10 --members 10 --window 1", 8.0, PYTHON, false),
    ("django-50", "group_send to browser, 50 messages/s, 10 rooms of 10",
        "--group-send --rooms 10 --members 10 --rate 50", 10.0, PYTHON_P50, false),
    ("stop", "Redis stands still for 10 s (SIGSTOP), 2,000 deliveries/s, queue.expiry 3 s, outboxes of 400",
        "--fault stop-redis --for 10s --every 12s --rooms 20 --members 10 --rate 200 --expiry 3s \
         --set bridge.outbox_capacity=400", 0.0, None, false),
    ("failover", "kill -9 of the master, three Sentinels, down-after 500 ms, 2,000 deliveries/s",
        "--fault failover --every 8s --rooms 20 --members 10 --rate 200", 0.0, None, false),
    ("kill", "kill -9 of Redis 20 times in five minutes, 2,000 deliveries/s",
        "--fault kill-redis --times 20 --every 15s --rooms 20 --members 10 --rate 200 --appendonly", 0.0, None, true),
    ("kill-streams", "the same in mode streams",
        "--mode streams --fault kill-redis --times 20 --every 15s --rooms 20 --members 10 --rate 200 --appendonly", 0.0, None, true),
    ("latency-streams", "1,000 subscribers in 100 rooms, 1,000 messages/s, mode streams",
        "--mode streams --rooms 100 --members 10 --rate 1000", 15.0, None, false),
];

/// All of them, in the order of the table.
fn known() -> Vec<Case> {
    let cases = ROWS.iter().enumerate();
    let cases = cases.map(
        |(place, (name, title, flags, seconds, beside, once))| Case {
            name: (*name).to_owned(),
            title: (*title).to_owned(),
            flags: Case::words(&format!("xnode {flags}")),
            seconds: *seconds,
            metrics: COLUMNS.into(),
            baseline: beside
                .as_ref()
                .map_or(Baseline::None, |(peer, _)| Baseline::Peer((*peer).into())),
            goals: beside.as_ref().map_or(&[][..], |(_, goals)| goals).into(),
            table: None,
            workers: 1,
            once: *once,
            place,
        },
    );
    cases.collect()
}

struct BridgeBench<'a> {
    args: &'a Xnode,
    options: &'a Options,
}

/// Runs it; the folder with the results, and the table.
/// Errors: Wrong flags, or the folder cannot be written.
pub(crate) fn run(
    args: &Xnode,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let (mut cases, flags) = (known(), &args.campaign);
    check_names(&cases, &flags.only)?;
    let program = our_server(flags.supportal.as_deref())?;
    if flags.only.is_empty() {
        let knows_streams = knows(&program, "streams");
        let is_streams = |case: &Case| case.flags.iter().any(|word| word == "streams");
        cases.retain(|case| knows_streams || !is_streams(case));
    } else {
        cases.retain(|case| flags.only.contains(&case.name));
    }
    let bench = BridgeBench { args, options };
    let peers = Servers::value_variants().iter().map(|servers| Compared {
        name: name(*servers),
        version: servers.text().to_owned(),
        speaks: "the chat contract".to_owned(),
        ..Compared::default()
    });
    let met = |peer: &Compared| cases.iter().any(|case| bench.meets(case, &peer.name));
    let peers = peers.filter(met).collect();
    Work {
        flags,
        options,
        name: "bridge",
        cases,
        peers,
        bench: &bench,
        stop,
    }
    .run()
}

/// As the flag has it.
fn name(servers: Servers) -> String {
    let value = servers.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Does the server accept this bridge.mode?
fn knows(program: &Path, mode: &str) -> bool {
    let line = format!(
        "{} check --redis-url redis://127.0.0.1:6379 --set bridge.mode={mode} >/dev/null 2>&1",
        quoted(program)
    );
    let status = shell(&line, None).status();
    status.is_ok_and(|status| status.success())
}

impl Bench for BridgeBench<'_> {
    fn meets(&self, case: &Case, peer: &str) -> bool {
        peer == OURS || case.baseline == Baseline::Peer(peer.to_owned().into())
    }

    fn measure(&self, case: &Case, peer: &str, round: usize, _: &Path) -> Result<Value, String> {
        let (args, campaign) = (self.args, &self.args.campaign);
        let mut flags = case.flags.clone();
        let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
        flag("--servers", peer.to_owned());
        flag("--seed", (self.options.seed + round as u64).to_string());
        flag("--peers", args.peers.display().to_string());
        flag("--server-core", campaign.server_core.to_string());
        flag("--generator-core", campaign.generator_core.to_string());
        if case.seconds > 0.0 {
            flag("--duration", format!("{}s", case.seconds));
        }
        if let Some(program) = &campaign.supportal {
            flag("--supportal", program.display().to_string());
        }
        if campaign.no_pin {
            flags.push("--no-pin".to_owned());
        }
        let again = Again {
            flags,
            longest: LONGEST,
            ..Again::default()
        };
        again.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn every_case_is_a_run_that_the_command_line_understands() {
        for case in known() {
            let flags = ["loadtest"]
                .into_iter()
                .chain(case.flags.iter().map(String::as_str));
            let cli = Cli::try_parse_from(flags).unwrap();
            assert!(matches!(cli.command, Command::Xnode(_)), "{}", case.name);
            for goal in case.goals.iter() {
                assert!(
                    case.metrics.iter().any(|m| m.key == goal.metric),
                    "{goal:?}"
                );
            }
        }
    }

    #[test]
    fn names_of_cases_are_different() {
        let names: std::collections::BTreeSet<String> =
            known().into_iter().map(|case| case.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
