//! `compare`: the same scenarios against several servers, in turns within one run (A B C, C B A, ...), each measurement with a fresh
//! server on one core and a fresh generator on the other. Ratios are taken within a round: neighbours in time share the machine's mood.

mod cases;
mod peers;
mod table;
mod values;

use crate::again::Again;
use crate::cli::{Compare, Options};
use crate::machine::{Machine, revision, today};
use crate::server::Server;
use cases::{Baseline, Case};
use peers::Peer;
pub(crate) use peers::{OURS, our_server, quoted};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
pub(crate) use values::figures;

/// Time a measurement may take beyond its warm-up and duration: opening, settling, draining, closing.
const OVERHEAD: Duration = Duration::from_secs(120);

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) round: usize,
    /// Tries; the quietest is kept.
    pub(crate) tries: usize,
    /// Figures by name.
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) failures: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Why there are no figures.
    pub(crate) error: Option<String>,
    /// The generator's whole report, without its series.
    pub(crate) report: Value,
}

/// Everything of one comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) revision: String,
    pub(crate) machine: Machine,
    pub(crate) server_core: Option<usize>,
    pub(crate) generator_core: Option<usize>,
    pub(crate) rounds: usize,
    pub(crate) warmup_seconds: f64,
    pub(crate) quiet: f64,
    pub(crate) versions: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) cases: Vec<Case>,
    #[serde(skip)]
    pub(crate) peers: Vec<Peer>,
    pub(crate) measurements: Vec<Measurement>,
}

struct Comparison<'a> {
    args: &'a Compare,
    options: &'a Options,
    outcome: Outcome,
    folder: PathBuf,
    cores: (Option<usize>, Option<usize>),
    stop: &'a AtomicBool,
}

/// Runs it; the folder with the results, and the text of its summary.
///
/// # Errors
/// Wrong flags, or nothing could be measured.
pub(crate) fn run(
    args: &Compare,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let cases = chosen_cases(args, options)?;
    let peers = chosen_peers(args, &cases)?;
    let cores = cores(args);
    let name = args.name.clone().unwrap_or_else(|| "compare".to_owned());
    let folder = args.out.join(format!("{}-{name}", today()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let versions = peers
        .iter()
        .map(|peer| (peer.name.clone(), peer.version_text()))
        .collect();
    let command: Vec<String> = std::env::args().skip(1).collect();
    let outcome = Outcome {
        date: today(),
        command: format!("loadtest {}", command.join(" ")),
        revision: revision(),
        machine: Machine::here(),
        server_core: cores.0,
        generator_core: cores.1,
        rounds: args.rounds,
        warmup_seconds: options.warmup.as_secs_f64(),
        quiet: args.quiet,
        versions,
        cases,
        peers,
        measurements: Vec::new(),
    };
    let mut comparison = Comparison {
        args,
        options,
        outcome,
        folder,
        cores,
        stop,
    };
    comparison.measure_all()?;
    comparison.write()?;
    let summary = table::summary(&comparison.outcome);
    Ok((comparison.folder, summary))
}

/// Core of the server and of the generator, where there are two.
fn cores(args: &Compare) -> (Option<usize>, Option<usize>) {
    let many = std::thread::available_parallelism().map_or(1, usize::from);
    if args.no_pin || many < 2 {
        return (None, None);
    }
    (Some(args.server_core), Some(args.generator_core))
}

fn chosen_cases(args: &Compare, options: &Options) -> Result<Vec<Case>, String> {
    let all = cases::all();
    let names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
    if let Some(wrong) = args
        .only
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!("--only {wrong}: there are {}", names.join(", ")));
    }
    let mut wanted: Vec<String> = args.only.clone();
    // A case another one is compared with comes along.
    for case in &all {
        if let Baseline::Case(other) = case.baseline
            && wanted.contains(&case.name)
        {
            wanted.push(other.to_owned());
        }
    }
    let whole_table = args.all && args.only.is_empty();
    let mut cases: Vec<Case> = all
        .into_iter()
        .filter(|case| whole_table || wanted.contains(&case.name))
        .collect();
    if let Some(flags) = &args.scenario {
        cases.push(cases::custom(flags, 5.0));
    }
    if cases.is_empty() {
        let names = cases::all()
            .iter()
            .map(|case| case.name.clone())
            .collect::<Vec<_>>();
        return Err(format!(
            "say --all, --only with some of {}, or --scenario \"echo -c 50\"",
            names.join(", ")
        ));
    }
    if let Some(duration) = options.duration {
        for case in &mut cases {
            case.seconds = duration.as_secs_f64();
        }
    }
    Ok(cases)
}

