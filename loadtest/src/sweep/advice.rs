//! From the grid to a sentence: the smallest setting that drops no more than allowed, for each rate and for all of them.

use super::grid::{Cell, Grid};

/// Share of the time without a core that leaves the figures alone.
const QUIET: f64 = 0.05;

/// For each rate, the smallest capacity and then the shortest expiry that loses no more than allowed; and the smallest that does so for
/// every rate that can be served at all.
pub(super) fn recommend(grid: &Grid) -> String {
    let mut rates: Vec<f64> = grid.cells.iter().map(|cell| cell.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let (mut lines, all) = (Vec::new(), grid.cells.len());
    if grid.interrupted {
        lines.push(format!(
            "INTERRUPTED after {all} whole cells: the one under way is left out, and what follows holds for the whole ones alone.\n"
        ));
    }
    let mut served = Vec::new();
    for rate in rates {
        let at_rate: Vec<&Cell> = grid.cells.iter().filter(|cell| cell.rate == rate).collect();
        let (measured, settings) = (at_rate.len(), grid.settings);
        if measured < settings {
            lines.push(format!(
                "- {rate} messages/s: {measured} of {settings} settings measured."
            ));
        }
        if let Some(cell) = smallest(at_rate.iter().copied().filter(|cell| enough(grid, cell))) {
            lines.push(enough_line(grid, cell));
            served.push(rate);
        } else if let Some(line) = none_line(grid, rate, &at_rate) {
            lines.push(line);
        }
    }
    let disturbed = grid.cells.iter().filter(|cell| cell.waited > QUIET).count();
    if disturbed > 0 {
        lines.push(format!(
            "\nDISTURBED: in {disturbed} of {all} cells other programs took the cores; measure again on a quiet machine."
        ));
    }
    let failed = grid
        .cells
        .iter()
        .filter(|cell| !cell.failures.is_empty())
        .count();
    if failed > 0 {
        lines.push(format!(
            "\nFAILED: {failed} of {all} cells failed a check and are not recommended."
        ));
    }
    lines.extend(for_all(grid, &served));
    lines.join("\n")
}

/// Why no setting at this rate is recommended.
fn none_line(grid: &Grid, rate: f64, cells: &[&Cell]) -> Option<String> {
    let by_loss = |a: &&&Cell, b: &&&Cell| a.loss_percent.total_cmp(&b.loss_percent);
    let least = cells.iter().min_by(by_loss)?;
    let (capacity, expiry) = (least.capacity, &least.expiry);
    let (dropped, seconds) = (percent(least.loss_percent), grid.stall_seconds);
    // A cell that lost little and failed a check says nothing about its setting.
    if least.loss_percent <= grid.loss_max {
        let why = least.failures.join("; ");
        return Some(format!(
            "- {rate} messages/s: nothing is recommended: capacity {capacity} with expiry {expiry} dropped {dropped} %, but failed: {why}."
        ));
    }
    let which = match cells.len() < grid.settings {
        true => "none of those measured",
        false => "none of these settings",
    };
    Some(format!(
        "- {rate} messages/s: {which} is enough for stalls of {seconds} s; capacity {capacity} with expiry {expiry} still drops {dropped} %."
    ))
}

/// Two decimals, but never a zero that is none.
fn percent(value: f64) -> String {
    if value > 0.0 && value < 0.01 {
        format!("{value:.1e}")
    } else {
        format!("{value:.2}")
    }
}

/// The sentence about all rates that can be served.
fn for_all(grid: &Grid, served: &[f64]) -> Option<String> {
    if served.is_empty() {
        return None;
    }
    let serves_all = |setting: &&Cell| {
        served.iter().all(|rate| {
            grid.cells.iter().any(|cell| {
                cell.rate == *rate
                    && (cell.capacity, &cell.expiry) == (setting.capacity, &setting.expiry)
                    && enough(grid, cell)
            })
        })
    };
    Some(match smallest(grid.cells.iter().filter(serves_all)) {
        Some(cell) => format!(
            "\nRecommended for all of them that can be served: `queue.capacity = {}`, `queue.expiry = \"{}\"`. More capacity only costs \
             memory for readers that stall longer than {} s; less drops messages of those that come back.",
            cell.capacity, cell.expiry, grid.stall_seconds
        ),
        None => "\nNo single setting of these serves all of them.".to_owned(),
    })
}

fn enough(grid: &Grid, cell: &Cell) -> bool {
    cell.loss_percent <= grid.loss_max && cell.failures.is_empty()
}

fn smallest<'a>(cells: impl Iterator<Item = &'a Cell>) -> Option<&'a Cell> {
    cells.min_by(|a, b| {
        let seconds = seconds(&a.expiry).total_cmp(&seconds(&b.expiry));
        a.capacity.cmp(&b.capacity).then(seconds)
    })
}

