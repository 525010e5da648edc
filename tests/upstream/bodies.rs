//! Bodies in both directions: as they come, whatever their size, and ended as they end.

use super::puppet::{Puppet, Request};
use super::{ask, before};
use crate::support::http::{open, read_response};
use crate::support::wait;
use crate::support::{Gateway, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

/// A site that hands each request to the test and answers 200.
fn told(
    read: impl Fn(&mut Request) -> Vec<u8> + Send + Sync + 'static,
) -> (Puppet, Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let site = Puppet::start(move |request| {
        let body = read(request);
        let told = sender.lock().expect("the sender").send(body);
        told.is_ok() && request.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    (site, receiver)
}

/// Reads until the bytes end like this.
#[track_caller]
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let count = stream.read(&mut byte).expect("a byte");
        assert_eq!(
            count,
            1,
            "ended after {:?}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_body_keeps_its_length_or_its_chunks_and_its_trailers() {
    let (site, bodies) = told(Request::whole_body);
    let gateway = before(&site, &[]);
    let lines = ["PUT /a HTTP/1.1", "Host: a", "Content-Length: 5"];
    assert_eq!(ask(&gateway, &lines, b"hello").status, 200);
    assert_eq!(bodies.recv_timeout(PATIENCE).expect("a body"), b"hello");
    let head = site.heads().pop().expect("a request");
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{head}"
    );
    // Of no bytes: said as it was.
    assert_eq!(
        ask(
            &gateway,
            &["POST /a HTTP/1.1", "Host: a", "Content-Length: 0"],
            b""
        )
        .status,
        200
    );
    assert!(
        site.heads()
            .pop()
            .expect("a request")
            .to_ascii_lowercase()
            .contains("content-length: 0\r\n")
    );

    let (site, bodies) = told(|request| request.body_until(b"\r\n\r\n"));
    let gateway = before(&site, &[]);
    for method in ["POST", "GET", "DELETE"] {
        let line = format!("{method} /a HTTP/1.1");
        let lines = [
            &line,
            "Host: a",
            "Transfer-Encoding: Chunked",
            "Trailer: X-Sum",
        ];
        let body =
            b"5;ext=\"a;b\"\r\nhello\r\n1  \r\n!\r\n0\r\nX-Sum: 6\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(ask(&gateway, &lines, body).status, 200);
        let body = String::from_utf8(bodies.recv_timeout(PATIENCE).expect("a body")).expect("text");
        let end = body
            .strip_prefix("5\r\nhello\r\n1\r\n!\r\n0\r\n")
            .or(body.strip_prefix("6\r\nhello!\r\n0\r\n"));
        let end = end
            .unwrap_or_else(|| panic!("{body:?}"))
            .to_ascii_lowercase();
        assert_eq!(end, "x-sum: 6\r\n\r\n", "a length is no trailer");
        let head = site.heads().pop().expect("a request").to_ascii_lowercase();
        assert_eq!(
            head.matches("transfer-encoding: chunked\r\n").count(),
            1,
            "{head}"
        );
    }
}

#[test]
fn an_answer_keeps_its_length_its_chunks_its_trailers_or_its_lack_of_a_body() {
    let site = Puppet::start(|request| {
        let answer = match request.target() {
            "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "/chunks" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n"
            }
            "/partial" => {
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/5\r\nContent-Length: 2\r\n\r\nel"
            }
            "/same" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
            "/none" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
            "/hints" => {
                "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            }
            _ => "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        };
        request.say(answer) && request.target() != "/close"
    });
    let gateway = before(&site, &[]);
    let get = |target: &str| {
        ask(
            &gateway,
            &[
                &format!("GET {target} HTTP/1.1"),
                "Host: a",
                "TE: trailers",
                "Connection: close",
            ],
            b"",
        )
    };
    let answer = get("/length");
    assert_eq!(
        (answer.header("content-length"), answer.text()),
        (Some("5"), "hello".to_owned())
    );
    let answer = get("/chunks");
    assert_eq!(
        (answer.header("transfer-encoding"), answer.text()),
        (Some("chunked"), "hello".to_owned())
    );
    let answer = get("/partial");
    assert_eq!(
        (answer.status, answer.header("content-range"), answer.text()),
        (206, Some("bytes 1-2/5"), "el".to_owned())
    );
    let answer = get("/same");
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"a\"")));
    assert_eq!(get("/none").status, 204);
    assert_eq!(get("/hints").text(), "ok");
    assert_eq!(get("/close").text(), "until the end");

    let mut stream = open(gateway.public());
    let head = "HEAD /head HTTP/1.1\r\nHost: a\r\n\r\nGET /chunks HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let said = read_until(&mut stream, "\r\n\r\n");
    assert!(
        said.to_ascii_lowercase()
            .contains("content-length: 12345\r\n"),
        "{said}"
    );
    let said = read_until(&mut stream, "\r\n\r\n");
    assert!(
        said.starts_with("HTTP/1.1 200 OK\r\n"),
        "no body between: {said}"
    );
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n").to_ascii_lowercase(),
        "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"
    );
}

