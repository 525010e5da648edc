//! `compare`: the same scenarios against several servers, in turns within one run (A B C, C B A, ...), each measurement with a fresh
//! server on one core and a fresh generator on the other. Ratios are taken within a round: neighbours in time share the machine's mood.

mod campaign;
mod cases;
mod choice;
mod growth;
mod peers;
mod table;
mod values;

use crate::again::Again;
use crate::cli::{Compare, Options};
use crate::clock::{Clock, SECOND};
use crate::machine::{Machine, revision, today};
use crate::server::Server;
use campaign::{Campaign, Compared, Measurement, Slice};
use cases::Case;
use peers::Peer;
pub(crate) use peers::{our_flags, our_server, quoted};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
pub(crate) use values::figures;

/// Time a measurement may take beyond its warm-up and duration: opening, settling, draining, closing.
const OVERHEAD: Duration = Duration::from_secs(120);

struct Comparison<'a> {
    args: &'a Compare,
    options: &'a Options,
    cases: Vec<Case>,
    peers: Vec<Peer>,
    campaign: Campaign,
    slice: usize,
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
    let cases = choice::cases(args, options)?;
    let (peers, order) = choice::peers(args, &cases)?;
    let cores = cores(args);
    let name = args.name.clone().unwrap_or_else(|| "compare".to_owned());
    let folder = args.out.join(format!("{}-{name}", today()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut campaign = if args.fresh {
        Campaign::default()
    } else {
        Campaign::load(&folder)?
    };
    campaign.order = order;
    let slice = campaign.next();
    let mut comparison = Comparison {
        args,
        options,
        cases,
        peers,
        campaign,
        slice,
        folder,
        cores,
        stop,
    };
    comparison.measure_all()?;
    let mut summary = table::summary(&comparison.campaign);
    if stop.load(Ordering::Relaxed) {
        let note = "INTERRUPTED: the measurement under way is left out, the whole ones stand.";
        summary = format!("{note}\n\n{summary}");
    }
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

impl Comparison<'_> {
    /// What this start is, for the reader of its tables.
    fn facts(&self) -> Slice {
        let command: Vec<String> = std::env::args().skip(1).collect();
        let revision = revision();
        let peers = self.peers.iter().map(|peer| {
            let version = peer.version_text();
            Compared {
                name: peer.name.clone(),
                version: if version.is_empty() {
                    revision.clone()
                } else {
                    version
                },
                kind: peer.kind,
                note: peer.note.clone(),
            }
        });
        Slice {
            number: self.slice,
            date: today(),
            command: format!("loadtest {}", command.join(" ")),
            peers: peers.collect(),
            revision: revision.clone(),
            machine: Machine::here(),
            server_core: self.cores.0,
            generator_core: self.cores.1,
            rounds: self.args.rounds,
            warmup_seconds: self.options.warmup.as_secs_f64(),
            quiet: self.args.quiet,
            cases: self.cases.clone(),
        }
    }

    fn measure_all(&mut self) -> Result<(), String> {
        let facts = self.facts();
        let mut jobs: Vec<(usize, Case, Peer)> = Vec::new();
        for round in 0..self.args.rounds {
            for case in &self.cases {
                let met = |peer: &&Peer| choice::meets(self.args, case, peer);
                let mut order: Vec<&Peer> = self.peers.iter().filter(met).collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                jobs.extend(
                    order
                        .iter()
                        .map(|&peer| (round, case.clone(), peer.clone())),
                );
            }
        }
        let clock = Clock::start();
        let all = jobs.len();
        for (done, (round, case, peer)) in jobs.into_iter().enumerate() {
            let measurement = self.quietest(&case, &peer, round);
            // What was cut short is no measurement.
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let passed = clock.now() / SECOND;
            let left = passed * (all - done - 1) as u64 / (done + 1) as u64;
            say(&format!(
                "{}/{all} round {} {} {}: {}  [{}:{:02} left]",
                done + 1,
                round + 1,
                case.name,
                peer.name,
                table::brief(&case, &measurement),
                left / 60,
                left % 60
            ));
            if !self.campaign.slices.iter().any(|s| s.number == self.slice) {
                self.campaign.slices.push(facts.clone());
            }
            self.campaign.add(measurement);
            self.campaign.write(&self.folder)?;
        }
        Ok(())
    }

    /// Measures again, up to `--retries` times, while other programs took the cores; keeps the quietest.
    fn quietest(&self, case: &Case, peer: &Peer, round: usize) -> Measurement {
        let mut best: Option<(f64, Measurement)> = None;
        for tries in 1..=self.args.retries + 1 {
            let mut measurement = match self.measure(case, peer, round) {
                Ok(report) => values::measurement(report),
                Err(why) => values::no_measurement(why),
            };
            measurement.case.clone_from(&case.name);
            measurement.peer.clone_from(&peer.name);
            (measurement.slice, measurement.round) = (self.slice, round);
            measurement.tries = tries;
            let noise = measurement
                .values
                .get("waited")
                .copied()
                .unwrap_or(f64::INFINITY);
            let failed = measurement.error.is_some();
            if best.as_ref().is_none_or(|(least, _)| noise < *least) {
                best = Some((noise, measurement));
            }
            let again = failed && tries == 1 || !failed && noise > self.args.quiet;
            if !again || self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        best.map_or_else(
            || values::no_measurement("not tried".to_owned()),
            |(_, measurement)| measurement,
        )
    }

    /// One measurement: the generator's report.
    fn measure(&self, case: &Case, peer: &Peer, round: usize) -> Result<Value, String> {
        let logs = self.folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|error| error.to_string())?;
        let log = logs.join(format!("{}-{}.txt", case.name, peer.name));
        // Several workers need several cores; the generator shares one of them where there are only two.
        let core = self.cores.0.filter(|_| case.workers < 2);
        let server = Server::start(&peer.spec(core, case.workers, log.clone()))?;
        let again = Again {
            flags: self.flags(case, peer, round, &server),
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
        report
    }

    fn flags(&self, case: &Case, peer: &Peer, round: usize, server: &Server) -> Vec<String> {
        let mut flags = case.flags.clone();
        let mut flag = |name: &str, value: String| {
            flags.push(name.to_owned());
            flags.push(value);
        };
        let url = format!("ws://127.0.0.1:{}{}", server.port, peer.path);
        flag("--url", url);
        flag("--contract", peer.kind.contract().flag());
        flag("--pid", server.pid().to_string());
        flag("--duration", format!("{}s", case.seconds));
        let warmup = self.options.warmup.as_secs_f64();
        flag("--warmup", format!("{warmup}s"));
        flag("--seed", (self.options.seed + round as u64).to_string());
        if peer.ledger {
            flag("--admin", format!("http://127.0.0.1:{}", server.admin));
        }
        if self.options.spin {
            flags.push("--spin".to_owned());
        }
        flags
    }
}

/// A line of progress.
fn say(line: &str) {
    // Nobody reads a closed standard error; the results are files.
    writeln!(std::io::stderr(), "{line}").ok();
}
