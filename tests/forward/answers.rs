//! Answers of the site, good, bad and broken: each with the status that the client gets and the outcome that is counted.

use super::site::Site;
use super::table::table;
use super::{PATH, node};
use crate::support::{Gateway, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// The status that a client of a session gets.
#[track_caller]
fn status(gateway: &Gateway, session: &str) -> u16 {
    match gateway.try_connect(&format!("{PATH}{session}/")) {
        Ok(client) => client.upgrade.status,
        Err(refusal) => refusal.status,
    }
}

fn outcome(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!(
        "supportal_auth_questions_total{{outcome=\"{outcome}\"}}"
    ))
}

#[test]
fn every_answer_of_the_site_gets_its_status_and_is_counted() {
    let (site, table) = (Site::start(), table());
    let gateway = node(&site, &["auth.forward.recheck=0s"]);
    let mut faults = Vec::new();
    for (session, bytes, expected, counted) in table {
        site.answer(session, bytes);
        let before = outcome(&gateway, counted);
        let status = status(&gateway, session);
        let after = outcome(&gateway, counted);
        if status != expected || after != before + 1.0 {
            faults.push(format!(
                "{session}: {status} ({before} to {after} {counted})"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_answer_that_never_ends_or_never_begins_costs_its_time_and_no_memory() {
    let site = Site::start();
    let gateway = node(&site, &["auth.forward.timeout=500ms"]);
    let wait_for_the_end = |stream: &mut TcpStream| drop(stream.read(&mut [0]));
    site.script("silent", wait_for_the_end);
    site.script("half", move |stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"));
        wait_for_the_end(stream);
    });
    site.script("byte-by-byte", |stream| {
        for byte in b"HTTP/1.1 200 OK\r\nX: "
            .iter()
            .chain(std::iter::repeat(&b'x'))
        {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            wait::pass(Duration::from_millis(20));
        }
    });
    for session in ["silent", "half", "byte-by-byte"] {
        let before = outcome(&gateway, "timeout");
        assert_eq!(status(&gateway, session), 503, "{session}");
        assert_eq!(outcome(&gateway, "timeout"), before + 1.0, "{session}");
    }
    site.script("endless", |stream| {
        let begun = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{");
        while begun.is_ok() && stream.write_all(&[b' '; 64 * 1024]).is_ok() {}
    });
    site.script("endless-1xx", |stream| {
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    });
    let before = gateway.metric("supportal_process_resident_memory_bytes");
    for round in 0..20 {
        let session = if round % 2 == 0 {
            "endless"
        } else {
            "endless-1xx"
        };
        assert_eq!(status(&gateway, session), 503, "{session}");
    }
    let grown = gateway.metric("supportal_process_resident_memory_bytes") - before;
    assert!(grown < 8.0 * 1024.0 * 1024.0, "{grown} bytes");
    wait::until("the site to be left alone", super::PATIENCE, || {
        site.open() == 0
    });
}

#[test]
fn a_connection_that_is_reset_is_no_answer() {
    let site = Site::start();
    let gateway = node(&site, &[]);
    site.script("reset", |stream| {
        let socket = socket2::SockRef::from(&*stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    });
    site.script("shut", |stream| drop(stream.shutdown(Shutdown::Both)));
    for session in ["reset", "shut"] {
        assert_eq!(status(&gateway, session), 503, "{session}");
    }
    assert_eq!(outcome(&gateway, "broken"), 2.0);
}
