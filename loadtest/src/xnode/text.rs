//! The report on the terminal, and as a page.

use super::outcome::Sample;
use super::report::{Paths, Report};
use crate::html::{Curve, NINES, STYLE, escape, plot};
use crate::latency::Latency;
use crate::report::count;

impl Report {
    /// The summary.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<14} {text}\n"));
        self.head_lines(&mut line);
        path_lines(&self.latency, "", &mut line);
        if let Some(added) = self.added {
            let ratio = added.in_bare_p99;
            let ratio = ratio.map_or(String::new(), |ratio| {
                format!("  ({ratio:.2} times bare p99)")
            });
            line(
                "added",
                format!("p50 {:.3}  p99 {:.3} ms{ratio}", added.p50_ms, added.p99_ms),
            );
        }
        if self.asked.rate.is_some() {
            line("schedule lag", percentiles(&self.lag));
        }
        self.fault_lines(&mut line);
        self.book_lines(&mut line);
        self.cost_lines(&mut line);
        for warning in self.warnings() {
            line("WARNING", warning);
        }
        for goal in self.goal_lines() {
            line("goal", goal);
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

    fn head_lines(&self, line: &mut impl FnMut(&str, String)) {
        let (asked, facts) = (&self.asked, &self.facts);
        let pace = match (asked.rate, asked.window) {
            (_, Some(window)) => format!("closed loop, window {window}"),
            (Some(rate), None) => format!("{rate} messages/s"),
            (None, None) => String::new(),
        };
        line(
            "xnode",
            format!(
                "{} nodes, {} rooms of {}, {pace}, {:.1} s, {} bytes of text, seed {}",
                facts.nodes, asked.rooms, asked.members, self.seconds, asked.text_bytes, asked.seed
            ),
        );
        let aof = if facts.appendonly { ", appendonly" } else { "" };
        line(
            "nodes",
            format!("{} {}, {}{aof}", facts.servers, facts.mode, facts.redis),
        );
        line("pinning", facts.pinning.clone());
        line("speaks", facts.speaks.clone());
        let rate = |n: u64| format!("{} ({:.0}/s)", count(n), n as f64 / self.seconds.max(1e-9));
        line(
            "deliveries",
            format!(
                "{}: {} on the publisher's node, {} on others; published {}",
                rate(self.near + self.far),
                count(self.near),
                count(self.far),
                rate(self.published)
            ),
        );
    }

    fn fault_lines(&self, line: &mut impl FnMut(&str, String)) {
        let Some(fault) = self.fault else {
            return;
        };
        let seconds = |time: Option<f64>| time.map_or("never".to_owned(), |s| format!("{s:.2}"));
        for strike in &self.strikes {
            line(
                fault,
                format!(
                    "at {:.1} s: redis there after {}  noticed {}  first message across {}  all rooms {}  healthy {} s",
                    strike.at,
                    seconds(strike.over),
                    seconds(strike.noticed),
                    seconds(strike.first),
                    seconds(strike.whole),
                    seconds(strike.healthy)
                ),
            );
        }
        path_lines(&self.hit, "hit ", line);
    }

    fn book_lines(&self, line: &mut impl FnMut(&str, String)) {
        let (v, l, u) = (&self.verification, &self.losses, &self.unexplained);
        line(
            "verification",
            format!(
                "lost within nodes {}  messages lost across {}  duplicated {}  out of order {}  late {}  corrupted {}  misrouted {}",
                l.within_nodes,
                l.across_nodes,
                v.duplicated,
                v.out_of_order,
                v.late,
                v.corrupted,
                v.misrouted
            ),
        );
        line(
            "unexplained",
            format!(
                "across nodes {}  deliveries {}  messages {}  ledgers {}",
                u.across_nodes, u.deliveries, u.messages, u.ledgers
            ),
        );
        for (number, node) in self.nodes.iter().enumerate() {
            line(
                &format!("node {number}"),
                format!(
                    "accepted {}  delivered {}  dropped {}  counted losses {}  {:?}",
                    count(node.ledger.accepted),
                    count(node.ledger.delivered),
                    count(node.ledger.dropped_total()),
                    count(node.counted_losses),
                    node.bridge
                ),
            );
        }
        if !self.nodes.is_empty() {
            line("outbox", format!("at most {}", count(self.outbox_max)));
        }
        for (why, n) in &self.trouble {
            line("trouble", format!("{} x {why}", count(*n)));
        }
    }

    fn cost_lines(&self, line: &mut impl FnMut(&str, String)) {
        let cost = &self.cost;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let nodes: Vec<String> = cost.nodes.iter().map(|share| percent(*share)).collect();
        let mut text = format!(
            "nodes {} of a core, redis {}, waited for it {}",
            nodes.join(" + "),
            percent(cost.redis),
            percent(cost.servers_waited)
        );
        if let Some((micros, each)) = cost.micros_per_delivery.zip(cost.deliveries_per_cpu_second) {
            text += &format!(
                ": {micros:.3} µs per delivery, {} per CPU second",
                count(each as u64)
            );
        }
        line("CPU", text);
        line(
            "generator",
            format!(
                "busy {}, CPU {}, waited for a core {}",
                percent(cost.generator_busy),
                percent(cost.generator_cpu),
                percent(cost.generator_waited)
            ),
        );
    }

    /// One page without outside resources.
    pub(crate) fn page(&self) -> String {
        let failures = self.failures();
        let (verdict, colour) = if self.interrupted.is_some() {
            ("interrupted", "#9a6700")
        } else if failures.is_empty() {
            ("good", "#1a7f37")
        } else {
            ("failed", "#cf222e")
        };
        let mut body =
            format!("<h1>loadtest xnode <span style=\"color:{colour}\">{verdict}</span></h1>");
        let classes = [("warn", self.warnings()), ("fail", failures)];
        for (class, sentences) in classes {
            for sentence in sentences {
                body += &format!("<p class={class}>{}</p>", escape(&sentence));
            }
        }
        body += &self.plots();
        body += &format!("<h2>Summary</h2><pre>{}</pre>", escape(&self.text()));
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>loadtest xnode</title><style>{STYLE}</style><body>{body}</body></html>\n"
        )
    }

