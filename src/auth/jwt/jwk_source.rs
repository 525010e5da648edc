//! A JWK set at an https address of the settings: fetched at start, again before it is old, and when a token names a key
//! that is not in it, at most once in `auth.jwt.jwks_interval` whatever tokens name.
//!
//! The last good set stays while the address does not answer: chat goes on. Nothing of a token is in a request.

use super::files::FILE_BYTES_MAX;
use super::jwk_set;
use super::key::Key;
use super::seen::Seen;
use crate::config::JwtSettings;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// What asks the address, with a bound of its own on time and size.
pub(crate) type Fetch =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>> + Send + Sync>;

/// The keys of an address.
pub(super) struct JwkSource {
    url: Box<str>,
    fetch: Fetch,
    refresh: Duration,
    interval: Duration,
    keys: RwLock<Arc<[Key]>>,
    /// When the address was asked last. Whoever wants a fetch waits for the one under way.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// Did the last fetch bring a set? `None` before the first.
    is_up: Mutex<Option<bool>>,
    seen: Arc<Seen>,
}

impl fmt::Debug for JwkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwkSource")
            .field("url", &self.url)
            .field("keys", &self.keys.read().len())
            .finish_non_exhaustive()
    }
}

impl JwkSource {
    pub(super) fn new(url: &str, settings: &JwtSettings, fetch: Fetch, seen: Arc<Seen>) -> Self {
        Self {
            url: url.into(),
            fetch,
            refresh: settings.jwks_refresh,
            interval: settings.jwks_interval,
            keys: RwLock::new(Arc::from([])),
            asked: tokio::sync::Mutex::default(),
            is_up: Mutex::default(),
            seen,
        }
    }

    /// The keys of the last good set; none before the first.
    pub(super) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read())
    }

    /// Has there never been a set?
    pub(super) fn is_without_set(&self) -> bool {
        self.keys.read().is_empty()
    }

    /// Fetches the set, unless that was done within the interval.
    ///
    /// # Cancel safety
    /// The fetch is given up; the interval counts all the same.
    pub(super) async fn fetch_early(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= self.interval) {
            *asked = Some(Instant::now());
            self.take((self.fetch)().await);
        }
    }

    /// Keeps the set fresh as long as anybody holds the source.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub(super) async fn keep_fresh(source: Weak<Self>) {
        loop {
            let pause = match source.upgrade() {
                Some(source) => {
                    source.fetch_early().await;
                    source.pause()
                }
                None => return,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Until the next fetch: up to a tenth less than the settings say, so that nodes do not ask all at once; sooner
    /// after one that failed.
    fn pause(&self) -> Duration {
        if *self.is_up.lock() == Some(false) {
            return self.interval;
        }
        let micros = crate::clock::wall().1;
        self.refresh
            .mul_f64(1.0 - f64::from(micros % 1000) / 10_000.0)
    }

    fn take(&self, answer: Result<Bytes, String>) {
        let parsed = answer.and_then(|body| {
            if body.len() as u64 > FILE_BYTES_MAX {
                return Err("is too long".to_owned());
            }
            jwk_set::parse(&body, &self.url)
        });
        let is_up = parsed.is_ok();
        let is_news = self.is_up.lock().replace(is_up) != Some(is_up);
        match parsed {
            Ok(keys) => {
                let old = std::mem::replace(&mut *self.keys.write(), keys.into());
                let new = self.keys();
                if !old
                    .iter()
                    .all(|key| new.iter().any(|other| key.is_same(other)))
                {
                    // Whoever was let in by a key that has gone proves it again.
                    self.seen.clear();
                }
                if is_news {
                    tracing::info!(url = %self.url, keys = new.len(), "the JWK set was fetched");
                }
            }
            Err(what) if is_news => {
                tracing::warn!(url = %self.url, %what, "the JWK set cannot be fetched; its last keys stay");
            }
            Err(_again) => {}
        }
    }
}
