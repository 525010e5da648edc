//! Every signal, at every moment: what ends the server in order, what it passes over, and its exit code.

use crate::support::redis::free_port;
use crate::support::{Client, Gateway, PATIENCE, http, user, wait};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest a start or an end may take: debug builds on a busy machine.
const SLOW: Duration = Duration::from_secs(20);

/// Signals that change nothing, by number, and whether the log names them.
#[rustfmt::skip]
const PASSED_OVER: [(i32, Option<&str>); 20] = [
    (1, Some("SIGHUP")), (10, Some("SIGUSR1")), (12, Some("SIGUSR2")), (14, Some("SIGALRM")), (16, Some("SIGSTKFLT")),
    (21, Some("SIGTTIN")), (22, Some("SIGTTOU")), (24, Some("SIGXCPU")), (25, Some("SIGXFSZ")), (26, Some("SIGVTALRM")),
    (27, Some("SIGPROF")), (29, Some("SIGIO")), (13, None), (17, None), (18, None), (23, None), (28, None),
    // Real-time signals: the first, one that containers are stopped with, the last.
    (34, None), (37, None), (64, None),
];

/// Sends a signal by its number.
#[track_caller]
fn kill(pid: u32, number: i32) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{number} {pid}")])
        .status()
        .expect("a shell");
    assert!(sent.success(), "signal {number}");
}

/// Are signals blocked by now, that is, has `main` begun?
fn has_begun(pid: u32) -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP != 0)
}

