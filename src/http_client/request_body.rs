//! The body of a request: a value as JSON.

use bytes::Bytes;
use serde::Serialize;
use std::io::{self, Write};

/// Takes what is written, and keeps its length.
#[derive(Debug, Default)]
struct WrittenLength(usize);

impl Write for WrittenLength {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value in a buffer of just its length, since one that grows is up to three times as long meanwhile; `None` if the value
/// cannot be written.
pub(crate) fn request_body(value: &impl Serialize) -> Option<Bytes> {
    let mut length = WrittenLength::default();
    serde_json::to_writer(&mut length, value).ok()?;
    let mut body = Vec::with_capacity(length.0);
    serde_json::to_writer(&mut body, value).ok()?;
    Some(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_no_more_than_its_length() {
        for text in ["", "short", &"\u{1}".repeat(100_000)] {
            let body = request_body(&text).expect("JSON");
            assert_eq!(serde_json::from_slice::<String>(&body).expect("JSON"), text);
            let length = body.len();
            let buffer = body.try_into_mut().expect("nobody else has it");
            assert_eq!(buffer.capacity(), length);
        }
    }
}
