//! What a person sees while a run lasts: a bar with live rates on a terminal, a line now and then elsewhere.

use crate::report::Sample;
use crate::template::count;
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
    pub(crate) fn new(name: String, every: Duration) -> Self {
        let bar = ProgressBar::new(0).with_prefix(name);
        if let Ok(style) = ProgressStyle::with_template("{prefix:.bold} {bar:30.cyan/dim} {msg}") {
            bar.set_style(style);
        }
        bar.set_message("starting");
        bar.force_draw();
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
        if opened == all {
            let all = count(all);
            self.bar.set_message(format!("{all} open, warming up"));
            // Nothing moves the bar until the first sample.
            self.bar.force_draw();
        } else if opened.is_multiple_of(100) {
            let (opened, all) = (count(opened), count(all));
            self.bar.set_message(format!("opening {opened} of {all}"));
        }
    }

    /// One more sample. `errors` are answers, refusals and closes of the server.
    pub(crate) fn measuring(&mut self, sample: &Sample, seconds: f64, lost: u64, errors: u64) {
        let [time, rates, state, server] = lines(sample, seconds, lost, errors);
        self.bar.set_length((seconds * 10.0) as u64);
        self.bar.set_position((sample.at * 10.0) as u64);
        if !self.terminal && sample.at + 0.01 >= self.next {
            self.next += self.every;
            // Nobody reads a closed standard error; the report comes on standard output.
            drop(writeln!(
                std::io::stderr(),
                "{time}  {rates}  {state}  {server}"
            ));
        }
        // Lines that each fit 80 columns: the bar cuts off what does not.
        self.bar
            .set_message(format!("{time}\n  {rates}\n  {state}\n  {server}"));
    }

    /// The report takes over.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Time, rates, and what a person must not overlook.
fn lines(sample: &Sample, seconds: f64, lost: u64, errors: u64) -> [String; 4] {
    let time = format!("{:>3} of {seconds:.0} s", sample.at as u64);
    let mut rates = format!("in {}/s", count(sample.deliveries as u64));
    for (name, rate) in [("out", sample.published), ("handshakes", sample.handshakes)] {
        if rate >= 1.0 {
            rates += &format!("  {name} {}/s", count(rate as u64));
        }
    }
    if sample.deliveries > 0.0 {
        rates += &format!("  p50 {:.2} ms  p99 {:.2} ms", sample.p50_ms, sample.p99_ms);
    }
    let connections = count(sample.connections as u64);
    let state = format!("connections {connections}  lost {lost}  errors {errors}");
    let mut server = Vec::new();
    if let Some(process) = sample.server {
        let megabytes = process.rss_bytes as f64 / 1e6;
        server.push(format!(
            "rss {megabytes:.1} MB  fds {}",
            count(process.descriptors)
        ));
    }
    if let (Some(dropped), Some(unexplained)) = (sample.dropped, sample.unexplained) {
        server.push(format!(
            "dropped {}  unexplained {unexplained}",
            count(dropped)
        ));
    }
    [time, rates, state, server.join("  ")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_a_terminal_of_eighty_columns() {
        let sample = Sample {
            at: 599.0,
            deliveries: 312_345.0,
            published: 312_345.0,
            handshakes: 12_345.0,
            p50_ms: 12.34,
            p99_ms: 123.45,
            connections: 19_000,
            server: Some(crate::measure::Process {
                rss_bytes: 123_400_000,
                descriptors: 19_020,
                ..Default::default()
            }),
            dropped: Some(1234),
            unexplained: Some(0),
            ..Sample::default()
        };
        let all = lines(&sample, 600.0, 0, 0);
        let text = all.join("|");
        assert!(
            text.starts_with("599 of 600 s|in 312,345/s  out 312,345/s"),
            "{text}"
        );
        assert!(
            text.contains("|connections 19,000  lost 0  errors 0|"),
            "{text}"
        );
        assert!(all.iter().all(|line| line.len() + 2 <= 80), "{text}");
    }
}
