//! The fast way in and hyper read the same bytes. Whoever is accepted at once would have been accepted by hyper, as the
//! same client, with the same bytes behind the head: otherwise what one reader sees and the other does not is a way past
//! a rule (RFC 9112 section 11.2, request smuggling).

use super::{FIELDS, is_usual, parse};
use crate::config::LimitSettings;
use crate::http::{self, Host};
use crate::transport::handshake::{self, Offer, RequestHead};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::convert::Infallible;
use tokio::io::AsyncWriteExt;

/// Who comes in, as far as a head says it.
#[derive(Clone, Debug, PartialEq)]
struct Entrant {
    target: String,
    offer: Offer,
    origin: Option<Vec<u8>>,
    behind: Vec<u8>,
}

fn entrant(target: &str, head: &RequestHead<'_>, behind: &[u8]) -> Option<Entrant> {
    Some(Entrant {
        target: target.to_owned(),
        offer: handshake::check(head).ok()?,
        origin: head.value("origin").map(<[u8]>::to_vec),
        behind: behind.to_vec(),
    })
}

fn at_once(bytes: &[u8], limits: &LimitSettings) -> Option<Entrant> {
    let first = parse(bytes, limits.headers)?;
    entrant(first.target, &first.head, &bytes[first.length..])
}

/// hyper as the server runs it, over a stream that ends behind `bytes`; and how many fields it saw.
async fn by_hyper(bytes: &[u8], limits: &LimitSettings) -> Option<(Entrant, usize)> {
    let (mut client, server) = tokio::io::duplex(bytes.len() + 4096);
    client.write_all(bytes).await.expect("room");
    client.shutdown().await.expect("in memory");
    let seen = Mutex::new(None);
    let service = service_fn(async |request: Request<Incoming>| {
        let target = request.uri().path_and_query();
        let target = target.map_or("", |target| target.as_str());
        let head = RequestHead::of(&request);
        let found = Host::of(&request)
            .ok()
            .and_then(|_host| entrant(target, &head, b""));
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        if let Some(entrant) = &found {
            response = handshake::accept(&entrant.offer).expect("checked");
        }
        let mut seen = seen.lock();
        // Only the first request: behind one that is refused others may follow.
        if seen.is_none() {
            *seen = Some(found.map(|entrant| (entrant, head.fields.len())));
        }
        Ok::<_, Infallible>(response)
    });
    let http = http::builder(limits);
    let connection = http.serve_connection(TokioIo::new(server), service);
    let parts = connection.without_shutdown().await;
    let behind = parts.map(|parts| parts.read_buf).unwrap_or_default();
    let (mut entrant, fields) = seen.lock().take().flatten()?;
    entrant.behind = behind.to_vec();
    Some((entrant, fields))
}

fn agree(bytes: &[u8], limits: &LimitSettings) -> Result<bool, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let slow = runtime
        .expect("a runtime")
        .block_on(by_hyper(bytes, limits));
    let fast = at_once(bytes, limits);
    let text = String::from_utf8_lossy(bytes);
    let Some((slow, fields)) = slow else {
        prop_assert_eq!(fast, None, "hyper lets nobody in: {:?}", text);
        return Ok(false);
    };
    let is_left = !slow.target.bytes().all(is_usual) || fields > FIELDS;
    // An absolute target is hyper's to read, and one with a fragment.
    if let Some(fast) = fast {
        prop_assert_eq!(fast, slow, "{:?}", text);
    } else {
        let is_odd = text.contains("://") || text.contains('#');
        prop_assert!(is_left || is_odd, "left to hyper: {:?}", text);
    }
    Ok(true)
}

#[test]
fn the_table_of_handshakes_is_read_alike() {
    let mut accepted = 0;
    for case in handshake::cases::cases() {
        let head = String::from_utf8_lossy(&case.head).contains("{path}");
        let bytes = if head {
            let (before, after) = split(&case.head, b"{path}");
            [before, b"/ws/chat/1/a/", after].concat()
        } else {
            case.head.clone()
        };
        for behind in [&b""[..], b"\x81\x80abcd", b"GET / HTTP/1.1\r\n\r\n"] {
            let is_in = agree(&[&bytes, behind].concat(), &LimitSettings::default());
            let is_in = is_in.unwrap_or_else(|what| panic!("{}: {what}", case.name));
            assert!(
                is_in == (case.status == 101) || !behind.is_empty(),
                "{}",
                case.name
            );
            accepted += usize::from(is_in);
        }
    }
    assert!(accepted > 100, "{accepted}");
}