#[test]
fn a_client_is_asked_for_its_body_when_the_site_asks() {
    let (sender, go) = mpsc::channel();
    let go = Mutex::new(go);
    let site = Puppet::start(move |request| {
        go.lock().expect("the order").recv().expect("an order");
        match request.target() {
            "/no" => request.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"),
            "/silent" => {
                let body = request.body(5);
                request.say(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
                    String::from_utf8_lossy(&body)
                ))
            }
            _ => {
                request.say("HTTP/1.1 100 Continue\r\n\r\n");
                let body = request.body(5);
                request.say(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
                    String::from_utf8_lossy(&body)
                ))
            }
        }
    });
    let gateway = before(&site, &[]);
    for target in ["/yes", "/silent"] {
        let mut stream = open(gateway.public());
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        wait::until("the site to have the head", PATIENCE, || {
            site.heads().iter().any(|head| head.contains(target))
        });
        let head = site.heads().pop().expect("a request").to_ascii_lowercase();
        assert!(head.contains("expect: 100-continue\r\n"), "{head}");
        sender.send(()).expect("the site waits");
        assert_eq!(
            read_until(&mut stream, "\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        stream.write_all(b"hello").expect("sent");
        let (answer, _rest) = read_response(&mut stream).expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
    }
    let mut stream = open(gateway.public());
    stream
        .write_all(
            b"POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        )
        .expect("sent");
    sender.send(()).expect("the site waits");
    let (answer, _rest) = read_response(&mut stream).expect("an answer");
    assert_eq!(answer.status, 413, "and no 100 before");
}

#[test]
fn what_the_site_says_is_there_at_once() {
    let (sender, go) = mpsc::channel::<&str>();
    let go = Mutex::new(go);
    let site = Puppet::start(move |request| {
        request.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Ok(event) = go.lock().expect("the events").recv() {
            if event.is_empty() {
                return request.say("0\r\n\r\n");
            }
            request.say(format!("{:x}\r\n{event}\r\n", event.len()));
        }
        false
    });
    // The stream lives longer than any answer may take that is not streamed.
    let gateway = before(&site, &["server.http_timeout=200ms"]);
    let mut stream = open(gateway.public());
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        wait::pass(std::time::Duration::from_millis(150));
        sender.send(event).expect("the site listens");
        assert_eq!(
            read_until(&mut stream, "\n\n\r\n"),
            format!("{:x}\r\n{event}\r\n", event.len())
        );
    }
    assert_eq!(gateway.metric("supportal_upstream_requests"), 1.0);
    sender.send("").expect("the site listens");
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "0\r\n\r\n");
    wait::until("the request to be over", PATIENCE, || {
        gateway.metric("supportal_upstream_requests") == 0.0
    });
}

