//! How many may be at the site at once: in all, and of one address.

use super::super::admission::{Admission, Full, Permit, peer_of};
use crate::metrics::Gauge;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places at the site: so many in all, and of those so many for one address.
#[derive(Debug)]
pub(super) struct SitePlaces {
    all: Arc<Semaphore>,
    count: usize,
    shares: Arc<Admission>,
    gauge: Gauge,
}

impl SitePlaces {
    /// `count` places, at most `each` for one address; 0 = no limit for one.
    pub(super) fn new(count: usize, each: usize, gauge: &Gauge) -> Self {
        Self {
            all: Arc::new(Semaphore::new(count)),
            count,
            shares: Arc::new(Admission::new(usize::MAX, each)),
            gauge: gauge.clone(),
        }
    }

    /// Takes a place for a client of this address.
    ///
    /// # Errors
    /// Which cap is reached.
    pub(super) fn take(&self, client: IpAddr) -> Result<SitePlace, Full> {
        let permit = Arc::clone(&self.all).try_acquire_owned();
        let permit = permit.or(Err(Full::Node))?;
        let share = self.shares.enter(peer_of(client))?;
        self.gauge.inc();
        Ok(SitePlace {
            _permit: permit,
            _share: share,
            gauge: self.gauge.clone(),
        })
    }

    /// Waits until all of them are free.
    ///
    /// # Cancel safety
    /// Dropped before its end it has taken none.
    pub(super) async fn all_free(&self) {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        drop(self.all.acquire_many(count).await);
    }
}

/// A counted place among those of a cap.
#[derive(Debug)]
pub(super) struct SitePlace {
    _permit: OwnedSemaphorePermit,
    _share: Permit,
    gauge: Gauge,
}

impl Drop for SitePlace {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
