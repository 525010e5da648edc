//! What happened in a simulation, line by line: the last lines to read, and a hash over all of them.

use std::collections::VecDeque;
use std::fmt;
use std::fmt::Write;

/// Lines kept for whoever reads a failure.
const LINES: usize = 60;

/// The lines of a simulation.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    /// Whom the next lines are of, if there are several.
    pub of: &'static str,
    pub step: u64,
    pub hash: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            of: "",
            step: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Trace {
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        let mut line = if self.lines.len() < LINES {
            String::with_capacity(100)
        } else {
            self.lines.pop_front().unwrap_or_default()
        };
        line.clear();
        write!(line, "{:>5} {}{what}", self.step, self.of).expect("a string takes everything");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines.push_back(line);
    }

    /// The last lines.
    pub fn tail(&self) -> String {
        self.lines.iter().fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        })
    }
}
