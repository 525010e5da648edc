//! From what the generator counted and what the server used to the report.

use super::observer::Observer;
use crate::clock::{MILLISECOND, seconds};
use crate::latency::Latency;
use crate::report::{Figures, Generator, Part, Report, StormPart};

/// CPU time comes in steps of 10 ms; less than this is not worth dividing (10 % error).
const CPU_MIN: u64 = 100 * MILLISECOND;

impl Observer {
    /// The report of one run.
    pub(super) fn report(self, all: Part) -> Report {
        let generator = all.generator();
        let figures = self.figures(&all, &generator);
        let late = self.plan.late();
        let storm = all
            .beside
            .as_ref()
            .map(|beside| StormPart::of(beside, late));
        let mut notes = self.report.notes;
        notes.extend(all.notes);
        Report {
            scenario: self.plan.name,
            text_bytes: self.plan.size,
            command_bytes: all.command_bytes,
            open_loop: !all.lag.is_empty(),
            figures,
            generators: vec![generator],
            latency: Latency::of(&self.latency),
            handshakes: Latency::of(&self.handshakes),
            lag: Latency::of(&all.lag),
            verification: all.verification,
            lost_explained: all.lost_explained,
            totals: all.totals,
            notes,
            returns: all.returns,
            slow_latency: Latency::of(&all.slow_latency),
            goals: storm.iter().map(StormPart::goal).collect(),
            storm,
            percentiles: vec![("latency", self.latency.percentiles())],
            ..self.report
        }
    }

    fn figures(&self, all: &Part, generator: &Generator) -> Figures {
        let window = all.window;
        let wall = window.nanos.max(1);
        let cpu = self.used.grown_in_all(|process| process.cpu_nanos);
        let per = |count: u64| {
            cpu.filter(|cpu| count > 0 && *cpu > CPU_MIN)
                .map(|cpu| cpu as f64 / 1e3 / count as f64)
        };
        let rate = |count: u64| count as f64 / seconds(wall);
        let rooms: usize = self.plan.groups.iter().map(|group| group.rooms).sum();
        Figures {
            seconds: seconds(wall),
            rooms,
            connections: self.report.memory.connections,
            wanted: self.plan.connections() - self.plan.late(),
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
            generator_busy: generator.busy,
            generator_waited: generator.waited,
            server_waited: (self.used.grown_in_all(|process| process.wait_nanos))
                .map(|waited| waited as f64 / wall as f64),
            generator_cpu: generator.cpu,
        }
    }
}
