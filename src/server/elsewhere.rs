//! A request that is for no route of this node: CORS, the way to https, our own files, the API, and the site behind us.

use super::admission::peer_of;
use super::body::{ResponseBody, whole};
use super::cors::Cors;
use super::page;
use super::refusal::RefusedRequest;
use super::service::{HandshakeService, OtherRequest, SiteShare, Switched};
use super::upstream::{Provenance, Upstream};
use crate::broker::QuotaHolder;
use crate::transport::handshake::RequestHead;
use hyper::{Method, Request, Response, StatusCode, Uri};
use std::net::IpAddr;

/// The answer, and where the socket goes from here if that is a 101.
type Responded = Result<(Response<ResponseBody>, Option<Switched>), RefusedRequest>;

impl HandshakeService {
    /// With CORS where that is on: it answers preflights, and says of every answer who may read it. What is the site's is
    /// the site's own CorsMiddleware's to say: two answers to that are none for a browser.
    pub(super) async fn respond(&self, asked: OtherRequest<impl FnOnce()>) -> Responded {
        let cors = self.entrance.policy.cors.as_ref();
        let path = asked.request.uri().path();
        let Some(cors) = cors.filter(|_| !self.entrance.is_sites(path)) else {
            return self.respond_over_tls(asked).await;
        };
        let (head, body) = asked.request.into_parts();
        let head = Request::from_parts(head, ());
        let asked = OtherRequest {
            request: Box::new(head.clone().map(|()| body)),
            ..asked
        };
        let head = RequestHead::of(&head);
        let (mut response, switched) = if Cors::is_preflight(&head) {
            (Response::new(whole("")), None)
        } else {
            let responded = self.respond_over_tls(asked).await;
            responded.unwrap_or_else(|refused| (self.refuse(refused), None))
        };
        if switched.is_none() {
            cors.mark(&head, response.headers_mut());
        }
        Ok((response, switched))
    }

    /// Never without TLS where that is required, but for who asks whether we may have a certificate.
    async fn respond_over_tls(&self, asked: OtherRequest<impl FnOnce()>) -> Responded {
        let (method, uri) = (asked.request.method(), asked.request.uri());
        let redirect = &self.entrance.policy.redirect;
        if let Some(response) = redirect.challenge(method, uri.path()).await {
            return Ok((response, None));
        }
        let has_site = self.entrance.upstream.is_some();
        let is_redirected = redirect.is_required && !asked.visitor.is_https;
        // No client of a WebSocket goes where a redirect says.
        if is_redirected && has_site && Upstream::is_websocket(&asked.request) {
            return Err(RefusedRequest::WITHOUT_TLS);
        }
        let is_sites = has_site && redirect.is_sites_challenge(method, uri.path());
        if is_redirected && !is_sites {
            let answer = redirect.answer(&asked.request, asked.visitor.host.as_deref())?;
            return Ok((answer, None));
        }
        // Large, and most requests of this service never come here.
        Box::pin(self.elsewhere(asked)).await
    }

    /// Our own files, or what the site says.
    async fn elsewhere(&self, asked: OtherRequest<impl FnOnce()>) -> Responded {
        let OtherRequest {
            request,
            visitor,
            pace,
            on_forward,
        } = asked;
        let (method, uri) = (request.method(), request.uri());
        let has_site = self.entrance.upstream.is_some();
        if self.entrance.api.is_public(uri.path(), has_site) {
            let answer = self.entrance.api.answer(*request).await;
            return Ok((answer.map(whole), None));
        }
        let Some(upstream) = &self.entrance.upstream else {
            return Ok((page_or_404(method, uri)?, None));
        };
        let has_page = self.entrance.config.http.upstream_page;
        if let Some(own) = page::respond_beside_site(method, uri.path(), uri.query(), has_page) {
            return Ok((own.map(whole), None));
        }
        let provenance = Provenance::of(&visitor);
        let is_websocket = Upstream::is_websocket(&request);
        let share = is_websocket
            .then(|| self.admit_to_site(visitor.client))
            .transpose()?;
        let sent = upstream.send(request, provenance, &pace, on_forward);
        let (answer, socket) = sent.await?;
        let switched = socket.zip(share);
        let switched = switched.map(|(socket, share)| Switched::Site(socket, share));
        Ok((answer, switched))
    }

    /// Takes in a WebSocket of the site's, if there is room. Whose it is, and of which business or room, is the site's to
    /// know: it has its share of what its address and the node may use.
    fn admit_to_site(&self, client: IpAddr) -> Result<SiteShare, RefusedRequest> {
        if self.entrance.is_closing() {
            return Err(RefusedRequest::DRAINING);
        }
        let address = peer_of(client);
        self.entrance.quotas.begin(address)?;
        let permit = self.entrance.enter(address)?;
        let holds = self.entrance.quotas.enter(&QuotaHolder {
            address,
            ..QuotaHolder::default()
        })?;
        Ok(SiteShare { permit, holds })
    }
}

/// What is no WebSocket's, where there is no site.
fn page_or_404(method: &Method, uri: &Uri) -> Result<Response<ResponseBody>, RefusedRequest> {
    // `*`, and the target of a CONNECT: the server as a whole, where the methods are the page's.
    let is_server = !uri.path().starts_with('/');
    if is_server && matches!(*method, Method::GET | Method::HEAD) {
        let reason = "a request target begins with /";
        return Err(RefusedRequest::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            reason,
        ));
    }
    let path = if is_server { "/" } else { uri.path() };
    let response = page::respond(method, path, uri.query());
    response
        .map(|response| response.map(whole))
        .ok_or(RefusedRequest::new(
            StatusCode::NOT_FOUND,
            "path",
            "not found",
        ))
}
