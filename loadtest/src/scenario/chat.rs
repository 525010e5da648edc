//! Two people in a room who write after pauses of random length: what the product is for.

use super::base;
use crate::cli::{Chat, Options};
use crate::plan::{Drive, Group, Plan};

pub(super) fn plan(args: &Chat, options: &Options) -> Plan {
    let rooms = options.connections.unwrap_or(2000) / 2;
    base(
        "chat",
        options,
        vec![Group::new(rooms, 2, 2, Drive::Human { pause: args.pause })],
    )
}
