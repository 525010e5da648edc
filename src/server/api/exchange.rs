//! One request of the API as HTTP has it: the body within its bounds, and the answer.

use super::problem::{ApiProblem, ProblemKind};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Response};
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// Is the body JSON as it stands? In UTF-8, which it is whatever a parameter says (RFC 8259 section 8.1).
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), ApiProblem> {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(ProblemKind::MediaType.into());
    };
    let essence = field.as_bytes().split(|byte| *byte == b';').next();
    let is_json = essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
    });
    if !is_json {
        return Err(ProblemKind::MediaType.into());
    }
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        let detail = "without Content-Encoding";
        return Err(ApiProblem::new(ProblemKind::MediaType, detail));
    }
    Ok(())
}

/// Reads a body of at most so many bytes, within this time.
///
/// # Cancel safety
/// Dropped when the client goes away.
pub(super) async fn read_body<B>(
    body: B,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, ApiProblem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let too_long = || {
        let detail = format!("at most {bytes_max} bytes (api.body_bytes)");
        ApiProblem::new(ProblemKind::BodyTooLong, detail)
    };
    // Announced as too long, the body is not waited for.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_long());
    }
    let collected = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(timeout, collected).await {
        Err(_elapsed) => Err(ProblemKind::BodyTimeout.into()),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_broken)) => Err(ApiProblem::new(ProblemKind::NotJson, "it was cut off")),
    }
}

/// A document as the answer.
pub(super) fn json(document: &Value) -> Response<Bytes> {
    text(format!("{document}\n").into())
}

/// A JSON text as the answer.
pub(super) fn text(document: Bytes) -> Response<Bytes> {
    let mut response = Response::new(document);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A body in pieces, the last of which never comes.
    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_within_its_bounds() {
        let second = Duration::from_secs(1);
        let whole = read_body(Full::new(Bytes::from("abc")), 3, second).await;
        assert_eq!(whole, Ok(Bytes::from("abc")));
        let long = read_body(Full::new(Bytes::from("abcd")), 3, second).await;
        assert_eq!(
            long.map_err(|problem| problem.kind),
            Err(ProblemKind::BodyTooLong)
        );
        let late = read_body(Endless, 3, second).await;
        assert_eq!(
            late.map_err(|problem| problem.kind),
            Err(ProblemKind::BodyTimeout)
        );
    }

    #[test]
    fn a_body_is_json_by_its_type() {
        for (value, is_json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json ;x", true),
            ("text/plain", false),
            ("application/jsonx", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(check_type(&headers).is_err());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(check_type(&headers).is_ok(), is_json, "{value}");
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(check_type(&headers).is_err());
        }
    }
}
