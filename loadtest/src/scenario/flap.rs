//! Networks that break: connections end by a reset or without a close frame, publishers' too, and clients come back with full jitter.

use super::base;
use crate::cli::{Flap, Options};
use crate::people::JITTER;
use crate::plan::{Drive, Group, Leaving, Plan};

/// Messages a second in all.
const RATE: f64 = 200.0;

pub(super) fn plan(args: &Flap, options: &Options) -> Plan {
    let rate = options.rate.unwrap_or(RATE);
    let mut group = Group::new(args.rooms, args.members, 2, Drive::Open { rate });
    group.leaving = Some(Leaving {
        rate: args.cuts,
        abrupt: true,
        publishers: true,
        comeback: JITTER,
    });
    base("flap", options, vec![group])
}
