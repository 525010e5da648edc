//! `xnode --all`: every figure of the bridge, ours and the others in turns, each in a process of its own; one folder with the raw figures
//! and a table of the goals.

use super::flags::Xnode;
use super::table;
use crate::again::Again;
use crate::cli::Options;
use crate::compare::{our_server, quoted};
use crate::machine::{Machine, revision, today};
use crate::server::shell;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Starting, opening, draining and closing around a measurement.
const OVERHEAD: Duration = Duration::from_secs(120);
/// The longest measurement: 20 kills in five minutes, and some.
const LONGEST: Duration = Duration::from_secs(400);
/// A measurement during which the generator had no core for this share of the time is made again.
const QUIET: f64 = 0.05;
/// This often at most.
const TRIES: usize = 3;

/// One row of flags.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    flags: &'static str,
    /// Who is measured; ratios are ours to the second's.
    pub(super) servers: &'static [&'static str],
    /// Measured this often, whatever --rounds says.
    once: bool,
}

const OURS: &[&str] = &["supportal"];
const BUN: &[&str] = &["supportal", "bun"];
const PYTHON: &[&str] = &["supportal", "channels"];

const fn case(
    name: &'static str,
    title: &'static str,
    flags: &'static str,
    servers: &'static [&'static str],
    once: bool,
) -> Case {
    Case {
        name,
        title,
        flags,
        servers,
        once,
    }
}

/// All of them, in the order of the table.
pub(super) const CASES: &[Case] = &[
    case(
        "latency",
        "1,000 subscribers in 100 rooms, 1,000 messages/s, 10,000 deliveries/s",
        "--rooms 100 --members 10 --rate 1000 -d 15s",
        OURS,
        false,
    ),
    case(
        "latency-busy",
        "the same at 4,000 messages/s, 40,000 deliveries/s",
        "--rooms 100 --members 10 --rate 4000 -d 15s",
        OURS,
        false,
    ),
    case(
        "cpu-1x100",
        "closed loop, one publisher, 1 room of 100",
        "--rooms 1 --members 100 --window 1 -d 8s",
        BUN,
        false,
    ),
    case(
        "cpu-10x10",
        "closed loop, 10 rooms of 10, a publisher in each",
        "--rooms 10 --members 10 --window 1 -d 8s",
        BUN,
        false,
    ),
    case(
        "cpu-1x100-w8",
        "1 room of 100, eight messages under way",
        "--rooms 1 --members 100 --window 8 -d 8s",
        BUN,
        false,
    ),
    case(
        "cpu-10x10-w8",
        "10 rooms of 10, eight messages under way in each",
        "--rooms 10 --members 10 --window 8 -d 8s",
        BUN,
        false,
    ),
    case(
        "django-1x100",
        "group_send to browser, closed loop, 1 room of 100, four messages under way",
        "--group-send --rooms 1 --members 100 --window 4 -d 8s",
        PYTHON,
        false,
    ),
    case(
        "django-10x10",
        "group_send to browser, closed loop, 10 rooms of 10, one message under way in each",
        "--group-send --rooms 10 --members 10 --window 1 -d 8s",
        PYTHON,
        false,
    ),
    case(
        "django-50",
        "group_send to browser, 50 messages/s, 10 rooms of 10",
        "--group-send --rooms 10 --members 10 --rate 50 -d 10s",
        PYTHON,
        false,
    ),
    case(
        "stop",
        "Redis stands still for 10 s (SIGSTOP), 2,000 deliveries/s, queue.expiry 3 s, outboxes of 400",
        "--fault stop-redis --for 10s --every 12s --rooms 20 --members 10 --rate 200 --expiry 3s \
         --set bridge.outbox_capacity=400",
        OURS,
        false,
    ),
    case(
        "failover",
        "kill -9 of the master, three Sentinels, down-after 500 ms, 2,000 deliveries/s",
        "--fault failover --every 8s --rooms 20 --members 10 --rate 200",
        OURS,
        false,
    ),
    case(
        "kill",
        "kill -9 of Redis 20 times in five minutes, 2,000 deliveries/s",
        "--fault kill-redis --times 20 --every 15s --rooms 20 --members 10 --rate 200 --appendonly",
        OURS,
        true,
    ),
    case(
        "kill-streams",
        "the same in mode streams",
        "--mode streams --fault kill-redis --times 20 --every 15s --rooms 20 --members 10 --rate 200 --appendonly",
        OURS,
        true,
    ),
    case(
        "latency-streams",
        "1,000 subscribers in 100 rooms, 1,000 messages/s, mode streams",
        "--mode streams --rooms 100 --members 10 --rate 1000 -d 15s",
        OURS,
        false,
    ),
];

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) case: String,
    pub(super) servers: String,
    pub(super) round: usize,
    pub(super) revision: String,
    pub(super) date: String,
    pub(super) machine: Machine,
    /// The report of `loadtest xnode`, or why there is none.
    pub(super) report: Result<Value, String>,
}

