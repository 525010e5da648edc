//! The summary on the terminal.

use super::judged::{Lines, count};
use super::{Memory, Report};

impl Report {
    /// All lines but the verdict.
    pub(super) fn lines(&self, lines: &mut Lines) {
        let f = &self.figures;
        let (all, rooms) = (
            count(f.wanted.max(f.connections) as u64),
            count(f.rooms as u64),
        );
        let (seconds, bytes, seed) = (f.seconds, self.text_bytes, self.seed);
        lines.add(
            &self.scenario,
            format!("{all} connections, {rooms} rooms, {seconds:.1} s, {bytes} bytes of text, seed {seed}"),
        );
        let per_second = |n: u64, rate: f64| format!("{}  ({}/s)", count(n), count(rate as u64));
        lines.add(
            "deliveries",
            per_second(f.deliveries, f.deliveries_per_second),
        );
        lines.add("published", per_second(f.published, f.published_per_second));
        if f.lives > 0 {
            lines.add("lives", per_second(f.lives, f.lives_per_second));
        }
        match self.across {
            Some(_) if self.latency.count == 0 => {}
            Some(_) => lines.latency("same node", &self.latency, 3),
            None => lines.latency("latency", &self.latency, 2),
        }
        lines.latency("handshake", &self.handshakes, 2);
        if self.open_loop {
            lines.latency("schedule lag", &self.lag, 2);
        }
        self.across.iter().for_each(|across| across.lines(lines));
        self.verification_lines(lines);
        self.return_lines(lines);
        self.server_lines(lines);
        let percent = [f.generator_busy, f.generator_cpu, f.generator_waited];
        let [busy, cpu, waited] = percent.map(|share| share * 100.0);
        let who = match self.generators.len() {
            ..=1 => String::new(),
            several => format!("{several} processes, the busiest "),
        };
        lines.add(
            "generator",
            format!(
                "{who}busy {busy:.0} % of a core, CPU {cpu:.0} %, waited for a core {waited:.0} %"
            ),
        );
    }

    fn verification_lines(&self, lines: &mut Lines) {
        let (v, t) = (&self.verification, &self.totals);
        lines.add(
            "verification",
            format!(
                "lost {}  duplicated {}  out of order {}  late {}  corrupted {}  misrouted {}",
                v.lost, v.duplicated, v.out_of_order, v.late, v.corrupted, v.misrouted
            ),
        );
        if v.missed_by_slow_readers > 0 || !t.slow_closed.is_empty() {
            let closed: u64 = t.slow_closed.values().sum();
            let missed = count(v.missed_by_slow_readers);
            lines.add("slow readers", format!("missed {missed}  closed {closed}"));
            lines.latency("slow latency", &self.slow_latency, 2);
        }
        let maps = [
            ("errors", &t.errors),
            ("refused", &t.refused),
            ("closed", &t.closed),
            ("restart", &t.expected_ends),
        ];
        for (name, map) in maps {
            for (why, n) in map.iter() {
                lines.add(name, format!("{} x {why}", count(*n)));
            }
        }
        lines.add("other frames", count(t.unpublished_frames));
    }

