//! The body of an answer: whole, or streamed from elsewhere.

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// hyper is given so many bytes at once, and asks for more when the peer has taken most of them.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of an answer.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there as a whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> ResponseBody {
    let body = WholeBody(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A body that is there as a whole, and is so until the peer has taken most of it: hyper copies what it is given, all of a
/// large one at once.
#[derive(Debug)]
pub(super) struct WholeBody(pub(super) Bytes);

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.len().min(PIECE_BYTES);
        let piece = self.0.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_large_body_is_given_piece_by_piece_and_none_of_it_is_lost() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES / 2] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut body = WholeBody(bytes.clone().into());
            let mut given = Vec::new();
            while !body.is_end_stream() {
                let left = body.size_hint().exact();
                assert_eq!(left, Some((length - given.len()) as u64));
                let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert!(piece.len() <= PIECE_BYTES);
                given.extend(piece);
            }
            assert_eq!(given, bytes);
            assert!(body.frame().await.is_none());
        }
    }
}
