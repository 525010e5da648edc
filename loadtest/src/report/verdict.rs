//! What the figures are judged to be.

use super::judged::Faults;
use super::{FAILED, Report};
use crate::measure::Process;
use crate::template::count;

const MIB: f64 = 1_048_576.0;
/// Share of a core above which the generator, not the server, sets the pace.
const BUSY_MAX: f64 = 0.9;
/// Share of the time without a core above which a shared machine, not the server, makes the latencies.
const WAITED_MAX: f64 = 0.05;
/// Of an open loop's schedule, in milliseconds at p99.
const BEHIND_MAX: f64 = 2.0;
/// Descriptors a server may open for itself after its start: a log, an admin connection.
const DESCRIPTORS_SPARE: u64 = 8;

impl Report {
    /// Sentences that make the run fail; empty if all is well.
    pub(super) fn faults(&self) -> Vec<String> {
        let (v, t) = (&self.verification, &self.totals);
        let mut faults = Faults::default();
        match &self.across {
            // What Redis lost is no fault where it was hit.
            Some(across) => {
                across.faults(&mut faults);
                faults.some(t.errors.values().sum(), "errors");
            }
            None => {
                let lost = v.lost.saturating_sub(self.lost_explained);
                faults.some(lost, "deliveries lost without an error from the server");
            }
        }
        faults.deliveries(v);
        let closed = t.closed.values().sum();
        faults.some(closed, "connections were ended by the server");
        faults.some(t.refused.values().sum(), "connections were refused");
        let opened = if self.figures.lives > 0 {
            self.figures.wanted
        } else {
            self.figures.connections
        };
        let unopened = self.figures.wanted.saturating_sub(opened);
        faults.some(unopened as u64, "connections never opened");
        let storm = self.storm.as_ref().filter(|storm| storm.seconds.is_none());
        let unfinished = storm.map_or(0, |storm| storm.handshakes as u64);
        faults.some(
            unfinished,
            "handshakes at once were not over at the end of the measurement",
        );
        if let Some(ledger) = &self.ledger_after {
            let (unexplained, residue) = (ledger.unexplained, ledger.residue());
            let what = "deliveries the server's ledger cannot explain";
            faults.some(unexplained.unsigned_abs(), what);
            let what = "deliveries missing from the ledger's own sum";
            faults.some(residue.unsigned_abs(), what);
        }
        let failed = self.notes.iter().filter(|note| note.starts_with(FAILED));
        faults.0.extend(failed.cloned());
        faults.some(
            self.reconciled().map_or(0, |books| books.residue),
            "messages or deliveries are in one book only, the server's or ours, without a cause",
        );
        self.soak_failures(&mut faults.0);
        let returns = self.returns.as_ref().filter(|returns| !returns.may_give_up);
        let absent = returns.map_or(0, |returns| {
            returns.counts.gave_up + returns.counts.still_away
        });
        faults.some(absent as u64, "people did not come back");
        let mut say = |is_so: bool, what: &str| faults.0.extend(is_so.then(|| what.to_owned()));
        say(
            self.ledger_before.is_some() && self.ledger_after.is_none(),
            "the server's ledger could not be read at the end",
        );
        say(
            self.memory.empty.is_some() && self.memory.end.is_none(),
            "the server's process was gone at the end",
        );
        say(
            self.figures.deliveries == 0 && self.figures.lives == 0,
            "nothing was delivered",
        );
        faults.0
    }

    /// Sentences a reader must know before believing the figures.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        warnings.retain(|note| !note.starts_with(FAILED));
        let across = self.across.as_ref();
        let (busy, sets_pace) = (
            self.figures.generator_busy,
            across.is_none_or(|a| a.facts.window.is_some()),
        );
        if busy > BUSY_MAX && sets_pace {
            warnings.push(format!(
                "THE GENERATOR WAS THE LIMIT ({:.0} % busy): rates and latencies are its own, \
                 not the server's; CPU per delivery still holds",
                busy * 100.0
            ));
        }
        let waited = [
            ("the generator", Some(self.figures.generator_waited)),
            // Nodes and their Redis share a core: they wait for each other.
            (
                "the server",
                self.figures.server_waited.filter(|_| across.is_none()),
            ),
        ];
        for (who, share) in waited {
            if let Some(share) = share.filter(|share| *share > WAITED_MAX) {
                let percent = share * 100.0;
                warnings.push(format!(
                    "{who} waited for a core {percent:.0} % of the time: other programs ran; \
                     rates and latencies are the machine's, CPU per delivery somewhat"
                ));
            }
        }
        if self.open_loop && self.lag.p99_ms > BEHIND_MAX {
            warnings.push(format!(
                "the open loop ran behind its schedule (p99 {:.1} ms); latencies count from the schedule",
                self.lag.p99_ms
            ));
        }
        let mut some = |number: u64, what: &str| {
            warnings.extend((number > 0).then(|| format!("{} {what}", count(number))));
        };
        some(
            self.totals.stalls,
            "closed loops waited 5 s for what did not come",
        );
        some(
            self.totals.not_sent,
            "sends left out: the server had stopped reading",
        );
        some(
            self.lost_explained,
            "deliveries missing because the server refused their message or its publisher was cut",
        );
        warnings
    }

    /// Memory and descriptors over a long run. Medians of a fifth each, so that one busy moment is no growth.
    fn soak_failures(&self, failures: &mut Vec<String>) {
        let Some(limits) = self.soak else {
            return;
        };
        let servers: Vec<_> = self
            .samples
            .iter()
            .filter_map(|sample| Some((sample.connections as u64, sample.server?)))
            .collect();
        let fifth = servers.len() / 5;
        if fifth == 0 {
            return;
        }
        let early = servers.get(fifth..fifth * 2).unwrap_or_default();
        let late = servers.get(servers.len() - fifth..).unwrap_or_default();
        let rss = |part: &[(u64, Process)]| median(part.iter().map(|(_, p)| p.rss_bytes).collect());
        let growth = rss(late).saturating_sub(rss(early));
        if growth > limits.rss_growth_bytes {
            failures.push(format!(
                "resident memory grew by {:.2} MiB after the warm-up, more than {:.2}",
                growth as f64 / MIB,
                limits.rss_growth_bytes as f64 / MIB
            ));
        }
        let besides = |part: &[(u64, Process)]| {
            let descriptors = part.iter().map(|(n, p)| p.descriptors.saturating_sub(*n));
            median(descriptors.collect())
        };
        let more = besides(late).saturating_sub(besides(early));
        if more > 2 * limits.lanes as u64 + DESCRIPTORS_SPARE {
            failures.push(format!(
                "the server holds {more} descriptors more than it needs for its connections"
            ));
        }
        if let (Some(empty), Some(closed)) = (self.memory.empty, self.memory.closed)
            && closed.descriptors > empty.descriptors + DESCRIPTORS_SPARE
        {
            failures.push(format!(
                "{} descriptors at the end, {} before the first connection",
                closed.descriptors, empty.descriptors
            ));
        }
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