    fn server_lines(&self, lines: &mut Lines) {
        let f = &self.figures;
        if let Some(cpu) = f.server_cpu {
            let (cpu, waited) = (cpu * 100.0, f.server_waited.unwrap_or(0.0) * 100.0);
            let mut text = format!("{cpu:.0} % of a core (waited {waited:.0} %)");
            if let Some(micros) = f.cpu_micros_per_delivery {
                text += &format!(", {micros:.3} µs per delivery");
            }
            if let Some(micros) = f.cpu_micros_per_life {
                text += &format!(", {micros:.1} µs per life");
            }
            if f.cores.len() > 1 {
                let each = f
                    .cores
                    .iter()
                    .map(|cores| format!("{:.0} %", cores * 100.0));
                let each = each.collect::<Vec<_>>().join(" + ");
                text += &format!(" (nodes, then Redis: {each})");
            }
            lines.add("server CPU", text);
        }
        self.memory_lines(lines);
        if let Some(l) = &self.ledger_after {
            let [accepted, expected, delivered] = [l.accepted, l.expected, l.delivered].map(count);
            let (dropped, queued, unexplained) = (&l.dropped, l.queued, l.unexplained);
            lines.add(
                "ledger",
                format!(
                    "accepted {accepted}  expected {expected}  delivered {delivered}  dropped {dropped:?}  queued {queued}  \
                     unexplained {unexplained}"
                ),
            );
        }
        if let Some(books) = self.reconciled() {
            let [accepted, read] = [books.never_accepted, books.never_read].map(count);
            let residue = books.residue;
            lines.add(
                "both books",
                format!("cut before the server had it {accepted}  before we had it {read}  residue {residue}"),
            );
        }
    }

    /// People who left and came back.
    fn return_lines(&self, lines: &mut Lines) {
        let Some(returns) = &self.returns else {
            return;
        };
        let r = returns.counts;
        let [left, lost, attempts] = [r.left, r.lost, r.attempts].map(count);
        let (failed, peak) = (r.failed, r.attempts_peak);
        lines.add(
            "people",
            format!("left {left}  lost their connection {lost}  tries {attempts} ({failed} failed, peak {peak}/s)"),
        );
        lines.latency("time away", &returns.away, 2);
        let (seconds, extra) = (returns.all_back_seconds, r.extra_sockets);
        let (gave_up, away) = (r.gave_up, r.still_away);
        lines.add(
            "came back",
            format!(
                "all of them {seconds:.1} s after the first loss; gave up {gave_up}  still away {away}  extra sockets {extra}"
            ),
        );
        let t = &self.totals;
        let missed = [t.parted_under_way, r.missed_while_away, t.parted_unsure];
        let [under_way, away, unsure] = missed.map(count);
        let [holes, nobody] = [t.parted_holes, t.nobody_there].map(count);
        lines.add(
            "missed",
            format!(
                "under way to them {under_way}  while away {away}  by holes of {unsure} messages cut on their way in {holes}  \
                 not sent, nobody there {nobody}"
            ),
        );
    }

    fn memory_lines(&self, lines: &mut Lines) {
        let Memory {
            connections, empty, ..
        } = self.memory;
        let m = &self.memory;
        let moments = [
            ("empty", m.empty),
            ("opened", m.opened),
            ("idle", m.idle),
            ("end", m.end),
            ("closed", m.closed),
        ];
        for (name, process) in moments {
            let (Some(process), Some(empty)) = (process, empty) else {
                continue;
            };
            let [rss, pss] = [process.rss_bytes, process.pss_bytes].map(|bytes| bytes as f64 / 1e6);
            let fds = process.descriptors;
            let mut text = format!("{name:<7} rss {rss:.2} MB  pss {pss:.2} MB  fds {fds}");
            if name != "empty" && name != "closed" && connections > 0 {
                let growth = process.rss_bytes as f64 - empty.rss_bytes as f64;
                let each = growth / 1024.0 / connections as f64;
                text += &format!("  {each:.3} KiB a connection");
            }
            lines.add("server memory", text);
        }
        let resident = self.samples.iter().filter_map(|sample| sample.server);
        if let Some(peak) = resident.map(|process| process.rss_bytes).max() {
            let peak = peak as f64 / 1e6;
            lines.add("server memory", format!("peak    rss {peak:.2} MB"));
        }
        let peak = self
            .samples
            .iter()
            .filter_map(|sample| sample.tcp_buffer_bytes)
            .max();
        if let (Some(opened), Some(peak)) = (m.tcp_opened_bytes, peak) {
            let (opened, peak) = (opened as f64 / 1e6, peak as f64 / 1e6);
            lines.add(
                "kernel buffers",
                format!("opened {opened:.2} MB  peak {peak:.2} MB, all TCP, both ends"),
            );
        }
    }
}
