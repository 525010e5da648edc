//! `xnode --all`: every figure of the bridge, ours and the others in turns, each in a process of its own.

use crate::again::Again;
use crate::campaign::{Baseline, Bench, Case, Cases, Compared, OURS, Work, check_names};
use crate::cli::{Options, Servers, Xnode, flag};
use crate::ours::our_server;
use clap::ValueEnum;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The longest measurement (20 kills in five minutes, and some), with starting, opening, draining and closing around it.
const LONGEST: Duration = Duration::from_secs(400 + 120);

struct BridgeBench<'a> {
    args: &'a Xnode,
    options: &'a Options,
}

/// Runs it; the folder with the results, and the table.
/// Errors: Wrong flags, or the folder cannot be written.
pub(crate) fn run(
    args: &Xnode,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let (mut cases, flags) = (Cases::of_bridge(), &args.campaign);
    check_names(&cases, &flags.only)?;
    our_server(flags.supportal.as_deref())?;
    cases.retain(|case| flags.only.is_empty() || flags.only.contains(&case.name));
    let bench = BridgeBench { args, options };
    let peers = Servers::value_variants().iter().map(|servers| Compared {
        name: flag(*servers),
        version: servers.text().to_owned(),
        speaks: "the chat contract".to_owned(),
        ..Compared::default()
    });
    let met = |peer: &Compared| cases.iter().any(|case| bench.meets(case, &peer.name));
    let peers = peers.filter(met).collect();
    Work {
        flags,
        options,
        name: "bridge",
        cases,
        peers,
        bench: &bench,
        stop,
    }
    .run()
}

impl Bench for BridgeBench<'_> {
    fn meets(&self, case: &Case, peer: &str) -> bool {
        peer == OURS || case.baseline == Baseline::Peer(peer.to_owned())
    }

    fn measure(&self, case: &Case, peer: &str, round: usize, _: &Path) -> Result<Value, String> {
        let (args, campaign) = (self.args, &self.args.campaign);
        let mut flags: Vec<String> = case.flags.split_whitespace().map(str::to_owned).collect();
        let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
        flag("--servers", peer.to_owned());
        flag("--seed", (self.options.seed + round as u64).to_string());
        flag("--peers", args.peers.display().to_string());
        flag("--server-core", campaign.server_core.to_string());
        flag("--generator-core", campaign.generator_core.to_string());
        if case.seconds > 0.0 {
            flag("--duration", format!("{}s", case.seconds));
        }
        if let Some(program) = &campaign.supportal {
            flag("--supportal", program.display().to_string());
        }
        if campaign.no_pin {
            flags.push("--no-pin".to_owned());
        }
        let again = Again {
            flags,
            longest: LONGEST,
            ..Again::default()
        };
        again.run()
    }
}
