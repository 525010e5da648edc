//! Load-test harness for Supportal Gateway: a second implementation of the wire contract, so it never imports the server.
//! One thread is one poll loop over a slab of connections ([`engine`], [`client`]); a scenario is a [`plan::Plan`] that [`run`]
//! takes through its phases; [`verify`] checks every delivery; [`report`] says what it means; [`campaign`] takes many runs for one table.
//! `README.md` is for its users, and has the map of the parts.

mod again;
mod campaign;
mod cli;
mod client;
mod clock;
mod codec;
mod compare;
mod conserve;
mod contract;
mod deploy;
mod engine;
mod entrance;
mod floor;
mod handshake;
mod html;
mod latency;
mod ledger;
mod load;
mod machine;
mod measure;
mod message;
mod ours;
mod people;
mod plan;
mod progress;
mod report;
mod requests;
mod run;
mod scenario;
mod server;
mod slowloris;
mod speaker;
mod stream;
mod sweep;
mod tally;
mod target;
mod template;
mod tls;
mod traffic;
mod verify;
mod xnode;

#[cfg(test)]
mod tests;

use clap::Parser;
use cli::{Cli, ClientKind, Command, Options};
use plan::Plan;
use report::{exit_code, write_json};
use run::{Observer, Run};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use target::target;

/// Descriptors of this process besides its connections.
const DESCRIPTORS_SPARE: usize = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(why) => {
            say(&format!("loadtest: {why}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where the program ends with a complaint"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn print(text: &str) {
    println!("{text}");
}

fn start(cli: Cli) -> Result<ExitCode, String> {
    let Cli {
        command,
        mut options,
    } = cli;
    // Best effort: what is missing is said below.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    if let Command::Floor(args) = &command {
        let tls = tls::server(args)?;
        floor::serve(args, tls).map_err(|e| format!("{}: {e}", args.listen))?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = stop_flag()?;
    if let Command::Compare(args) = &command {
        return results(compare::run(args, &options, &stop)?);
    }
    if let Command::Sweep(args) = &command {
        return results(sweep::run(args, &options, &stop)?);
    }
    if let Command::Xnode(args) = &command {
        return across_nodes(args, &options, stop);
    }
    if let Command::Entrance(args) = &command {
        return results(entrance::run(args, &options, &stop)?);
    }
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    if let Command::Conserve(args) = &command {
        check_descriptors(args.clients, descriptors)?;
        return conserve::run(args, &options, &stop);
    }
    if let Command::Requests(args) = &command {
        return requests::run(args, &options, descriptors, &stop);
    }
    if let Command::Slowloris(args) = &command {
        return slowloris::run(args, &options, descriptors, &stop);
    }
    let plan = scenario::plan(&command, &options).ok_or("no such scenario")?;
    check_descriptors(plan.connections(), descriptors)?;
    if let Command::Deploy(args) = &command
        && args.client == ClientKind::Both
    {
        return both_clients(&plan, &options);
    }
    let restart = match &command {
        Command::Deploy(args) => Some(deploy::prepare(args, &mut options)?),
        _ => None,
    };
    let report = one_run(&command, plan, &options, restart, stop)?;
    print(&report.text());
    report.files(&options)
}

/// `xnode`, once or as its whole table.
fn across_nodes(
    args: &cli::Xnode,
    options: &Options,
    stop: Arc<AtomicBool>,
) -> Result<ExitCode, String> {
    if args.campaign.all {
        return results(xnode::run_all(args, options, &stop)?);
    }
    let report = xnode::run(args, options, stop)?;
    print(&report.text());
    report.files(options)
}

/// The folder with the results of many runs, and their summary.
fn results((folder, summary): (PathBuf, String)) -> Result<ExitCode, String> {
    print(&format!("{summary}\nResults: {}", folder.display()));
    Ok(ExitCode::SUCCESS)
}

/// `deploy` with one client after the other.
fn both_clients(plan: &Plan, options: &Options) -> Result<ExitCode, String> {
    let (text, json, is_good) = deploy::both(plan, options)?;
    print(&text);
    if let Some(path) = &options.json {
        write_json(path, &json)?;
    }
    Ok(exit_code(is_good))
}

/// One scenario against one server.
fn one_run(
    command: &Command,
    plan: Plan,
    options: &Options,
    restart: Option<run::Restart>,
    stop: Arc<AtomicBool>,
) -> Result<report::Report, String> {
    let soak = match command {
        Command::Soak { rss_growth, .. } => Some(report::SoakLimits {
            rss_growth_bytes: (rss_growth * 1_048_576.0) as u64,
            lanes: plan.storm.map_or(0, |storm| storm.lanes),
        }),
        _ => None,
    };
    let pids = options.pid.into_iter().collect();
    let observer = Observer::new(&plan, options, pids, soak, restart);
    let planned = plan.duration.as_secs_f64();
    let stopped = Arc::clone(&stop);
    let target = target(options, plan.connections())?;
    let run = Run::new(plan, target, options, observer, stop);
    let report = run.and_then(Run::run).map_err(|error| error.to_string())?;
    Ok(report.unless_stopped(&stopped, planned))
}

/// Refuses more connections than this process may have descriptors.
fn check_descriptors(connections: usize, limit: usize) -> Result<(), String> {
    let needed = connections + DESCRIPTORS_SPARE;
    if needed <= limit {
        return Ok(());
    }
    Err(format!(
        "{connections} connections need {needed} descriptors, but the limit is {limit}; \
         raise it (ulimit -n) or ask for fewer connections (--connections)"
    ))
}

/// Set by the first Ctrl-C or SIGTERM; the second one ends the program at once.
fn stop_flag() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| format!("signals: {error}"))?;
    }
    Ok(stop)
}