    fn plots(&self) -> String {
        let nines = |p: f64| -(1.0 - p.min(99.999) / 100.0).log10();
        let colours = ["#1a7f37", "#0969da", "#9a6700"];
        let curves: Vec<Curve<'_>> = self
            .percentiles
            .iter()
            .zip(colours)
            .map(|((name, curve), colour)| Curve {
                name,
                colour,
                points: curve.iter().map(|&(p, ms)| (nines(p), ms)).collect(),
            })
            .collect();
        let mut out = plot("Latency by percentile, ms", NINES, &curves);
        let series = |name: &'static str, colour: &'static str, of: fn(&Sample) -> f64| Curve {
            name,
            colour,
            points: self
                .samples
                .iter()
                .map(|sample| (sample.at, of(sample)))
                .collect(),
        };
        out += &plot(
            "Deliveries/s",
            "s",
            &[
                series("near", "#1a7f37", |s| s.near_per_second),
                series("far", "#0969da", |s| s.far_per_second),
            ],
        );
        out += &plot(
            "p99 over time, ms",
            "s",
            &[
                series("near", "#1a7f37", |s| s.near_p99_ms),
                series("far", "#0969da", |s| s.far_p99_ms),
                series("bare", "#9a6700", |s| s.bare_p99_ms),
            ],
        );
        let outbox = series("outbox", "#8250df", |s| s.outbox as f64);
        out + &plot("Publications on their way to Redis", "s", &[outbox])
    }
}

/// One digit more than elsewhere: a bridge adds tenths of a millisecond.
fn percentiles(l: &Latency) -> String {
    format!(
        "p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.2} ms  ({} of them)",
        l.p50_ms,
        l.p90_ms,
        l.p99_ms,
        l.p999_ms,
        l.max_ms,
        count(l.count)
    )
}

fn path_lines(paths: &Paths, before: &str, line: &mut impl FnMut(&str, String)) {
    let all: [(&str, &Latency); 3] = [
        ("same node", &paths.near),
        ("across nodes", &paths.far),
        ("bare redis", &paths.bare),
    ];
    for (name, latency) in all {
        if latency.count > 0 {
            line(&format!("{before}{name}"), percentiles(latency));
        }
    }
}