fn enough_line(grid: &Grid, cell: &Cell) -> String {
    format!(
        "- {} messages/s: capacity {}, expiry {}: the smallest that drops no more than {} % ({} %) over stalls of {} s \
         ({:.0} messages come meanwhile); a stalled reader sees messages up to {:.1} s old, memory grows by {:.1} MB.",
        cell.rate,
        cell.capacity,
        cell.expiry,
        grid.loss_max,
        percent(cell.loss_percent),
        grid.stall_seconds,
        cell.rate * grid.stall_seconds,
        cell.stalled_p99_ms / 1e3,
        cell.growth_mb
    )
}

fn seconds(expiry: &str) -> f64 {
    crate::cli::duration(expiry).map_or(0.0, |expiry| expiry.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    /// Capacity, expiry, rate, percent lost.
    type Row = (u64, &'static str, f64, f64);

    fn grid(cells: &[Row]) -> Grid {
        let cell = |&(capacity, expiry, rate, loss_percent): &Row| Cell {
            capacity,
            expiry: expiry.to_owned(),
            rate,
            loss_percent,
            ..Cell::default()
        };
        Grid {
            date: String::new(),
            revision: String::new(),
            machine: Machine::here(),
            stall_seconds: 2.0,
            loss_max: 0.1,
            settings: 0,
            interrupted: false,
            cells: cells.iter().map(cell).collect(),
            recommendation: String::new(),
        }
    }

    #[track_caller]
    fn says(grid: &Grid, said: &[&str], unsaid: &[&str]) {
        let text = recommend(grid);
        for part in said {
            assert!(text.contains(part), "no {part} in {text}");
        }
        for part in unsaid {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_smallest_capacity_and_then_the_shortest_expiry_serves_each_rate_and_all_of_them() {
        // The quick rate needs capacity, the slow one the long expiry: neither one's own smallest is enough for both.
        let both: &[Row] = &[
            (25, "60s", 50.0, 0.0),
            (25, "60s", 500.0, 80.0),
            (400, "1s", 50.0, 20.0),
            (400, "1s", 500.0, 0.0),
            (400, "60s", 50.0, 0.0),
            (400, "60s", 500.0, 0.0),
        ];
        let none = both.get(..4).unwrap();
        let one: &[Row] = &[
            (400, "1s", 50.0, 0.0),
            (100, "60s", 50.0, 0.05),
            (100, "5s", 50.0, 0.1),
            (25, "60s", 50.0, 40.0),
        ];
        let unserved: &[Row] = &[
            (25, "60s", 50.0, 0.0),
            (25, "60s", 500.0, 80.0),
            (100, "60s", 500.0, 60.0),
        ];
        for (cells, said) in [
            (
                both,
                &["`queue.capacity = 400`, `queue.expiry = \"60s\"`"][..],
            ),
            (none, &["No single setting"]),
            (one, &["- 50 messages/s: capacity 100, expiry 5s"]),
            (one, &["`queue.capacity = 100`, `queue.expiry = \"5s\"`"]),
            (
                unserved,
                &["- 500 messages/s: none of these settings is enough"],
            ),
            (
                unserved,
                &["capacity 100 with expiry 60s still drops 60.00 %"],
            ),
            (unserved, &["`queue.capacity = 25`"]),
        ] {
            says(&grid(cells), said, &[]);
        }
    }

    #[test]
    fn an_interrupted_sweep_says_so_and_recommends_from_whole_cells() {
        let mut grid = grid(&[
            (25, "60s", 50.0, 40.0),
            (100, "60s", 50.0, 0.0),
            (25, "60s", 500.0, 80.0),
        ]);
        (grid.settings, grid.interrupted) = (3, true);
        let said = [
            "INTERRUPTED after 3 whole cells",
            "- 50 messages/s: 2 of 3 settings measured",
            "- 50 messages/s: capacity 100, expiry 60s",
            "- 500 messages/s: 1 of 3 settings measured",
            "- 500 messages/s: none of those measured is enough",
            "`queue.capacity = 100`",
        ];
        says(&grid, &said, &[]);
        grid.cells.clear();
        let said = ["INTERRUPTED after 0 whole cells"];
        says(&grid, &said, &["Recommended", "none of"]);
    }

    #[test]
    fn what_failed_is_not_recommended_and_what_was_disturbed_is_said() {
        for loss in [0.0, 0.05, 0.1] {
            let mut grid = grid(&[(25, "60s", 50.0, loss), (100, "60s", 50.0, 3.0)]);
            grid.cells[0].failures.push("3 deliveries lost".to_owned());
            let said = ["but failed: 3 deliveries lost", "FAILED: 1 of 2"];
            says(&grid, &said, &["is enough", "still drops"]);
            grid.cells[1].loss_percent = 0.0;
            grid.cells[1].waited = 0.2;
            let said = ["DISTURBED: in 1 of 2", "`queue.capacity = 100`"];
            says(&grid, &said, &[]);
        }
        let mut grid = grid(&[(25, "60s", 50.0, 0.004)]);
        grid.loss_max = 0.001;
        says(&grid, &["still drops 4.0e-3 %"], &[]);
    }
}
