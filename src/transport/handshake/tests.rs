//! The table of handshakes against the checks, and arbitrary headers.

use super::cases::cases;
use super::{HandshakeRefusal, Offer, RefusalKind, RequestHead, accept, answer as written};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Builder;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Reads a head; `None` if it is not HTTP, which hyper answers with 400 before our checks.
fn read(head: &[u8]) -> Option<Request<()>> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii_end());
    let request_line = std::str::from_utf8(lines.next()?).ok()?;
    let [method, path, version] = request_line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    // What httparse refuses before hyper sees a field.
    if head
        .windows(2)
        .any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
    {
        return None;
    }
    let builder = Request::builder()
        .method(method)
        .uri(path.replace("{path}", "/ws/chat/1/a/"))
        .version(match version {
            "HTTP/1.0" => Version::HTTP_10,
            "HTTP/1.1" => Version::HTTP_11,
            _ => return None,
        });
    lines
        .take_while(|line| !line.is_empty())
        .try_fold(builder, |builder, line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some(Builder::header(builder, name, value[1..].trim_ascii()))
        })?
        .body(())
        .ok()
}

fn check<B>(request: &Request<B>) -> Result<Offer, HandshakeRefusal> {
    super::check(&RequestHead::of(request))
}

fn status(result: &Result<Offer, HandshakeRefusal>) -> u16 {
    result
        .as_ref()
        .map_or_else(|refusal| refusal.status().as_u16(), |_| 101)
}

#[test]
fn the_table_of_handshakes_holds() {
    let cases = cases();
    assert!(cases.len() >= 280, "{}", cases.len());
    for case in &cases {
        let Some(request) = read(&case.head) else {
            assert_eq!(case.status, 400, "{}", case.name);
            continue;
        };
        let result = check(&request);
        assert_eq!(status(&result), case.status, "{}: {result:?}", case.name);
        let headers = match result {
            Ok(offer) => accept(&offer).expect("checked").headers().clone(),
            Err(refusal) => refusal.header().into_iter().collect(),
        };
        if let Some((name, value)) = case.header {
            assert_eq!(
                headers.get(name).map(|v| v.as_bytes()),
                Some(value.as_bytes()),
                "{}",
                case.name
            );
        }
    }
}

/// Answers one head as the server does; the answer's head and the bytes that hyper read ahead.
async fn answer(head: &[u8]) -> (String, Bytes) {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let service = service_fn(async |request: Request<Incoming>| {
        let refuse = |refusal: HandshakeRefusal| {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = refusal.status();
            response
                .headers_mut()
                .extend(refusal.header().map(|(name, value)| (Some(name), value)));
            response
        };
        let answer = check(&request).and_then(|offer| accept(&offer));
        Ok::<_, Infallible>(answer.unwrap_or_else(refuse))
    });
    client.write_all(head).await.expect("room");
    let mut http = http1::Builder::new();
    let http = http
        .keep_alive(false)
        .serve_connection(TokioIo::new(server), service);
    let ahead = http.without_shutdown().await.map(|parts| parts.read_buf);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("in memory");
    let answer = String::from_utf8(answer)
        .expect("ASCII")
        .to_ascii_lowercase();
    (answer, ahead.unwrap_or_default())
}

#[tokio::test]
async fn the_table_holds_behind_hyper_and_bytes_read_ahead_are_kept() {
    const AHEAD: &[u8] = b"\x81\x80\0\0\0\0";
    for case in cases() {
        let place = case
            .head
            .windows(6)
            .position(|bytes| bytes == b"{path}")
            .expect("found");
        // hyper does not wait to write what is wrong with a head, so the task's budget must last for it.
        tokio::task::yield_now().await;
        let (before, after) = case.head.split_at(place);
        let (answer, ahead) = answer(&[before, b"/echo", &after[6..], AHEAD].concat()).await;
        let status = format!("http/1.1 {} ", case.status);
        // hyper says HTTP/1.0 to who speaks it.
        let old = format!("http/1.0 {} ", case.status);
        let good = answer.starts_with(&status) || answer.starts_with(&old);
        assert!(good, "{}: {answer}", case.name);
        if let Some((name, value)) = case.header {
            let line = format!("\r\n{name}: {value}\r\n").to_ascii_lowercase();
            assert!(answer.contains(&line), "{}: {answer}", case.name);
        }
        if case.status == 101 {
            assert_eq!(ahead, AHEAD, "{}", case.name);
            assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
        }
    }
}

