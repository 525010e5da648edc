//! What HTTP asks of a server around the sockets, on both listeners: targets, hosts, ambiguous bodies, peers
//! that end their side, idle connections and slow ones.

use crate::support::{Canaries, Gateway, PATIENCE, http, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const ROOM: &str = "/ws/chat/1/http/";

/// A handshake with this request line and these fields before the upgrade's.
fn upgrade(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\n{fields}{UPGRADE}\r\n").into_bytes()
}

/// Any other request.
fn plain(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\n{fields}\r\n").into_bytes()
}

const HOST: &str = "Host: localhost\r\n";

/// A row: what is sent, its status, and whether the connection must end with the answer.
type Row = (Vec<u8>, u16, bool);

/// Targets, hosts and methods of handshakes.
fn handshakes() -> Vec<Row> {
    let line = |target: &str| format!("GET {target} HTTP/1.1");
    let mut rows: Vec<Row> = Vec::new();
    for target in [
        ROOM,
        "//ws/chat/1/http/",
        "/////ws/chat/1/http/",
        "/ws/chat/%31/%68ttp/",
        "/ws/chat/1/http/?",
        "/ws/chat/1/http/?a=1&a=2&;=%zz&+",
        "/ws/chat/1/http/?next=//evil.example/%00%0d%0a",
        "/ws/chat/1/http/??/ws//chat",
        "/ws/chat/1/http/?a={b}|c^d`e",
        "http://localhost/ws/chat/1/http/",
        "HTTP://LOCALHOST:8000/ws/chat/1/http/",
        "http://[::1]:8000//ws/chat/1/http/?a=b",
        "https://localhost/ws/chat/1/http/",
    ] {
        rows.push((upgrade(&line(target), HOST), 101, false));
    }
    for target in [
        "/ws//chat/1/http/",
        "//ws//chat/1/http/",
        "/ws/chat//1/http/",
        "/ws/chat/1/http",
        "/ws/chat/1/http//",
        "/ws/chat/1/http/%2F",
        "/%2Fws/chat/1/http/",
        "/%77s/chat/1/http/",
        "/ws/chat/1/%2e%2e/",
        "/ws/chat/1/../2/http/",
        "http://localhost/ws/chat/1/http",
        "/nothing",
    ] {
        rows.push((upgrade(&line(target), HOST), 404, false));
    }
    for target in [
        "*",
        "localhost:8000",
        "ws/chat/1/http/",
        "http://user@localhost/ws/chat/1/http/",
        "http:///ws/chat/1/http/",
        "/ws/chat/1/ht tp/",
        "/ws/chat/1/ht\\tp/ x",
    ] {
        rows.push((upgrade(&line(target), HOST), 400, false));
    }
    rows
}

/// Hosts, methods and line ends of handshakes.
fn heads() -> Vec<Row> {
    let line = format!("GET {ROOM} HTTP/1.1");
    let mut rows: Vec<Row> = Vec::new();
    for (fields, status) in [
        ("", 400),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("Host: \r\n", 400),
        ("Host: a/b\r\n", 400),
        ("Host: user@a\r\n", 400),
        ("Host : a\r\n", 400),
        ("hOsT:a:1\r\n", 101),
        ("Host: [::1]:1\r\n", 101),
    ] {
        rows.push((upgrade(&line, fields), status, false));
    }
    for method in [
        "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "get", "Get", "BREW",
    ] {
        rows.push((
            upgrade(&format!("{method} {ROOM} HTTP/1.1"), HOST),
            405,
            false,
        ));
    }
    rows.push((upgrade(&format!("GET {ROOM} HTTP/1.0"), HOST), 426, false));
    rows.push((upgrade(&format!("GET {ROOM} HTTP/1.0"), ""), 426, false));
    let handshake = upgrade(&line, HOST);
    for empty in [&b"\r\n"[..], b"\r\n\r\n", b"\n"] {
        rows.push(([empty, &handshake].concat(), 101, false));
    }
    let text = String::from_utf8(handshake).expect("ASCII");
    rows.push((text.replace("\r\n", "\n").into_bytes(), 101, false));
    // A head that comes in pieces is judged at its end, which CRs alone are not.
    let bare = text.replace("\r\n", "\r") + "\r\n\r\n";
    rows.push((bare.into_bytes(), 400, true));
    rows
}

/// Bodies and their lengths, with an upgrade and without.
fn bodies() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for fields in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: -5\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let fields = format!("{HOST}{fields}");
        let head = upgrade(&format!("GET {ROOM} HTTP/1.1"), &fields);
        // The body is a request of its own for whoever reads the length another way.
        rows.push((
            [&head, &b"0\r\n\r\nGET /client.js HTTP/1.1\r\n\r\n"[..]].concat(),
            400,
            true,
        ));
    }
    let posted = plain("POST / HTTP/1.1", &format!("{HOST}Content-Length: 5\r\n"));
    rows.push(([&posted, &b"hello"[..]].concat(), 405, true));
    let posted = plain(
        "POST / HTTP/1.1",
        &format!("{HOST}Content-Length: 100000\r\n"),
    );
    rows.push(([posted, vec![b'x'; 100_000]].concat(), 405, true));
    let expecting = format!("{HOST}Content-Length: 5\r\nExpect: 100-continue\r\n");
    rows.push((plain("POST / HTTP/1.1", &expecting), 405, true));
    let ambiguous = format!("{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
    rows.push((plain("GET / HTTP/1.1", &ambiguous), 200, true));
    rows
}

