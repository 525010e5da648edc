//! A site that is not there, or slow, or full, or ends.

use super::puppet::Puppet;
use super::{ask, before};
use crate::support::http::{open, read_response};
use crate::support::{Gateway, PATIENCE, Signal, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const GET: [&str; 2] = ["GET /a HTTP/1.1", "Host: a"];

fn errors(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!(
        "supportal_upstream_errors_total{{reason=\"{reason}\"}}"
    ))
}

#[test]
fn without_a_site_there_is_a_502_for_people_and_one_for_programs() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    let gateway = Gateway::start(&[&format!("http.upstream=http://{nobody}")]);
    let answer = ask(&gateway, &GET, b"");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (502, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(answer.text(), "502 Bad Gateway: the site does not answer\n");
    let page = ask(
        &gateway,
        &[GET[0], GET[1], "Accept: text/html,*/*;q=0.8"],
        b"",
    );
    assert_eq!(
        (page.status, page.header("content-type")),
        (502, Some("text/html; charset=utf-8"))
    );
    assert!(page.text().starts_with("<!doctype html>") && page.text().contains("502 Bad Gateway"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(errors(&gateway, "connect"), 2.0);
    assert_eq!(
        gateway
            .wait_log("the site cannot be reached", 1)
            .matches("cannot be reached")
            .count(),
        1
    );
    // The chat does not need the site.
    gateway.join("a").send_text("{}");
    let socket = gateway.try_connect("/ws/custom/").expect_err("no site");
    assert_eq!(socket.status, 502);
    let listener = TcpListener::bind(nobody).expect("the port is still free");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 1024];
        let _read = stream.read(&mut head).expect("a head");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .expect("sent");
    });
    assert_eq!(ask(&gateway, &GET, b"").status, 200);
    gateway.wait_log("the site is reached again", 1);
}

