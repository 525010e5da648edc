//! People who join and leave busy rooms: who is in the room gets everything, whoever comes and goes.

use super::base;
use crate::cli::{Churn, Options};
use crate::clock::nanos;
use crate::plan::{Comeback, Drive, Group, Leaving, Plan};

/// Messages a second in all.
const RATE: f64 = 200.0;

pub(super) fn plan(args: &Churn, options: &Options) -> Plan {
    let rate = options.rate.unwrap_or(RATE);
    let mut group = Group::new(args.rooms, args.members, 1, Drive::Open { rate });
    group.leaving = Some(Leaving {
        rate: args.leaves,
        abrupt: false,
        publishers: false,
        comeback: Comeback::Pause {
            mean: nanos(args.pause),
        },
    });
    base("churn", options, vec![group])
}
