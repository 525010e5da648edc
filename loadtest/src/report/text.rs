//! The summary on the terminal.

use super::{Report, count};
use crate::latency::Latency;

impl Report {
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
        self.return_lines(&mut line);
        self.server_lines(&mut line);
        line(
            "generator",
            format!(
                "{}busy {:.0} % of a core, CPU {:.0} %, waited for a core {:.0} %",
                match self.generators.len() {
                    ..=1 => String::new(),
                    several => format!("{several} processes, the busiest "),
                },
                f.generator_busy * 100.0,
                f.generator_cpu * 100.0,
                f.generator_waited * 100.0
            ),
        );
        for warning in self.warnings() {
            line("WARNING", warning);
        }
        if let Some(how_far) = &self.interrupted {
            line("INTERRUPTED", how_far.clone());
            return out;
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
            line("slow latency", percentiles(&self.slow_latency));
        }
        let maps = [
            ("errors", &self.totals.errors),
            ("refused", &self.totals.refused),
            ("closed", &self.totals.closed),
            ("restart", &self.totals.expected_ends),
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
        self.memory_lines(line);
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
        if let Some(books) = self.reconciled() {
            let (accepted, read) = (count(books.never_accepted), count(books.never_read));
            let residue = books.residue;
            line(
                "both books",
                format!(
                    "cut before the server had it {accepted}  before we had it {read}  residue {residue}"
                ),
            );
        }
    }

    /// People who left and came back.
    fn return_lines(&self, line: &mut impl FnMut(&str, String)) {
        let Some(r) = &self.returns else {
            return;
        };
        line(
            "people",
            format!(
                "left {}  lost their connection {}  tries {} ({} failed, peak {}/s)",
                count(r.left),
                count(r.lost),
                count(r.attempts),
                count(r.failed),
                r.attempts_peak
            ),
        );
        line("time away", percentiles(&r.away));
        line(
            "came back",
            format!(
                "all of them {:.1} s after the first loss; gave up {}  still away {}  extra sockets {}",
                r.all_back_seconds, r.gave_up, r.still_away, r.extra_sockets
            ),
        );
        let t = &self.totals;
        line(
            "missed",
            format!(
                "under way to them {}  while away {}  by holes of {} messages cut on their way in {}  not sent, nobody there {}",
                count(t.parted_under_way),
                count(r.missed_while_away),
                count(t.parted_unsure),
                count(t.parted_holes),
                count(t.nobody_there)
            ),
        );
    }

    fn memory_lines(&self, line: &mut impl FnMut(&str, String)) {
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
