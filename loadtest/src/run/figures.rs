//! From what the processes counted and what the server used to the report.

use super::observer::Observer;
use crate::clock::{MILLISECOND, seconds};
use crate::latency::Latency;
use crate::report::{Figures, Generator, Part, Report};
use std::io;

/// CPU time comes in steps of 10 ms; less than this is not worth dividing (10 % error).
const CPU_MIN: u64 = 100 * MILLISECOND;

impl Observer {
    /// The report of one run.
    /// Errors: No parts.
    pub(crate) fn report(self, parts: Vec<Part>) -> io::Result<Report> {
        let generators: Vec<Generator> = parts.iter().map(Part::generator).collect();
        let all = Part::sum(parts).ok_or_else(|| io::Error::other("no generator"))?;
        let figures = self.figures(&all, &generators);
        let mut notes = self.report.notes;
        notes.extend(all.notes);
        Ok(Report {
            scenario: self.plan.name,
            text_bytes: self.plan.size,
            command_bytes: all.command_bytes,
            open_loop: !all.lag.is_empty(),
            figures,
            generators,
            latency: Latency::of(&self.latency),
            handshakes: Latency::of(&self.handshakes),
            lag: Latency::of(&all.lag),
            verification: all.verification,
            lost_explained: all.lost_explained,
            totals: all.totals,
            notes,
            returns: all.returned.map(|returned| returned.figures()),
            slow_latency: Latency::of(&all.slow_latency),
            percentiles: vec![("latency", self.latency.percentiles())],
            ..self.report
        })
    }

    fn figures(&self, all: &Part, generators: &[Generator]) -> Figures {
        let window = all.window;
        let wall = window.nanos.max(1);
        let cpu = self.used.grown_in_all(|process| process.cpu_nanos);
        let per = |count: u64| {
            cpu.filter(|cpu| count > 0 && *cpu > CPU_MIN)
                .map(|cpu| cpu as f64 / 1e3 / count as f64)
        };
        let rate = |count: u64| count as f64 / seconds(wall);
        let most = |of: fn(&Generator) -> f64| generators.iter().map(of).fold(0.0, f64::max);
        let rooms: usize = self.plan.groups.iter().map(|group| group.rooms).sum();
        Figures {
            seconds: seconds(wall),
            rooms,
            connections: self.report.memory.connections,
            wanted: self.plan.connections(),
            deliveries: window.delivered,
            deliveries_per_second: rate(window.delivered),
            published: window.published,
            published_per_second: rate(window.published),
            lives: window.lives,
            lives_per_second: rate(window.lives),
            server_cpu: cpu.map(|cpu| cpu as f64 / wall as f64),
            cores: (self.used.grown(|process| process.cpu_nanos).into_iter())
                .map(|cpu| cpu as f64 / wall as f64)
                .collect(),
            cpu_micros_per_delivery: per(window.delivered).filter(|_| window.lives == 0),
            cpu_micros_per_life: per(window.lives).filter(|_| self.plan.groups.is_empty()),
            generator_busy: most(|generator| generator.busy),
            generator_waited: most(|generator| generator.waited),
            server_waited: (self.used.grown_in_all(|process| process.wait_nanos))
                .map(|waited| waited as f64 / wall as f64),
            generator_cpu: generators.iter().map(|generator| generator.cpu).sum(),
        }
    }
}
