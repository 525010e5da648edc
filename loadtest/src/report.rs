//! The figures of a run, what they mean, and the text a person reads.

use crate::ledger::Ledger;
use crate::measure::Process;
use crate::traffic::Totals;
use crate::verify::Counts;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Share of a core above which the generator, not the server, sets the pace.
const BUSY_MAX: f64 = 0.9;
/// Share of the time without a core above which a shared machine, not the server, makes the latencies.
const WAITED_MAX: f64 = 0.05;

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1e6,
        }
    }
}

/// (percentile, milliseconds) pairs for a plot.
pub(crate) fn percentile_curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    [
        0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0,
    ]
    .map(|p| (p, histogram.value_at_percentile(p) as f64 / 1e6))
    .to_vec()
}

/// One point of the series.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the measurement began.
    pub(crate) at: f64,
    pub(crate) deliveries: f64,
    pub(crate) published: f64,
    pub(crate) handshakes: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) connections: usize,
    pub(crate) tcp_buffer_bytes: Option<u64>,
    pub(crate) server: Option<Process>,
    pub(crate) queued: Option<u64>,
    pub(crate) dropped: Option<u64>,
    pub(crate) unexplained: Option<i64>,
}

/// The server's memory through the run.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) connections: usize,
    pub(crate) connect_seconds: f64,
    pub(crate) empty: Option<Process>,
    pub(crate) opened: Option<Process>,
    pub(crate) idle: Option<Process>,
    pub(crate) end: Option<Process>,
    pub(crate) closed: Option<Process>,
    /// Kernel buffers of all TCP sockets of the machine, both ends (their fixed structures are not in it).
    pub(crate) tcp_empty_bytes: Option<u64>,
    pub(crate) tcp_opened_bytes: Option<u64>,
}

/// The window's figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) rooms: usize,
    pub(crate) connections: usize,
    pub(crate) wanted: usize,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) published: u64,
    pub(crate) published_per_second: f64,
    pub(crate) lives: u64,
    pub(crate) lives_per_second: f64,
    pub(crate) server_cpu: Option<f64>,
    pub(crate) cpu_micros_per_delivery: Option<f64>,
    pub(crate) cpu_micros_per_life: Option<f64>,
    pub(crate) generator_busy: f64,
    pub(crate) generator_cpu: f64,
    /// Share of the window the generator could have run but had no core.
    pub(crate) generator_waited: f64,
    /// The same for all threads of the server.
    pub(crate) server_waited: Option<f64>,
}

/// Everything known about a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) text_bytes: usize,
    pub(crate) command_bytes: usize,
    pub(crate) open_loop: bool,
    pub(crate) figures: Figures,
    pub(crate) latency: Latency,
    pub(crate) handshakes: Latency,
    pub(crate) lag: Latency,
    pub(crate) verification: Counts,
    pub(crate) lost_explained: u64,
    pub(crate) totals: Totals,
    pub(crate) memory: Memory,
    pub(crate) ledger_before: Option<Ledger>,
    pub(crate) ledger_after: Option<Ledger>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) notes: Vec<String>,
    pub(crate) percentiles: Vec<(f64, f64)>,
}

