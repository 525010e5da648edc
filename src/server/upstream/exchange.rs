//! What one request, or one WebSocket, counts as while it is at the site.

use super::super::refusal::RefusedRequest;
use super::fault::SiteFault;
use super::pool::SiteConnection;
use super::site::Site;
use crate::metrics::Gauge;
use hyper::StatusCode;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A request at the site, from its head to the end of the answer: one of `http.upstream_requests`.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) site: Arc<Site>,
    _place: SitePlace,
}

/// A counted place among those of a cap.
#[derive(Debug)]
pub(super) struct SitePlace {
    _permit: OwnedSemaphorePermit,
    gauge: Gauge,
}

impl SitePlace {
    /// Takes a place; `None` if there is none.
    pub(super) fn take(places: &Arc<Semaphore>, gauge: &Gauge) -> Option<Self> {
        let permit = Arc::clone(places).try_acquire_owned().ok()?;
        gauge.inc();
        Some(Self {
            _permit: permit,
            gauge: gauge.clone(),
        })
    }
}

impl Drop for SitePlace {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl Exchange {
    /// Takes one of `http.upstream_requests`.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(super) fn begin(site: &Arc<Site>) -> Result<Self, RefusedRequest> {
        let place = SitePlace::take(&site.requests, &site.metrics.upstream_requests);
        let place = place.ok_or_else(|| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let reason = "too many requests at the site";
            RefusedRequest::later(status, "upstream_requests", reason)
        })?;
        Ok(Self {
            site: Arc::clone(site),
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
