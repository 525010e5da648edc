//! Which cases and which peers the flags ask for.

use super::cases::{self, Baseline, Case};
use super::growth;
use super::peers::{self, Peer};
use crate::cli::{Compare, Options};

/// Seconds of a case of the user's own.
const CUSTOM: f64 = 5.0;

/// The cases, in the order of the table.
///
/// # Errors
/// An unknown name, or none at all.
pub(super) fn cases(args: &Compare, options: &Options) -> Result<Vec<Case>, String> {
    let known = cases::known();
    let names: Vec<&str> = known.iter().map(|case| case.name.as_str()).collect();
    if let Some(wrong) = args
        .only
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!("--only {wrong}: there are {}", names.join(", ")));
    }
    let mut wanted: Vec<String> = args.only.clone();
    if args.only.is_empty() {
        let all = args.all.then(cases::all).into_iter().flatten();
        let growth = args.growth.then(growth::all).into_iter().flatten();
        wanted.extend(all.chain(growth).map(|case| case.name));
    }
    // A case another one is compared with comes along.
    for case in &known {
        if let Baseline::Case(other) = case.baseline
            && wanted.contains(&case.name)
        {
            wanted.push(other.to_owned());
        }
    }
    let list = names.join(", ");
    let mut cases: Vec<Case> = known
        .iter()
        .filter(|case| wanted.contains(&case.name))
        .cloned()
        .collect();
    if let Some(flags) = &args.scenario {
        cases.push(cases::custom(flags, CUSTOM));
    }
    if cases.is_empty() {
        return Err(format!(
            "say --all, --growth, --only with some of {list}, or --scenario \"echo -c 50\""
        ));
    }
    if let Some(duration) = options.duration {
        for case in &mut cases {
            case.seconds = duration.as_secs_f64();
        }
    }
    Ok(cases)
}

/// The peers, and the order in which tables show them.
///
/// # Errors
/// The list is wrong, or a name is not in it.
pub(super) fn peers(args: &Compare, cases: &[Case]) -> Result<(Vec<Peer>, Vec<String>), String> {
    let all = peers::load(&args.file, args.supportal.as_deref())?;
    let order: Vec<String> = all.iter().map(|peer| peer.name.clone()).collect();
    if let Some(wrong) = args.peers.iter().find(|name| !order.contains(name)) {
        return Err(format!("--peers {wrong}: there are {}", order.join(", ")));
    }
    let wanted = |peer: &Peer| cases.iter().any(|case| meets(args, case, peer));
    let peers: Vec<Peer> = all.into_iter().filter(wanted).collect();
    if peers.is_empty() {
        return Err("no peer to measure: build this server, or say --supportal".to_owned());
    }
    Ok((peers, order))
}

/// Is this case measured with this peer?
pub(super) fn meets(args: &Compare, case: &Case, peer: &Peer) -> bool {
    if peer.skip.contains(&case.name) {
        return false;
    }
    // The growth of others is nobody's question here.
    if case.table.is_some() {
        return peer.name == super::table::OURS;
    }
    if matches!(case.baseline, Baseline::Peer(name) if name == peer.name) {
        return true;
    }
    if args.peers.is_empty() {
        // The second floor is there for the cases it is the baseline of.
        !peer.optional && peer.name != peers::COALESCE
    } else {
        args.peers.contains(&peer.name)
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

    fn names(flags: &str) -> Vec<String> {
        let (args, options) = asked(flags);
        let cases = cases(&args, &options).unwrap();
        cases.into_iter().map(|case| case.name).collect()
    }

    #[test]
    fn a_case_brings_along_what_it_is_compared_with() {
        assert_eq!(names("--only slow"), ["slow-none", "slow"]);
        assert_eq!(
            names("--only grow-size-16k"),
            ["grow-size-64", "grow-size-16k"]
        );
    }

    #[test]
    fn growth_is_apart_from_the_table() {
        assert!(names("--all").iter().all(|name| !name.starts_with("grow-")));
        assert!(
            names("--growth")
                .iter()
                .all(|name| name.starts_with("grow-"))
        );
        let (args, options) = asked("--only no-such-case");
        assert!(cases(&args, &options).is_err());
    }

    #[test]
    fn the_second_floor_is_measured_only_where_it_is_the_baseline() {
        let (args, options) = asked("--only echo-200,busy-1x1000");
        let cases = cases(&args, &options).unwrap();
        let floor = Peer::named(peers::COALESCE);
        let met: Vec<bool> = cases
            .iter()
            .map(|case| meets(&args, case, &floor))
            .collect();
        assert_eq!(met, [false, true]);
    }
}
