//! What the command says to a node that does not give it the archive.

use super::*;
use crate::api::api_address;
use crate::upstream::puppet::Puppet;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who is no node, in several ways.
fn stranger() -> Puppet {
    Puppet::start(|request| {
        let answer = match request.target() {
            target if target.starts_with("/moved/") => {
                "HTTP/1.1 301 Moved\r\nLocation: https://node/\r\nContent-Length: 0\r\n\r\n"
            }
            target if target.starts_with("/page/") => {
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n"
            }
            target if target.starts_with("/list/") => {
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1]\n"
            }
            target if target.starts_with("/object/") => {
                "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"cursor\": 1}\n"
            }
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>",
        };
        request.say(answer)
    })
}

#[test]
fn whoever_cannot_be_read_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let without_archive = Gateway::start(&[&format!("api.token={TOKEN}")]);
    let mut site = PackageSite::new(None, &["abc"]).beside(&gateway);
    say(&mut gateway.join("abc"), "hello");
    let address = site.gateway["URL"].clone();
    let stranger = stranger();
    let elsewhere = |path: &str| Value::from(format!("http://{}{path}", stranger.address()));
    let without_api = Gateway::start(&[]);
    let rows: [(&str, Value, &str); 11] = [
        (
            "TOKEN",
            Value::Null,
            "set SUPPORTAL_GATEWAY['TOKEN'], or SUPPORTAL_API__TOKEN",
        ),
        (
            "TOKEN",
            "another-token-0123456789".into(),
            "is not the node's api.token",
        ),
        (
            "URL",
            format!("http://{}", without_archive.public()).into(),
            "the node keeps no archive: set its archive.mode",
        ),
        (
            "URL",
            format!("http://{}", without_api.public()).into(),
            "or its api.listen, without a path, or set its api.token",
        ),
        ("URL", elsewhere(""), "correct SUPPORTAL_GATEWAY['URL']"),
        ("URL", elsewhere("/moved"), "a redirect is not followed"),
        ("URL", elsewhere("/page"), "/page is no archive"),
        ("URL", elsewhere("/list"), "/list is no archive"),
        ("URL", elsewhere("/object"), "/object is no archive"),
        (
            "URL",
            "http://127.0.0.1:1".into(),
            "cannot go on: no answer of http://127.0.0.1:1: ",
        ),
        (
            "ULR",
            "http://127.0.0.1:1".into(),
            "SUPPORTAL_GATEWAY has no ULR",
        ),
    ];
    for (key, value, expected) in rows {
        site.gateway = json!({ "TOKEN": TOKEN, "URL": address });
        site.gateway[key] = value;
        let said = site.refusal(&["supportal_archive", "--once"]);
        assert!(said.contains(expected), "{key}: {said}");
        assert!(!said.contains("another-token"), "{said}");
    }
    site.gateway = json!({ "TOKEN": TOKEN, "URL": address });
    site.manage(&["supportal_archive", "--once"]);
    assert_eq!(said(&site.rows()), [("abc", "USER", "hello")]);
}

#[test]
fn a_listener_on_loopback_without_a_token_is_read_without_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!(
        "archive.path={}",
        folder.path().join("archive.db").display()
    );
    let gateway = Gateway::start(&["archive.mode=journal", &path, "api.listen=127.0.0.1:0"]);
    let mut site = PackageSite::new(None, &["abc"]);
    site.gateway = json!({ "URL": format!("http://{}", api_address(&gateway)) });
    say(&mut gateway.join("abc"), "hello");
    let said_of_it = site.manage(&["supportal_archive", "--once"]);
    assert_eq!(said_of_it.trim(), "1 rows");
    assert_eq!(said(&site.rows()), [("abc", "USER", "hello")]);
}

#[test]
fn the_command_says_when_it_begins_and_when_it_goes_on_and_ends_well_at_sigterm() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let node = Puppet::start(move |request| {
        request.say(if is_down.load(Ordering::Relaxed) {
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        })
    });
    let mut site = PackageSite::new(None, &[]);
    site.gateway["URL"] = format!("http://{}", node.address()).into();
    let mut command = site.run_heard(&["supportal_archive"]);
    command.until_says(&format!(
        "reads the archive of http://{} as django",
        node.address()
    ));
    command.until_says("cannot go on, and will try again");
    down.store(false, Ordering::Relaxed);
    command.until_says("goes on again");
    let child = &mut command.process.0;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::TERM).expect("the signal");
    assert!(child.wait().expect("an end").success());
}

#[test]
fn the_archive_of_another_node_is_begun_only_when_that_is_asked_for() {
    let (folder, other_folder) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let gateway = keeping(&folder, &[]);
    let site = PackageSite::new(None, &["abc"]).beside(&gateway);
    say(&mut gateway.join("abc"), "one");
    site.manage(&["supportal_archive", "--once"]);
    let other = keeping(&other_folder, &[]);
    say(&mut other.join("abc"), "two");
    let site = site.beside(&other);
    let refused = site.refusal(&["supportal_archive", "--once"]);
    assert!(refused.contains("run with --restart"), "{refused}");
    site.manage(&["supportal_archive", "--once", "--restart"]);
    assert_eq!(
        said(&site.rows()),
        [("abc", "USER", "one"), ("abc", "USER", "two")]
    );
}

#[test]
fn a_line_is_as_long_as_the_node_says_and_no_longer_than_is_sensible_if_it_says_nothing() {
    // As with a limits.message_bytes of some mebibytes: escapes make six bytes of one.
    let text = "x".repeat(9 << 20);
    let line = json!({
        "cursor": "1", "room": "chat_1_abc", "business_id": 1, "session_id": "abc", "epoch": 1, "offset": 1,
        "sender": "user", "message": text, "at": "2026-01-01T00:00:00.000001Z", "origin": "gateway",
    });
    let line = format!("{line}\n");
    let bytes = line.len();
    for (said, is_taken) in [
        (format!("X-Supportal-Line-Bytes: {bytes}\r\n"), true),
        (format!("X-Supportal-Line-Bytes: {}\r\n", bytes - 1), false),
        ("X-Supportal-Line-Bytes: many\r\n".to_owned(), false),
        (String::new(), false),
    ] {
        let whole = format!("HTTP/1.1 200 OK\r\n{said}Content-Length: {bytes}\r\n\r\n{line}");
        let node = Puppet::start(move |request| {
            let is_first = !request.target().contains("after=");
            request.say(match is_first {
                true => &*whole,
                false => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            })
        });
        let mut site = PackageSite::new(None, &["abc"]);
        site.gateway["URL"] = format!("http://{}", node.address()).into();
        if is_taken {
            let wrote = site.manage(&["supportal_archive", "--once"]);
            assert_eq!(wrote.trim(), "1 rows", "{said}");
        } else {
            let refused = site.refusal(&["supportal_archive", "--once"]);
            assert!(
                refused.contains("a line of the archive broke off"),
                "{said}"
            );
        }
    }
}
