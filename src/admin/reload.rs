//! `POST /reload`: settings are read again.

use super::reply::{TEXT, json_with, reply};
use super::sources::Sources;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;

/// Reads settings again; the answer names keys, never values.
pub(super) async fn answer(sources: &Sources) -> Response<Full<Bytes>> {
    let Some(reload) = sources.reload.as_ref().map(Arc::clone) else {
        let text = "this program does not say how settings are read again\n";
        return reply(StatusCode::NOT_IMPLEMENTED, TEXT, text);
    };
    // Files are read, and that may take its time.
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(changes)) => {
            let document = json!({
                "changed": changes.applied,
                "for_the_next_start": changes.waiting,
            });
            json_with(StatusCode::OK, &document)
        }
        Ok(Err(error)) => {
            let problems = error.problems().iter().map(ToString::to_string);
            let document = json!({ "problems": problems.collect::<Vec<_>>() });
            json_with(StatusCode::CONFLICT, &document)
        }
        Err(_panicked) => reply(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            "settings could not be read again, the log says why\n",
        ),
    }
}

/// May this request change something? Where `admin.token` is set, it has been asked for already; without it only
/// who is on this machine, and no page: a browser says `Origin` with every POST.
pub(super) fn may_change(
    sources: &Sources,
    request: &Request<Incoming>,
    peer: Option<IpAddr>,
) -> bool {
    let is_here = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
    let has_token = sources.config.admin.token.is_some();
    has_token || is_here && !request.headers().contains_key(ORIGIN)
}
