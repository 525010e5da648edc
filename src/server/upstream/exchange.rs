//! What one request, or one WebSocket, counts as while it is at the site.

use super::super::admission::Full;
use super::super::refusal::RefusedRequest;
use super::fault::SiteFault;
use super::places::SitePlace;
use super::pool::SiteConnection;
use super::site::Site;
use hyper::StatusCode;
use std::net::IpAddr;
use std::sync::Arc;

/// A request at the site, from its head to the end of the answer: one of `http.upstream_requests`.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) site: Arc<Site>,
    pub(super) client: IpAddr,
    _place: SitePlace,
}

impl Exchange {
    /// Takes one of `http.upstream_requests`.
    ///
    /// # Errors
    /// 503 if there is none, 429 if this address has as many as one may have.
    pub(super) fn begin(site: &Arc<Site>, client: IpAddr) -> Result<Self, RefusedRequest> {
        let place = site.requests.take(client).map_err(|full| match full {
            Full::Node => RefusedRequest::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream_requests",
                "too many requests at the site",
            ),
            Full::Address => RefusedRequest::later(
                StatusCode::TOO_MANY_REQUESTS,
                "upstream_requests_per_ip",
                "too many requests from this address",
            ),
            Full::Memory => full.into(),
        })?;
        Ok(Self {
            site: Arc::clone(site),
            client,
            _place: place,
        })
    }

    /// Keeps the connection for another request.
    pub(super) fn keep(&self, connection: SiteConnection) {
        self.site.pool.keep(connection);
    }

    /// Counts what went wrong at the site.
    pub(super) fn count(&self, fault: SiteFault) {
        self.site.count(fault);
    }
}
