//! The server is replaced while everybody is connected: how long until all are back, and what they missed.

use super::base;
use crate::cli::{ClientKind, Deploy, Options};
use crate::people::JITTER;
use crate::plan::{Comeback, Drive, Group, Leaving, Plan};
use std::time::Duration;

/// Messages a second in all.
const RATE: f64 = 100.0;
/// Long enough for the last try of either client after a slow drain.
const DURATION: Duration = Duration::from_secs(40);

pub(super) fn plan(args: &Deploy, options: &Options) -> Plan {
    let rate = options.rate.unwrap_or(RATE);
    let members = options
        .connections
        .map_or(args.members, |all| all / args.rooms.max(1));
    let mut group = Group::new(args.rooms, members, 1, Drive::Open { rate });
    group.leaving = Some(Leaving {
        rate: 0.0,
        abrupt: false,
        publishers: true,
        comeback: if args.client == ClientKind::Stock {
            Comeback::Stock
        } else {
            JITTER
        },
    });
    let mut plan = base("deploy", options, vec![group]);
    plan.duration = options.duration.unwrap_or(DURATION);
    plan.restart = Some(args.after);
    plan
}
