//! What the figures are judged to be.

use super::{FAILED, Report, count};
use crate::measure::Process;

const MIB: f64 = 1_048_576.0;
/// Descriptors a server may open for itself after its start: a log, an admin connection.
const DESCRIPTORS_SPARE: u64 = 8;

/// Share of a core above which the generator, not the server, sets the pace.
const BUSY_MAX: f64 = 0.9;
/// Share of the time without a core above which a shared machine, not the server, makes the latencies.
const WAITED_MAX: f64 = 0.05;

impl Report {
    /// Sentences that make the run fail; empty if all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        if let Some(how_far) = &self.interrupted {
            return vec![format!("interrupted {how_far}")];
        }
        let v = &self.verification;
        let mut failures = Vec::new();
        let mut fail = |number: u64, what: &str| {
            if number > 0 {
                failures.push(format!("{} {what}", count(number)));
            }
        };
        fail(
            v.lost.saturating_sub(self.lost_explained),
            "deliveries lost without an error from the server",
        );
        fail(v.duplicated, "deliveries came twice");
        fail(v.out_of_order, "deliveries came out of order");
        fail(v.late, "deliveries came after their expiry");
        fail(v.corrupted, "deliveries did not hold what was sent");
        fail(v.misrouted, "deliveries came to the wrong room");
        fail(
            self.totals.closed.values().sum(),
            "connections were ended by the server",
        );
        fail(
            self.totals.refused.values().sum(),
            "connections were refused",
        );
        fail(
            self.figures.wanted.saturating_sub(self.opened_at_least()) as u64,
            "connections never opened",
        );
        if let Some(ledger) = &self.ledger_after {
            fail(
                ledger.unexplained.unsigned_abs(),
                "deliveries the server's ledger cannot explain",
            );
            fail(
                ledger.residue().unsigned_abs(),
                "deliveries missing from the ledger's own sum",
            );
        }
        let failed = self.notes.iter().filter(|note| note.starts_with(FAILED));
        failures.extend(failed.cloned());
        let residue = self.reconciled().map_or(0, |books| books.residue);
        if residue > 0 {
            let n = count(residue);
            failures.push(format!(
                "{n} messages or deliveries are in one book only, the server's or ours, without a cause"
            ));
        }
        self.soak_failures(&mut failures);
        if let Some(returns) = self.returns.as_ref().filter(|returns| !returns.may_give_up) {
            let absent = returns.gave_up + returns.still_away;
            if absent > 0 {
                failures.push(format!("{absent} people did not come back"));
            }
        }
        if self.ledger_before.is_some() && self.ledger_after.is_none() {
            failures.push("the server's ledger could not be read at the end".to_owned());
        }
        if self.memory.empty.is_some() && self.memory.end.is_none() {
            failures.push("the server's process was gone at the end".to_owned());
        }
        if self.figures.deliveries == 0 && self.figures.lives == 0 {
            failures.push("nothing was delivered".to_owned());
        }
        failures
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

    fn opened_at_least(&self) -> usize {
        if self.figures.lives > 0 {
            self.figures.wanted
        } else {
            self.figures.connections
        }
    }

    /// Sentences a reader must know before believing the figures.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        warnings.retain(|note| !note.starts_with(FAILED));
        let busy = self.figures.generator_busy;
        if busy > BUSY_MAX {
            warnings.push(format!(
                "THE GENERATOR WAS THE LIMIT ({}{:.0} % busy): rates and latencies are its own, \
                 not the server's; CPU per delivery still holds",
                match self.generators.len() {
                    ..=1 => String::new(),
                    several => format!("the busiest of {several} processes, "),
                },
                busy * 100.0
            ));
        }
        let waited = [
            ("the generator", Some(self.figures.generator_waited)),
            ("the server", self.figures.server_waited),
        ];
        for (who, share) in waited {
            if let Some(share) = share.filter(|share| *share > WAITED_MAX) {
                warnings.push(format!(
                    "{who} waited for a core {:.0} % of the time: other programs ran; \
                     rates and latencies are the machine's, CPU per delivery somewhat",
                    share * 100.0
                ));
            }
        }
        if self.open_loop && self.lag.p99_ms > 2.0 {
            warnings.push(format!(
                "the open loop ran behind its schedule (p99 {:.1} ms); latencies count from the schedule",
                self.lag.p99_ms
            ));
        }
        if self.totals.stalls > 0 {
            let n = count(self.totals.stalls);
            warnings.push(format!("{n} closed loops waited 5 s for their own message"));
        }
        if self.totals.not_sent > 0 {
            let n = count(self.totals.not_sent);
            warnings.push(format!(
                "{n} sends left out: the server had stopped reading"
            ));
        }
        if self.lost_explained > 0 {
            let n = count(self.lost_explained);
            warnings.push(format!(
                "{n} deliveries missing because the server refused their message or its publisher was cut"
            ));
        }
        warnings
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
