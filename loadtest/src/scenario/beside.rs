//! Small rooms beside a large one that is busy: the latencies are those of the small ones.

use super::base;
use crate::cli::{Beside, Options};
use crate::plan::{Drive, Group, Plan};

/// Messages a second in the small rooms, far from what a server can do: they notice the large room, not each other.
const RATE: f64 = 200.0;

pub(super) fn plan(args: &Beside, options: &Options) -> Plan {
    let rate = options.rate.unwrap_or(RATE);
    let mut groups = vec![Group::new(
        args.rooms,
        args.members,
        1,
        Drive::Open { rate },
    )];
    if args.crowd > 0 {
        let drive = Drive::Open {
            rate: args.crowd_rate,
        };
        let mut crowd = Group::new(1, args.crowd, args.speakers, drive);
        crowd.background = true;
        groups.push(crowd);
    }
    base("beside", options, groups)
}
