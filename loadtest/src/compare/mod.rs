//! `compare`: the same scenarios against several servers, each measurement with a fresh server on one core and a fresh generator on the
//! other.

mod peers;

use crate::again::Again;
use crate::campaign::{Baseline, Bench, Case, Cases, OURS, Work, check_names, with_baselines};
use crate::cli::{Compare, Options};
use crate::server::Server;
use peers::{COALESCE, Peer};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Time a measurement may take beyond its warm-up and duration: opening, settling, draining, closing.
const OVERHEAD: Duration = Duration::from_secs(120);

/// Seconds of a case of the user's own.
const CUSTOM_SECONDS: f64 = 5.0;

struct Comparison<'a> {
    args: &'a Compare,
    options: &'a Options,
    peers: Vec<Peer>,
}

/// Runs it; the folder with the results, and the text of its summary.
/// Errors: Wrong flags, or nothing could be measured.
pub(crate) fn run(
    args: &Compare,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(PathBuf, String), String> {
    let cases = cases(args)?;
    let peers = peers::load(&args.file, args.campaign.supportal.as_deref())?;
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    if let Some(wrong) = args
        .peers
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!("--peers {wrong}: there are {}", names.join(", ")));
    }
    let bench = Comparison {
        args,
        options,
        peers,
    };
    let peers = bench.peers.iter();
    let met = peers.filter(|peer| cases.iter().any(|case| bench.meets(case, &peer.name)));
    let peers: Vec<_> = met.map(Peer::compared).collect();
    if peers.is_empty() {
        return Err("no peer to measure: build this server, or say --supportal".to_owned());
    }
    Work {
        flags: &args.campaign,
        options,
        name: "compare",
        cases,
        peers,
        bench: &bench,
        stop,
    }
    .run()
}

/// The cases that the flags ask for, in the order of the table. One that another is compared with comes along.
fn cases(args: &Compare) -> Result<Vec<Case>, String> {
    let (known, only) = (Cases::of_compare(), &args.campaign.only);
    check_names(&known, only)?;
    let is_wanted = |case: &Case| match only.is_empty() {
        true if case.tls => args.tls,
        true => {
            (args.campaign.all && case.table.is_none()) || (args.growth && case.table.is_some())
        }
        false => only.contains(&case.name),
    };
    let names: Vec<String> = known.iter().map(|case| case.name.clone()).collect();
    let cases = with_baselines(known, is_wanted).into_iter();
    let own = args.scenario.as_deref().map(custom);
    let cases: Vec<Case> = cases.chain(own).collect();
    if cases.is_empty() {
        let list = names.join(", ");
        return Err(format!(
            "say --all, --growth, --tls, --only with some of {list}, or --scenario \"echo -c 50\""
        ));
    }
    Ok(cases)
}

/// A case of the user's own, named by its flags; the last of the tables.
fn custom(flags: &str) -> Case {
    let words = flags.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_open = flags.contains("--rate");
    Case {
        name: words.join("-"),
        title: flags.to_owned(),
        flags: flags.to_owned(),
        seconds: CUSTOM_SECONDS,
        metrics: Cases::columns(if is_open { "open" } else { "deliveries" }),
        baseline: Baseline::Peer("floor".to_owned()),
        place: usize::MAX,
        ..Case::default()
    }
}

impl Comparison<'_> {
    fn flags(&self, case: &Case, peer: &Peer, round: usize, server: &Server) -> Vec<String> {
        let mut flags: Vec<String> = case.flags.split_whitespace().map(str::to_owned).collect();
        let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
        let scheme = if case.tls { "wss" } else { "ws" };
        let url = format!("{scheme}://127.0.0.1:{}{}", server.port, peer.path);
        flag("--url", url);
        flag("--contract", crate::cli::flag(peer.kind.contract()));
        flag("--pid", server.pid().to_string());
        flag("--duration", format!("{}s", case.seconds));
        flag(
            "--warmup",
            format!("{}s", self.options.warmup.as_secs_f64()),
        );
        flag("--seed", (self.options.seed + round as u64).to_string());
        if peer.ledger {
            flag("--admin", format!("http://127.0.0.1:{}", server.admin));
        }
        let more = [(self.options.spin, "--spin"), (case.tls, "--insecure")];
        let more = more.into_iter().filter(|(is_so, _)| *is_so);
        flags.extend(more.map(|(_, flag)| flag.to_owned()));
        flags
    }
}

