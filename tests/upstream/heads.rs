//! Heads: what the site gets of them, and which it never sees.

use super::puppet::{Puppet, field};
use super::{ask, before};
use crate::support::http::{open, read_response};
use std::io::Write;

const OK: &str = "Host: a.example\r\n\r\n";

use Refused::{Get, Line, Post, Raw};

/// A request that two readers could read in two ways, or that is none.
enum Refused {
    /// These fields, and a body.
    Post(&'static str, &'static str),
    /// These fields, `Host` among them.
    Get(&'static str),
    /// This request line.
    Line(&'static str),
    /// All of it.
    Raw(&'static [u8]),
}

impl Refused {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Post(fields, body) => {
                format!("POST /a HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n{body}")
                    .into_bytes()
            }
            Self::Get(fields) => format!("GET /a HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes(),
            Self::Line(line) => format!("{line}\r\n{OK}").into_bytes(),
            Self::Raw(bytes) => bytes.to_vec(),
        }
    }
}

/// What is said to them.
#[rustfmt::skip]
const REFUSED: &[(u16, Refused)] = &[
    // Two ends of a body.
    (400, Post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n")),
    (400, Post("Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    (400, Post("Content-Length: 5\r\nContent-Length: 6", "hello!")),
    (400, Post("Content-Length: 5\r\nContent-Length: 5", "hello")),
    (400, Post("Content-Length: 5, 5", "hello")),
    (400, Post("Content-Length: +5", "hello")),
    (400, Post("Content-Length: -5", "hello")),
    (400, Post("Content-Length: 0x5", "hello")),
    (400, Post("Content-Length: 5 5", "hello")),
    (400, Post("Content-Length: five", "hello")),
    (400, Post("Content-Length:", "hello")),
    (400, Post("Content-Length: 99999999999999999999", "hello")),
    // Codings that another reader may not know.
    (400, Post("Transfer-Encoding: identity", "hello")),
    (400, Post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked, identity", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked;a=b", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n")),
    (400, Post("Transfer-Encoding:", "0\r\n\r\n")),
    (400, Raw(b"POST /a HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    // Fields that belong to the connection.
    (400, Post("Connection: content-length\r\nContent-Length: 5", "hello")),
    (400, Post("Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    (400, Get("Host: a.example\r\nConnection: host")),
    // Lines.
    (400, Raw(b"GET /a HTTP/1.1\nHost: a.example\r\n\r\n")),
    (400, Raw(b"GET /a HTTP/1.1\r\nHost: a.example\n\r\n")),
    (400, Raw(b"GET /a HTTP/1.1\r\nHost: a.example\r\n\n")),
    (400, Raw(b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n")),
    (400, Raw(b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n")),
    (400, Raw(b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\x0bb\r\n\r\n")),
    (400, Raw(b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\x7fb\r\n\r\n")),
    (400, Get("Host: a.example\r\nX: a\r\n b")),
    (400, Get("Host: a.example\r\nX: a\r\n\tb")),
    (400, Get(" Host: a.example")),
    (400, Get("Host : a.example")),
    (400, Get("Host: a.example\r\nX : a")),
    (400, Get("Host: a.example\r\nX\t: a")),
    (400, Get("Host: a.example\r\n: a")),
    (400, Get("Host: a.example\r\nX")),
    (400, Get("Host: a.example\r\nX(a): b")),
    (400, Post("Content-Length : 5", "hello")),
    (400, Post("Transfer-Encoding : chunked", "0\r\n\r\n")),
    // Hosts.
    (400, Get("X: no host")),
    (400, Get("Host:")),
    (400, Get("Host: a.example\r\nHost: a.example")),
    (400, Get("Host: a.example\r\nHost: b.example")),
    (400, Get("Host: a.example, b.example")),
    (400, Get("Host: user@a.example")),
    (400, Get("Host: a.example/b")),
    (400, Get("Host: a.example:80:80")),
    (400, Get("Host: a.example:x")),
    (400, Line("GET http://b.example/a HTTP/1.1")),
    (400, Line("GET http://a.example:8080/a HTTP/1.1")),
    (400, Line("GET http://user@a.example/a HTTP/1.1")),
    (400, Line("GET ftp://a.example/a HTTP/1.1")),
    // Targets and methods.
    (400, Line("GET a HTTP/1.1")),
    (400, Line("GET * HTTP/1.1")),
    (400, Line("OPTIONS * HTTP/1.1")),
    (400, Line("GET /a\x01 HTTP/1.1")),
    (400, Line("GET /a\tb HTTP/1.1")),
    (400, Line("GET /a b HTTP/1.1")),
    (400, Line("GET  /a HTTP/1.1")),
    (400, Line("GET /a  HTTP/1.1")),
    (400, Line("GET /a#b HTTP/1.1")),
    (400, Line("GET /a HTTP/1.2")),
    (400, Line("GET /a HTTP/2.0")),
    (400, Line("GET /a http/1.1")),
    (400, Line("GET /a")),
    (400, Line("G(T /a HTTP/1.1")),
    (405, Line("TRACE /a HTTP/1.1")),
    (405, Line("CONNECT a.example:443 HTTP/1.1")),
    // Chunks whose framing is wrong from the first one on.
    (400, Post("Transfer-Encoding: chunked", "x\r\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "-5\r\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "\r\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "5;a\nb\r\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n")),
    (400, Post("Transfer-Encoding: chunked", "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n")),
    // A handshake has no body.
    (400, Get("Host: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi")),
];

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_never_reaches_the_site() {
    let site = Puppet::friendly();
    let gateway = before(&site, &[]);
    assert!(REFUSED.len() >= 80, "{} rows", REFUSED.len());
    let mut faults = Vec::new();
    for (status, request) in REFUSED {
        let bytes = request.bytes();
        let answer = gateway.exchange(&bytes).map(|answer| answer.status);
        if answer != Some(*status) {
            let text = String::from_utf8_lossy(&bytes);
            faults.push(format!("{answer:?} instead of {status}: {text:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(site.heads(), Vec::<String>::new());
    assert_eq!(site.connections(), 0);
    // As good as nothing was asked: the next request is as any other.
    let answer = ask(&gateway, &["GET /a HTTP/1.1", "Host: a.example"], b"");
    assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
}

#[test]
fn a_second_request_hidden_in_a_body_is_a_body() {
    let site = Puppet::friendly();
    let gateway = before(&site, &[]);
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let length = format!("Content-Length: {}", hidden.len());
    let answer = ask(
        &gateway,
        &["POST /a HTTP/1.1", "Host: a.example", &length],
        hidden.as_bytes(),
    );
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    let chunks = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n{hidden}", hidden.len());
    let lines = [
        "POST /b HTTP/1.1",
        "Host: a.example",
        "Transfer-Encoding: chunked",
    ];
    assert_eq!(ask(&gateway, &lines, chunks.as_bytes()).status, 200);
    let targets: Vec<String> = site
        .heads()
        .iter()
        .map(|head| head.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(targets, ["POST /a", "POST /b"]);
}

#[test]
fn targets_go_as_they_came() {
    let site = Puppet::friendly();
    let gateway = before(&site, &[]);
    let targets = [
        "/",
        "/a?b=c&d",
        "/a?",
        "/..",
        "/a/../b/./c//d",
        "//a",
        "/%2e%2e/%2F%5c%00%zz",
        "/a%0d%0aX:%20y",
        "/a;b=c:d@e!$&'()*+,~",
        "/{a}|\"b\"^`",
        "/api/publish",
        "/client.js",
        "/chat/1/a/",
        "/favicon.ico",
        "/_supportal/",
        "/_supportal/chat.js",
        "/ws/chat/01/a/",
        "/ws/chat/1/a",
        "/ws/chat/1/a/b/",
    ];
    let mut expected = Vec::new();
    for target in targets {
        let line = format!("GET {target} HTTP/1.1");
        let status = ask(&gateway, &[&line, "Host: a.example"], b"").status;
        if status == 200 {
            expected.push(target.to_owned());
        } else {
            assert_eq!(status, 400, "{target}");
        }
    }
    assert!(expected.len() > targets.len() - 2, "{expected:?}");
    let absolute = ["GET HTTP://A.example:80/x?y HTTP/1.1", "Host: a.EXAMPLE"];
    assert_eq!(ask(&gateway, &absolute, b"").status, 200);
    expected.push("/x?y".to_owned());
    let seen: Vec<String> = site
        .heads()
        .iter()
        .map(|head| head.split(' ').nth(1).expect("a target").to_owned())
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn our_own_paths_are_never_the_sites() {
    let site = Puppet::friendly();
    let gateway = before(&site, &[]);
    let mut chat = gateway.connect("/ws/chat/1/a/");
    chat.skip_welcome();
    assert_eq!(gateway.get("/ws/chat/1/a/").status, 426);
    assert_eq!(gateway.get("/ws/chat/1/a/?x=y").status, 426);
    let client = gateway.get("/_supportal/client.js");
    assert!(client.status == 200 && client.text().contains("ChatClient"));
    assert_eq!(site.heads(), Vec::<String>::new());
    let gateway = before(&site, &["http.upstream_page=true"]);
    let page = gateway.get("/_supportal/");
    assert!(page.status == 200 && page.text().contains("\"/_supportal/chat.js\""));
    assert_eq!(gateway.get("/_supportal/chat/1/a/").status, 200);
    assert_eq!(site.heads(), Vec::<String>::new());
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn what_a_client_says_of_itself_is_said_anew() {
    let site = Puppet::friendly();
    let gateway = before(&site, &[]);
    let lines = [
        "GET /a HTTP/1.1",
        "Host: a.example:8000",
        "X-Forwarded-For: 6.6.6.6",
        "x-forwarded-for: 7.7.7.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Prefix: /evil",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6;proto=https",
        "Daphne-Root-Path: /evil",
        "X_Forwarded_Proto: https",
        "Connection: keep-alive, X-Secret",
        "X-Secret: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authorization: Basic eDp5",
        "Upgrade: h2c",
        "TE: trailers, deflate",
        "Cookie: sessionid=a",
        "Authorization: Bearer b",
        "Range: bytes=0-1",
        "If-None-Match: \"c\"",
        "Accept-Encoding: gzip",
        "Via: 1.1 somebody",
        "X-Latin: \u{e9}",
    ];
    assert_eq!(ask(&gateway, &lines, b"").status, 200);
    let head = site.heads().pop().expect("a request");
    for (name, value) in [
        ("host", Some("a.example:8000")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("a.example:8000")),
        ("x-forwarded-port", None),
        ("x-forwarded-prefix", None),
        ("x-real-ip", None),
        ("forwarded", None),
        ("daphne-root-path", None),
        ("x_forwarded_proto", None),
        ("x-secret", None),
        ("keep-alive", None),
        ("proxy-authorization", None),
        ("upgrade", None),
        ("te", Some("trailers")),
        ("cookie", Some("sessionid=a")),
        ("authorization", Some("Bearer b")),
        ("range", Some("bytes=0-1")),
        ("if-none-match", Some("\"c\"")),
        ("accept-encoding", Some("gzip")),
        ("via", Some("1.1 somebody")),
        ("x-latin", Some("\u{c3}\u{a9}")),
    ] {
        assert_eq!(field(&head, name), value, "{name} in {head}");
    }
    let said = head.to_ascii_lowercase();
    assert_eq!(said.matches("x-forwarded-for:").count(), 1, "{head}");
    // HTTP/1.0 need not say whom it asks; the site is told its own name.
    let answer = ask(&gateway, &["GET /b HTTP/1.0"], b"");
    assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
    let head = site.heads().pop().expect("a request");
    assert!(head.starts_with("GET /b HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some(&*site.address().to_string()));
    assert_eq!(field(&head, "x-forwarded-host"), None);
}

#[test]
fn answers_lose_what_belongs_to_the_sites_connection_and_nothing_else() {
    let site = Puppet::start(|request| {
        request.say(
            "HTTP/1.1 207 Some Reason\r\nServer: site\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok",
        )
    });
    let gateway = before(&site, &[]);
    let answer = ask(&gateway, &["GET /a HTTP/1.1", "Host: a"], b"");
    assert_eq!((answer.status, answer.text()), (207, "ok".to_owned()));
    let all = |name: &str| {
        let headers = answer.headers.iter().filter(|(found, _)| found == name);
        headers.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(all("server"), ["site"]);
    assert_eq!(all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(all("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(all("content-length"), ["2"]);
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
        "connection",
    ] {
        assert_eq!(all(name), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn each_request_of_a_kept_connection_goes_its_own_way() {
    let site = Puppet::friendly();
    let gateway = before(&site, &[]);
    let mut stream = open(gateway.public());
    for (target, status) in [
        ("/a", 200),
        ("/_supportal/client.js", 200),
        ("/b", 200),
        ("/ws/chat/1/a/", 426),
        ("/c", 200),
        ("/d#e", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\n{OK}");
        stream.write_all(request.as_bytes()).expect("sent");
        let (answer, _rest) = read_response(&mut stream).expect("an answer");
        assert_eq!(answer.status, status, "{target}");
    }
    let heads = site.heads();
    let targets: Vec<_> = heads.iter().map(|head| head.split(' ').nth(1)).collect();
    assert_eq!(targets, [Some("/a"), Some("/b"), Some("/c")]);
    assert_eq!(site.connections(), 1, "the site's connection is kept, too");
    assert_eq!(
        gateway.metric("supportal_upstream_answers_total{status=\"2xx\"}"),
        3.0
    );
    assert_eq!(gateway.metric("supportal_upstream_requests"), 0.0);
}
