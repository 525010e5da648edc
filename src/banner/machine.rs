//! What the machine offers: cores, open files, memory.

use super::MachineFacts;
use std::fs::read_to_string;

/// Open files asked for at most: one million connections. Without an end, a container whose hard
/// limit is a billion would promise a billion connections.
const NOFILE_MAX: u64 = 1 << 20;

impl MachineFacts {
    /// Asks the system, and raises this process's limit of open files as far as it may.
    #[must_use]
    pub fn gather() -> Self {
        let soft = || rlimit::Resource::NOFILE.get().map_or(0, |(soft, _)| soft);
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            nofile: rlimit::increase_nofile_limit(NOFILE_MAX).unwrap_or_else(|_| soft()),
            memory_bytes: memory_bytes(),
        }
    }
}

/// The smaller of the machine's memory and the container's limit; `None` where neither is told.
fn memory_bytes() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo_total(&text));
    // Version 2 and version 1 of control groups; "max" is no number and means no limit.
    let container = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .filter_map(|path| read_to_string(path).ok()?.trim().parse().ok());
    container.chain(machine).min()
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_kibibytes() {
        let text = "MemTotal:        8056932 kB\nMemFree: 1 kB\n";
        assert_eq!(meminfo_total(text), Some(8_056_932 * 1024));
        assert_eq!(meminfo_total("nothing"), None);
    }

    #[test]
    fn the_machine_has_a_core_and_open_files() {
        let facts = MachineFacts::gather();
        assert!(facts.cores > 0 && facts.nofile > 0);
    }
}
