//! Everything at once for long: echo, fan-out, readers that stop and go on, idle rooms, and short lives.

use super::base;
use crate::cli::{Options, Soak};
use crate::plan::{Drive, Group, Plan, Storm};
use std::time::Duration;

pub(super) fn plan(args: &Soak, options: &Options) -> Plan {
    let connections = options.connections.unwrap_or(2000);
    let part = |tenths: usize| (connections * tenths / 10).max(1);
    let echo = Group::new(
        part(2),
        1,
        1,
        Drive::Open {
            rate: args.echo_rate,
        },
    );
    let fanout = Group::new(
        part(4) / 10 + 1,
        10,
        2,
        Drive::Open {
            rate: args.fanout_rate,
        },
    );
    let mut slow = Group::new(2, 20, 2, Drive::Open { rate: 200.0 });
    (slow.stopped, slow.cycle) = (3, Some(Duration::from_secs(20)));
    let chat = Group::new(
        part(1),
        2,
        2,
        Drive::Human {
            pause: Duration::from_secs(10),
        },
    );
    let idle = Group::new(part(2), 1, 1, Drive::Once);
    let mut plan = base("soak", options, vec![echo, fanout, slow, chat, idle]);
    plan.storm = Some(Storm {
        lanes: 20,
        silent: false,
        rate: 200.0,
    });
    plan.duration = options.duration.unwrap_or(Duration::from_secs(600));
    plan.status_every = Duration::from_secs(30);
    plan.size = options.size.unwrap_or(200);
    plan
}