fn refused(field: &str, value: &str) -> RefusalKind {
    let line = format!("{field}: {value}");
    let head = format!(
        "GET /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{line}\r\n\r\n"
    );
    check(&read(head.as_bytes()).expect("HTTP"))
        .expect_err("broken")
        .kind
}

#[test]
fn each_refusal_names_its_rule() {
    assert_eq!(refused("Host", "h"), RefusalKind::Duplicate);
    assert_eq!(refused("Origin", "\u{e9}"), RefusalKind::Bytes);
    assert_eq!(refused("Content-Length", "3"), RefusalKind::Body);
    assert_eq!(
        refused("Sec-WebSocket-Extensions", ";"),
        RefusalKind::Extensions
    );
    assert_eq!(
        refused("Sec-WebSocket-Protocol", "a b"),
        RefusalKind::Protocols
    );
    for (head, kind) in [
        ("POST /x HTTP/1.1\r\n", RefusalKind::Method),
        ("GET /x HTTP/1.0\r\n", RefusalKind::Upgrade),
        ("GET /x HTTP/1.1\r\n", RefusalKind::Host),
        ("GET /x HTTP/1.1\r\nHost: h\r\n", RefusalKind::Upgrade),
    ] {
        let refusal = check(&read(head.as_bytes()).expect("HTTP")).expect_err("broken");
        assert_eq!(refusal.kind, kind);
    }
}

#[test]
fn the_answer_is_written_as_hyper_would_send_it() {
    let request = read(&cases()[0].head).expect("HTTP");
    for key in [
        "dGhlIHNhbXBsZSBub25jZQ==",
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "/////////////////////w==",
    ] {
        let mut request = request.clone();
        let value = key.parse().expect("a value");
        request.headers_mut().insert("sec-websocket-key", value);
        let offer = check(&request).expect("legal");
        let response = accept(&offer).expect("checked");
        let mut expected = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        for (name, value) in response.headers() {
            let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
            expected.extend(line.concat());
        }
        expected.extend(b"\r\n");
        assert_eq!(written(&offer), expected);
    }
}

#[test]
fn labels_are_unique() {
    let mut labels = RefusalKind::ALL.map(RefusalKind::label);
    labels.sort_unstable();
    assert!(labels.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn an_offer_keeps_the_order_and_the_case_of_its_protocols() {
    let mut request = Request::new(());
    for (name, value) in [
        ("host", "h"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "supportal.v2 , Chat"),
        ("sec-websocket-protocol", "b"),
    ] {
        request
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    let offer = check(&request).expect("legal");
    assert_eq!(
        offer.protocols,
        ["supportal.v2", "Chat", "b"].map(Box::<str>::from)
    );
    assert!(offer.names("supportal.v2") && offer.names("Chat") && !offer.names("chat"));
}

proptest! {
    #[test]
    fn arbitrary_header_values_never_panic(
        field in prop::sample::select(vec![
            "Host", "Origin", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
            "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Cookie", "Content-Length",
        ]),
        value in vec(prop_oneof![any::<u8>(), prop::sample::select(b",;=\"\\ \tax".to_vec())], 0..40),
    ) {
        for case in cases().iter().take(1) {
            let mut head = case.head.clone();
            head.truncate(head.len() - 2);
            head.extend([field.as_bytes(), b": ", &value, b"\r\n\r\n"].concat());
            if let Some(request) = read(&head) {
                let _checked = check(&request);
            }
        }
    }
}
