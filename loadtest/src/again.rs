//! Runs this program once more as a process of its own, pinned, and reads the figures it leaves.

use crate::clock::{self, Clock, nanos};
use crate::server::pinned;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Between two looks at the process.
const LOOK: Duration = Duration::from_millis(50);
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Again {
    /// Scenario and flags.
    pub(crate) flags: Vec<String>,
    /// The core it may use.
    pub(crate) core: Option<usize>,
    /// Longest time it may take.
    pub(crate) longest: Duration,
    /// Show its lines of status.
    pub(crate) loud: bool,
}

impl Again {
    /// Starts it; [`Running::finish`] gives the figures.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self) -> Result<Running, String> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("loadtest-{}-{number}.json", std::process::id());
        let json = std::env::temp_dir().join(name);
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = if self.loud {
            Stdio::inherit()
        } else {
            Stdio::piped()
        };
        let child = pinned(program, self.core)
            .args(&self.flags)
            .arg("--json")
            .arg(&json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| format!("taskset: {error}"))?;
        let longest = nanos(self.longest);
        Ok(Running {
            child,
            json,
            longest,
        })
    }

    /// Starts it and waits.
    ///
    /// # Errors
    /// It left no figures.
    pub(crate) fn run(&self) -> Result<Value, String> {
        self.start()?.finish()
    }
}

/// A run that has begun.
#[derive(Debug)]
pub(crate) struct Running {
    child: std::process::Child,
    json: PathBuf,
    longest: u64,
}

impl Running {
    /// Waits for the end; the report as JSON.
    ///
    /// # Errors
    /// It took too long or left no figures.
    pub(crate) fn finish(mut self) -> Result<Value, String> {
        let clock = Clock::start();
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                break status;
            }
            if clock.now() > self.longest {
                self.child.kill().ok();
                self.child.wait().ok();
                return Err("the generator did not end in time".to_owned());
            }
            clock::pause(LOOK);
        };
        let text = std::fs::read_to_string(&self.json);
        std::fs::remove_file(&self.json).ok();
        // A failed verdict leaves its figures, too.
        let Ok(text) = text else {
            let mut said = String::new();
            if let Some(mut stderr) = self.child.stderr.take() {
                stderr.read_to_string(&mut said).ok();
            }
            let last = said.lines().last().unwrap_or_default();
            return Err(format!("the generator left no figures ({status}) {last}"));
        };
        serde_json::from_str(&text).map_err(|error| format!("figures: {error}"))
    }
}