#[test]
fn a_site_that_says_nothing_or_nonsense_gets_a_504_or_a_502() {
    let site = Puppet::start(|request| {
        let answer = match request.target() {
            "/nothing" => return request.read(),
            "/closed" => return false,
            "/nonsense" => "nonsense\r\n\r\n",
            "/lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "/folded" => "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            "/switch" => {
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            }
            "/long" => {
                return request.say("HTTP/1.1 200 OK\r\nX: ")
                    && (0..100).all(|_| request.say(vec![b'x'; 1024]));
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        };
        request.say(answer) && request.read()
    });
    let settings = [
        "http.upstream_head_timeout=300ms",
        "http.upstream_idle_timeout=300ms",
    ];
    let gateway = before(&site, &settings);
    for (target, status, reason) in [
        ("/nothing", 504, "head_timeout"),
        ("/closed", 502, "closed"),
        ("/nonsense", 502, "malformed"),
        ("/lengths", 502, "malformed"),
        ("/folded", 502, "malformed"),
        ("/switch", 502, "upgrade"),
        ("/long", 502, "malformed"),
    ] {
        let before = errors(&gateway, reason);
        let answer = ask(
            &gateway,
            &[&format!("GET {target} HTTP/1.1"), "Host: a"],
            b"",
        );
        assert_eq!(
            (answer.status, errors(&gateway, reason)),
            (status, before + 1.0),
            "{target}"
        );
    }
    // In the middle of an answer there is no other way to say it than to end.
    let mut stream = open(gateway.public());
    stream
        .write_all(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said));
    assert!(
        said.ends_with(b"hello"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert_eq!(errors(&gateway, "idle_timeout"), 1.0);
}

/// Fields that say in two ways, or in one that not everybody knows, where the body is at its end, and that body.
#[rustfmt::skip]
const AMBIGUOUS: &[&str] = &[
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    "Transfer-Encoding: gzip\r\n\r\nOK",
    "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nOK",
    "Content-Length: 2, 2\r\n\r\nOK",
    "Content-Length: 2\r\nContent-Length: 2\r\n\r\nOK",
    "Content-Length: +2\r\n\r\nOK",
];

#[test]
fn an_answer_that_two_readers_could_end_in_two_places_is_a_502() {
    let site = Puppet::start(|request| {
        let number = request.target().trim_start_matches('/').parse::<usize>();
        let fields = number.map_or("Content-Length: 2\r\n\r\nok", |number| AMBIGUOUS[number]);
        request.say(format!("HTTP/1.1 200 OK\r\n{fields}")) && request.read()
    });
    let gateway = before(&site, &[]);
    for (number, fields) in AMBIGUOUS.iter().enumerate() {
        let line = format!("GET /{number} HTTP/1.1");
        let answer = ask(&gateway, &[&line, "Host: a"], b"");
        assert_eq!(answer.status, 502, "{fields}");
        assert_eq!(errors(&gateway, "malformed"), (number + 1) as f64);
        let next = ask(&gateway, &GET, b"");
        assert_eq!((next.status, next.text()), (200, "ok".to_owned()));
    }
}

#[test]
fn a_client_that_stands_still_is_not_waited_for() {
    let site = Puppet::start(|request| {
        if request.target() == "/upload" {
            request.whole_body();
            return false;
        }
        request.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![b'x'; 64 * 1024];
        while request.say(&piece) {}
        false
    });
    let gateway = before(&site, &["http.upstream_idle_timeout=300ms"]);
    let upload = ["POST /upload HTTP/1.1", "Host: a", "Content-Length: 10"];
    assert_eq!(ask(&gateway, &upload, b"hello").status, 408);
    let chunks = [
        "POST /upload HTTP/1.1",
        "Host: a",
        "Transfer-Encoding: chunked",
    ];
    assert_eq!(ask(&gateway, &chunks, b"").status, 408);
    // One that takes nothing of an answer.
    let mut stream = open(gateway.public());
    stream
        .write_all(b"GET /download HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    wait::until("the download to begin", PATIENCE, || {
        site.heads().iter().any(|head| head.contains("/download"))
    });
    wait::until("the download to be ended", PATIENCE, || {
        gateway.metric("supportal_upstream_requests") == 0.0
    });
}

#[test]
fn a_client_that_dribbles_is_not_waited_for_without_end() {
    let site = Puppet::start(|request| {
        if request.target() == "/upload" {
            request.whole_body();
            return request.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        request.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![b'x'; 64 * 1024];
        while request.say(&piece) {}
        false
    });
    let slow = [
        "http.client_timeout=500ms",
        "http.client_bytes_per_second=100000000",
    ];
    let gateway = before(&site, &slow);
    // Never still for long, and never done.
    let mut stream = open(gateway.public());
    let head = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head).expect("sent");
    let mut writer = stream.try_clone().expect("the same socket");
    let dribble = thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            wait::pass(Duration::from_millis(20));
        }
    });
    assert_eq!(read_response(&mut stream).expect("an answer").0.status, 408);
    drop(stream.shutdown(Shutdown::Both));
    dribble.join().expect("its end");
    let mut stream = open(gateway.public());
    stream
        .write_all(b"GET /download HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let begun = wait::Watch::start();
    let mut scratch = [0; 20_000];
    while begun.elapsed() < PATIENCE && !matches!(stream.read(&mut scratch), Ok(0) | Err(_)) {
        wait::pass(Duration::from_millis(50));
    }
    assert!(begun.elapsed() < PATIENCE, "still answered");
    wait::until("the requests to be over", PATIENCE, || {
        gateway.metric("supportal_upstream_requests") == 0.0
    });
    // Who keeps the rate may take as long as it takes.
    let fair = [
        "http.client_timeout=300ms",
        "http.client_bytes_per_second=100",
    ];
    let gateway = before(&site, &fair);
    let mut stream = open(gateway.public());
    let head = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n";
    stream.write_all(head).expect("sent");
    for _piece in 0..20 {
        wait::pass(Duration::from_millis(50));
        stream.write_all(&[b'x'; 100]).expect("sent");
    }
    assert_eq!(read_response(&mut stream).expect("an answer").0.status, 200);
}

#[test]
fn a_connection_that_the_site_has_closed_is_no_fault_for_who_may_ask_again() {
    let site = Puppet::start(|request| {
        request.whole_body();
        request.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // As a site does whose keep-alive is over: closed without a word, at the next request.
        request.stream.set_read_timeout(None).expect("a setting");
        let _next = request.read();
        false
    });
    let gateway = before(&site, &["http.upstream_keep_alive_timeout=1h"]);
    for _ in 0..5 {
        assert_eq!(ask(&gateway, &GET, b"").status, 200);
        assert_eq!(
            ask(&gateway, &["PUT /a HTTP/1.1", "Host: a"], b"").status,
            200
        );
    }
    // What may do something twice is not said again.
    let post = ["POST /a HTTP/1.1", "Host: a", "Content-Length: 2"];
    let statuses: Vec<u16> = (0..4).map(|_| ask(&gateway, &post, b"hi").status).collect();
    assert!(
        statuses.contains(&502) && statuses.contains(&200),
        "{statuses:?}"
    );
    let asked = site
        .heads()
        .iter()
        .filter(|head| head.starts_with("POST"))
        .count();
    assert!(asked <= statuses.len(), "{asked} for {statuses:?}");
}

