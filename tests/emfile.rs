//! Out of file descriptors: the accept loop backs off, the open connections live, and it recovers. And with few of them:
//! the operator's listener keeps its own.

use crate::support::{Client, Gateway, PATIENCE, http, user, wait};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Lets the process open `spare` more files than it has open now.
fn limit_files(gateway: &Gateway, spare: u64) {
    let open = gateway.open_files() as u64;
    set_limit(gateway, open + spare);
}

fn set_limit(gateway: &Gateway, files: u64) {
    let pid = i32::try_from(gateway.pid()).ok().and_then(Pid::from_raw);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(files),
        maximum,
    };
    prlimit(pid, Resource::Nofile, limit).expect("prlimit of our own child");
}

/// Clock ticks of processor time the process used so far (100 a second).
fn processor_ticks(gateway: &Gateway) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).expect("stat");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    ticks(12)
        .zip(ticks(13))
        .map_or(0, |(user, system)| user + system)
}

#[test]
fn out_of_files_the_accept_backs_off_and_recovers() {
    let gateway = Gateway::start(&[
        "server.handshake_timeout=30s",
        "limits.connections_per_ip=0",
    ]);
    let mut members: [Client; 2] = [gateway.join("emfile"), gateway.join("emfile")];
    limit_files(&gateway, 8);
    // More than the limit: the kernel completes these connections, the server cannot accept them.
    let mut waiting: Vec<TcpStream> = (0..40).map(|_index| http::open(gateway.public())).collect();
    let log = || gateway.log().to_lowercase();
    let told = || log().contains("file") || log().contains("emfile");
    wait::until("one line about it in the log", PATIENCE, told);

    let (before, watch) = (processor_ticks(&gateway), wait::Watch::start());
    for number in 0..20 {
        members[0].send_text(&user(&number.to_string()));
        for member in &mut members {
            assert_eq!(
                member.receive_json()["message"],
                number.to_string().as_str()
            );
        }
        wait::pass(Duration::from_millis(100));
    }
    let share = (processor_ticks(&gateway) - before) as f64 / 100.0 / watch.elapsed().as_secs_f64();
    assert!(
        share < 0.2,
        "accept spins: {:.0} % of a core",
        share * 100.0
    );
    let lines = log().lines().filter(|line| line.contains("accept")).count();
    assert!(lines < 20, "{lines} lines about accept");

    waiting.clear();
    let watch = wait::Watch::start();
    let mut late = gateway.join("emfile");
    assert!(
        watch.elapsed() < Duration::from_secs(2),
        "recovered in {:?}",
        watch.elapsed()
    );
    set_limit(&gateway, 4_096);
    late.send_text(&user("recovered"));
    assert_eq!(late.receive_json()["message"], "recovered");
    assert!(gateway.metric_sum("supportal_accept_errors_total") >= 1.0);
}

#[test]
fn with_few_files_a_flood_of_handshakes_leaves_the_operator_s_listener_its_own() {
    let settings = [
        "server.handshake_timeout=60s",
        "limits.handshakes_per_ip=0",
        "limits.connections_per_ip=0",
    ];
    let gateway = Gateway::start_with_files(&settings, 256);
    gateway.wait_log("are left for handshakes", 1);
    let mut members = vec![gateway.join("few"), gateway.join("few")];
    let mut flood: Vec<TcpStream> = Vec::new();
    for number in 0..300 {
        let mut stream = http::open(gateway.public());
        // Half of them wait where they were accepted, the others by the control plane. Some are refused meanwhile.
        if number % 2 == 0 {
            drop(stream.write_all(b"GET / HT"));
        }
        flood.push(stream);
        if number % 30 == 29 {
            for (probe, said) in [("/live", "live\n"), ("/ready", "ready\n")] {
                assert_eq!(gateway.admin(probe).text(), said, "{number}");
            }
        }
    }
    // As many connections as there may be, beside the flood.
    wait::pass(Duration::from_millis(600));
    while let Ok(member) = gateway.try_connect("/ws/chat/1/few/") {
        members.push(member);
        assert!(members.len() <= 128, "half of the files");
    }
    assert_eq!(gateway.admin("/live").text(), "live\n");
    assert!(members.len() > 100, "{}", members.len());
    assert_eq!(gateway.metric_sum("supportal_accept_errors_total"), 0.0);
    assert!(gateway.open_files() <= 256 - 32, "{}", gateway.open_files());
}