fn split<'b>(bytes: &'b [u8], at: &[u8]) -> (&'b [u8], &'b [u8]) {
    let place = bytes.windows(at.len()).position(|window| window == at);
    let place = place.expect("it is there");
    (&bytes[..place], &bytes[place + at.len()..])
}

/// A whole handshake of which any part may be changed.
const WHOLE: [&str; 6] = [
    "GET /ws/chat/1/a/?x=1 HTTP/1.1",
    "Host: example.com",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// What readers of HTTP are known to disagree about.
const ODD: [&str; 42] = [
    "",
    " ",
    "\t",
    " folded",
    ":",
    ": x",
    "Host: other.example",
    "host:example.com",
    "Host : example.com",
    "Host:",
    "HOST: [::1]:80",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 0, 0",
    "Content-Length: +0",
    "Content-Length: -0",
    "Content-Length: 18446744073709551616",
    "content-length:\t0",
    "Content-Length : 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding:",
    "Transfer-Encoding\t: chunked",
    "transfer-encoding: identity",
    "Transfer_Encoding: chunked",
    "Connection: close",
    "Connection: keep-alive, Upgrade",
    "Connection: content-length, host",
    "Upgrade: h2c, websocket",
    "Expect: 100-continue",
    "Origin: https://a.example",
    "Origin: https://b.example",
    "Origin: null\u{b}",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol: a, b",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Cookie: caf\u{e9}=\u{7f}",
    "X: \u{0}",
    "X: a\rb",
    "PRI * HTTP/2.0",
    "GET http://b.example/ws/chat/1/a/ HTTP/1.1",
    "GET /ws/chat/1/a/# HTTP/1.1",
    "GET //ws//chat/%31/a/ HTTP/1.0",
];

fn heads() -> impl Strategy<Value = Vec<u8>> {
    // Mostly right, so that both readers come far.
    let ends = || prop_oneof![20 => Just("\r\n"), 2 => Just("\n"), 1 => select(vec!["\r", "\n\r", "\r\r\n"])];
    let odd = vec((any::<Index>(), select(&ODD[..]), any::<bool>()), 0..4);
    let bytes = vec((any::<Index>(), any::<u8>(), 0..3_u8), 0..3);
    let behind = select(vec!["", "\u{1}", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"]);
    (
        odd,
        vec(ends(), 12),
        bytes,
        prop::bool::weighted(0.3),
        behind,
    )
        .prop_map(|(odd, ends, bytes, has_bytes, behind)| {
            let mut lines = WHOLE.to_vec();
            for (at, line, replaces) in odd {
                let at = at.index(lines.len());
                if replaces {
                    lines[at] = line;
                } else {
                    lines.insert(at, line);
                }
            }
            lines.push("");
            let mut head: Vec<u8> = Vec::new();
            for (line, end) in lines.iter().zip(&ends) {
                head.extend(line.bytes());
                head.extend(end.bytes());
            }
            head.extend(behind.bytes());
            for (at, byte, how) in bytes.into_iter().filter(|_| has_bytes) {
                let at = at.index(head.len());
                match how {
                    0 => head[at] = byte,
                    1 => head.insert(at, byte),
                    _ => drop(head.remove(at)),
                }
            }
            head
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whoever_is_accepted_at_once_hyper_accepts_as_the_same_client(bytes in heads()) {
        agree(&bytes, &LimitSettings::default())?;
    }

    #[test]
    fn the_limit_of_fields_is_the_same_for_both(extra in 0..12_usize) {
        let limits = LimitSettings { headers: 10, ..LimitSettings::default() };
        let bytes = [WHOLE.join("\r\n"), "\r\nX: y".repeat(extra), "\r\n\r\n".to_owned()].concat();
        let is_in = agree(bytes.as_bytes(), &limits)?;
        prop_assert_eq!(is_in, WHOLE.len() - 1 + extra <= 10);
    }
}
