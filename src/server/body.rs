//! The body of an answer: whole, or streamed from elsewhere.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use std::io;

/// The body of an answer.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there as a whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> ResponseBody {
    let body = Full::new(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}
