//! The work of a campaign: every case, peer and round, and the folder with what came of it.

use super::case::Case;
use super::record::{Campaign, Compared, Measurement, Slice};
use super::table;
use crate::cli::{CampaignFlags, Options};
use crate::clock::{Clock, SECOND};
use crate::machine::{Machine, revision, today};
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The file that holds everything.
const RAW: &str = "raw.json";

/// How one kind of campaign measures.
pub(crate) trait Bench {
    /// Is this case measured with this peer?
    fn meets(&self, case: &Case, peer: &str) -> bool;

    /// One measurement: the generator's report. What must be kept of a failed one goes into the folder.
    /// Errors: Why there is none.
    fn measure(
        &self,
        case: &Case,
        peer: &str,
        round: usize,
        folder: &Path,
    ) -> Result<Value, String>;
}

/// What is to be measured.
pub(crate) struct Work<'a> {
    pub(crate) flags: &'a CampaignFlags,
    pub(crate) options: &'a Options,
    /// The folder's name, where the flags do not say.
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<Case>,
    /// In the order of the tables.
    pub(crate) peers: Vec<Compared>,
    pub(crate) bench: &'a dyn Bench,
    pub(crate) stop: &'a AtomicBool,
}

impl Work<'_> {
    /// Does it; the folder with the results, and the text of its summary.
    /// Errors: The folder cannot be read or written.
    pub(crate) fn run(mut self) -> Result<(PathBuf, String), String> {
        let name = self.flags.name.as_deref().unwrap_or(self.name);
        let folder = self.flags.out.join(format!("{}-{name}", today()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for (place, peer) in self.peers.iter_mut().enumerate() {
            peer.place = place;
        }
        if let Some(duration) = self.options.duration {
            let timed = self.cases.iter_mut().filter(|case| case.seconds > 0.0);
            timed.for_each(|case| case.seconds = duration.as_secs_f64());
        }
        let mut campaign = match self.flags.fresh {
            true => Campaign::default(),
            false => load(&folder)?,
        };
        let slice = self.slice(campaign.next());
        self.measure_all(&mut campaign, &slice, &folder)?;
        let mut summary = table::summary(&campaign);
        if self.stopped() {
            let note = "INTERRUPTED: the measurement under way is left out, the whole ones stand.";
            summary = format!("{note}\n\n{summary}");
        }
        Ok((folder, summary))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What this start is, for the reader of its tables.
    fn slice(&self, number: usize) -> Slice {
        let revision = revision();
        let mut peers = self.peers.clone();
        for peer in peers.iter_mut().filter(|peer| peer.version.is_empty()) {
            peer.version.clone_from(&revision);
        }
        Slice {
            number,
            date: today(),
            command: command(),
            revision,
            machine: Machine::here(),
            cores: self.flags.cores(),
            rounds: self.flags.rounds,
            warmup_seconds: self.options.warmup.as_secs_f64(),
            quiet: self.flags.quiet,
            peers,
            cases: self.cases.clone(),
        }
    }

    /// Cases and peers, round by round.
    fn jobs(&self) -> Vec<(usize, &Case, &str)> {
        let mut jobs = Vec::new();
        for round in 0..self.flags.rounds.max(1) {
            for case in self.cases.iter().filter(|case| round == 0 || !case.once) {
                let names = self.peers.iter().map(|peer| peer.name.as_str());
                let mut order: Vec<&str> =
                    names.filter(|peer| self.bench.meets(case, peer)).collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                jobs.extend(order.into_iter().map(|peer| (round, case, peer)));
            }
        }
        jobs
    }

    fn measure_all(
        &self,
        campaign: &mut Campaign,
        slice: &Slice,
        folder: &Path,
    ) -> Result<(), String> {
        let (clock, jobs) = (Clock::start(), self.jobs());
        let all = jobs.len();
        for (done, (round, case, peer)) in (1..).zip(jobs) {
            let measured = self.quietest(case, peer, round, folder);
            // What was cut short is no measurement.
            if self.stopped() {
                break;
            }
            let left = clock.now() / SECOND * (all - done) as u64 / done as u64;
            let (minutes, seconds) = (left / 60, left % 60);
            let (name, figures) = (&case.name, table::brief(case, &measured));
            let turn = round + 1;
            say(&format!(
                "{done}/{all} round {turn} {name} {peer}: {figures}  [{minutes}:{seconds:02} left]"
            ));
            let measured = Measurement {
                slice: slice.number,
                case: case.name.clone(),
                peer: peer.to_owned(),
                round,
                ..measured
            };
            campaign.add(slice, measured);
            write(campaign, folder)?;
        }
        Ok(())
    }

    /// Measures again, up to `--retries` times, while other programs took the cores; keeps the quietest.
    fn quietest(&self, case: &Case, peer: &str, round: usize, folder: &Path) -> Measurement {
        let mut best: Option<(f64, Measurement)> = None;
        for tries in 1..=self.flags.retries + 1 {
            let report = self.bench.measure(case, peer, round, folder);
            let mut measured = Measurement::of(report);
            measured.tries = tries;
            let noise = measured.waited().unwrap_or(f64::INFINITY);
            let failed = measured.error.is_some();
            if best.as_ref().is_none_or(|(least, _)| noise < *least) {
                best = Some((noise, measured));
            }
            let is_loud = !failed && !case.once && noise > self.flags.quiet;
            if !(failed && tries == 1 || is_loud) || self.stopped() {
                break;
            }
        }
        best.map(|(_, measured)| measured).unwrap_or_default()
    }
}

/// What was typed.
pub(crate) fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("loadtest {}", words.join(" "))
}

/// A line of progress.
pub(crate) fn say(line: &str) {
    // Nobody reads a closed standard error; the results are files.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// What is in the folder; nothing where there is nothing yet.
fn load(folder: &Path) -> Result<Campaign, String> {
    let path = folder.join(RAW);
    let wrong = |what: String| format!("{}: {what}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            wrong(format!(
                "{error}; say --fresh to replace it, or another --name"
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Campaign::default()),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Writes the folder's files, each whole or not at all.
fn write(campaign: &Campaign, folder: &Path) -> Result<(), String> {
    let write = |name: &str, text: String| {
        let (path, half) = (folder.join(name), folder.join(format!(".{name}.half")));
        let written = std::fs::write(&half, text).and_then(|()| std::fs::rename(&half, &path));
        written.map_err(|error| format!("{}: {error}", path.display()))
    };
    let raw = serde_json::to_string_pretty(campaign).map_err(|error| error.to_string())?;
    write(RAW, raw + "\n")?;
    write("summary.md", table::summary(campaign))?;
    write("README.md", table::readme(campaign))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{Row, campaign, cpu};
    use super::*;

    #[test]
    fn a_folder_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(load(folder).unwrap().slices.is_empty());
        let like = Case {
            metrics: cpu(),
            ..Case::default()
        };
        let rows: &[Row] = &[("64", "supportal", 0, 5.0), ("16k", "supportal", 0, 15.0)];
        let before = campaign(&like, &[rows]);
        write(&before, folder).unwrap();
        let after = load(folder).unwrap();
        assert_eq!(table::summary(&after), table::summary(&before));
        assert_eq!(table::readme(&after), table::readme(&before));
        std::fs::write(folder.join(RAW), "{\"rounds\": 3}").unwrap();
        assert!(load(folder).unwrap_err().contains("--fresh"));
    }
}
