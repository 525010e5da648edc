//! The scenarios: each turns its flags into a [`Plan`].

mod beside;
mod broadcast;
mod chat;
mod churn;
mod connect;
mod deploy;
mod echo;
mod fanout;
mod flap;
mod idle;
mod slow;
mod soak;

use crate::cli::{Command, Options};
use crate::plan::{Drive, Group, Plan};
use std::time::Duration;

/// Text of a message where the flags do not say: as in the published comparison.
const TEXT_BYTES: usize = 64;
/// Length of a measurement where neither the flags nor the scenario say.
const DURATION: Duration = Duration::from_secs(10);

/// The plan of a scenario; none for what is not one.
pub(crate) fn plan(command: &Command, options: &Options) -> Option<Plan> {
    Some(match command {
        Command::Echo(args) => echo::plan(args, options),
        Command::Fanout(args) => fanout::plan(args, options),
        Command::Broadcast(args) => broadcast::plan(args, options),
        Command::Beside(args) => beside::plan(args, options),
        Command::Idle => idle::plan(options),
        Command::Connect(args) => connect::plan(args, options),
        Command::Chat(args) => chat::plan(args, options),
        Command::Slow(args) => slow::plan(args, options),
        Command::Churn(args) => churn::plan(args, options),
        Command::Flap(args) => flap::plan(args, options),
        Command::Deploy(args) => deploy::plan(args, options),
        Command::Soak(args) => soak::plan(args, options),
        Command::Floor(_)
        | Command::Compare(_)
        | Command::Sweep(_)
        | Command::Xnode(_)
        | Command::Part => {
            return None;
        }
    })
}

fn base(name: &'static str, options: &Options, groups: Vec<Group>) -> Plan {
    Plan {
        name: name.to_owned(),
        groups,
        storm: None,
        size: options.size.unwrap_or(TEXT_BYTES),
        duration: options.duration.unwrap_or(DURATION),
        status_every: Duration::from_secs(5),
        memory: false,
        restart: None,
    }
}

/// Open loop where a rate is asked for, closed loop otherwise.
fn drive(options: &Options, window: u32) -> Drive {
    match options.rate {
        Some(rate) => Drive::Open { rate },
        None => Drive::Closed {
            window: window.max(1),
        },
    }
}
