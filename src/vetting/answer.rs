//! What the site says of a message.

use super::fault::VetFault;
use crate::protocol::command::is_blank;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::{Response, StatusCode};
use serde::Deserialize;

/// Longest text in bytes that a sender is told why a message was refused.
const REFUSAL_BYTES_MAX: usize = 1024;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VetAnswer {
    /// The message is published as it is.
    Pass,
    /// This is published in its place.
    Change(String),
    /// The message is not published, and its sender is told this.
    Refuse(String),
}

/// The results of messages that were vetted, as labels of metrics.
pub(super) const RESULTS: [&str; 3] = ["passed", "changed", "refused"];

impl VetAnswer {
    /// The answer's name, as a label of metrics.
    pub(super) const fn label(&self) -> &'static str {
        let [passed, changed, refused] = RESULTS;
        match self {
            Self::Pass => passed,
            Self::Change(_) => changed,
            Self::Refuse(_) => refused,
        }
    }
}

#[derive(Deserialize)]
struct VetBody {
    pass: Option<bool>,
    message: Option<String>,
    refuse: Option<String>,
}

/// Most bytes of an answer, if a text in it may have so many: JSON may write each of them as six.
pub(super) const fn answer_bytes_max(text_bytes_max: usize) -> usize {
    let texts = text_bytes_max.saturating_add(REFUSAL_BYTES_MAX);
    texts.saturating_mul(6).saturating_add(1024)
}

/// Reads an answer, in which a message has at most `text_bytes_max` bytes.
pub(super) fn read(answer: &Response<Bytes>, text_bytes_max: usize) -> Result<VetAnswer, VetFault> {
    match answer.status() {
        StatusCode::NO_CONTENT => Ok(VetAnswer::Pass),
        StatusCode::OK => {
            check_kind(answer.headers())?;
            read_body(answer.body(), text_bytes_max)
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(VetFault::Server),
        status if status.is_server_error() => Err(VetFault::Server),
        status if status.is_client_error() => Err(VetFault::Client),
        status if status.is_success() => Err(VetFault::Malformed),
        _ => Err(VetFault::Redirect),
    }
}

fn check_kind(headers: &HeaderMap) -> Result<(), VetFault> {
    let coding = headers.get(CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(VetFault::Encoded);
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(VetFault::NotJson)
    }
}

/// Exactly one of `{"pass": true}`, `{"message": "…"}` and `{"refuse": "…"}`.
fn read_body(body: &[u8], text_bytes_max: usize) -> Result<VetAnswer, VetFault> {
    // A struct may stand as an array in serde's eyes, and not in this contract's.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(VetFault::Malformed);
    }
    let said: Result<VetBody, _> = serde_json::from_slice(body);
    let VetBody {
        pass,
        message,
        refuse,
    } = said.map_err(|_no_answer| VetFault::Malformed)?;
    match (pass, message, refuse) {
        (Some(true), None, None) => Ok(VetAnswer::Pass),
        (None, Some(text), None) => said_within(text, text_bytes_max).map(VetAnswer::Change),
        (None, None, Some(text)) => said_within(text, REFUSAL_BYTES_MAX).map(VetAnswer::Refuse),
        _ => Err(VetFault::Malformed),
    }
}

/// A text that says something, in at most so many bytes.
fn said_within(text: String, bytes_max: usize) -> Result<String, VetFault> {
    if text.len() > bytes_max {
        Err(VetFault::TooLong)
    } else if is_blank(&text) {
        Err(VetFault::Malformed)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<VetAnswer, VetFault> {
        read_body(body.as_bytes(), 10)
    }

    #[test]
    fn an_answer_is_one_of_three() {
        let change = |text: &str| Ok(VetAnswer::Change(text.to_owned()));
        let refuse = |text: &str| Ok(VetAnswer::Refuse(text.to_owned()));
        #[rustfmt::skip]
        let table = [
            (r#"{"pass":true}"#, Ok(VetAnswer::Pass)),
            (" {\"pass\": true}\r\n", Ok(VetAnswer::Pass)),
            (r#"{"pass":true,"message":null,"score":0.2}"#, Ok(VetAnswer::Pass)),
            (r#"{"message":"h***"}"#, change("h***")),
            (r#"{"message":"\u00e4\ud83d\ude00"}"#, change("ä😀")),
            (r#"{"refuse":"Not here, please"}"#, refuse("Not here, please")),
        ];
        for (body, expected) in table {
            assert_eq!(of(body), expected, "{body}");
        }
    }

    #[test]
    fn whatever_else_is_said_is_no_answer() {
        let long = format!(r#"{{"refuse":"{}"}}"#, "x".repeat(REFUSAL_BYTES_MAX + 1));
        let deep = format!("{{\"message\":{}", "[".repeat(100_000));
        let malformed = [
            "",
            " ",
            "null",
            "true",
            "\"pass\"",
            "[true,null,null]",
            "<html>",
            "{}",
            r#"{"pass":false}"#,
            r#"{"pass":"true"}"#,
            r#"{"pass":1}"#,
            r#"{"pass":null}"#,
            r#"{"pass":true,"message":"a"}"#,
            r#"{"pass":true,"refuse":"a"}"#,
            r#"{"message":"a","refuse":"a"}"#,
            r#"{"message":"a","message":"b"}"#,
            r#"{"message":""}"#,
            r#"{"message":" \n"}"#,
            r#"{"message":7}"#,
            r#"{"message":["a"]}"#,
            r#"{"message":"\ud83d"}"#,
            r#"{"refuse":""}"#,
            r#"{"refuse":true}"#,
            r#"{"refuse":{"text":"a"}}"#,
            r#"{"refused":"a"}"#,
            r#"{"pass":true}{"pass":true}"#,
            r#"{"pass":tr"#,
            &deep,
        ];
        for body in malformed {
            assert_eq!(of(body), Err(VetFault::Malformed), "{body}");
        }
        assert_eq!(
            read_body(b"{\"message\":\"\xff\"}", 10),
            Err(VetFault::Malformed)
        );
        assert_eq!(of(r#"{"message":"12345678901"}"#), Err(VetFault::TooLong));
        assert_eq!(of(&long), Err(VetFault::TooLong));
    }
}
