//! What the machine offers: cores, open files, memory.

use super::MachineFacts;
use crate::shedding;

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
            memory_bytes: shedding::available(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_core_and_open_files() {
        let facts = MachineFacts::gather();
        assert!(facts.cores > 0 && facts.nofile > 0);
        assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}
