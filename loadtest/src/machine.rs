//! What a figure was measured on, and when.

use crate::measure::kilobytes;
use std::fs;
use std::process::Command;

/// Facts for the reader of a table.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) memory_gib: f64,
    pub(crate) congestion: String,
    pub(crate) rustc: String,
}

impl Machine {
    /// Of this one.
    pub(crate) fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kilobytes = kilobytes(&memory, "MemTotal:") as f64;
        let read = |path| {
            let text: String = fs::read_to_string(path).unwrap_or_default();
            text.trim().to_owned()
        };
        Self {
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            memory_gib: kilobytes / 1024.0 / 1024.0,
            congestion: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            rustc: said("rustc", &["--version"]),
        }
    }
}

/// The revision of the source in the current directory, if there is one.
pub(crate) fn revision() -> String {
    said("git", &["describe", "--always", "--dirty"])
}

fn said(program: &str, flags: &[&str]) -> String {
    let output = Command::new(program).args(flags).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Today's date in UTC, `2024-01-31`.
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
