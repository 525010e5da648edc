//! The body of a request on its way to the site: one piece at a time, at the pace of both.

use super::fault::UploadFault;
use crate::http::MinimumRate;
use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// A client's body. Holds one piece of at most what hyper reads at once.
#[derive(Debug)]
pub(super) struct Upload {
    /// `None` once there is no more of it.
    body: Option<Incoming>,
    /// What was read before the site was asked.
    first: Option<Frame<Bytes>>,
    /// Bytes that may still come.
    left: u64,
    idle: Duration,
    rate: MinimumRate,
    /// Since when the client is waited for, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    progress: Arc<UploadProgress>,
}

/// How far it is, for who waits for the answer.
#[derive(Debug)]
pub(super) struct UploadProgress(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    /// When something came.
    last: Instant,
    is_done: bool,
    fault: Option<UploadFault>,
    /// Nothing is asked of the client until the site says that it wants the body.
    is_held: bool,
    /// Who waits for that.
    waker: Option<Waker>,
}

impl UploadProgress {
    /// When something came last.
    pub(super) fn last(&self) -> Instant {
        self.0.lock().last
    }

    /// Has the site all of it?
    pub(super) fn is_done(&self) -> bool {
        self.0.lock().is_done
    }

    /// What is wrong with the body.
    pub(super) fn fault(&self) -> Option<UploadFault> {
        self.0.lock().fault
    }

    /// Is the client still to be asked for the body?
    pub(super) fn is_held(&self) -> bool {
        self.0.lock().is_held
    }

    /// The site wants the body.
    pub(super) fn release(&self) {
        let waker = {
            let mut progress = self.0.lock();
            progress.is_held = false;
            progress.last = Instant::now();
            progress.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Upload {
    /// A body of at most `most` bytes (0 = no limit) that may stand still for `idle`, and come no slower than `rate`; one
    /// that `is_held` is not read before [`UploadProgress::release`].
    ///
    /// # Errors
    /// [`UploadFault::TooLarge`], if its length says so.
    pub(super) fn new(
        body: Incoming,
        most: usize,
        idle: Duration,
        rate: MinimumRate,
        is_held: bool,
    ) -> Result<Self, UploadFault> {
        let left = if most == 0 { u64::MAX } else { most as u64 };
        if body.size_hint().lower() > left {
            return Err(UploadFault::TooLarge);
        }
        let body = (!body.is_end_stream()).then_some(body);
        Ok(Self {
            idle,
            rate,
            ..Self::of(body, left, is_held)
        })
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self::of(None, 0, false)
    }

    fn of(body: Option<Incoming>, left: u64, is_held: bool) -> Self {
        let progress = Progress {
            last: Instant::now(),
            is_done: body.is_none(),
            fault: None,
            is_held: is_held && body.is_some(),
            waker: None,
        };
        Self {
            body,
            first: None,
            left,
            idle: Duration::ZERO,
            rate: MinimumRate::new(Duration::ZERO, 0),
            waiting: None,
            progress: Arc::new(UploadProgress(Mutex::new(progress))),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Arc<UploadProgress> {
        Arc::clone(&self.progress)
    }

    /// Waits for the first piece, so that the site hears nothing of a body whose framing is wrong from the beginning.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub(super) async fn read_first(&mut self) -> Result<(), UploadFault> {
        let first = poll_fn(|context| self.poll_next(context)).await;
        self.first = first.transpose()?;
        Ok(())
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else {
            let longest = self
                .rate
                .left()
                .map_or(self.idle, |left| left.min(self.idle));
            let begin = || (Instant::now(), Box::pin(sleep(longest)));
            let (_since, end) = self.waiting.get_or_insert_with(begin);
            ready!(end.as_mut().poll(context));
            return Poll::Ready(Some(Err(self.fail(UploadFault::Slow))));
        };
        if let Some((since, _end)) = self.waiting.take() {
            self.rate.waited(since.elapsed());
        }
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Poll::Ready(Some(Err(self.fail(UploadFault::Malformed)))),
            None => {
                self.body = None;
                self.advance(true);
                return Poll::Ready(None);
            }
        };
        let is_done = frame.is_trailers() || body.is_end_stream();
        let length = frame.data_ref().map_or(0, Buf::remaining) as u64;
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(self.fail(UploadFault::TooLarge))));
        };
        self.left = left;
        self.rate.moved(frame.data_ref().map_or(0, Buf::remaining));
        self.advance(is_done);
        Poll::Ready(Some(Ok(frame)))
    }

    fn advance(&self, is_done: bool) {
        let mut progress = self.progress.0.lock();
        progress.last = Instant::now();
        progress.is_done |= is_done;
    }

    fn fail(&self, fault: UploadFault) -> UploadFault {
        self.progress.0.lock().fault = Some(fault);
        fault
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        {
            let mut progress = self.progress.0.lock();
            if progress.is_held {
                progress.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        match self.first.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_next(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // Only of chunks is one read before.
        match (&self.first, &self.body) {
            (Some(_), _) => SizeHint::default(),
            (None, Some(body)) => body.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}
