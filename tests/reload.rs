//! Settings read again while a server runs: SIGHUP, `POST /reload`, `supportal reload`.

use crate::support::http::Response;
use crate::support::{Gateway, PATIENCE, Signal, http, user, wait};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

const PATH: &str = "/ws/chat/1/reload/";

/// A server and the file of its settings.
struct Reloadable {
    gateway: Gateway,
    folder: TempDir,
}

impl Reloadable {
    #[track_caller]
    fn start(settings: &[&str], text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("supportal.toml");
        fs::write(&file, text).expect("the file");
        let file = file.display().to_string();
        let gateway = Gateway::start_with_arguments(settings, &["--config", &file]);
        Self { gateway, folder }
    }

    /// Nobody has the token at the end.
    fn unchecked(self) -> Self {
        let gateway = self.gateway.unchecked();
        Self { gateway, ..self }
    }

    #[track_caller]
    fn write(&self, text: &str) {
        let file = self.folder.path().join("supportal.toml");
        fs::write(file, text).expect("the file");
    }

    /// Reads the file again by way of the operator's listener.
    #[track_caller]
    fn reload(&self, text: &str) -> Response {
        self.write(text);
        self.post("")
    }

    #[track_caller]
    fn post(&self, fields: &str) -> Response {
        let request = format!("POST /reload HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let answer = http::exchange(self.gateway.admin_address(), request.as_bytes());
        answer.expect("an answer")
    }
}

fn status_of_page(gateway: &Gateway, origin: &str) -> u16 {
    match gateway.try_connect_with(PATH, &[("Origin", origin)]) {
        Ok(_client) => 101,
        Err(refusal) => refusal.status,
    }
}

#[test]
fn what_is_live_changes_in_place_and_what_is_not_is_named() {
    let before = "[origin]\nallowed = [\"a.example\"]\n";
    let server = Reloadable::start(&[], before);
    let gateway = &server.gateway;
    let origin = ("Origin", "https://a.example");
    let mut member = gateway.connect_with(PATH, &[origin]);
    member.skip_welcome();
    assert_eq!(status_of_page(gateway, "https://b.example"), 403);
    let after = "[origin]\nallowed = [\"b.example\"]\n[server]\nworkers = 3\n\
        [limits]\nmessages_per_second = 1\nmessages_burst = 1\n";
    let answer = server.reload(after);
    assert_eq!(answer.status, 200);
    let changes = answer.json();
    let changed = [
        "origin.allowed",
        "limits.messages_per_second",
        "limits.messages_burst",
    ];
    assert_eq!(changes["changed"], serde_json::json!(changed));
    let waiting = serde_json::json!(["server.workers"]);
    assert_eq!(changes["for_the_next_start"], waiting);
    assert_eq!(status_of_page(gateway, "https://b.example"), 101);
    assert_eq!(status_of_page(gateway, "https://a.example"), 403);
    // Who is in stays, and goes by the new rate.
    for _message in 0..3 {
        member.send_text(&user("one of three"));
    }
    let heard: Vec<_> = (0..3).map(|_| member.receive_json()).collect();
    let refused = heard.iter().filter(|frame| frame["error"].is_string());
    assert!(refused.count() >= 1, "{heard:?}");
    gateway.wait_log("settings read again: changed: origin.allowed", 1);
    assert_eq!(
        server.reload(after).json()["changed"],
        serde_json::json!([])
    );
    assert_eq!(
        gateway.metric("supportal_reloads_total{outcome=\"taken\"}"),
        2.0
    );
}

#[test]
fn an_invalid_file_changes_nothing_and_says_why() {
    let before = "[origin]\nallowed = [\"a.example\"]\n";
    let server = Reloadable::start(&[], before);
    let gateway = &server.gateway;
    for (text, why) in [
        ("[origin]\nallowed = [\"https://\"]\n", "origin.allowed"),
        (
            "[origin]\nallowed = []\n[queue]\ncapacity = 0\n",
            "queue.capacity",
        ),
        ("[origin]\nallowed = []\nallowd = []\n", "allowd"),
        ("[origin]\nallowed = [\n", "supportal.toml"),
        // Each is legal; beside the value that waits for the next start, one is not.
        (
            "[queue]\nbytes_max = 2000\n[limits]\nmessage_bytes = 1000\n[chat]\ntext_bytes_max = 1000\n",
            "queue.bytes_max",
        ),
        ("[log]\nlevel = \"loud\"\n", "log.level"),
    ] {
        let answer = server.reload(text);
        assert_eq!(answer.status, 409, "{text}");
        let problems = answer.json()["problems"].to_string();
        assert!(problems.contains(why), "{text}: {problems}");
        assert_eq!(status_of_page(gateway, "https://a.example"), 101, "{text}");
        assert_eq!(status_of_page(gateway, "https://b.example"), 403, "{text}");
    }
    fs::remove_file(server.folder.path().join("supportal.toml")).expect("the file was there");
    assert_eq!(server.post("").status, 409);
    assert_eq!(
        gateway.metric("supportal_reloads_total{outcome=\"refused\"}"),
        7.0
    );
    gateway.wait_log("settings read again are refused, nothing changes", 7);
    assert_eq!(status_of_page(gateway, "https://a.example"), 101);
}

#[test]
fn sighup_reads_settings_again_without_losing_a_message() {
    let server = Reloadable::start(&[], "[log]\nlevel = \"info\"\n");
    let gateway = &server.gateway;
    let mut members = [gateway.join("hup"), gateway.join("hup")];
    server.write("[log]\nlevel = \"debug\"\n[queue]\nexpiry = \"30s\"\ncapacity = 7\n");
    gateway.signal(Signal::Hangup);
    for number in 0..50 {
        members[0].send_text(&user(&number.to_string()));
        for member in &mut members {
            assert_eq!(member.receive_json()["message"], number.to_string());
        }
    }
    gateway.wait_log("changed: queue.capacity, queue.expiry, log.level", 1);
    assert_eq!(
        gateway
            .try_connect("/nowhere")
            .map(drop)
            .unwrap_err()
            .status,
        404
    );
    gateway.wait_log("request refused", 1);
}

#[test]
fn flags_and_environment_still_win_over_the_file() {
    let server = Reloadable::start(&["limits.connections=2"], "[limits]\nconnections = 9\n");
    let answer = server.reload("[limits]\nconnections = 1\n");
    assert_eq!(answer.json()["changed"], serde_json::json!([]));
    let _both = [server.gateway.join("two"), server.gateway.join("two")];
    assert_eq!(
        server
            .gateway
            .try_connect(PATH)
            .map(drop)
            .unwrap_err()
            .status,
        503
    );
}

#[test]
fn caps_hold_from_a_reload_on_and_put_nobody_out() {
    let server = Reloadable::start(&[], "");
    let gateway = &server.gateway;
    let mut all: Vec<_> = (0..4).map(|_| gateway.join("caps")).collect();
    let lower = "[limits]\nconnections_per_ip = 3\n";
    assert_eq!(server.reload(lower).status, 200);
    assert_eq!(gateway.try_connect(PATH).map(drop).unwrap_err().status, 429);
    all[0].send_text(&user("still here"));
    for member in &mut all {
        assert_eq!(member.receive_json()["message"], "still here");
    }
    all.truncate(2);
    wait::until("a place", PATIENCE, || gateway.try_connect(PATH).is_ok());
    assert_eq!(server.reload("").status, 200);
    let _many: Vec<_> = (0..8).map(|_| gateway.join("caps")).collect();
}

#[test]
fn who_may_ask_for_a_reload() {
    let open = Reloadable::start(&[], "");
    for (fields, status) in [
        ("", 200),
        ("Content-Length: 0\r\n", 200),
        ("Origin: http://localhost\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        assert_eq!(open.post(fields).status, status, "{fields}");
    }
    let get = open.gateway.admin("/reload");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let secret = "0123456789abcdef";
    let closed = Reloadable::start(&[&format!("admin.token={secret}")], "").unchecked();
    for (fields, status) in [
        (String::new(), 401),
        ("Authorization: Bearer wrong\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {secret}\r\n"), 200),
    ] {
        assert_eq!(closed.post(&fields).status, status, "{fields}");
    }
}

#[test]
fn the_command_asks_the_running_node_and_ends_as_it_answers() {
    let secret = "0123456789abcdef";
    let server = Reloadable::start(&[&format!("admin.token={secret}")], "").unchecked();
    let address = server.gateway.admin_address().to_string();
    let reload = |text: &str, token: &str| {
        server.write(text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
        command.args(["reload", "--admin", &address]).env_clear();
        let output = command.env("SUPPORTAL_ADMIN__TOKEN", token).output();
        let output = output.expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        assert!(token.is_empty() || !said.contains(token), "{said}");
        (output.status.code(), said)
    };
    let (code, said) = reload("[queue]\ncapacity = 5\n", secret);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("queue.capacity"), "{said}");
    let (code, said) = reload("[queue]\ncapacity = 0\n", secret);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("queue.capacity: 0 is too small"), "{said}");
    for (token, fault) in [
        ("another-of-sixteen", "takes another admin.token"),
        ("", "asks for admin.token, which is not set here"),
    ] {
        let (code, said) = reload("", token);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(fault), "{said}");
        assert!(said.contains("SUPPORTAL_ADMIN__TOKEN"), "{said}");
    }
}
