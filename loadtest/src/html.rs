//! The report as one page without outside resources: the summary and inline SVG plots.

use crate::axis::Axis;
use crate::report::{Report, Sample};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Space left of and below the plot for its numbers.
const MARGIN: f64 = 60.0;

/// Unit of the axis that counts nines.
pub(crate) const NINES: &str = "percentile";

/// One curve.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    pub(crate) colour: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// The page.
pub(crate) fn page(report: &Report) -> String {
    let good = report.failures().is_empty();
    let (verdict, colour) = if report.interrupted.is_some() {
        ("interrupted", "#9a6700")
    } else if good {
        ("good", "#1a7f37")
    } else {
        ("failed", "#cf222e")
    };
    let mut body = format!(
        "<h1>loadtest {} <span style=\"color:{colour}\">{verdict}</span></h1>",
        escape(&report.scenario)
    );
    body += &cards(report);
    for warning in report.warnings() {
        body += &format!("<p class=warn>{}</p>", escape(&warning));
    }
    for failure in report.failures() {
        body += &format!("<p class=fail>{}</p>", escape(&failure));
    }
    body += &plots(report);
    body += &format!("<h2>Summary</h2><pre>{}</pre>", escape(&report.text()));
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>loadtest {}</title><style>{STYLE}</style><body>{body}</body></html>\n",
        escape(&report.scenario)
    )
}

/// The look of every page.
pub(crate) const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:800px;margin:2em auto;padding:0 1em;\
    color:#1f2328}h1,h2{font-weight:600}h2{font-size:1.05em;margin:1.6em 0 .3em}pre{background:#f6f8fa;\
    padding:1em;overflow:auto;font-size:12px}.cards{display:flex;flex-wrap:wrap;gap:.8em}.cards div{background:\
    #f6f8fa;padding:.6em 1em;border-radius:8px}.cards b{display:block;font-size:1.4em}.warn{background:#fff8c5;\
    padding:.6em}.fail{background:#ffebe9;padding:.6em}svg{width:100%;height:auto}text{font-size:11px;fill:#59636e}";

fn cards(report: &Report) -> String {
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

/// A figure of every sample that has it.
fn series(report: &Report, pick: &dyn Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    let samples = report.samples.iter();
    samples.filter_map(|s| Some((s.at, pick(s)?))).collect()
}

fn curve<'a>(name: &'a str, colour: &'a str, points: Vec<(f64, f64)>) -> Curve<'a> {
    Curve {
        name,
        colour,
        points,
    }
}

fn plots(report: &Report) -> String {
    let series = |pick: &dyn Fn(&Sample) -> Option<f64>| series(report, pick);
    // The percentile axis counts nines: 50 % at 0.3, 99 % at 2, 99.99 % at 4.
    let nines = |p: f64| -(1.0 - p.min(99.999) / 100.0).log10();
    let tail = report
        .percentiles
        .iter()
        .map(|&(p, ms)| (nines(p), ms))
        .collect();
    let mut out = plot(
        "Latency by percentile, ms",
        NINES,
        &[curve("latency", "#0969da", tail)],
    );
    out += &plot(
        "Rates",
        "s",
        &[
            curve("deliveries/s", "#0969da", series(&|s| Some(s.deliveries))),
            curve("published/s", "#1a7f37", series(&|s| Some(s.published))),
            curve("handshakes/s", "#9a6700", series(&|s| Some(s.handshakes))),
        ],
    );
    out += &plot(
        "Latency over time, ms",
        "s",
        &[
            curve("p50", "#0969da", series(&|s| Some(s.p50_ms))),
            curve("p99", "#cf222e", series(&|s| Some(s.p99_ms))),
        ],
    );
    out + &server_plots(report)
}

/// What `/proc` and the ledger said, over time.
fn server_plots(report: &Report) -> String {
    let series = |pick: &dyn Fn(&Sample) -> Option<f64>| series(report, pick);
    let mut out = String::new();
    out += &plot(
        "Server memory, MB",
        "s",
        &[curve(
            "rss",
            "#8250df",
            series(&|s| s.server.map(|p| p.rss_bytes as f64 / 1e6)),
        )],
    );
    out += &plot(
        "Deliveries waiting in the server (ledger)",
        "s",
        &[curve(
            "queued",
            "#9a6700",
            series(&|s| s.queued.map(|n| n as f64)),
        )],
    );
    out += &plot(
        "Deliveries dropped, by cause (ledger, since the server's start)",
        "s",
        &drops(report),
    );
    out += &plot(
        "Connections and the server's descriptors",
        "s",
        &[
            curve(
                "connections",
                "#0969da",
                series(&|s| Some(s.connections as f64)),
            ),
            curve(
                "descriptors",
                "#8250df",
                series(&|s| s.server.map(|p| p.descriptors as f64)),
            ),
        ],
    );
    out
}

/// A curve for each cause that dropped anything.
fn drops(report: &Report) -> Vec<Curve<'_>> {
    const COLOURS: [&str; 5] = ["#cf222e", "#9a6700", "#8250df", "#0969da", "#1a7f37"];
    let last = report.samples.last();
    let causes = last
        .map(|sample| sample.causes.iter())
        .into_iter()
        .flatten();
    causes
        .filter(|(_, count)| **count > 0)
        .zip(COLOURS.iter().cycle())
        .map(|((cause, _), colour)| Curve {
            name: cause,
            colour,
            points: report
                .samples
                .iter()
                .map(|s| (s.at, s.causes.get(cause).map_or(0.0, |n| *n as f64)))
                .collect(),
        })
        .collect()
}

/// One plot; nothing if no curve has two points.
pub(crate) fn plot(title: &str, unit: &str, curves: &[Curve<'_>]) -> String {
    let is_shown = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
    let curves: Vec<(&Curve<'_>, Vec<(f64, f64)>)> = curves
        .iter()
        .map(|curve| {
            (
                curve,
                curve.points.iter().filter(is_shown).copied().collect(),
            )
        })
        .filter(|(_, points): &(_, Vec<_>)| points.len() > 1)
        .collect();
    if curves.is_empty() {
        return String::new();
    }
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let across = if unit == NINES {
        nines(all().map(|point| point.0))
    } else {
        Axis::of(all().map(|point| point.0))
    };
    let up = Axis::of(all().map(|point| point.1));
    let x = |value: f64| MARGIN + across.share(value) * (WIDTH - MARGIN - 26.0);
    let y = |value: f64| HEIGHT - up.share(value) * (HEIGHT - 10.0);
    let mut svg = String::new();
    for (value, text) in &up.ticks {
        let at = y(*value);
        svg += &format!(
            "<line x1={MARGIN} x2={WIDTH} y1={at:.1} y2={at:.1} stroke=#d1d9e0 />\
             <text x={:.1} y={:.1} text-anchor=end>{text}</text>",
            MARGIN - 6.0,
            at + 4.0,
        );
    }
    for (value, text) in &across.ticks {
        svg += &format!(
            "<text x={:.1} y={:.1} text-anchor=middle>{text}</text>",
            x(*value),
            HEIGHT + 16.0
        );
    }
    for (n, (curve, points)) in curves.iter().enumerate() {
        let points: Vec<String> = points
            .iter()
            .map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b)))
            .collect();
        let (colour, points) = (curve.colour, points.join(" "));
        svg += &format!(
            "<polyline fill=none stroke=\"{colour}\" stroke-width=1.6 points=\"{points}\" />\
             <text x={:.1} y={:.1} style=\"fill:{colour}\">{}</text>",
            MARGIN + 8.0 + 110.0 * n as f64,
            HEIGHT + 34.0,
            escape(curve.name)
        );
    }
    let height = HEIGHT + 52.0;
    format!(
        "<h2>{title}</h2><svg viewBox=\"0 -8 {WIDTH} {height}\" role=img>{svg}\
         <text x={WIDTH} y={:.1} text-anchor=end>{unit}</text></svg>",
        HEIGHT + 34.0
    )
}

