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
        crate::floor::serve(&args, crate::tls::server(&args).unwrap())
    });
    bound.recv().unwrap();
    while std::net::TcpStream::connect(&address).is_err() {}
    let scheme = if floor.contains("--key") { "wss" } else { "ws" };
    let flags = format!("loadtest -d 300ms --warmup 100ms --url {scheme}://{address} {scenario}");
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

/// A certificate that is nobody's here.
const STRANGER: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIUDCZKBUK4IVjo4vp/wFp1RVwthIUwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIc3RyYW5nZXIwIBcNMjYxMTI3MTkwNDIwWhgPMjEyNjExMDMx
OTA0MjBaMBMxETAPBgNVBAMMCHN0cmFuZ2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAErlDiuT0FLW8S1Zoa1/TqZn5lnhWY24Jj/ihKyueGpsZEPTUvNzwnH/79
mTvch+nA81i0M90TfruZzBg8HIxTA6NTMFEwHQYDVR0OBBYEFFfKtTadsVgiITnf
GjhvWVEleoVCMB8GA1UdIwQYMBaAFFfKtTadsVgiITnfGjhvWVEleoVCMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgaB4y7BfekzE1EPwM74Yz6HZa
mq9j6RMEC6bxzmz9WrQCIHiqA0AhW8HvpAQ40JF/G2ZhoYtDMjrqkZEAZKj7o7rf
-----END CERTIFICATE-----
";

/// A file of the certificate that comes along.
fn tls_file(name: &str) -> String {
    format!("{}/peers/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a scenario against a floor that speaks TLS.
fn against_tls(scenario: &str) -> Report {
    let [certificate, key] = ["certificate", "key"].map(tls_file);
    against_floor(
        &format!("--certificate {certificate} --key {key}"),
        scenario,
    )
}

#[test]
fn with_tls_nothing_is_lost_and_sessions_are_resumed_unless_asked_not_to() {
    let trusted = format!("--ca {}", tls_file("certificate"));
    for (scenario, flags, resumes) in [
        ("echo -c 150", trusted.as_str(), true),
        ("connect --silent", "--insecure", true),
        ("connect", "--insecure --full-handshakes", false),
        // Records of 16 KiB, and more than sockets take at a time.
        (
            "broadcast -c 20 --size 60000 --publishers 5",
            "--insecure",
            false,
        ),
        ("slow --members 10 --stopped 2", trusted.as_str(), false),
    ] {
        let report = against_tls(&format!("{scenario} {flags}"));
        let (text, totals) = (report.text(), &report.totals);
        assert!(report.failures().is_empty(), "{text}");
        let chosen = "TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519";
        assert!(text.contains(chosen), "{text}");
        let all = totals.tls_full + totals.tls_resumed;
        assert_eq!((totals.opened, all), (all, totals.opened), "{text}");
        assert!(
            totals.tls_full > 0 && (totals.tls_resumed > 0) == resumes,
            "{text}"
        );
    }
}

#[test]
fn whom_the_generator_does_not_trust_is_refused_with_the_reason() {
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), STRANGER).unwrap();
    let report = against_tls(&format!("echo -c 2 --ca {}", authority.path().display()));
    let refused: Vec<&String> = report.totals.refused.keys().collect();
    assert_eq!(
        refused,
        ["invalid peer certificate: UnknownIssuer"],
        "{}",
        report.text()
    );
}

#[test]
fn what_others_notice_of_a_storm_is_kept_apart() {
    let report = against_tls("storm --handshakes 120 --rooms 2 --members 5 -d 6s --insecure");
    let text = report.text();
    assert!(report.failures().is_empty(), "{text}");
    let storm = report.storm.as_ref().unwrap();
    assert!(
        storm.seconds.is_some() && storm.p99_ratio.is_some(),
        "{text}"
    );
    assert!(storm.before.count > 0 && storm.during.count > 0, "{text}");
    assert!(
        storm.before.count + storm.during.count < report.latency.count,
        "{text}"
    );
    assert_eq!(report.totals.opened, 130, "{text}");
    assert!(text.contains("120 handshakes in"), "{text}");
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
