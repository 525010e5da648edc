//! The figures of a run as cards and plots.

use super::{Report, Sample};
use crate::html::{Curve, NINES, curve, plot, tail};

pub(super) fn cards(report: &Report) -> String {
    let f = &report.figures;
    let mut cards = vec![
        ("deliveries/s", format!("{:.0}", f.deliveries_per_second)),
        ("p50", format!("{:.2} ms", report.latency.p50_ms)),
        ("p99", format!("{:.2} ms", report.latency.p99_ms)),
        ("connections", format!("{}", f.connections.max(f.wanted))),
        ("lost", format!("{}", report.verification.lost)),
    ];
    if let Some(micros) = f.cpu_micros_per_delivery.or(f.cpu_micros_per_life) {
        cards.push(("server CPU each", format!("{micros:.2} µs")));
    }
    if report.generators.len() > 1 {
        cards.push(("processes", report.generators.len().to_string()));
        let busy = f.generator_busy * 100.0;
        cards.push(("busiest process", format!("{busy:.0} %")));
    }
    if let Some(ledger) = &report.ledger_after {
        cards.push(("unexplained", ledger.unexplained.to_string()));
    }
    let cards: String = cards
        .iter()
        .map(|(name, value)| format!("<div><b>{value}</b>{name}</div>"))
        .collect();
    format!("<div class=cards>{cards}</div>")
}

const BLUE: &str = "#0969da";
const GREEN: &str = "#1a7f37";
const AMBER: &str = "#9a6700";
const RED: &str = "#cf222e";
const PURPLE: &str = "#8250df";

/// Of every sample that has it: name, colour, figure.
type Series = (&'static str, &'static str, fn(&Sample) -> Option<f64>);

pub(super) fn plots(report: &Report) -> String {
    let over_time = |title: &str, series: &[Series]| {
        let curves = series.iter().map(|(name, colour, pick)| {
            let points = report.samples.iter();
            curve(
                name,
                colour,
                points.filter_map(|s| Some((s.at, pick(s)?))).collect(),
            )
        });
        plot(title, "s", &curves.collect::<Vec<_>>())
    };
    [
        plot(
            "Latency by percentile, ms",
            NINES,
            &[curve("latency", BLUE, tail(&report.percentiles))],
        ),
        over_time(
            "Rates",
            &[
                ("deliveries/s", BLUE, |s| Some(s.deliveries)),
                ("published/s", GREEN, |s| Some(s.published)),
                ("handshakes/s", AMBER, |s| Some(s.handshakes)),
            ],
        ),
        over_time(
            "Latency over time, ms",
            &[
                ("p50", BLUE, |s| Some(s.p50_ms)),
                ("p99", RED, |s| Some(s.p99_ms)),
            ],
        ),
        over_time(
            "Server memory, MB",
            &[("rss", PURPLE, |s| Some(s.server?.rss_bytes as f64 / 1e6))],
        ),
        over_time(
            "Deliveries waiting in the server (ledger)",
            &[("queued", AMBER, |s| Some(s.queued? as f64))],
        ),
        plot(
            "Deliveries dropped, by cause (ledger, since the server's start)",
            "s",
            &drops(report),
        ),
        over_time(
            "Connections and the server's descriptors",
            &[
                ("connections", BLUE, |s| Some(s.connections as f64)),
                ("descriptors", PURPLE, |s| {
                    Some(s.server?.descriptors as f64)
                }),
            ],
        ),
    ]
    .concat()
}

/// A curve for each cause that dropped anything.
fn drops(report: &Report) -> Vec<Curve<'_>> {
    let colours = [RED, AMBER, PURPLE, BLUE, GREEN].into_iter().cycle();
    let last = report.samples.last();
    let causes = last.into_iter().flat_map(|sample| &sample.causes);
    let causes = causes.filter(|(_, count)| **count > 0).zip(colours);
    let of = |cause: &str| {
        let points = report.samples.iter();
        points
            .map(|s| (s.at, s.causes.get(cause).map_or(0.0, |n| *n as f64)))
            .collect()
    };
    causes
        .map(|((cause, _), colour)| curve(cause, colour, of(cause)))
        .collect()
}