impl Bench for Comparison<'_> {
    fn meets(&self, case: &Case, name: &str) -> bool {
        let Some(peer) = self.peers.iter().find(|peer| peer.name == name) else {
            return false;
        };
        if peer.skip.contains(&case.name) || peer.line(case.tls).is_none() {
            return false;
        }
        // The growth of others is nobody's question here.
        if case.table.is_some() {
            return name == OURS;
        }
        if case.baseline == Baseline::Peer(name.to_owned()) {
            return true;
        }
        if self.args.peers.is_empty() {
            // The second floor is there for the cases it is the baseline of.
            return !peer.optional && name != COALESCE;
        }
        self.args.peers.contains(&peer.name)
    }

    fn measure(
        &self,
        case: &Case,
        name: &str,
        round: usize,
        folder: &Path,
    ) -> Result<Value, String> {
        let peer = self.peers.iter().find(|peer| peer.name == name);
        let peer = peer.ok_or("no such peer")?;
        let (servers, generator) = self.args.campaign.cores();
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|error| error.to_string())?;
        let log = logs.join(format!("{}-{name}.txt", case.name));
        // Several workers need several cores; the generator shares one of them where there are only two.
        let core = servers.filter(|_| case.workers < 2);
        let server = Server::start(&peer.spec(case, core, log.clone()))?;
        let again = Again {
            flags: self.flags(case, peer, round, &server),
            core: generator,
            longest: Duration::from_secs_f64(case.seconds) + self.options.warmup + OVERHEAD,
            loud: false,
        };
        let report = again.run();
        drop(server);
        // Nobody needs the log of a server that did its work.
        let silent = std::fs::metadata(&log).is_ok_and(|log| log.len() == 0);
        if silent || report.is_ok() {
            std::fs::remove_file(&log).ok();
            std::fs::remove_dir(&logs).ok();
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn asked(flags: &str) -> (Compare, Options) {
        let flags = ["loadtest", "compare"]
            .into_iter()
            .chain(flags.split_whitespace());
        let cli = Cli::parse_from(flags);
        let Command::Compare(args) = cli.command else {
            panic!("compare")
        };
        (args, cli.options)
    }

    #[test]
    fn a_case_brings_along_what_it_is_compared_with_and_growth_is_apart() {
        let names = |flags: &str| {
            let cases = cases(&asked(flags).0).unwrap().into_iter();
            cases.map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(names("--only slow"), ["slow-none", "slow"]);
        let size = ["grow-size-64", "grow-size-16k"];
        assert_eq!(names("--only grow-size-16k"), size);
        let is_growth = |name: &String| name.starts_with("grow-");
        assert!(!names("--all").iter().any(is_growth));
        assert!(names("--growth").iter().all(is_growth));
        let is_tls = |name: &String| name.starts_with("tls-");
        assert!(names("--tls").iter().all(is_tls) && !names("--all").iter().any(is_tls));
        for wrong in ["--only no-such-case", ""] {
            assert!(cases(&asked(wrong).0).is_err());
        }
    }

    #[test]
    fn with_tls_only_those_are_measured_that_speak_it() {
        let (args, options) = &asked("--only echo-200,tls-echo-200");
        let peers = peers::load(&args.file, None).unwrap();
        let bench = Comparison {
            args,
            options,
            peers,
        };
        let [plain, tls] = &cases(args).unwrap()[..] else {
            panic!("two cases")
        };
        for (name, in_plain, in_tls) in [
            ("floor", true, false),
            ("floor-tls", false, true),
            ("no-such-peer", false, false),
        ] {
            let met = (bench.meets(plain, name), bench.meets(tls, name));
            assert_eq!(met, (in_plain, in_tls), "{name}");
        }
    }

    #[test]
    fn the_second_floor_is_measured_only_where_it_is_the_baseline() {
        let (args, options) = &asked("--only echo-200,busy-1x1000");
        let peers = vec![Peer::named(COALESCE)];
        let bench = Comparison {
            args,
            options,
            peers,
        };
        let cases = cases(args).unwrap();
        let met = cases.iter().map(|case| bench.meets(case, COALESCE));
        assert_eq!(met.collect::<Vec<_>>(), [false, true]);
    }
}
