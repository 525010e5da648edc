//! Runs this program once more as a process of its own, pinned, and reads the figures it leaves.

use crate::clock::{nanos, until};
use crate::server::pinned;
use serde_json::Value;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

/// Between two looks at the process.
const LOOK: Duration = Duration::from_millis(50);

/// One run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Again {
    pub(crate) flags: Vec<String>,
    /// The core it may use.
    pub(crate) core: Option<usize>,
    /// Longest time it may take.
    pub(crate) longest: Duration,
    /// Show its lines of status.
    pub(crate) loud: bool,
}

impl Again {
    /// Starts it and waits for the end; the report as JSON.
    /// Errors: It cannot be started, took too long or left no figures.
    pub(crate) fn run(&self) -> Result<Value, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let json = folder.path().join("figures.json");
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = if self.loud {
            Stdio::inherit()
        } else {
            Stdio::piped()
        };
        let mut child = pinned(program, self.core)
            .args(&self.flags)
            .arg("--json")
            .arg(&json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| format!("taskset: {error}"))?;
        let in_time = until(nanos(self.longest), LOOK, || {
            !matches!(child.try_wait(), Ok(None))
        });
        if !in_time {
            child.kill().ok();
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        if !in_time {
            return Err("the generator did not end in time".to_owned());
        }
        let text = std::fs::read_to_string(&json);
        // A failed verdict leaves its figures, too.
        let Ok(text) = text else {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut said).ok();
            }
            let last = said.lines().last().unwrap_or_default();
            return Err(format!("the generator left no figures ({status}) {last}"));
        };
        serde_json::from_str(&text).map_err(|error| format!("figures: {error}"))
    }
}
