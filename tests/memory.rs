//! When memory is short: what is given up, in which order, and that it comes back.

use crate::support::{Client, Gateway, PATIENCE, Signal, frame, user, wait};
use std::time::Duration;

/// Bytes to stay under. A node that nobody is at takes some fifteen million of them.
const LIMIT: f64 = 134_217_728.0;

/// Each says this much at a time.
const MESSAGE: usize = 50_000;

/// Bytes of a message whose end never comes.
const UNFINISHED: usize = 64_000;

/// Sent before the server is given time to look how much that is.
const BETWEEN_LOOKS: usize = 2_000_000;

const SETTINGS: [&str; 10] = [
    "limits.memory=134217728",
    "limits.messages_per_second=0",
    "limits.bytes_per_second=0",
    "limits.send_buffer_bytes=4608",
    "limits.receive_buffer_bytes=65536",
    "limits.unsent_bytes=4096",
    "queue.bytes_max=2000000",
    "queue.capacity=1000",
    "queue.expiry=10m",
    "chat.text_bytes_max=60000",
];

fn resident(gateway: &Gateway) -> f64 {
    gateway.metric("supportal_process_resident_memory_bytes")
}

fn is_given_up(gateway: &Gateway, step: &str) -> bool {
    gateway.metric(&format!("supportal_memory_shedding{{step=\"{step}\"}}")) == 1.0
}

fn closed(gateway: &Gateway) -> f64 {
    gateway.metric("supportal_connections_closed_total{reason=\"try_later\"}")
}

/// Members that say much and read nothing, each alone in a room.
struct Flood {
    members: Vec<Client>,
    message: Vec<u8>,
    said: usize,
}

impl Flood {
    fn start(gateway: &Gateway, count: usize) -> Self {
        let join = |number| {
            let path = format!("/ws/chat/2/flood{number}/");
            Client::open_narrow(gateway.public(), &path, 4096)
        };
        Self {
            members: (0..count).map(join).collect(),
            message: frame(0x81, user(&"x".repeat(MESSAGE)).as_bytes()),
            said: 0,
        }
    }

    /// Has the first so many say something in turn until `is_reached`, and the process stay under its limit all the time.
    #[track_caller]
    fn go_on(
        &mut self,
        count: usize,
        gateway: &Gateway,
        what: &str,
        is_reached: impl Fn() -> bool,
    ) {
        let deadline = wait::Deadline::after(Duration::from_secs(120));
        while !is_reached() {
            assert!(deadline.left().is_some(), "in vain: {what}");
            for _message in 0..BETWEEN_LOOKS / MESSAGE {
                let member = &mut self.members[self.said % count];
                // Whoever has been closed says nothing more.
                member.try_send_raw(&self.message);
                self.said += 1;
            }
            let said = (self.said * self.message.len()) as f64;
            wait::until("all to be read, and a look at the memory", PATIENCE, || {
                let is_read = gateway.metric("supportal_read_bytes_total") >= said;
                let seen = gateway.metric("supportal_memory_used_bytes");
                is_reached() || is_read && (seen - resident(gateway)).abs() < 6e6
            });
            let bytes = resident(gateway);
            // What comes between two looks at the memory is seen by the next.
            let most = LIMIT + BETWEEN_LOOKS as f64;
            assert!(bytes < most, "{what}: {bytes} bytes");
        }
    }
}