#[test]
fn a_client_of_http_1_0_is_not_promised_a_connection_that_ends_with_the_answer() {
    let site = Puppet::start(|request| {
        let answer = match request.target() {
            "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "/chunks" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        };
        request.say(answer) && request.target() != "/close"
    });
    let gateway = before(&site, &[]);
    for (target, connection) in [
        ("/length", Some("keep-alive")),
        ("/chunks", None),
        ("/close", None),
    ] {
        let line = format!("GET {target} HTTP/1.0");
        let answer = ask(&gateway, &[&line, "Host: a", "Connection: keep-alive"], b"");
        assert_eq!(answer.header("connection"), connection, "{target}");
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
    }
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let site = Puppet::start(|request| {
        match request.target() {
            "/length" => request.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
            _ => request.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        };
        false
    });
    let gateway = before(&site, &[]);
    for (target, end) in [("/length", "hello"), ("/chunks", "5\r\nhello\r\n")] {
        let mut stream = open(gateway.public());
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut said = Vec::new();
        // Reset or closed: either way without the end.
        drop(stream.read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        assert!(said.ends_with(end), "{said}");
    }
    wait::until("both to be counted", PATIENCE, || {
        gateway.metric("supportal_upstream_errors_total{reason=\"body\"}") == 2.0
    });
}

#[test]
fn an_answer_whose_body_is_wrong_from_its_beginning_on_is_a_502() {
    let site = Puppet::start(|request| {
        request.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n")
    });
    let gateway = before(&site, &[]);
    for asked in 1..=3 {
        let answer = ask(&gateway, &["GET /a HTTP/1.1", "Host: a"], b"");
        assert_eq!(answer.status, 502);
        let count = gateway.metric("supportal_upstream_errors_total{reason=\"body\"}");
        assert_eq!(count, f64::from(asked));
    }
}

#[test]
fn too_long_a_body_is_refused_by_its_length_or_when_it_is_too_long() {
    let (site, _bodies) = told(|request| request.body_until(b"0\r\n\r\n"));
    let gateway = before(&site, &["http.upstream_body_bytes=10"]);
    let length = ["POST /a HTTP/1.1", "Host: a", "Content-Length: 11"];
    assert_eq!(ask(&gateway, &length, b"hello world").status, 413);
    let chunks = ["POST /a HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"];
    assert_eq!(
        ask(&gateway, &chunks, b"b\r\nhello world\r\n0\r\n\r\n").status,
        413
    );
    assert_eq!(site.heads(), Vec::<String>::new());
    let body = b"6\r\nhello \r\n6\r\nworld!\r\n0\r\n\r\n";
    let mut stream = open(gateway.public());
    stream
        .write_all(
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n",
        )
        .expect("sent");
    wait::until("the site to have the first piece", PATIENCE, || {
        site.heads().len() == 1
    });
    stream.write_all(&body[11..]).expect("sent");
    let (answer, _rest) = read_response(&mut stream).expect("an answer");
    assert_eq!(answer.status, 413);
    assert_eq!(
        ask(&gateway, &chunks, b"a\r\nhello worl\r\n0\r\n\r\n").status,
        200
    );
}

#[test]
fn a_body_that_breaks_off_or_turns_wrong_never_ends_at_the_site() {
    let (site, bodies) = told(|request| request.body_until(b"0\r\n\r\n"));
    let gateway = before(&site, &[]);
    for (number, wrong) in ["x\r\n", "5\r\nhello!!", "-1\r\n"].into_iter().enumerate() {
        let mut stream = open(gateway.public());
        stream
            .write_all(
                b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            )
            .expect("sent");
        wait::until("the site to have the head", PATIENCE, || {
            site.heads().len() == number + 1
        });
        stream.write_all(wrong.as_bytes()).expect("sent");
        let (answer, _rest) = read_response(&mut stream).expect("an answer");
        assert_eq!(answer.status, 400, "{wrong:?}");
        let body = bodies
            .recv_timeout(PATIENCE)
            .expect("the site to see the end");
        assert!(
            !body.ends_with(b"0\r\n\r\n"),
            "{wrong:?}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    let mut stream = open(gateway.public());
    stream
        .write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhello")
        .expect("sent");
    wait::until("the site to have the head", PATIENCE, || {
        site.heads().len() == 4
    });
    drop(stream);
    let body = bodies
        .recv_timeout(PATIENCE)
        .expect("the site to see the end");
    assert_eq!(body, b"hello");
}

#[test]
fn an_answer_before_the_end_of_the_body_is_passed_on() {
    let site = Puppet::start(|request| {
        request.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    });
    let gateway = before(&site, &[]);
    let mut stream = open(gateway.public());
    stream
        .write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello")
        .expect("sent");
    let (answer, _rest) = read_response(&mut stream).expect("an answer");
    assert_eq!((answer.status, answer.text()), (401, "no".to_owned()));
    assert_eq!(answer.header("connection"), Some("close"));
    // The site's connection has half a body in it: nobody else gets it.
    assert_eq!(
        ask(&gateway, &["GET /b HTTP/1.1", "Host: a"], b"").status,
        401
    );
    assert_eq!(site.connections(), 2);
}

/// Bytes of a large body.
const LARGE: usize = 50 * 1024 * 1024;

#[test]
fn large_bodies_pass_through_in_little_memory() {
    let site = Puppet::start(|request| {
        let mut left = request
            .field("content-length")
            .map_or(0, |text| text.parse::<usize>().expect("a length"));
        while left > 0 {
            left -= request.body(left.min(64 * 1024)).len();
        }
        let piece = vec![b'x'; 64 * 1024];
        request.say(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"
        ));
        (0..LARGE / piece.len()).all(|_| request.say(&piece))
    });
    let gateway = before(&site, &[]);
    let exchange = |gateway: &Gateway, length: usize| {
        let mut stream = open(gateway.public());
        let head = format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..length / piece.len() {
            stream.write_all(&piece).expect("sent");
        }
        let mut answer = vec![0; 256 * 1024];
        let mut count = 0;
        loop {
            match stream.read(&mut answer).expect("bytes") {
                0 => return count,
                read => count += read,
            }
        }
    };
    // The first time the allocator takes what it keeps.
    assert!(exchange(&gateway, 1024 * 1024) > LARGE);
    let before = gateway.metric("supportal_process_resident_memory_bytes");
    assert!(exchange(&gateway, LARGE) > LARGE);
    let grown = gateway.metric("supportal_process_resident_memory_bytes") - before;
    assert!(grown <= 2.0 * 1024.0 * 1024.0, "grew by {grown} bytes");
}
