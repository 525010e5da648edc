//! Why the site does not get a request, or the client no answer of the site, and how that is said.

use super::super::body::{ResponseBody, whole};
use super::super::refusal::RefusedRequest;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

/// What went wrong at the site. The client has been told nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SiteFault {
    /// No connection.
    Connect,
    /// None in time.
    ConnectTimeout,
    /// No answer in time.
    HeadTimeout,
    /// The connection ended before an answer.
    Closed,
    /// The answer is none of HTTP's.
    Malformed,
    /// The site switched protocols without being asked, or not to a WebSocket.
    Upgrade,
    /// The answer's body broke off, or is none of HTTP's. The client may have seen its beginning.
    Body,
    /// The answer's body stood still. Likewise.
    IdleTimeout,
}

impl SiteFault {
    /// Every fault, for the metric.
    pub(super) const ALL: [Self; 8] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::HeadTimeout,
        Self::Closed,
        Self::Malformed,
        Self::Upgrade,
        Self::Body,
        Self::IdleTimeout,
    ];

    /// The metric's label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Upgrade => "upgrade",
            Self::Body => "body",
            Self::IdleTimeout => "idle_timeout",
        }
    }

    /// 502 or 504, as a page for who accepts pages, else as a line.
    pub(super) fn answer(self, is_html: bool) -> Response<ResponseBody> {
        let (status, what) = match self {
            Self::ConnectTimeout | Self::HeadTimeout | Self::IdleTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "504 Gateway Timeout: the site does not answer in time",
            ),
            _ => (
                StatusCode::BAD_GATEWAY,
                "502 Bad Gateway: the site does not answer",
            ),
        };
        let (content_type, body) = if is_html {
            let page = format!(
                "<!doctype html><html lang=en><meta charset=utf-8><title>{what}</title><h1>{what}</h1>\
                 <p>Try again in a moment.</p></html>\n"
            );
            ("text/html; charset=utf-8", page)
        } else {
            ("text/plain; charset=utf-8", what.to_owned() + "\n")
        };
        let mut response = Response::new(whole(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Does this client read pages?
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    super::fields::elements(headers, &ACCEPT).any(|range| {
        let media_type = range.split(|byte| *byte == b';').next();
        media_type
            .is_some_and(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(b"text/html"))
    })
}

/// What is wrong with the client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadFault {
    /// Longer than `http.upstream_body_bytes`.
    #[error("body too long")]
    TooLarge,
    /// Nothing came for `http.upstream_idle_timeout`, or too little for `http.client_bytes_per_second`.
    #[error("body not sent in time")]
    Slow,
    /// The framing is wrong, or the client went away.
    #[error("body malformed or cut off")]
    Malformed,
}

impl From<UploadFault> for RefusedRequest {
    fn from(fault: UploadFault) -> Self {
        match fault {
            UploadFault::TooLarge => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                Self::new(status, "body_bytes", "body too long")
            }
            UploadFault::Slow => {
                let status = StatusCode::REQUEST_TIMEOUT;
                Self::new(status, "body_timeout", "body not sent in time")
            }
            UploadFault::Malformed => malformed("body malformed or cut off"),
        }
    }
}

/// 400, as hyper gives it to what it cannot read.
pub(super) const fn malformed(reason: &'static str) -> RefusedRequest {
    RefusedRequest::new(StatusCode::BAD_REQUEST, "malformed", reason)
}

/// Why there is no answer of the site's.
pub(super) enum NoAnswer {
    /// By the client's fault, or for want of a place.
    Refused(RefusedRequest),
    /// By the site's.
    Site(SiteFault),
}

impl From<RefusedRequest> for NoAnswer {
    fn from(refused: RefusedRequest) -> Self {
        Self::Refused(refused)
    }
}

impl From<UploadFault> for NoAnswer {
    fn from(fault: UploadFault) -> Self {
        Self::Refused(fault.into())
    }
}

impl From<SiteFault> for NoAnswer {
    fn from(fault: SiteFault) -> Self {
        Self::Site(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_who_accepts_pages() {
        for (accept, is_html) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json, TEXT/HTML ; q=0.1", true),
            ("*/*", false),
            ("application/json", false),
            ("text/htmlx", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepts_html(&headers), is_html, "{accept}");
        }
        for fault in SiteFault::ALL {
            let status = fault.answer(true).status();
            let is_late = fault.label().ends_with("timeout");
            assert_eq!(status.as_u16(), if is_late { 504 } else { 502 });
        }
    }
}
