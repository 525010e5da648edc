//! `deploy`: gives the run a server to replace, and compares the two kinds of client.

use crate::again::Again;
use crate::campaign::sentences;
use crate::cli::{Deploy, Options};
use crate::ours::{our_flags, our_server, quoted};
use crate::plan::Plan;
use crate::run::{Managed, Restart};
use crate::server::{PATH, Server, Spec};
use crate::template::fill;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Opening, draining and closing around the measurement.
const OVERHEAD: Duration = Duration::from_secs(180);

/// The means to restart; a managed server is started, and the options point to it.
/// Errors: No server.
pub(crate) fn prepare(args: &Deploy, options: &mut Options) -> Result<Restart, String> {
    if options.pid.is_some() {
        return Err("--pid: a deploy replaces that process; leave it out".to_owned());
    }
    if let Some(command) = &args.restart_command {
        return Ok(Restart::Command(command.clone()));
    }
    let command = match &args.server_command {
        Some(command) => command.clone(),
        None => format!("{} {}", quoted(&our_server(None)?), our_flags()),
    };
    let spec = Spec {
        command,
        path: PATH.to_owned(),
        ..Spec::default()
    };
    let server = Server::start(&spec)?;
    options.url = format!("ws://127.0.0.1:{}", server.port);
    if args
        .server_command
        .as_ref()
        .is_none_or(|line| line.contains("{admin}"))
    {
        options.admin = Some(format!("http://127.0.0.1:{}", server.admin));
    }
    Ok(Restart::Managed(Box::new(Managed { spec, server })))
}

/// One run with each client, and the two beside each other: text, figures, and whether both are good.
/// Errors: A run left no figures.
pub(crate) fn both(plan: &Plan, options: &Options) -> Result<(String, Value, bool), String> {
    // Of a flag that is there twice the last one counts.
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let mut reports = Vec::new();
    for client in ["stock", "jitter"] {
        let mut flags = flags.clone();
        flags.extend(["--client".to_owned(), client.to_owned()]);
        let again = Again {
            flags,
            core: None,
            longest: plan.duration + options.warmup + OVERHEAD,
            loud: true,
        };
        reports.push((client, again.run()?));
    }
    let failures = |(_, report): &(&str, Value)| sentences(report, "/verdict/failures");
    let is_good = reports.iter().flat_map(failures).next().is_none();
    let json = reports.into_iter();
    let json: Map<_, _> = json
        .map(|(client, report)| (client.to_owned(), report))
        .collect();
    let text = fill(include_str!("deploy.txt"), json!({ "reports": json }));
    Ok((text, Value::Object(json), is_good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_replaced_cannot_be_measured() {
        use clap::Parser;
        let flags = [
            "loadtest",
            "deploy",
            "--pid",
            "1",
            "--restart-command",
            "true",
        ];
        let mut cli = crate::cli::Cli::parse_from(flags);
        let crate::cli::Command::Deploy(args) = cli.command else {
            panic!("deploy")
        };
        assert!(prepare(&args, &mut cli.options).is_err());
        cli.options.pid = None;
        assert!(matches!(
            prepare(&args, &mut cli.options),
            Ok(Restart::Command(line)) if line == "true"
        ));
    }
}
