//! From the counters at both ends of the window to its figures.

use super::{CPU_MIN, Mark, Run};
use crate::clock::seconds;
use crate::report::Figures;

impl Run {
    pub(super) fn figures(&self, start: Mark, end: Mark) -> Figures {
        let wall = (end.at - start.at).max(1);
        let cpu = start
            .server
            .zip(end.server)
            .map(|(a, b)| b.cpu_nanos.saturating_sub(a.cpu_nanos));
        let per = |count: u64| {
            cpu.filter(|cpu| count > 0 && *cpu > CPU_MIN)
                .map(|cpu| cpu as f64 / 1e3 / count as f64)
        };
        let (delivered, lives) = (end.delivered - start.delivered, end.lives - start.lives);
        let rooms = self.crowds.iter().map(|crowd| crowd.rooms().len()).sum();
        Figures {
            seconds: seconds(wall),
            rooms,
            connections: self.memory.connections,
            wanted: self.plan.connections(),
            deliveries: delivered,
            deliveries_per_second: delivered as f64 / seconds(wall),
            published: end.published - start.published,
            published_per_second: (end.published - start.published) as f64 / seconds(wall),
            lives,
            lives_per_second: lives as f64 / seconds(wall),
            server_cpu: cpu.map(|cpu| cpu as f64 / wall as f64),
            cpu_micros_per_delivery: if lives > 0 { None } else { per(delivered) },
            cpu_micros_per_life: if self.plan.groups.is_empty() {
                per(lives)
            } else {
                None
            },
            generator_busy: (end.busy - start.busy) as f64 / wall as f64,
            generator_waited: (end.own_wait - start.own_wait) as f64 / wall as f64,
            server_waited: start
                .server
                .zip(end.server)
                .map(|(a, b)| b.wait_nanos.saturating_sub(a.wait_nanos) as f64 / wall as f64),
            generator_cpu: (end.own_cpu - start.own_cpu) as f64 / wall as f64,
        }
    }
}