#[test]
fn more_requests_than_the_cap_get_a_503_and_the_chat_goes_on() {
    let (sender, go) = mpsc::channel::<()>();
    let go = Mutex::new(go);
    let site = Puppet::start(move |request| {
        go.lock().expect("the order").recv().is_ok()
            && request.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let settings = [
        "http.upstream_requests=2",
        "limits.handshakes=4",
        "limits.kept_alive=4",
    ];
    let gateway = before(&site, &settings);
    let mut held = Vec::new();
    for number in 1..=2 {
        let mut stream = open(gateway.public());
        stream
            .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("sent");
        held.push(stream);
        wait::until("the request to be at the site", PATIENCE, || {
            gateway.metric("supportal_upstream_requests") == f64::from(number)
        });
    }
    assert_eq!(
        gateway.metric("supportal_handshakes_in_progress"),
        0.0,
        "they have places of their own"
    );
    let answer = ask(&gateway, &GET, b"");
    assert!(answer.status == 503 && answer.header("retry-after").is_some());
    gateway.join("a").send_text("{}");
    // Whose thread at the site hears which is nobody's to say.
    for _request in &held {
        sender.send(()).expect("the site waits");
    }
    for stream in &mut held {
        let (answer, _rest) = read_response(stream).expect("an answer");
        assert_eq!(answer.status, 200);
    }
    sender.send(()).expect("the site waits");
    wait::until("a place to be free", PATIENCE, || {
        gateway.metric("supportal_upstream_requests") == 0.0
    });
    assert_eq!(ask(&gateway, &GET, b"").status, 200);
}

#[test]
fn one_address_has_its_share_of_the_requests() {
    let (sender, go) = mpsc::channel::<()>();
    let go = Mutex::new(go);
    let site = Puppet::start(move |request| {
        let is_over = request.target() == "/slow" && go.lock().expect("the order").recv().is_err();
        !is_over && request.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let settings = [
        "http.upstream_requests_per_ip=2",
        "proxy.trusted=127.0.0.1",
        "proxy.header=x-forwarded-for",
    ];
    let gateway = before(&site, &settings);
    let mut held: Vec<_> = (0..2).map(|_| open(gateway.public())).collect();
    for stream in &mut held {
        let head = b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::1\r\n\r\n";
        stream.write_all(head).expect("sent");
    }
    wait::until("the requests to be at the site", PATIENCE, || {
        gateway.metric("supportal_upstream_requests") == 2.0
    });
    let ask_from = |client: &str| {
        let line = format!("X-Forwarded-For: {client}");
        ask(&gateway, &[GET[0], GET[1], &line], b"")
    };
    let refused = ask_from("2001:db8::2");
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (429, "too many requests from this address"),
        "of the same line"
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ask_from("192.0.2.2").status, 200);
    // Whose thread at the site hears which is nobody's to say.
    for _request in &held {
        sender.send(()).expect("the site waits");
    }
    for stream in &mut held {
        assert_eq!(read_response(stream).expect("an answer").0.status, 200);
    }
    wait::until("the share to be free", PATIENCE, || {
        ask_from("2001:db8::2").status == 200
    });
}

#[test]
fn a_site_may_be_behind_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("site.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 4096];
        let count = stream.read(&mut head).expect("a head");
        let length = count.to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{length}",
            length.len()
        );
        stream.write_all(answer.as_bytes()).expect("sent");
    });
    let gateway = Gateway::start(&[&format!("http.upstream=unix:{}", path.display())]);
    let answer = ask(&gateway, &GET, b"");
    assert!(answer.status == 200 && answer.text().parse::<usize>().is_ok());
    assert_eq!(ask(&gateway, &GET, b"").status, 502, "it has gone");
}

#[test]
fn a_drain_waits_for_what_is_at_the_site() {
    let (sender, go) = mpsc::channel::<()>();
    let go = Mutex::new(go);
    let site = Puppet::start(move |request| {
        request.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        go.lock().expect("the order").recv().is_ok() && request.say("world")
    });
    let gateway = before(&site, &["server.drain_grace=30s"]);
    let mut stream = open(gateway.public());
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    wait::until("the request to be at the site", PATIENCE, || {
        gateway.metric("supportal_upstream_requests") == 1.0
    });
    gateway.signal(Signal::Term);
    gateway.wait_log("draining", 1);
    // Longer than the last answers have that nobody is asked for.
    wait::pass(Duration::from_millis(1500));
    sender.send(()).expect("the site waits");
    let (answer, _rest) = read_response(&mut stream).expect("an answer");
    assert_eq!(answer.text(), "helloworld");
    drop(stream.shutdown(Shutdown::Both));
    assert_eq!(gateway.wait_exit(Duration::from_secs(15)), Some(0));
}
