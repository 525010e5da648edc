//! The grid as tables and as a heat map.

use super::grid::{Cell, Grid};

/// What a map shows.
struct Map {
    title: &'static str,
    digits: usize,
    value: fn(&Cell) -> f64,
}

const MAPS: [Map; 4] = [
    Map {
        title: "Dropped of the stalling readers' deliveries, %",
        digits: 2,
        value: |cell| cell.loss_percent,
    },
    Map {
        title: "p99 of those who read, ms",
        digits: 1,
        value: |cell| cell.healthy_p99_ms,
    },
    Map {
        title: "p99 age of what stalling readers got, ms",
        digits: 0,
        value: |cell| cell.stalled_p99_ms,
    },
    Map {
        title: "Growth of resident memory, MB",
        digits: 2,
        value: |cell| cell.growth_mb,
    },
];

/// Distinct values in order of appearance.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// The tables.
pub(super) fn markdown(grid: &Grid) -> String {
    let mut out = format!(
        "# Queue settings, {}\n\nSource {}. {}, {} cores, Linux {}. Readers stall and read in turns of {} s; a fresh server for each cell.\n\n\
         {}\n\n| capacity | expiry | messages/s | dropped % | healthy p99 ms | stalled p99 ms | memory MB | causes | failed |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        grid.date,
        grid.revision,
        grid.machine.cpu,
        grid.machine.cores,
        grid.machine.kernel,
        grid.stall_seconds,
        grid.recommendation
    );
    for cell in &grid.cells {
        out += &format!(
            "| {} | {} | {} | {:.2} | {:.1} | {:.0} | {:.2} | {} | {} |\n",
            cell.capacity,
            cell.expiry,
            cell.rate,
            cell.loss_percent,
            cell.healthy_p99_ms,
            cell.stalled_p99_ms,
            cell.growth_mb,
            cell.dropped,
            cell.failures.join("; ")
        );
    }
    out
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#1f2328}\
    table{border-collapse:collapse;margin:.3em 1.6em 1em 0}td,th{padding:.35em .8em;text-align:right;font-variant-numeric:\
    tabular-nums;font-weight:400}th{color:#59636e}h2{font-size:1.1em;margin:1.4em 0 .2em}.row{display:flex;flex-wrap:wrap}\
    caption{text-align:left;color:#59636e}pre{white-space:pre-wrap;background:#f6f8fa;padding:1em;font:inherit}";

/// The heat maps: capacity down, expiry across, a table for each rate.
pub(super) fn html(grid: &Grid) -> String {
    let capacities = distinct(grid.cells.iter().map(|cell| cell.capacity));
    let expiries = distinct(grid.cells.iter().map(|cell| cell.expiry.clone()));
    let rates = distinct(grid.cells.iter().map(|cell| cell.rate));
    let mut body = format!(
        "<h1>Queue settings</h1><p>{}, {}. Readers stall and read in turns of {} s.</p><pre>{}</pre>",
        grid.date,
        grid.machine.cpu,
        grid.stall_seconds,
        crate::html::escape(&grid.recommendation)
    );
    for map in &MAPS {
        let most = grid.cells.iter().map(map.value).fold(1e-9, f64::max);
        body += &format!("<h2>{}</h2><div class=row>", map.title);
        for rate in &rates {
            body += &format!("<table><caption>{rate} messages/s</caption><tr><th>capacity</th>");
            for expiry in &expiries {
                body += &format!("<th>{}</th>", crate::html::escape(expiry));
            }
            body += "</tr>";
            for capacity in &capacities {
                body += &format!("<tr><th>{capacity}</th>");
                for expiry in &expiries {
                    let cell = grid.cells.iter().find(|cell| {
                        cell.capacity == *capacity && &cell.expiry == expiry && cell.rate == *rate
                    });
                    body += &cell.map_or("<td></td>".to_owned(), |cell| square(map, cell, most));
                }
                body += "</tr>";
            }
            body += "</table>";
        }
        body += "</div>";
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Queue settings</title><style>{STYLE}</style><body>{body}</body></html>\n"
    )
}

/// One cell, the redder the worse; the square root keeps small values apart.
fn square(map: &Map, cell: &Cell, most: f64) -> String {
    let value = (map.value)(cell);
    let share = (value.max(0.0) / most).sqrt();
    let hue = 130.0 * (1.0 - share);
    let digits = map.digits;
    format!("<td style=\"background:hsl({hue:.0} 70% 82%)\">{value:.digits$}</td>")
}
