//! What a person sees while a run lasts: a bar with live rates on a terminal, a line now and then elsewhere.

use crate::report::{Sample, count};
use crate::traffic::Traffic;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Progress of one run.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    every: f64,
    next: f64,
}

impl Progress {
    /// Nothing shown so far.
    pub(crate) fn new(name: &'static str, every: Duration) -> Self {
        let bar = ProgressBar::new(0).with_prefix(name);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>10.bold} {bar:24.cyan/dim} {msg}")
        {
            bar.set_style(style);
        }
        let every = every.as_secs_f64();
        Self {
            bar,
            terminal: std::io::stderr().is_terminal(),
            every,
            next: every,
        }
    }

    /// So many of `all` connections are open.
    pub(crate) fn connecting(&self, opened: u64, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(opened);
        if opened.is_multiple_of(100) {
            self.bar
                .set_message(format!("opening {} of {}", count(opened), count(all)));
        }
    }

    /// One more sample.
    pub(crate) fn measuring(&mut self, sample: &Sample, seconds: f64, traffic: &Traffic) {
        let counts = &traffic.verify.counts;
        let mut line = format!(
            "{:>5.0} of {seconds:.0} s  {}/s in  {}/s out  p50 {:.2} ms  p99 {:.2} ms  lost {}",
            sample.at,
            count(sample.deliveries as u64),
            count(sample.published as u64),
            sample.p50_ms,
            sample.p99_ms,
            counts.lost,
        );
        if let Some(server) = sample.server {
            let megabytes = server.rss_bytes as f64 / 1e6;
            line += &format!("  rss {megabytes:.1} MB  fds {}", server.descriptors);
        }
        if let (Some(dropped), Some(unexplained)) = (sample.dropped, sample.unexplained) {
            line += &format!("  dropped {}  unexplained {unexplained}", count(dropped));
        }
        self.bar.set_length((seconds * 10.0) as u64);
        self.bar.set_position((sample.at * 10.0) as u64);
        if !self.terminal && sample.at + 0.01 >= self.next {
            self.next += self.every;
            // Nobody reads a closed standard error; the report comes on standard output.
            drop(writeln!(std::io::stderr(), "{line}"));
        }
        self.bar.set_message(line);
    }

    /// The report takes over.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
