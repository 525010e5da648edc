//! The report on the terminal, and its plots.

use super::outcome::CrossSample;
use super::report::{CrossReport, Paths};
use crate::html::{Curve, NINES, curve, plot, tail};
use crate::report::{Judged, Lines, count};

/// One digit more than elsewhere: a bridge adds tenths of a millisecond.
const DIGITS: usize = 3;

const NEAR: (&str, &str) = ("near", "#1a7f37");
const FAR: (&str, &str) = ("far", "#0969da");
const BARE: (&str, &str) = ("bare", "#9a6700");

impl CrossReport {
    pub(super) fn all_lines(&self, lines: &mut Lines) {
        self.head_lines(lines);
        path_lines(&self.latency, "", lines);
        if let Some(added) = self.added {
            let ratio = added
                .in_bare_p99
                .map(|ratio| format!("  ({ratio:.2} times bare p99)"));
            let (p50, p99, ratio) = (added.p50_ms, added.p99_ms, ratio.unwrap_or_default());
            lines.add("added", format!("p50 {p50:.3}  p99 {p99:.3} ms{ratio}"));
        }
        if self.asked.rate.is_some() {
            lines.latency("schedule lag", &self.lag, DIGITS);
        }
        self.fault_lines(lines);
        self.book_lines(lines);
        self.cost_lines(lines);
    }

    fn head_lines(&self, lines: &mut Lines) {
        let (asked, facts) = (&self.asked, &self.facts);
        let pace = match (asked.rate, asked.window) {
            (_, Some(window)) => format!("closed loop, window {window}"),
            (Some(rate), None) => format!("{rate} messages/s"),
            (None, None) => String::new(),
        };
        let (nodes, rooms, members) = (facts.nodes, asked.rooms, asked.members);
        let (seconds, bytes, seed) = (self.seconds, asked.text_bytes, asked.seed);
        lines.add(
            self.name(),
            format!(
                "{nodes} nodes, {rooms} rooms of {members}, {pace}, {seconds:.1} s, {bytes} bytes of text, seed {seed}"
            ),
        );
        let aof = if facts.appendonly { ", appendonly" } else { "" };
        let (servers, mode, redis) = (&facts.servers, &facts.mode, &facts.redis);
        lines.add("nodes", format!("{servers} {mode}, {redis}{aof}"));
        lines.add("pinning", &facts.pinning);
        lines.add("speaks", &facts.speaks);
        let rate = |n: u64| format!("{} ({:.0}/s)", count(n), n as f64 / seconds.max(1e-9));
        let (all, said) = (rate(self.near + self.far), rate(self.published));
        let [near, far] = [self.near, self.far].map(count);
        lines.add(
            "deliveries",
            format!("{all}: {near} on the publisher's node, {far} on others; published {said}"),
        );
    }

    fn fault_lines(&self, lines: &mut Lines) {
        let Some(fault) = self.fault else {
            return;
        };
        let text = |time: Option<f64>| time.map_or("never".to_owned(), |s| format!("{s:.2}"));
        for s in &self.strikes {
            let [over, noticed] = [s.over, s.noticed].map(text);
            let [first, whole, healthy] = [s.first, s.whole, s.healthy].map(text);
            let at = s.at;
            lines.add(
                fault,
                format!(
                    "at {at:.1} s: redis there after {over}  noticed {noticed}  first message across {first}  \
                     all rooms {whole}  healthy {healthy} s"
                ),
            );
        }
        path_lines(&self.hit, "hit ", lines);
    }

    fn book_lines(&self, lines: &mut Lines) {
        let (v, l, u) = (&self.verification, &self.losses, &self.unexplained);
        let (within, across) = (l.within_nodes, l.across_nodes);
        lines.add(
            "verification",
            format!(
                "lost within nodes {within}  messages lost across {across}  duplicated {}  out of order {}  late {}  corrupted {}  \
                 misrouted {}",
                v.duplicated, v.out_of_order, v.late, v.corrupted, v.misrouted
            ),
        );
        let (across, deliveries, messages, ledgers) =
            (u.across_nodes, u.deliveries, u.messages, u.ledgers);
        lines.add(
            "unexplained",
            format!("across nodes {across}  deliveries {deliveries}  messages {messages}  ledgers {ledgers}"),
        );
        for (number, node) in self.nodes.iter().enumerate() {
            let (ledger, bridge) = (&node.ledger, &node.bridge);
            let [accepted, delivered] = [ledger.accepted, ledger.delivered].map(count);
            let [dropped, losses] = [ledger.dropped_total(), node.counted_losses].map(count);
            lines.add(
                &format!("node {number}"),
                format!(
                    "accepted {accepted}  delivered {delivered}  dropped {dropped}  counted losses {losses}  {bridge:?}"
                ),
            );
        }
        if !self.nodes.is_empty() {
            lines.add("outbox", format!("at most {}", count(self.outbox_max)));
        }
        for (why, n) in self.trouble.iter() {
            lines.add("trouble", format!("{} x {why}", count(*n)));
        }
    }

    fn cost_lines(&self, lines: &mut Lines) {
        let cost = &self.cost;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let nodes: Vec<String> = cost.nodes.iter().map(|share| percent(*share)).collect();
        let (nodes, redis) = (nodes.join(" + "), percent(cost.redis));
        let waited = percent(cost.servers_waited);
        let mut text = format!("nodes {nodes} of a core, redis {redis}, waited for it {waited}");
        if let Some((micros, each)) = cost.micros_per_delivery.zip(cost.deliveries_per_cpu_second) {
            let each = count(each as u64);
            text += &format!(": {micros:.3} µs per delivery, {each} per CPU second");
        }
        lines.add("CPU", text);
        let generator = [
            cost.generator_busy,
            cost.generator_cpu,
            cost.generator_waited,
        ];
        let [busy, cpu, waited] = generator.map(percent);
        lines.add(
            "generator",
            format!("busy {busy}, CPU {cpu}, waited for a core {waited}"),
        );
    }

    pub(super) fn all_plots(&self) -> String {
        let named = [NEAR, FAR, BARE].into_iter();
        let tails = named.filter_map(|(name, colour)| {
            let (_, points) = self.percentiles.iter().find(|(of, _)| *of == name)?;
            Some(curve(name, colour, tail(points)))
        });
        let tails: Vec<Curve<'_>> = tails.collect();
        let series = |(name, colour): (&'static str, &'static str), of: fn(&CrossSample) -> f64| {
            let points = self.samples.iter().map(|sample| (sample.at, of(sample)));
            curve(name, colour, points.collect())
        };
        let rates = [
            series(NEAR, |s| s.near_per_second),
            series(FAR, |s| s.far_per_second),
        ];
        let p99 = [
            series(NEAR, |s| s.near_p99_ms),
            series(FAR, |s| s.far_p99_ms),
            series(BARE, |s| s.bare_p99_ms),
        ];
        let outbox = series(("outbox", "#8250df"), |s| s.outbox as f64);
        [
            plot("Latency by percentile, ms", NINES, &tails),
            plot("Deliveries/s", "s", &rates),
            plot("p99 over time, ms", "s", &p99),
            plot("Publications on their way to Redis", "s", &[outbox]),
        ]
        .concat()
    }
}

fn path_lines(paths: &Paths, before: &str, lines: &mut Lines) {
    let all = [
        ("same node", &paths.near),
        ("across nodes", &paths.far),
        ("bare redis", &paths.bare),
    ];
    for (name, latency) in all.into_iter().filter(|(_, latency)| latency.count > 0) {
        lines.latency(&format!("{before}{name}"), latency, DIGITS);
    }
}
