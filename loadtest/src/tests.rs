//! The whole harness against its own floor: good runs are good, and a server that loses or repeats one frame in a thousand is caught.

use crate::cli::{Cli, Command};
use crate::{check_descriptors, one_run, report::Report, scenario};
use clap::Parser;
use std::net::TcpListener;
use std::sync::{Arc, atomic::AtomicBool};

/// Starts a floor with these flags and runs this scenario against it.
fn against_floor(floor: &str, scenario: &str) -> Report {
    until(floor, scenario, Arc::new(AtomicBool::new(false)))
}

/// The same, until it is done or told to stop.
fn until(floor: &str, scenario: &str, stop: Arc<AtomicBool>) -> Report {
    // A port that was free a moment ago: the floor has no way to say which one it got.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let flags = format!("loadtest floor --listen {address} {floor}");
    let Command::Floor(args) = Cli::parse_from(flags.split_whitespace()).command else {
        panic!("floor")
    };
    let (ready, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        ready.send(()).unwrap();
        crate::floor::serve(&args)
    });
    bound.recv().unwrap();
    while std::net::TcpStream::connect(&address).is_err() {}
    let flags = format!("loadtest {scenario} --url ws://{address} -d 300ms --warmup 100ms");
    let cli = Cli::parse_from(flags.split_whitespace());
    let plan = scenario::plan(&cli.command, &cli.options).unwrap();
    one_run(&cli.command, plan, &cli.options, None, stop).unwrap()
}

#[test]
fn an_interrupted_run_is_not_judged() {
    let stop = Arc::new(AtomicBool::new(true));
    for scenario in ["echo -c 20", "soak", "slow --members 4 --stopped 1"] {
        // Too few and too late is no fault of a server that was not asked for long enough.
        let report = until("--drop-every 2", scenario, Arc::clone(&stop));
        let text = report.text();
        assert!(
            text.contains("INTERRUPTED") && text.contains("not judged"),
            "{text}"
        );
        assert!(
            !text.contains("FAILED") && !text.contains("verdict"),
            "{text}"
        );
        assert_eq!(report.failures().len(), 1, "{text}");
        let page = report.page();
        assert!(page.contains("\"interrupted\":\"after"), "{page}");
    }
    let whole = until("", "echo -c 2", Arc::new(AtomicBool::new(false)));
    assert_eq!(whole.interrupted, None);
    assert!(whole.text().contains("verdict"), "{}", whole.text());
}

#[test]
fn what_the_limit_of_descriptors_does_not_allow_is_refused_before_it_begins() {
    let cli = Cli::parse_from(["loadtest", "echo", "-c", "1000"]);
    let plan = scenario::plan(&cli.command, &cli.options).unwrap();
    assert_eq!(check_descriptors(plan.connections(), 1064), Ok(()));
    let why = check_descriptors(plan.connections(), 1063).unwrap_err();
    assert!(why.contains("1064 descriptors") && why.contains("ulimit -n"));
}

#[test]
fn an_honest_server_is_good() {
    for floor in ["", "--coalesce"] {
        for scenario in ["echo -c 20", "connect", "fanout --members 10"] {
            let report = against_floor(floor, scenario);
            assert!(report.failures().is_empty(), "{}", report.text());
            let v = &report.verification;
            assert_eq!(
                (v.lost, v.duplicated, v.out_of_order, v.corrupted),
                (0, 0, 0, 0)
            );
        }
    }
}

#[test]
fn a_server_that_loses_frames_is_caught() {
    let report = against_floor("--drop-every 1000", "fanout --rate 200");
    let sent = report.totals.published * 100;
    assert_eq!(report.verification.lost, sent / 1000, "{}", report.text());
    assert!(!report.failures().is_empty());
}

#[test]
fn a_server_that_repeats_frames_is_caught() {
    let report = against_floor("--duplicate-every 1000", "fanout --rate 200");
    let sent = report.totals.published * 100;
    assert_eq!(
        report.verification.duplicated,
        sent / 1000,
        "{}",
        report.text()
    );
    assert!(!report.failures().is_empty());
}

#[test]
fn cut_connections_come_back_and_nothing_is_lost_without_a_cause() {
    for scenario in [
        "flap --rooms 2 --members 10 --cuts 100",
        "churn --rooms 2 --members 10 --leaves 100 --pause 50ms",
    ] {
        let report = against_floor("", scenario);
        let returns = report.returns.as_ref().unwrap().counts;
        assert!(report.failures().is_empty(), "{}", report.text());
        assert!(
            returns.left > 10 && returns.attempts > 0,
            "{}",
            report.text()
        );
        assert_eq!(
            (returns.still_away, returns.gave_up, returns.extra_sockets),
            (0, 0, 0)
        );
    }
}
