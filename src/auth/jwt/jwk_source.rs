//! A JWK set at an https address of the settings: fetched at start, again before it is old, and when a token names a key
//! that is not in it, at most once in `auth.jwt.jwks_interval` whatever tokens name.
//!
//! The last good set stays while the address does not answer: chat goes on. Nothing of a token is in a request. A fetch
//! goes on to its end when whoever wanted it goes away, so that nobody can spend the fetch of an interval for nothing.

use super::files::FILE_BYTES_MAX;
use super::jwk_set;
use super::key::TokenKey;
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
    state: Arc<SetState>,
}

/// What is known of an address, whatever settings it is asked with.
#[derive(Debug, Default)]
struct SetState {
    fetched: RwLock<FetchedKeys>,
    /// When the address was asked last. Whoever wants a fetch waits for the one under way.
    asked: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// Did the last fetch bring a set? `None` before the first.
    is_up: Mutex<Option<bool>>,
}

/// The keys of the last good set; none before the first.
#[derive(Clone, Debug, Default)]
pub(super) struct FetchedKeys {
    pub(super) keys: Arc<[TokenKey]>,
    /// Grows when a key is withdrawn.
    pub(super) generation: u64,
}

impl fmt::Debug for JwkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwkSource")
            .field("url", &self.url)
            .field("keys", &self.fetched().keys.len())
            .finish_non_exhaustive()
    }
}

impl JwkSource {
    /// The set at `url`; of the same address, what `previous` knows of that.
    pub(super) fn new(
        url: &str,
        settings: &JwtSettings,
        fetch: Fetch,
        previous: Option<&Self>,
    ) -> Self {
        let previous = previous.filter(|previous| *previous.url == *url);
        Self {
            url: url.into(),
            fetch,
            refresh: settings.jwks_refresh,
            interval: settings.jwks_interval,
            state: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.state)),
        }
    }

    /// The keys of the last good set.
    pub(super) fn fetched(&self) -> FetchedKeys {
        self.state.fetched.read().clone()
    }

    /// As [`FetchedKeys::generation`].
    pub(super) fn generation(&self) -> u64 {
        self.state.fetched.read().generation
    }

    /// Is that the set of the same address, with the keys that were fetched for either?
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Fetches the set, unless that was done within the interval.
    ///
    /// # Cancel safety
    /// The fetch goes on to its end, and is the one of the interval.
    pub(super) async fn fetch_early(self: &Arc<Self>) {
        let mut asked = Arc::clone(&self.state.asked).lock_owned().await;
        if asked.is_some_and(|at| at.elapsed() < self.interval) {
            return;
        }
        let source = Arc::clone(self);
        let fetch = tokio::spawn(async move {
            *asked = Some(Instant::now());
            let answer = (source.fetch)().await;
            source.take(answer);
        });
        // Of a fetch that failed the log is told, and the last keys stay.
        drop(fetch.await);
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
        if *self.state.is_up.lock() == Some(false) {
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
        let is_news = self.state.is_up.lock().replace(is_up) != Some(is_up);
        match parsed {
            Ok(keys) => {
                if is_news {
                    tracing::info!(url = %self.url, keys = keys.len(), "the JWK set was fetched");
                }
                let mut fetched = self.state.fetched.write();
                let stays = |key: &TokenKey| keys.iter().any(|other| key.is_same(other));
                // Whoever was let in by a key that has gone proves it again.
                let is_withdrawn = !fetched.keys.iter().all(stays);
                *fetched = FetchedKeys {
                    keys: keys.into(),
                    generation: fetched.generation + u64::from(is_withdrawn),
                };
            }
            Err(what) if is_news => {
                tracing::warn!(url = %self.url, %what, "the JWK set cannot be fetched; its last keys stay");
            }
            Err(_again) => {}
        }
    }
}
