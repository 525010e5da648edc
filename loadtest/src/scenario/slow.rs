//! Some readers of a busy room stop reading for good; the others must not notice, and the server must not grow.

use super::base;
use crate::cli::{Options, Slow};
use crate::plan::{Drive, Group, Plan};

/// 250 messages a second of 4 kB, as in the published comparison.
const RATE: f64 = 250.0;
const TEXT_BYTES: usize = 4000;

pub(super) fn plan(args: &Slow, options: &Options) -> Plan {
    let members = options.connections.unwrap_or(args.members);
    let rate = options.rate.unwrap_or(RATE);
    let mut group = Group::new(1, members, args.publishers, Drive::Open { rate });
    group.stopped = args.stopped.min(members.saturating_sub(group.publishers));
    (group.cycle, group.receive_buffer) = (args.cycle, args.receive_buffer);
    let mut plan = base("slow", options, vec![group]);
    plan.size = options.size.unwrap_or(TEXT_BYTES);
    plan
}