fn chosen_peers(args: &Compare, cases: &[Case]) -> Result<Vec<Peer>, String> {
    let all = peers::load(&args.file, args.supportal.as_deref())?;
    let names: Vec<&str> = all.iter().map(|peer| peer.name.as_str()).collect();
    if let Some(wrong) = args
        .peers
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!("--peers {wrong}: there are {}", names.join(", ")));
    }
    let baseline = |name: &str| {
        cases
            .iter()
            .any(|case| matches!(case.baseline, Baseline::Peer(peer) if peer == name))
    };
    let wanted = |peer: &Peer| {
        baseline(&peer.name)
            || if args.peers.is_empty() {
                !peer.optional
            } else {
                args.peers.contains(&peer.name)
            }
    };
    Ok(all.into_iter().filter(wanted).collect())
}

impl Comparison<'_> {
    fn measure_all(&mut self) -> Result<(), String> {
        let all = self.outcome.cases.len() * self.outcome.peers.len() * self.args.rounds;
        let mut done = 0;
        for round in 0..self.args.rounds {
            for case in self.outcome.cases.clone() {
                let mut order = self.outcome.peers.clone();
                if round % 2 == 1 {
                    order.reverse();
                }
                for peer in order {
                    done += 1;
                    if self.stop.load(Ordering::Relaxed) || peer.skip.contains(&case.name) {
                        continue;
                    }
                    let measurement = self.quietest(&case, &peer, round);
                    let what = format!(
                        "{done}/{all} round {} {} {}",
                        round + 1,
                        case.name,
                        peer.name
                    );
                    say(&format!("{what}: {}", table::brief(&case, &measurement)));
                    self.outcome.measurements.push(measurement);
                }
                self.write()?;
            }
        }
        Ok(())
    }

    /// Measures again, up to `--retries` times, while other programs took the cores; keeps the quietest.
    fn quietest(&self, case: &Case, peer: &Peer, round: usize) -> Measurement {
        let mut best: Option<(f64, Measurement)> = None;
        for tries in 1..=self.args.retries + 1 {
            let mut measurement =
                self.measure(case, peer, round)
                    .unwrap_or_else(|why| Measurement {
                        case: case.name.clone(),
                        peer: peer.name.clone(),
                        round,
                        tries,
                        values: BTreeMap::new(),
                        failures: Vec::new(),
                        warnings: Vec::new(),
                        error: Some(why),
                        report: Value::Null,
                    });
            measurement.tries = tries;
            let noise = measurement
                .values
                .get("waited")
                .copied()
                .unwrap_or(f64::INFINITY);
            if best.as_ref().is_none_or(|(least, _)| noise < *least) {
                best = Some((noise, measurement.clone()));
            }
            if noise <= self.args.quiet || self.stop.load(Ordering::Relaxed) {
                break;
            }
            if measurement.error.is_some() && tries > 1 {
                best = best.or(Some((noise, measurement)));
                break;
            }
        }
        match best {
            Some((_, measurement)) => measurement,
            None => unreachable!("a measurement is tried at least once"),
        }
    }

    fn measure(&self, case: &Case, peer: &Peer, round: usize) -> Result<Measurement, String> {
        let logs = self.folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|error| error.to_string())?;
        let log = logs.join(format!("{}-{}.txt", case.name, peer.name));
        let server = Server::start(&peer.spec(self.cores.0, log.clone()))?;
        let mut flags = case.flags.clone();
        let mut flag = |name: &str, value: String| {
            flags.push(name.to_owned());
            flags.push(value);
        };
        flag(
            "--url",
            format!("ws://127.0.0.1:{}{}", server.port, peer.path),
        );
        flag("--pid", server.pid().to_string());
        flag("--duration", format!("{}s", case.seconds));
        flag(
            "--warmup",
            format!("{}s", self.options.warmup.as_secs_f64()),
        );
        flag("--seed", (self.options.seed + round as u64).to_string());
        if peer.ledger {
            flag("--admin", format!("http://127.0.0.1:{}", server.admin));
        }
        if self.options.spin {
            flags.push("--spin".to_owned());
        }
        let again = Again {
            flags,
            core: self.cores.1,
            longest: Duration::from_secs_f64(case.seconds) + self.options.warmup + OVERHEAD,
            loud: false,
        };
        let report = again.run();
        drop(server);
        // Nobody needs the log of a server that did its work.
        let silent = std::fs::metadata(&log).is_ok_and(|log| log.len() == 0);
        if silent || report.is_ok() {
            std::fs::remove_file(&log).ok();
            std::fs::remove_dir(&logs).ok();
        }
        Ok(values::measurement(case, peer, round, report?))
    }

    fn write(&self) -> Result<(), String> {
        let write = |name: &str, text: String| {
            let path = self.folder.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        let raw = serde_json::to_string_pretty(&self.outcome).map_err(|e| e.to_string())?;
        write("raw.json", raw + "\n")?;
        write("summary.md", table::summary(&self.outcome))?;
        write("README.md", table::readme(&self.outcome))
    }
}

/// A line of progress.
fn say(line: &str) {
    // Nobody reads a closed standard error; the results are files.
    writeln!(std::io::stderr(), "{line}").ok();
}
