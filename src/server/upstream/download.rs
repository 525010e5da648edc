//! The body of the site's answer on its way to the client: one piece at a time, at the pace of both.

use super::super::body::ResponseBody;
use super::exchange::Exchange;
use super::fault::{NoAnswer, SiteFault};
use super::fields::{is_chunked, strip};
use super::pool::SiteConnection;
use super::site::Answered;
use super::upload::UploadProgress;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Response, Version};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// An answer's body. Holds one piece of at most `http.upstream_buffer_bytes`, its place among `http.upstream_requests`
/// and the connection to the site, which is kept for another request once all has been said; otherwise it ends with the
/// answer.
#[derive(Debug)]
struct Download {
    /// What of the body was there with the head.
    first: Option<Frame<Bytes>>,
    body: Incoming,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    way: Option<AnswerSource>,
}

/// What the answer came by.
#[derive(Debug)]
struct AnswerSource {
    connection: SiteConnection,
    /// Of the request, which the site may have answered before it had all of it.
    upload: Arc<UploadProgress>,
    exchange: Exchange,
}

impl Download {
    fn new(first: Option<Frame<Bytes>>, body: Incoming, idle: Duration, way: AnswerSource) -> Self {
        let mut download = Self {
            first,
            body,
            idle,
            timer: None,
            way: Some(way),
        };
        download.end_if_done();
        download
    }

    fn end_if_done(&mut self) {
        if self.body.is_end_stream()
            && let Some(way) = self.way.take()
            && way.upload.is_done()
        {
            way.exchange.keep(way.connection);
        }
    }

    fn fail(&mut self, fault: SiteFault) -> io::Error {
        if let Some(way) = self.way.take() {
            way.exchange.count(fault);
        }
        io::Error::new(io::ErrorKind::UnexpectedEof, fault.label())
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(this.idle)));
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Some(Err(this.fail(SiteFault::IdleTimeout))));
        };
        this.timer = None;
        match frame {
            Some(Ok(frame)) => {
                this.end_if_done();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => Poll::Ready(Some(Err(this.fail(SiteFault::Body)))),
            None => {
                this.end_if_done();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let first = self.first.as_ref().and_then(Frame::data_ref);
        let first = first.map_or(0, |data| data.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(rest.lower() + first);
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper + first);
        }
        whole
    }
}

/// What of a body is there already.
///
/// # Errors
/// The body is broken from its beginning on: there is still time to tell the client so.
async fn first_of(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, SiteFault> {
    let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut *body).poll_frame(context)));
    match polled.await {
        Poll::Ready(first) => first.transpose().or(Err(SiteFault::Body)),
        Poll::Pending => Ok(None),
    }
}

/// The site's answer as the client gets it.
///
/// # Errors
/// The site has switched protocols, which nobody has asked it to, or the answer has not one end, or a bad beginning.
pub(super) async fn pass_on(
    exchange: Exchange,
    answered: Answered,
) -> Result<Response<ResponseBody>, NoAnswer> {
    let (mut head, mut body) = answered.response.into_parts();
    if head.status.is_informational() {
        return Err(SiteFault::Upgrade.into());
    }
    is_chunked(&head.headers).ok_or(SiteFault::Malformed)?;
    let first = first_of(&mut body).await?;
    let site = &exchange.site;
    site.answers.count(&site.metrics, head.status);
    strip(&mut head.headers);
    // Of the site's connection; the client's has its own.
    head.version = Version::HTTP_11;
    let idle = exchange.site.settings.upstream_idle_timeout;
    let way = AnswerSource {
        connection: answered.connection,
        upload: answered.upload,
        exchange,
    };
    let body = Download::new(first, body, idle, way).boxed_unsync();
    Ok(Response::from_parts(head, body))
}