#[test]
fn what_is_given_up_goes_in_order_and_comes_back_when_the_flood_is_over() {
    let gateway = Gateway::start(&SETTINGS);
    let (mut one, mut other) = (gateway.join("canary"), gateway.join("canary"));
    let mut chat = |text: &str| {
        one.send_text(&user(text));
        for member in [&mut one, &mut other] {
            assert_eq!(member.receive_json()["message"], text);
        }
    };
    let mut flood = Flood::start(&gateway, 300);
    assert_eq!(gateway.admin("/ready").text(), "ready\n");
    let is_in = |step| is_given_up(&gateway, step);

    flood.go_on(60, &gateway, "the first step", || is_in("handshakes"));
    let refusal = gateway.try_connect("/ws/chat/1/new/").expect_err("503");
    assert_eq!(
        (refusal.status, refusal.text().as_str()),
        (503, "too little memory")
    );
    let seconds = refusal.header("retry-after").expect("when to come back");
    assert!(seconds.parse::<u32>().expect("seconds") >= 1);
    assert!(gateway.metric("supportal_handshakes_refused_total{reason=\"memory\"}") >= 1.0);
    let ready = gateway.admin("/ready");
    assert_eq!(ready.status, 503, "a load balancer sends nobody here");
    assert!(
        ready.text().starts_with("not ready: memory is short, "),
        "{}",
        ready.text()
    );
    assert_eq!(gateway.admin("/health").json()["status"], "degraded");
    assert_eq!(gateway.get("/").status, 200, "pages are answered");
    chat("whoever is in goes on");
    assert_eq!(closed(&gateway), 0.0);

    flood.go_on(60, &gateway, "the second step", || {
        gateway.metric("supportal_memory_shed_deliveries_total") > 0.0
    });
    assert_eq!(
        closed(&gateway),
        0.0,
        "nobody is closed before queues are cut"
    );
    chat("also while queues are cut");

    let last = "memory is short: the slowest readers are closed with 1013";
    flood.go_on(300, &gateway, "the last step", || {
        gateway.log().contains(last)
    });
    chat("whoever reads is not closed");
    gateway.wait_log("memory is short: new handshakes get 503", 1);
    gateway.wait_log("memory is short: slow readers keep a quarter", 1);
    gateway.wait_log(
        "memory is short: the slowest readers are closed with 1013",
        1,
    );

    wait::until("some of them to be given up", PATIENCE, || {
        gateway.metric("supportal_slow_readers_closed_total{cause=\"memory\"}") > 0.0
    });
    drop(flood);
    wait::until("a new member", PATIENCE, || {
        gateway.try_connect("/ws/chat/1/new/").is_ok()
    });
    wait::until("readiness", PATIENCE, || {
        gateway.admin("/ready").text() == "ready\n"
    });
    chat("and after it");
    gateway.wait_log(
        "memory is no longer short: no longer that new handshakes get 503",
        1,
    );
    gateway.settled_ledger();
}

/// A frame of [`UNFINISHED`] bytes but for the last one: the server keeps what has come until the rest does.
fn unfinished() -> Vec<u8> {
    let mut frame = frame(0x81, &vec![b'x'; UNFINISHED]);
    frame.pop();
    frame
}

#[test]
fn whoever_sends_much_and_leaves_leaves_the_door_open_and_costs_readers_nothing() {
    let gateway = Gateway::start(&[
        "limits.memory=83886080",
        "limits.connections_per_ip=2000",
        "limits.messages_per_second=0",
        "limits.bytes_per_second=0",
        "limits.send_buffer_bytes=4608",
        "limits.unsent_bytes=4096",
        "queue.expiry=10m",
    ]);
    // For whom something waits: far from enough to be why memory is short.
    let mut speaker = gateway.join("readers");
    let slow = Client::open_narrow(gateway.public(), "/ws/chat/1/readers/", 4096);
    let waits = || gateway.metric("supportal_deliveries_queued") > 0.0;
    wait::until("something to wait for the slow reader", PATIENCE, || {
        speaker.send_text(&user(&"x".repeat(10_000)));
        speaker.receive_json();
        waits()
    });

    let join = |_| gateway.connect("/ws/chat/2/crowd/");
    let mut crowd: Vec<_> = (0..1_200).map(join).collect();
    let unfinished = unfinished();
    for client in &mut crowd {
        client.send_raw(&unfinished);
    }
    wait::until("all steps", PATIENCE, || is_given_up(&gateway, "readers"));
    let refusal = gateway.try_connect("/ws/chat/2/new/").expect_err("503");
    assert_eq!(refusal.status, 503);
    drop(crowd);
    // Nothing is asked meanwhile: a request takes memory and frees it, which has the allocator look after the rest too.
    gateway.wait_log(
        "memory is no longer short: no longer that new handshakes get 503",
        1,
    );
    drop(gateway.connect("/ws/chat/2/new/"));
    wait::until("readiness", PATIENCE, || {
        gateway.admin("/ready").text() == "ready\n"
    });
    assert_eq!(closed(&gateway), 0.0);
    assert!(waits(), "also what waits is still there");
    assert_eq!(
        gateway.metric("supportal_memory_shed_deliveries_total"),
        0.0
    );
    drop(slow);
    speaker.send_text(&user("still here"));
    assert_eq!(speaker.receive_json()["message"], "still here");
    gateway.settled_ledger();
}

#[test]
fn a_limit_is_taken_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("supportal.toml");
    std::fs::write(&file, "[limits]\nmemory = 0\n").expect("the file");
    let gateway = Gateway::start_with_arguments(&[], &["--config", file.to_str().expect("UTF-8")]);
    let limit = || gateway.metric("supportal_memory_limit_bytes");
    assert_eq!(limit(), 0.0);
    let change = |text: &str| {
        std::fs::write(&file, text).expect("the file");
        gateway.signal(Signal::Hangup);
    };
    change("[limits]\nmemory = 134217728\n");
    wait::until("the limit", PATIENCE, || limit() == LIMIT);
    assert!(gateway.metric("supportal_memory_used_bytes") > 1e6);
    change("[limits]\nmemory = \"auto\"\n");
    wait::until("the machine's", PATIENCE, || limit() > LIMIT);
}