/// A server that a shell starts: its streams and its signals are the shell's.
struct Bare {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Bare {
    /// `before` is what the shell does first, `behind` what stands behind the command.
    fn start(before: &str, behind: &str, stderr: Stdio) -> Self {
        let [public, admin] =
            [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let binary = env!("CARGO_BIN_EXE_supportal");
        let command = format!(
            "{before} exec {binary} --listen {public} --admin {admin} --set assistant.kind=none --set log.format=json {behind}"
        );
        let child = Command::new("sh")
            .args(["-c", &command])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("a shell");
        Self {
            child,
            public,
            admin,
        }
    }

    #[track_caller]
    fn until_listening(&self) {
        let listens = |at: SocketAddr| TcpStream::connect_timeout(&at, PATIENCE).is_ok();
        wait::until("the server to listen", SLOW, || {
            listens(self.admin) && listens(self.public)
        });
    }

    #[track_caller]
    fn join(&self) -> Client {
        let mut client = Client::open(self.public, "/ws/chat/1/bare/", &[]).expect("a 101");
        client.skip_welcome();
        client
    }

    #[track_caller]
    fn exit(&mut self) -> Option<i32> {
        let mut status = None;
        wait::until("the server to exit", SLOW, || {
            status = self.child.try_wait().expect("the child's status");
            status.is_some()
        });
        status.expect("just seen").code()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn says_and_hears(client: &mut Client, text: &str) {
    client.send_text(&user(text));
    assert_eq!(client.receive_json()["message"], text);
}

#[test]
fn a_signal_that_asks_for_nothing_changes_nothing_and_is_named_in_the_log() {
    let gateway = Gateway::start(&[]);
    let mut member = gateway.join("calm");
    for (number, name) in PASSED_OVER {
        kill(gateway.pid(), number);
        if let Some(name) = name {
            gateway.wait_log(&format!("\"signal\":\"{name}\""), 1);
        }
        says_and_hears(&mut member, &format!("after {number}"));
        assert_eq!(gateway.admin("/ready").status, 200, "after {number}");
    }
    gateway.wait_log("settings read again: nothing has changed", 1);
    gateway.wait_log("no log file to open again", 1);
}

#[test]
fn a_storm_of_signals_under_load_costs_no_message() {
    let gateway = Gateway::start(&["limits.messages_per_second=0"]);
    let mut members = [gateway.join("storm"), gateway.join("storm")];
    for round in 0..40 {
        for (number, _) in PASSED_OVER {
            if number != 18 && round % 4 == 0 {
                kill(gateway.pid(), number);
            }
        }
        for burst in 0..10 {
            members[0].send_text(&user(&format!("{round}.{burst}")));
        }
        for member in &mut members {
            for burst in 0..10 {
                let event = member.receive_json();
                assert_eq!(event["message"], format!("{round}.{burst}"));
            }
        }
    }
}

#[test]
fn each_signal_that_ends_the_server_does_so_in_order_with_exit_code_0() {
    for (number, name) in [
        (15, "SIGTERM"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (30, "SIGPWR"),
    ] {
        let gateway = Gateway::start(&["server.drain_grace=4s"]).unchecked();
        let mut member = gateway.join("end");
        member.send_text(&user("last words"));
        kill(gateway.pid(), number);
        assert_eq!(member.receive_json()["message"], "last words", "{name}");
        assert_eq!(member.expect_close().0, 1012, "{name}");
        drop(member);
        assert_eq!(gateway.wait_exit(SLOW), Some(0), "{name}");
        let log = gateway.wait_log("\"stopped\"", 1);
        assert!(log.contains(name), "{log}");
    }
}

#[test]
fn a_second_signal_stops_in_every_phase_and_one_that_asks_for_nothing_does_not_count() {
    // While the notice lasts, and while the closes are spread.
    for notice in ["30s", "0s"] {
        for signals in [&[15, 15][..], &[15, 1, 15], &[3, 10, 2], &[15, 12, 1, 3]] {
            let setting = format!("server.drain_notice={notice}");
            let gateway = Gateway::start(&["server.drain_grace=60s", &setting]).unchecked();
            let members: Vec<Client> = (0..30).map(|_| gateway.join("phase")).collect();
            let (last, before) = signals.split_last().expect("some");
            for number in before {
                kill(gateway.pid(), *number);
            }
            gateway.wait_log("the end is asked for", 1);
            let is_draining = || gateway.admin("/ready").status == 503;
            wait::until("draining", SLOW, is_draining);
            kill(gateway.pid(), *last);
            for mut member in members {
                assert_eq!(member.expect_close().0, 1012, "{signals:?} {notice}");
            }
            assert_eq!(gateway.wait_exit(SLOW), Some(0), "{signals:?} {notice}");
            assert!(gateway.log().contains("stopped before the drain was done"));
        }
    }
}

#[test]
fn no_signal_kills_from_the_first_moment_of_main_on() {
    for number in [1, 10, 12, 14, 34] {
        let mut server = Bare::start("", "", Stdio::null());
        wait::until("main", SLOW, || has_begun(server.child.id()));
        kill(server.child.id(), number);
        server.until_listening();
        says_and_hears(&mut server.join(), "alive");
        kill(server.child.id(), 2);
        assert_eq!(server.exit(), Some(0));
    }
}

#[test]
fn the_end_that_is_asked_for_during_the_start_comes_with_exit_code_0() {
    for number in [15, 2, 3] {
        let mut server = Bare::start("", "", Stdio::null());
        wait::until("main", SLOW, || has_begun(server.child.id()));
        kill(server.child.id(), number);
        assert_eq!(server.exit(), Some(0), "signal {number}");
    }
}

#[test]
fn signals_that_the_parent_ignored_are_the_server_s_all_the_same() {
    let mut server = Bare::start("trap '' HUP INT QUIT TERM USR1;", "", Stdio::null());
    server.until_listening();
    for number in [1, 10, 1] {
        kill(server.child.id(), number);
    }
    says_and_hears(&mut server.join(), "alive");
    kill(server.child.id(), 15);
    assert_eq!(server.exit(), Some(0));
}

#[test]
fn a_server_without_standard_streams_serves_and_ends_in_order() {
    for streams in ["<&- >&- 2>&-", "2>&-", ">&-"] {
        let mut server = Bare::start("", streams, Stdio::null());
        server.until_listening();
        let mut member = server.join();
        kill(server.child.id(), 1);
        says_and_hears(&mut member, "alive");
        kill(server.child.id(), 15);
        assert_eq!(member.expect_close().0, 1012, "{streams}");
        drop(member);
        assert_eq!(server.exit(), Some(0), "{streams}");
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_does_not_end_the_server() {
    let mut server = Bare::start("", "--set log.level=debug", Stdio::piped());
    server.until_listening();
    drop(server.child.stderr.take());
    for number in [1, 10, 12] {
        kill(server.child.id(), number);
        says_and_hears(&mut server.join(), "alive");
    }
    assert_eq!(http::get(server.admin, "/ready").status, 200);
    kill(server.child.id(), 2);
    assert_eq!(server.exit(), Some(0));
}

#[test]
fn a_command_that_is_no_server_keeps_the_system_s_signals() {
    // A Redis that never answers: the command waits for it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "bridge.urls=[\"redis://{}\"]",
        silent.local_addr().expect("its address")
    );
    let sets = ["bridge.mode=pubsub", "bridge.command_timeout=60s", &url];
    let mut child = Command::new(env!("CARGO_BIN_EXE_supportal"))
        .args(["check", "--redis"])
        .args(sets.iter().flat_map(|set| ["--set", set]))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary");
    let _waiting = silent.accept().expect("the command's connection");
    kill(child.id(), 15);
    let status = child.wait().expect("its end");
    assert_eq!(status.code(), None, "ended by the signal");
}
