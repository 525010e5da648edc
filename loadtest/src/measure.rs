//! What the kernel says about the server, the generator and the sockets (`/proc`); everything is absent where there is no `/proc`.

use serde::Serialize;
use std::fs;

/// Nanoseconds of one tick in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux this runs on.
const TICK: u64 = 10_000_000;

/// A process tree at one moment.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Process {
    /// utime + stime in nanoseconds (10 ms steps).
    pub(crate) cpu_nanos: u64,
    /// Time its threads could have run but waited for a core, in nanoseconds.
    pub(crate) wait_nanos: u64,
    pub(crate) rss_bytes: u64,
    /// Proportional share of them.
    pub(crate) pss_bytes: u64,
    pub(crate) descriptors: u64,
}

impl Process {
    /// All that are there, as one; none if none is.
    pub(crate) fn sum(all: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        all.flatten().reduce(|a, b| Self {
            cpu_nanos: a.cpu_nanos + b.cpu_nanos,
            wait_nanos: a.wait_nanos + b.wait_nanos,
            rss_bytes: a.rss_bytes + b.rss_bytes,
            pss_bytes: a.pss_bytes + b.pss_bytes,
            descriptors: a.descriptors + b.descriptors,
        })
    }
}

/// The server's process and its descendants.
pub(crate) fn process_tree(pid: u32) -> Option<Process> {
    fs::metadata(format!("/proc/{pid}")).ok()?;
    let mut sum = Process::default();
    for pid in descendants(pid) {
        sum.cpu_nanos += cpu_nanos(&format!("/proc/{pid}/stat"));
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        sum.wait_nanos += tasks
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| wait_nanos(&task.path().join("schedstat")))
            .sum::<u64>();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.rss_bytes += kilobytes(&rollup, "Rss:") * 1024;
        sum.pss_bytes += kilobytes(&rollup, "Pss:") * 1024;
        sum.descriptors += descriptors(pid);
    }
    Some(sum)
}

/// Descriptors that a process has open: since Linux 6.2 the size of the folder. Before, they are listed
/// one by one: 5 ms for 5,000 of them, on the generator's core.
fn descriptors(pid: u32) -> u64 {
    let folder = format!("/proc/{pid}/fd");
    match fs::metadata(&folder).map_or(0, |folder| folder.len()) {
        0 => fs::read_dir(folder).map_or(0, |entries| entries.count() as u64),
        size => size,
    }
}

/// CPU time of this process in nanoseconds.
pub(crate) fn own_cpu() -> u64 {
    cpu_nanos("/proc/self/stat")
}

/// Time this process's main thread (the loop) could have run but waited for a core, in nanoseconds.
pub(crate) fn own_wait() -> u64 {
    wait_nanos(std::path::Path::new("/proc/self/schedstat"))
}

/// The second field of `schedstat`: run-queue delay.
fn wait_nanos(path: &std::path::Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn descendants(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(&pid) = all.get(at) {
        at += 1;
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    all
}

fn cpu_nanos(path: &str) -> u64 {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name may hold spaces and parentheses: fields count from the last one.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum::<u64>()
        * TICK
}

/// The number after a key of `/proc`; 0 if it is not there.
pub(crate) fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Kernel memory of all TCP sockets of this machine (both ends), in bytes.
pub(crate) fn tcp_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "mem")?;
    words
        .get(at + 1)?
        .parse::<u64>()
        .ok()
        .map(|pages| pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_measured() {
        let me = process_tree(std::process::id()).unwrap();
        assert!(me.rss_bytes > 100_000 && me.descriptors > 2);
        assert_eq!(kilobytes("Rss:    12 kB\nPss:  7 kB\n", "Pss:"), 7);
    }
}
