//! Inline SVG plots, and what every page shares.

use crate::axis::Axis;

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

/// The look of every page.
pub(crate) const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:800px;margin:2em auto;padding:0 1em;\
    color:#1f2328}h1,h2{font-weight:600}h2{font-size:1.05em;margin:1.6em 0 .3em}pre{background:#f6f8fa;\
    padding:1em;overflow:auto;font-size:12px}.cards{display:flex;flex-wrap:wrap;gap:.8em}.cards div{background:\
    #f6f8fa;padding:.6em 1em;border-radius:8px}.cards b{display:block;font-size:1.4em}.warn{background:#fff8c5;\
    padding:.6em}.fail{background:#ffebe9;padding:.6em}svg{width:100%;height:auto}text{font-size:11px;fill:#59636e}";

/// One curve.
pub(crate) fn curve<'a>(name: &'a str, colour: &'a str, points: Vec<(f64, f64)>) -> Curve<'a> {
    Curve {
        name,
        colour,
        points,
    }
}

/// Percentiles on an axis that counts nines: 50 % at 0.3, 99 % at 2, 99.99 % at 4.
pub(crate) fn tail(percentiles: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let nines = |p: f64| -(1.0 - p.min(99.999) / 100.0).log10();
    percentiles.iter().map(|&(p, ms)| (nines(p), ms)).collect()
}

/// One plot; nothing if no curve has two points.
pub(crate) fn plot(title: &str, unit: &str, curves: &[Curve<'_>]) -> String {
    let is_shown = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
    let shown = curves.iter().map(|curve| {
        let points = curve.points.iter().filter(is_shown);
        (curve, points.copied().collect::<Vec<_>>())
    });
    let curves: Vec<_> = shown.filter(|(_, points)| points.len() > 1).collect();
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
        let curve = |points| curve("a", "red", points);
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
        let curve = |points| curve("a", "red", points);
        assert!(plot("t", "s", &[curve(vec![(0.0, 1.0)])]).is_empty());
        assert!(plot("t", "s", &[curve(vec![(0.0, 1.0), (1.0, 2.0)])]).contains("<polyline"));
    }
}
