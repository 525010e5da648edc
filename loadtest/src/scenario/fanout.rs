//! Rooms of many members, some of whom publish: the cost of a delivery.

use super::{base, drive};
use crate::cli::{Fanout, Options};
use crate::plan::{Group, Plan};

pub(super) fn plan(args: &Fanout, options: &Options) -> Plan {
    let members = options
        .connections
        .map_or(args.members, |all| all / args.rooms.max(1));
    let drive = drive(options, args.window);
    base(
        "fanout",
        options,
        vec![Group::new(args.rooms, members, args.publishers, drive)],
    )
}
