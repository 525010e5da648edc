//! What a figure was measured on, and when.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

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
        let kilobytes: f64 = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or(0.0);
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
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    date(since.map_or(0, |since| since.as_secs() / 86_400))
}

/// The date this many days after 1 January 1970 (the algorithm of Howard Hinnant's `civil_from_days`).
fn date(days: u64) -> String {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_leap_days_and_year_ends() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(19_722), "2023-12-31");
        assert_eq!(date(19_723), "2024-01-01");
    }
}
