//! `sweep`: a fresh server for each combination of queue capacity, expiry and message rate, and readers that stall. What each cell
//! loses, how late it delivers, what it keeps in memory; and the smallest setting that loses no more than allowed.

mod advice;
mod grid;

use crate::again::Again;
use crate::campaign::{figure, figures, say, sentences};
use crate::cli::{Options, Sweep};
use crate::machine::{Machine, revision, today};
use crate::ours::{our_flags, our_server, quoted};
use crate::server::{PATH, Server, Spec};
use crate::template::fill;
use grid::{Cell, Grid};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Measured in each cell where the flags do not say: four stalls of the default length.
const DURATION: Duration = Duration::from_secs(16);
const OVERHEAD: Duration = Duration::from_secs(90);
/// In the room, five of them publishers.
const MEMBERS: usize = 50;
/// Those whose reading stalls.
const STALLED: usize = 10;
/// A message of a chatty assistant.
const TEXT_BYTES: usize = 1000;
/// Small enough that the server's queue, not the client's kernel, holds what is not read.
const RECEIVE_BUFFER: usize = 32_768;

/// Runs it; the folder with the results, and the recommendation.
/// Errors: The server does not start.
pub(crate) fn run(
    args: &Sweep,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let command = format!(
        "{} {} --set queue.capacity={{capacity}} --set queue.expiry={{expiry}} --set queue.bytes_max=16777216",
        quoted(&our_server(None)?),
        our_flags()
    );
    let cells = measure_all(args, options, &command, stop)?;
    let mut grid = Grid {
        date: today(),
        revision: revision(),
        machine: Machine::here(),
        stall_seconds: args.stall.as_secs_f64(),
        loss_max: args.loss_max,
        settings: args.capacity.len() * args.expiry_of_queue.len(),
        interrupted: stop.load(Ordering::Relaxed),
        recommendation: String::new(),
        cells,
    };
    grid.recommendation = advice::recommend(&grid);
    let folder = args.out.join(format!("{}-sweep", today()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let json = serde_json::to_value(&grid).map_err(|e| e.to_string())?;
    for (name, text) in [
        ("raw.json", format!("{json:#}\n")),
        ("README.md", fill(include_str!("readme.txt"), &json)),
        ("heatmap.html", crate::html::page("sweep", &json)),
    ] {
        let path = folder.join(name);
        let written = std::fs::write(&path, text);
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok((folder, grid.recommendation))
}

/// The whole cells: what was under way when the sweep was stopped is no measurement.
fn measure_all(
    args: &Sweep,
    options: &Options,
    command: &str,
    stop: &AtomicBool,
) -> Result<Vec<Cell>, String> {
    let mut cells = Vec::new();
    let settings = args.capacity.iter().flat_map(|capacity| {
        let expiries = args.expiry_of_queue.iter();
        expiries.map(move |expiry| (*capacity, expiry))
    });
    for (capacity, expiry) in settings {
        for &rate in &args.rates {
            let line = command.replace("{capacity}", &capacity.to_string());
            let report = measure(args, options, line.replace("{expiry}", expiry), rate);
            // Before a fault is told: the signal may have reached the server and the generator, too.
            if stop.load(Ordering::Relaxed) {
                return Ok(cells);
            }
            let cell = cell(capacity, expiry, rate, &report?);
            say(&format!(
                "capacity {capacity} expiry {expiry} rate {rate}: dropped {:.2} %, healthy p99 {:.1} ms, stalled p99 {:.0} ms, +{:.1} MB",
                cell.loss_percent, cell.healthy_p99_ms, cell.stalled_p99_ms, cell.growth_mb
            ));
            cells.push(cell);
        }
    }
    Ok(cells)
}

fn measure(args: &Sweep, options: &Options, command: String, rate: f64) -> Result<Value, String> {
    let many = std::thread::available_parallelism().map_or(1, usize::from);
    let core = |core: usize| (many > 1).then_some(core);
    let spec = Spec {
        command,
        path: PATH.to_owned(),
        core: core(0),
        ..Spec::default()
    };
    let server = Server::start(&spec)?;
    let duration = options.duration.unwrap_or(DURATION);
    let flags = format!(
        "slow --members {MEMBERS} --stopped {STALLED} --cycle {}s --receive-buffer {RECEIVE_BUFFER} --rate {rate} --size {} \
         --url ws://127.0.0.1:{} --admin http://127.0.0.1:{} --pid {} -d {}s --seed {}",
        args.stall.as_secs_f64(),
        options.size.unwrap_or(TEXT_BYTES),
        server.port,
        server.admin,
        server.pid(),
        duration.as_secs_f64(),
        options.seed
    );
    Again {
        flags: flags.split_whitespace().map(str::to_owned).collect(),
        core: core(1),
        longest: duration + OVERHEAD,
        loud: false,
    }
    .run()
}

fn cell(capacity: u64, expiry: &str, rate: f64, report: &Value) -> Cell {
    let at = |pointer: &str| figure(report, pointer).unwrap_or(0.0);
    let values = figures(report);
    let value = |name: &str| values.get(name).copied().unwrap_or(0.0);
    let due = at("/totals/published") * STALLED as f64;
    let dropped = report.pointer("/ledger_after/dropped");
    Cell {
        capacity,
        expiry: expiry.to_owned(),
        rate,
        loss_percent: 100.0 * value("slow_missed") / due.max(1.0),
        healthy_p99_ms: value("p99_ms"),
        stalled_p99_ms: at("/slow_latency/p99_ms"),
        growth_mb: value("growth_mb"),
        waited: value("waited"),
        dropped: dropped.cloned().unwrap_or_default(),
        failures: sentences(report, "/verdict/failures"),
    }
}
