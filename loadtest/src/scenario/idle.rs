//! Connections that do nothing, each in its own room; in the middle of the measurement each says one thing.

use super::base;
use crate::cli::Options;
use crate::plan::{Drive, Group, Plan};

pub(super) fn plan(options: &Options) -> Plan {
    let connections = options.connections.unwrap_or(10_000);
    let mut plan = base(
        "idle",
        options,
        vec![Group::new(connections, 1, 1, Drive::Once)],
    );
    plan.memory = true;
    plan
}