/// Runs it; the folder with the results, and the table.
///
/// # Errors
/// Wrong flags, or the folder cannot be written.
pub(crate) fn run(
    args: &Xnode,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let folder = args.out.join(format!("{}-{}", today(), args.name));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let chosen = chosen(args)?;
    let mut entries = load(&folder)?;
    for case in chosen {
        // A case measured again replaces all that was there of it.
        entries.retain(|entry| entry.case != case.name);
        let rounds = if case.once { 1 } else { args.rounds.max(1) };
        for round in 0..rounds {
            let mut order = case.servers.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for servers in order {
                let entry = measure(args, options, case, servers, round, stop);
                // What was cut short is no measurement.
                if stop.load(Ordering::Relaxed) {
                    let summary = table::summary(&entries);
                    let note =
                        "INTERRUPTED: the measurement under way is left out, the whole ones stand.";
                    return Ok((folder, format!("{note}\n\n{summary}")));
                }
                say(&format!(
                    "{} round {} {servers}: {}",
                    case.name,
                    round + 1,
                    table::brief(&entry)
                ));
                entries.push(entry);
                write(&folder, &entries)?;
            }
        }
    }
    let summary = table::summary(&entries);
    Ok((folder, summary))
}

fn chosen(args: &Xnode) -> Result<Vec<&'static Case>, String> {
    let wrong = args
        .only
        .iter()
        .find(|name| !CASES.iter().any(|case| case.name == **name));
    if let Some(wrong) = wrong {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(format!(
            "--only {wrong}: no such case; there are {}",
            names.join(", ")
        ));
    }
    let program = our_server(args.supportal.as_deref())?;
    let knows_streams = knows(&program, "streams");
    let is_chosen = |case: &&Case| {
        if args.only.is_empty() {
            knows_streams || !case.flags.contains("--mode streams")
        } else {
            args.only.iter().any(|name| name == case.name)
        }
    };
    Ok(CASES.iter().filter(is_chosen).collect())
}

/// Does the server accept this bridge.mode?
fn knows(program: &Path, mode: &str) -> bool {
    let line = format!(
        "{} check --redis-url redis://127.0.0.1:6379 --set bridge.mode={mode} >/dev/null 2>&1",
        quoted(program)
    );
    shell(&line, None)
        .status()
        .is_ok_and(|status| status.success())
}

fn measure(
    args: &Xnode,
    options: &Options,
    case: &Case,
    servers: &str,
    round: usize,
    stop: &AtomicBool,
) -> Entry {
    let mut flags = vec!["xnode".to_owned()];
    flags.extend(case.flags.split_whitespace().map(str::to_owned));
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    flag("--servers", servers.to_owned());
    flag("--seed", (options.seed + round as u64).to_string());
    flag("--peers", args.peers.display().to_string());
    flag("--server-core", args.server_core.to_string());
    flag("--generator-core", args.generator_core.to_string());
    if let Some(program) = &args.supportal {
        flag("--supportal", program.display().to_string());
    }
    if args.no_pin {
        flags.push("--no-pin".to_owned());
    }
    let again = Again {
        flags,
        core: None,
        longest: LONGEST + OVERHEAD,
        loud: false,
    };
    let mut report = Err("not tried".to_owned());
    for _ in 0..TRIES {
        report = again.run();
        let waited = report.as_ref().ok().and_then(|report| {
            let waited = report.pointer("/cost/generator_waited");
            waited.and_then(Value::as_f64)
        });
        let is_quiet = waited.is_some_and(|waited| waited <= QUIET);
        // A Python process shares the generator's core, and a run of five minutes is not repeated for a busy moment.
        let is_kept = case.once || case.flags.contains("--group-send");
        if is_quiet || is_kept && report.is_ok() || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Entry {
        case: case.name.to_owned(),
        servers: servers.to_owned(),
        round,
        revision: revision(),
        date: today(),
        machine: Machine::here(),
        report,
    }
}

fn load(folder: &Path) -> Result<Vec<Entry>, String> {
    let path = folder.join("raw.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn write(folder: &Path, entries: &[Entry]) -> Result<(), String> {
    let json = serde_json::to_string(entries).map_err(|error| error.to_string())?;
    let files = [("raw.json", json), ("summary.md", table::summary(entries))];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A line of progress.
fn say(line: &str) {
    // Nobody reads a closed standard error; the results are files.
    writeln!(std::io::stderr(), "{line}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn every_case_is_a_run_that_the_command_line_understands() {
        for case in CASES {
            for servers in case.servers {
                let flags = ["loadtest", "xnode", "--servers", servers];
                let flags = flags.into_iter().chain(case.flags.split_whitespace());
                let cli = Cli::try_parse_from(flags).unwrap();
                assert!(matches!(cli.command, Command::Xnode(_)), "{}", case.name);
            }
        }
    }

    #[test]
    fn names_of_cases_are_different() {
        for (place, case) in CASES.iter().enumerate() {
            let same = CASES.iter().position(|other| other.name == case.name);
            assert_eq!(same, Some(place));
        }
    }
}
