//! A storm: connect, say one thing, hear it, close, again. The figure is server CPU per life.

use super::base;
use crate::cli::{Connect, Options};
use crate::plan::{Plan, Storm};

pub(super) fn plan(args: &Connect, options: &Options) -> Plan {
    let lanes = options.connections.unwrap_or(args.lanes);
    let storm = Storm {
        lanes,
        silent: args.silent,
        rate: options.rate.unwrap_or(0.0),
    };
    let mut plan = base("connect", options, Vec::new());
    plan.storm = Some(storm);
    plan
}
