//! `[auth.forward]`: the site that is asked who somebody is, and what may be asked of it.

use super::http_url::{is_host_and_port, url_fault};
use super::problem::Findings;
use super::recheck::check_recheck;
use super::setting::{CAPACITY_MAX, HOUR, SHORT, choice, seconds, section};
use super::units;
use std::path::PathBuf;
use std::time::Duration;

/// Most questions under way: a site of that many processes needs no gateway to keep them busy.
const CONCURRENCY_MAX: usize = 1024;
/// Fields of a handshake that may go along.
const HEADERS_MAX: usize = 32;
/// Fields that belong to one connection or one handshake (RFC 9110 §7.6.1, RFC 6455 §4.1), or that the question says itself.
const HEADERS_OWN: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "range",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
];
/// And those that begin so.
const PREFIXES_OWN: [&str; 4] = ["x-forwarded-", "x-original-", "x-supportal-", "proxy-"];

section! {
    /// The site that is asked who somebody is (`forward`), by a request of HTTP for each handshake.
    ["auth.forward"] ForwardSettings {
        /// Address of the question, `http` or `https`; `business_id` and `session_id` are added to its query.
        url: Option<String> = None, restart;
        /// Value of `Host` in the question, one of the site's ALLOWED_HOSTS; empty = the host of `url`.
        host: String = String::new(), restart;
        /// File of PEM certificates of the authorities that `https` trusts; unset = the system's.
        ca_file: Option<PathBuf> = None, restart;
        /// Fields of the handshake that go along.
        headers: Vec<String> = ["cookie", "authorization", "origin"].map(str::to_owned).to_vec(), restart;
        /// Names of the cookies that go along, such as `sessionid`; empty = all. The fewer, the more questions are the same.
        cookies: Vec<String> = Vec::new(), restart;
        /// Longest wait for an answer, the wait for a turn included.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(3), restart, in SHORT..=seconds(60);
        /// Who comes in while the site cannot be asked (no connection, no answer in time, 502, 503, 504): nobody (`refuse`, 503), or everybody, as somebody anonymous (`admit`).
        on_error: OnError = OnError::Refuse, restart;
        /// How long a yes is remembered; 0 = not at all.
        #[serde(with = "units::duration")]
        cache: Duration = seconds(5), restart, in ..=HOUR;
        /// How long a no is remembered; 0 = not at all.
        #[serde(with = "units::duration")]
        cache_refused: Duration = seconds(1), restart, in ..=HOUR;
        /// Most answers that are remembered.
        cache_entries: usize = 10_000, restart, in ..=CAPACITY_MAX;
        /// Most questions under way; further ones wait, at most for `timeout`.
        concurrency: usize = 32, restart, in 1..=CONCURRENCY_MAX;
        /// Most of these for one address (IPv6: its /64); further ones of it wait, and leave the rest to others.
        concurrency_per_ip: usize = 8, restart, in 1..=CONCURRENCY_MAX;
        /// Most bytes that a handshake brings to a question; longer ones are refused.
        question_bytes: usize = 8 * 1024, restart, in 256..=64 * 1024;
        /// Most bytes of an answer's body.
        answer_bytes: usize = 16 * 1024, restart, in 256..=1024 * 1024;
        /// How often the site is asked again about who is connected, up to a tenth earlier or later at random; a no, another user or a room that is no longer theirs closes with 4503, another role with 4502, and `expires` counts anew. 0 = never.
        #[serde(with = "units::duration")]
        recheck: Duration = seconds(300), restart, in ..=HOUR;
    }
}

choice! {
    /// Who comes in while the site cannot be asked.
    OnError {
        /// Nobody.
        Refuse = "refuse",
        /// Everybody, as somebody anonymous.
        Admit = "admit",
    }
}

/// The address is one, and the fields may go along. `is_on`: is the mode listed?
pub(super) fn check(forward: &ForwardSettings, is_on: bool, found: &mut Findings) {
    match &forward.url {
        None if is_on => {
            let fix = "write auth.forward.url = \"http://127.0.0.1:8001/supportal/who/\"";
            found.error("auth.mode", "forward has no site to ask", fix);
        }
        None => {}
        Some(url) => {
            let unlisted = (
                "is set, and auth.mode does not list \"forward\"",
                "add the mode, or leave the address out",
            );
            if let Some((what, fix)) = address_fault(url).or((!is_on).then_some(unlisted)) {
                found.error("auth.forward.url", what, fix);
            }
        }
    }
    check_headers(&forward.headers, found);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for cookie in &forward.cookies {
        if cookie.is_empty() || !cookie.bytes().all(is_token) {
            let what = format!("{cookie:?} is no name of a cookie");
            found.error(
                "auth.forward.cookies",
                what,
                "write a name such as \"sessionid\"",
            );
        }
    }
    if !forward.host.is_empty() && !is_host_and_port(&forward.host) {
        let what = format!("{:?} is no host", forward.host);
        found.error(
            "auth.forward.host",
            what,
            "write a name such as \"example.com\"",
        );
    }
    check_recheck("auth.forward.recheck", forward.recheck, found);
    let is_https = |url: &String| url.starts_with("https:");
    if forward.ca_file.is_some() && !forward.url.as_ref().is_some_and(is_https) {
        let fix = "write an https address as auth.forward.url, or remove it";
        found.warn("auth.forward.ca_file", "has no effect without TLS", fix);
    }
}

/// What is wrong with the address, and the fix.
fn address_fault(url: &str) -> Option<(&'static str, &'static str)> {
    let example = "write it as \"http://127.0.0.1:8001/supportal/who/\"";
    let instead = "remove it: what is sent with a question is auth.forward.headers";
    url_fault(url, example, instead)
}

fn check_headers(headers: &[String], found: &mut Findings) {
    const KEY: &str = "auth.forward.headers";
    if headers.len() > HEADERS_MAX {
        let what = format!("lists {} fields", headers.len());
        found.error(KEY, what, format!("write at most {HEADERS_MAX}"));
    }
    for (at, name) in headers.iter().enumerate() {
        let lower = name.to_ascii_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_own = HEADERS_OWN.contains(&&*lower)
            || PREFIXES_OWN.iter().any(|prefix| lower.starts_with(prefix));
        if name.is_empty() || !name.bytes().all(is_token) {
            let what = format!("{name:?} is no name of a field");
            found.error(KEY, what, "write names such as \"cookie\"");
        } else if is_own {
            let what = format!("{name:?} cannot go along");
            found.error(
                KEY,
                what,
                "remove it: the question says what it says there itself",
            );
        } else if headers
            .iter()
            .take(at)
            .any(|other| other.eq_ignore_ascii_case(name))
        {
            found.error(
                KEY,
                format!("lists {name:?} twice"),
                "write each field once",
            );
        }
    }
}
