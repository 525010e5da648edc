//! A Python process that reads lines of group and text, and calls the channel layer's `group_send` for each.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The process; it ends with this.
#[derive(Debug)]
pub(crate) struct Speaker {
    process: Child,
    input: Option<ChildStdin>,
}

impl Speaker {
    /// Starts it.
    /// Errors: It cannot be started.
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut process = started.map_err(|error| format!("the speaker: {error}"))?;
        let input = process.stdin.take();
        Ok(Self { process, input })
    }

    /// Says something to a group.
    /// Errors: The process has ended.
    pub(crate) fn say(&mut self, group: &str, text: &[u8]) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("the speaker has ended")?;
        let line = [group.as_bytes(), b"\t", text, b"\n"].concat();
        let said = input.write_all(&line);
        said.map_err(|error| format!("the speaker: {error}"))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        self.process.wait().ok();
    }
}