/// A whole number with separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Report {
    /// Sentences that make the run fail; empty if all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        let v = &self.verification;
        let mut failures = Vec::new();
        let mut fail = |number: u64, what: &str| {
            if number > 0 {
                failures.push(format!("{} {what}", count(number)));
            }
        };
        fail(
            v.lost - self.lost_explained,
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
        let busy = self.figures.generator_busy;
        if busy > BUSY_MAX {
            warnings.push(format!(
                "THE GENERATOR WAS THE LIMIT ({:.0} % busy): rates and latencies are its own, \
                 not the server's; CPU per delivery still holds",
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
                "{n} deliveries missing because the server refused their message"
            ));
        }
        warnings
    }

    /// The figures with what they were judged to be.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(json) = json.as_object_mut() {
            let verdict =
                serde_json::json!({"failures": self.failures(), "warnings": self.warnings()});
            json.insert("verdict".to_owned(), verdict);
        }
        json
    }

    /// The summary.
    pub(crate) fn text(&self) -> String {
        let f = &self.figures;
        let mut out = String::new();
        let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<14} {text}\n"));
        let connections = count(f.wanted.max(f.connections) as u64);
        let opened = format!("{connections} connections, {} rooms", count(f.rooms as u64));
        let sizes = format!("{} bytes of text, seed {}", self.text_bytes, self.seed);
        line(
            &self.scenario,
            format!("{opened}, {:.1} s, {sizes}", f.seconds),
        );
        let per_second = |n: u64, rate: f64| format!("{}  ({}/s)", count(n), count(rate as u64));
        line(
            "deliveries",
            per_second(f.deliveries, f.deliveries_per_second),
        );
        line("published", per_second(f.published, f.published_per_second));
        if f.lives > 0 {
            line("lives", per_second(f.lives, f.lives_per_second));
        }
        line("latency", percentiles(&self.latency));
        line("handshake", percentiles(&self.handshakes));
        if self.open_loop {
            line("schedule lag", percentiles(&self.lag));
        }
        self.verification_lines(&mut line);
        self.server_lines(&mut line);
        line(
            "generator",
            format!(
                "busy {:.0} % of a core, CPU {:.0} %, waited for a core {:.0} %",
                f.generator_busy * 100.0,
                f.generator_cpu * 100.0,
                f.generator_waited * 100.0
            ),
        );
        for warning in self.warnings() {
            line("WARNING", warning);
        }
        let failures = self.failures();
        for failure in &failures {
            line("FAILED", failure.clone());
        }
        if failures.is_empty() {
            line("verdict", "good".to_owned());
        }
        out
    }

    fn verification_lines(&self, line: &mut impl FnMut(&str, String)) {
        let v = &self.verification;
        line(
            "verification",
            format!(
                "lost {}  duplicated {}  out of order {}  late {}  corrupted {}  misrouted {}",
                v.lost, v.duplicated, v.out_of_order, v.late, v.corrupted, v.misrouted
            ),
        );
        if v.missed_by_slow_readers > 0 || !self.totals.slow_closed.is_empty() {
            let closed: u64 = self.totals.slow_closed.values().sum();
            let missed = count(v.missed_by_slow_readers);
            line("slow readers", format!("missed {missed}  closed {closed}"));
        }
        let maps = [
            ("errors", &self.totals.errors),
            ("refused", &self.totals.refused),
            ("closed", &self.totals.closed),
        ];
        for (name, map) in maps {
            for (why, n) in map {
                line(name, format!("{} x {why}", count(*n)));
            }
        }
        line("other frames", count(self.totals.unpublished_frames));
    }

    fn server_lines(&self, line: &mut impl FnMut(&str, String)) {
        let f = &self.figures;
        if let Some(cpu) = f.server_cpu {
            let waited = f.server_waited.unwrap_or(0.0) * 100.0;
            let mut text = format!("{:.0} % of a core (waited {waited:.0} %)", cpu * 100.0);
            if let Some(micros) = f.cpu_micros_per_delivery {
                text += &format!(", {micros:.3} µs per delivery");
            }
            if let Some(micros) = f.cpu_micros_per_life {
                text += &format!(", {micros:.1} µs per life");
            }
            line("server CPU", text);
        }
        let m = &self.memory;
        for (name, process) in [
            ("empty", m.empty),
            ("opened", m.opened),
            ("idle", m.idle),
            ("end", m.end),
            ("closed", m.closed),
        ] {
            let (Some(process), Some(empty)) = (process, m.empty) else {
                continue;
            };
            let mut text = format!(
                "{name:<7} rss {:.2} MB  pss {:.2} MB  fds {}",
                process.rss_bytes as f64 / 1e6,
                process.pss_bytes as f64 / 1e6,
                process.descriptors
            );
            if name != "empty" && name != "closed" && m.connections > 0 {
                let each = per_connection(process.rss_bytes, empty.rss_bytes, m.connections);
                text += &format!("  {each:.3} KiB a connection");
            }
            line("server memory", text);
        }
        let resident = self.samples.iter().filter_map(|sample| sample.server);
        if let Some(peak) = resident.map(|process| process.rss_bytes).max() {
            line(
                "server memory",
                format!("peak    rss {:.2} MB", peak as f64 / 1e6),
            );
        }
        let peak = self
            .samples
            .iter()
            .filter_map(|sample| sample.tcp_buffer_bytes)
            .max();
        if let (Some(opened), Some(peak)) = (m.tcp_opened_bytes, peak) {
            let (opened, peak) = (opened as f64 / 1e6, peak as f64 / 1e6);
            line(
                "kernel buffers",
                format!("opened {opened:.2} MB  peak {peak:.2} MB, all TCP, both ends"),
            );
        }
        if let Some(l) = &self.ledger_after {
            line(
                "ledger",
                format!(
                    "accepted {}  expected {}  delivered {}  dropped {:?}  queued {}  unexplained {}",
                    count(l.accepted),
                    count(l.expected),
                    count(l.delivered),
                    l.dropped,
                    l.queued,
                    l.unexplained
                ),
            );
        }
    }
}

/// Growth in KiB a connection.
fn per_connection(now: u64, empty: u64, connections: usize) -> f64 {
    (now as f64 - empty as f64) / 1024.0 / connections.max(1) as f64
}

fn percentiles(l: &Latency) -> String {
    format!(
        "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms  ({} of them)",
        l.p50_ms,
        l.p90_ms,
        l.p99_ms,
        l.p999_ms,
        l.max_ms,
        count(l.count)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = crate::traffic::histogram();
        for i in 1..=1000 {
            histogram.saturating_record(i * 1_000_000);
        }
        let latency = Latency::of(&histogram);
        assert!((latency.p50_ms - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p99_ms - 990.0).abs() < 1.0, "{latency:?}");
        assert!((latency.max_ms - 1000.0).abs() < 1.0, "{latency:?}");
    }
}
