//! The manual's view in a real Django site.

use super::{SECRET, gateway, outcome};
use crate::assistant::{APOLOGY, ask};
use crate::manual::section;
use crate::support::{Django, http};
use ring::hmac;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a view of the manual may be, without empty lines.
const LINES_MAX: usize = 15;

/// A question as anybody could send one.
fn post(address: SocketAddr, signature: &str) -> u16 {
    let body = r#"{"message":"Hello?"}"#;
    let request = format!(
        "POST /supportal/answer/ HTTP/1.1\r\nHost: site.example\r\nX-Supportal-Signature: {signature}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    http::exchange(address, request.as_bytes())
        .expect("an answer")
        .status
}

/// The signature of that question.
fn signature(secret: &str, time: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("{time}.{{\"message\":\"Hello?\"}}");
    let tag = hmac::sign(&key, signed.as_bytes());
    let tag: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={time},v1={tag}")
}

#[test]
fn the_manual_s_view_answers_what_is_signed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, view) = section("answer view");
    let view = view.trim_start_matches("```python").trim_end_matches("```");
    let lines = view.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= LINES_MAX, "{lines} lines");
    std::fs::write(folder.path().join("answer_view.py"), view).expect("the view");
    let arguments = [folder.path().as_os_str(), OsStr::new(SECRET)];
    let mut django = Django::start("webhook/django_site.py", &arguments);
    let port: u16 = django.line().parse().expect("a port");
    let url = format!("http://127.0.0.1:{port}/supportal/answer/");
    let own_host = "assistant.webhook.host=site.example";
    let node = gateway(&url, &[own_host]);
    assert_eq!(ask(&mut node.join("abc"), "Grüße"), "You said: Grüße");
    assert_eq!(outcome(&node, "ok"), 1);
    let other = "assistant.webhook.secret=another-secret-0123456789";
    let stranger = gateway(&url, &[own_host, other]);
    assert!(ask(&mut stranger.join("abc"), "Hello?").starts_with(APOLOGY));
    assert_eq!(outcome(&stranger, "refused"), 1);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    assert_eq!(post(address, &signature(SECRET, now)), 200);
    assert_eq!(
        post(address, &signature(SECRET, now - 3_600)),
        403,
        "an old one"
    );
    assert_eq!(post(address, &signature("x", now)), 403);
    for bad in [
        "",
        "t=1",
        "v1=00",
        "t=,v1=",
        "t=x,v1=y",
        ",,,",
        "t=1,t=2,v1=é",
    ] {
        assert_eq!(post(address, bad), 403, "{bad:?}");
    }
}