/// The axis of percentiles: a decade of what is left for each nine.
fn nines(values: impl Iterator<Item = f64>) -> Axis {
    let most = values.fold(1.0, f64::max).ceil() as u32;
    let tick = |nines: u32| {
        let share = 100.0 - 100.0 / 10f64.powi(nines as i32);
        let digits = nines.saturating_sub(2) as usize;
        (f64::from(nines), format!("{share:.digits$} %"))
    };
    Axis {
        low: 0.0,
        high: f64::from(most),
        ticks: (0..=most).map(tick).collect(),
    }
}

/// Text that cannot become markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_server_cannot_become_markup() {
        assert_eq!(escape("<script>&"), "&lt;script&gt;&amp;");
    }

    #[test]
    fn the_axis_of_percentiles_has_a_tick_for_each_nine() {
        let texts = |most| {
            let ticks = nines([0.0, 0.3, most].into_iter()).ticks;
            ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts(2.0), ["0 %", "90 %", "99 %"]);
        assert_eq!(texts(3.3), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(texts(0.0), ["0 %", "90 %"]);
        assert_eq!(texts(f64::NAN), ["0 %", "90 %"]);
    }

    #[test]
    fn what_is_no_number_is_no_point() {
        let curve = |points| Curve {
            name: "a",
            colour: "red",
            points,
        };
        let points = vec![
            (0.0, 1.0),
            (0.5, f64::NAN),
            (1.0, 2.0),
            (f64::INFINITY, 1.0),
        ];
        let plot = plot("t", "s", &[curve(points)]);
        assert!(
            plot.contains("<polyline") && !plot.contains("NaN") && !plot.contains("inf"),
            "{plot}"
        );
    }

    #[test]
    fn a_plot_needs_two_points() {
        let curve = |points| Curve {
            name: "a",
            colour: "red",
            points,
        };
        assert!(plot("t", "s", &[curve(vec![(0.0, 1.0)])]).is_empty());
        assert!(plot("t", "s", &[curve(vec![(0.0, 1.0), (1.0, 2.0)])]).contains("<polyline"));
    }
}
