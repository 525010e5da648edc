//! From http to https: pages that a client asks for without TLS (`http.require_tls`), and a listener of its own that
//! answers nothing else (`http.redirect`).
//!
//! Not redirected are the challenges of an ACME client (those of `http.acme_folder`, or of the site of `http.upstream`): a
//! certificate authority asks for them without TLS, and there may be no certificate yet.

mod acme;
mod listener;
mod location;

pub use listener::RedirectListener;
pub(super) use listener::Redirector;

use super::body::{ResponseBody, whole};
use super::refusal::RefusedRequest;
use crate::config::HttpSettings;
use crate::http::Host;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use std::path::PathBuf;

/// The keys of `[http]` for https.
#[derive(Clone, Debug)]
pub(super) struct Redirect {
    /// `http.require_tls`.
    pub(super) is_required: bool,
    https_host: Option<String>,
    acme_folder: Option<PathBuf>,
}

impl Redirect {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self {
            is_required: settings.require_tls,
            https_host: settings.https_host.clone(),
            acme_folder: settings.acme_folder.clone(),
        }
    }

    /// The same at https: the request's target at `host`. Whoever does more than read has said it already, and may
    /// have said a secret: that is refused, so that it is noticed. So is a request that names two hosts.
    pub(super) fn answer<B>(
        &self,
        request: &Request<B>,
        host: Option<&str>,
    ) -> Result<Response<ResponseBody>, RefusedRequest> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let reason = "this address needs https";
            return Err(RefusedRequest::new(StatusCode::FORBIDDEN, "tls", reason));
        }
        let bad = |reason| RefusedRequest::new(StatusCode::BAD_REQUEST, "malformed", reason);
        let uri = request.uri();
        if !Host::agrees(uri, request.headers()) {
            return Err(bad("Host differs from the request target's"));
        }
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let location = location::location(self.https_host.as_deref(), host, target);
        let location = location.ok_or(bad("a request target begins with /"))?;
        let mut response = Response::new(whole(""));
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }

    /// Is this an ACME challenge that the site behind us is to answer: is there no folder of them here?
    pub(super) fn is_sites_challenge(&self, method: &Method, path: &str) -> bool {
        self.acme_folder.is_none()
            && matches!(*method, Method::GET | Method::HEAD)
            && acme::token(path).is_some()
    }

    /// The answer to an ACME challenge, if this is the path of one and there is a folder of them.
    ///
    /// # Cancel safety
    /// A file that is being read is read to its end.
    pub(super) async fn challenge(
        &self,
        method: &Method,
        path: &str,
    ) -> Option<Response<ResponseBody>> {
        let folder = self.acme_folder.clone()?;
        let token = acme::token(path)?.to_owned();
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = Response::new(whole(""));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return Some(response);
        }
        let read = tokio::task::spawn_blocking(move || acme::read(&folder, &token));
        let bytes = read.await.ok().flatten()?;
        let mut response = Response::new(whole(bytes));
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, "application/octet-stream"),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}
