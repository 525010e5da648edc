//! Every connection alone in its room gets its own messages back: the path of one message, without fan-out.

use super::{base, drive};
use crate::cli::{Echo, Options};
use crate::plan::{Group, Plan};

pub(super) fn plan(args: &Echo, options: &Options) -> Plan {
    let connections = options.connections.unwrap_or(200);
    base(
        "echo",
        options,
        vec![Group::new(connections, 1, 1, drive(options, args.window))],
    )
}
