//! The grid as a table.

use super::grid::Grid;

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
