//! An answer of the operator's listener.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A document as the answer.
pub(super) fn json(document: &Value) -> Response<Full<Bytes>> {
    json_with(StatusCode::OK, document)
}

/// The same with another status.
pub(super) fn json_with(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    reply(status, JSON, format!("{document:#}\n"))
}
