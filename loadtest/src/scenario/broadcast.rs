//! One room of all connections.

use super::{base, drive};
use crate::cli::{Broadcast, Options};
use crate::plan::{Group, Plan};

pub(super) fn plan(args: &Broadcast, options: &Options) -> Plan {
    let members = options.connections.unwrap_or(1000);
    let drive = drive(options, args.window);
    base(
        "broadcast",
        options,
        vec![Group::new(1, members, args.publishers, drive)],
    )
}