/// Requests for pages and for nothing.
fn pages() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (line, status) in [
        ("GET / HTTP/1.1", 200),
        ("GET /?a=/ws/chat/1/http/ HTTP/1.1", 200),
        ("HEAD /client.js HTTP/1.1", 200),
        ("GET http://localhost/ HTTP/1.1", 200),
        ("GET http://localhost HTTP/1.1", 200),
        ("GET /chat/1/abc HTTP/1.1", 308),
        ("GET /chat/1/abc?a=1 HTTP/1.1", 308),
        ("HEAD /chat/1/abc/ HTTP/1.1", 200),
        ("GET // HTTP/1.1", 404),
        ("GET //chat/1/abc HTTP/1.1", 404),
        ("HEAD /nothing HTTP/1.1", 404),
        ("DELETE / HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 405),
        ("OPTIONS / HTTP/1.1", 405),
        ("CONNECT localhost:80 HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("GET * HTTP/1.1", 400),
        ("GET localhost:80 HTTP/1.1", 400),
        ("GET / HTTP/1.2", 400),
        ("GET /", 400),
    ] {
        // An answer without a body is read up to its end.
        let fields = format!("{HOST}Connection: close\r\n");
        let fields = if line.starts_with("HEAD") {
            &fields
        } else {
            HOST
        };
        rows.push((plain(line, fields), status, false));
    }
    for (fields, status) in [
        ("", 400),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: a\r\nCookie: caf\u{e9}\r\n", 200),
        ("Host: a\r\nX: a\x00b\r\n", 400),
        ("Host: a\r\nX : b\r\n", 400),
        ("Host: a\r\nX: b\r\n c\r\n", 400),
    ] {
        rows.push((plain("GET / HTTP/1.1", fields), status, false));
        rows.push((
            plain("GET /nothing HTTP/1.1", fields),
            if status == 200 { 404 } else { status },
            false,
        ));
    }
    rows.push((plain("GET / HTTP/1.0", ""), 200, true));
    rows.push((
        plain("GET / HTTP/1.1", &format!("{HOST}Connection: close\r\n")),
        200,
        true,
    ));
    rows.push((
        plain(
            "GET / HTTP/1.1",
            &format!("{HOST}connection: foo, CLOSE\r\n"),
        ),
        200,
        true,
    ));
    rows
}

/// Sends bytes so that they arrive in this many reads, or nearly.
fn send(stream: &mut TcpStream, bytes: &[u8], cut: usize) {
    let (start, end) = bytes.split_at(cut.min(bytes.len()));
    // The server may refuse before the last byte.
    drop(stream.write_all(start).and_then(|()| stream.write_all(end)));
}

/// Does the other side end here?
fn ends(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    matches!(stream.read(&mut bytes), Ok(0))
}

#[track_caller]
fn run(rows: &[Row], cut: usize) {
    let gateway = Gateway::start(&[
        "limits.messages_per_second=0",
        "limits.connections_per_ip=0",
    ]);
    let canaries = Canaries::start(&gateway);
    let mut wrong = Vec::new();
    for (bytes, status, closes) in rows {
        let mut stream = http::open(gateway.public());
        send(&mut stream, bytes, cut);
        let answer = http::read_response(&mut stream);
        let got = answer.as_ref().map_or(0, |(answer, _)| answer.status);
        let shown: String = bytes.escape_ascii().to_string().chars().take(200).collect();
        if got != *status {
            wrong.push(format!("{got} instead of {status}: {shown}"));
        } else if let Some((answer, _)) = answer {
            let allow = answer.header("allow").is_some();
            if allow != (got == 405) {
                wrong.push(format!("Allow with {got}: {shown}"));
            }
            if *closes && !ends(&mut stream) {
                wrong.push(format!("{got}, and stays open: {shown}"));
            }
        }
    }
    canaries.finish();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_request_gets_its_status_when_all_of_it_is_there() {
    let rows = [handshakes(), heads(), bodies(), pages()].concat();
    assert!(rows.len() >= 100, "{}", rows.len());
    run(&rows, 0);
}

#[test]
fn every_request_gets_the_same_status_in_two_pieces() {
    run(&[handshakes(), heads(), bodies(), pages()].concat(), 5);
}

#[test]
fn a_redirect_keeps_the_query_byte_for_byte() {
    let gateway = Gateway::shared();
    for query in ["", "?", "?a=1&b=%2F&a=2", "?next=//evil.example"] {
        let answer = gateway.get(&format!("/chat/1/abc{query}"));
        assert_eq!(answer.status, 308);
        let location = format!("/chat/1/abc/{query}");
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
}

/// Both listeners, each with a target that it answers with 200.
fn listeners(gateway: &Gateway) -> [(SocketAddr, &'static str); 2] {
    [
        (gateway.public(), "/client.js"),
        (gateway.admin_address(), "/health"),
    ]
}

fn get(target: &str) -> Vec<u8> {
    plain(&format!("GET {target} HTTP/1.1"), HOST)
}

#[test]
fn a_peer_that_ends_its_side_behind_a_request_is_answered() {
    let gateway = Gateway::shared();
    for (address, target) in listeners(&gateway) {
        for round in 0..60 {
            let count = 1 + round % 3;
            let requests = get(target).repeat(count);
            let mut stream = http::open(address);
            send(&mut stream, &requests, if round % 2 == 0 { 0 } else { 7 });
            stream.shutdown(Shutdown::Write).expect("its end");
            let mut answers = Vec::new();
            stream.read_to_end(&mut answers).expect("the server's end");
            let answers = String::from_utf8_lossy(&answers).into_owned();
            let answered = answers.matches("HTTP/1.1 200 OK\r\n").count();
            assert_eq!(answered, count, "{target}, round {round}");
        }
    }
}

#[test]
fn a_kept_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let gateway = Gateway::start(&[
        "server.handshake_timeout=300ms",
        "server.http_timeout=300ms",
    ]);
    for (address, target) in listeners(&gateway) {
        let mut stream = http::open(address);
        for _request in 0..3 {
            stream.write_all(&get(target)).expect("a request");
            let (answer, _) = http::read_response(&mut stream).expect("an answer");
            assert_eq!(answer.status, 200);
            wait::pass(Duration::from_millis(600));
        }
        let upgraded = stream.write_all(&upgrade(&format!("GET {ROOM} HTTP/1.1"), HOST));
        upgraded.expect("still open");
        let (answer, _) = http::read_response(&mut stream).expect("an answer");
        assert_eq!(
            answer.status,
            if address == gateway.public() {
                101
            } else {
                404
            }
        );
    }
}

#[test]
fn an_idle_connection_is_closed_after_its_own_time_and_nothing_is_refused() {
    let gateway = Gateway::start(&[
        "server.keep_alive_timeout=300ms",
        "server.handshake_timeout=30s",
    ]);
    for (address, target) in listeners(&gateway) {
        let mut stream = http::open(address);
        stream.write_all(&get(target)).expect("a request");
        assert!(http::read_response(&mut stream).is_some());
        let watch = wait::Watch::start();
        assert!(ends(&mut stream), "{target}");
        assert!(watch.elapsed() < PATIENCE, "{target}");
    }
    assert_eq!(
        gateway.metric_sum("supportal_handshakes_refused_total"),
        0.0
    );
}

#[test]
fn a_slow_head_on_a_kept_connection_is_closed_at_its_deadline() {
    let gateway = Gateway::start(&["server.handshake_timeout=400ms"]);
    for (address, target) in listeners(&gateway) {
        for behind in [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"] {
            let mut stream = http::open(address);
            // What is behind a whole request may be the beginning of the next one.
            stream
                .write_all(&[&get(target), behind].concat())
                .expect("a request");
            assert!(http::read_response(&mut stream).is_some());
            let watch = wait::Watch::start();
            stream
                .set_read_timeout(Some(Duration::from_millis(50)))
                .expect("a timeout");
            // A byte now and then does not move the deadline.
            loop {
                drop(stream.write_all(b"a"));
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Ok(1) => {}
                    Ok(_) | Err(_) => break,
                }
                assert!(
                    watch.elapsed() < PATIENCE,
                    "still open: {target} {behind:?}"
                );
            }
        }
    }
}

#[test]
fn answered_connections_give_their_place_among_the_handshakes_back() {
    let gateway = Gateway::start(&["limits.handshakes=2", "limits.handshakes_per_ip=2"]);
    let mut idle: Vec<TcpStream> = Vec::new();
    for _connection in 0..20 {
        let mut stream = http::open(gateway.public());
        stream.write_all(&get("/client.js")).expect("a request");
        let (answer, _) = http::read_response(&mut stream).expect("an answer");
        assert_eq!(answer.status, 200);
        idle.push(stream);
    }
    assert_eq!(gateway.metric("supportal_handshakes_in_progress"), 0.0);
    assert_eq!(gateway.metric("supportal_connections_kept_alive"), 20.0);
    assert!(gateway.try_connect(ROOM).is_ok());
    for stream in &mut idle {
        stream
            .write_all(&get("/client.js"))
            .expect("another request");
        assert!(http::read_response(stream).is_some());
    }
    drop(idle);
    let none = || gateway.metric("supportal_connections_kept_alive") == 0.0;
    wait::until("all of them gone", PATIENCE, none);
}

#[test]
fn beyond_the_places_of_kept_connections_an_answer_closes() {
    let gateway = Gateway::start(&["limits.kept_alive=1"]);
    let ask = || {
        let mut stream = http::open(gateway.public());
        stream.write_all(&get("/client.js")).expect("a request");
        let (answer, _) = http::read_response(&mut stream).expect("an answer");
        (stream, answer.header("connection").map(str::to_owned))
    };
    let (kept, connection) = ask();
    assert_eq!(connection, None);
    let (mut closed, connection) = ask();
    assert_eq!(connection.as_deref(), Some("close"));
    assert!(ends(&mut closed));
    drop(kept);
    wait::until("a place again", PATIENCE, || ask().1.is_none());
}
