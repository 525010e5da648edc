//! A JWK set at an https address of the settings: fetched at start, again before it is old, and when a token names a key
//! that is not in it, at most once in `auth.jwt.jwks_interval` whatever tokens name.
//!
//! The last good set stays while the address does not answer: chat goes on, for `auth.jwt.jwks_max_age` at most, since a
//! key may have been withdrawn meanwhile. Nothing of a token is in a request. A fetch
//! goes on to its end when whoever wanted it goes away, so that nobody can spend the fetch of an interval for nothing.

use super::files::FILE_BYTES_MAX;
use super::jwk_set;
use super::key::TokenKey;
use super::set_health::{SetFault, SetHealth};
use crate::config::JwtSettings;
use crate::http_client::Authorities;
use crate::metrics::{Metrics, count, declare};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// What asks the address, with a bound of its own on time and size.
type Ask =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>> + Send + Sync>;

/// What asks the address, whom that believes to be there, and where is counted what comes of it.
pub(crate) struct Fetch {
    pub(crate) ask: Ask,
    pub(crate) authorities: Authorities,
    pub(crate) metrics: Arc<Metrics>,
}

/// Most bytes of what is kept and told of an answer that is no set: texts of the answer may be in there.
const FAULT_BYTES_MAX: usize = 200;
/// What is counted.
const OUTCOMES: [&str; 4] = ["set", "no_answer", "no_set", "too_old"];

/// The keys of an address.
pub(super) struct JwkSource {
    url: Box<str>,
    fetch: Fetch,
    refresh: Duration,
    interval: Duration,
    max_age: Duration,
    state: Arc<SetState>,
    /// Is the set kept fresh?
    has_begun: AtomicBool,
}

/// What is known of an address and of whoever is believed to be there, whatever else is set.
#[derive(Debug, Default)]
struct SetState {
    fetched: RwLock<FetchedKeys>,
    /// When the address was asked last. Whoever wants a fetch waits for the one under way.
    asked: Arc<tokio::sync::Mutex<Option<Instant>>>,
    health: Mutex<SetHealth>,
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
            .field("keys", &self.state.fetched.read().keys.len())
            .finish_non_exhaustive()
    }
}

impl JwkSource {
    /// The set at `url`; what `previous` knows of it, if that asks the same address and believes the same authorities:
    /// keys that somebody else has vouched for are not carried over.
    pub(super) fn new(
        url: &str,
        settings: &JwtSettings,
        fetch: Fetch,
        previous: Option<&Self>,
    ) -> Self {
        let previous = previous.filter(|previous| {
            *previous.url == *url && previous.fetch.authorities == fetch.authorities
        });
        declare(&fetch.metrics.auth_jwks, "outcome", OUTCOMES);
        Self {
            url: url.into(),
            fetch,
            refresh: settings.jwks_refresh,
            interval: settings.jwks_interval,
            max_age: settings.jwks_max_age,
            has_begun: AtomicBool::new(false),
            state: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.state)),
        }
    }

    /// The keys of the last good set, unless that is too old: whoever asks need not wait for the next fetch.
    pub(super) fn fetched(&self) -> FetchedKeys {
        self.forget_old();
        self.state.fetched.read().clone()
    }

    /// As [`FetchedKeys::generation`].
    pub(super) fn generation(&self) -> u64 {
        self.forget_old();
        self.state.fetched.read().generation
    }

    /// Why a set is not there, or not fresh; `None` if one is.
    pub(super) fn fault(&self) -> Option<String> {
        self.forget_old();
        self.state.health.lock().shown()
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
            let answer = (source.fetch.ask)().await;
            source.take(answer);
        });
        // Of a fetch that failed the log is told, and the last keys stay.
        drop(fetch.await);
    }

    /// Keeps the set fresh as long as anybody holds the source; `None` if that is done already.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub(super) fn keep_fresh(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let has_begun = self.has_begun.swap(true, Ordering::Relaxed);
        let source = Arc::downgrade(self);
        (!has_begun).then(|| Self::fetch_again(source))
    }

    async fn fetch_again(source: Weak<Self>) {
        loop {
            let pause = match source.upgrade() {
                Some(source) => {
                    source.fetch_early().await;
                    source.forget_old();
                    source.pause()
                }
                None => return,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Until the next fetch: up to a tenth less than the settings say, so that nodes do not ask all at once, but not
    /// within the interval; sooner after one that failed, and no later than the set is too old.
    fn pause(&self) -> Duration {
        let health = self.state.health.lock();
        let left = health.left(self.max_age);
        let pause = if health.fault().is_some() || left.is_none() {
            self.interval
        } else {
            let micros = crate::clock::wall().1;
            let less = 1.0 - f64::from(micros % 1000) / 10_000.0;
            self.refresh.mul_f64(less).max(self.interval)
        };
        left.map_or(pause, |left| left.min(pause))
    }

    /// Has no key count any more of a set that was fetched too long ago.
    fn forget_old(&self) {
        // Held to the end: a set that comes meanwhile is not the old one.
        let mut health = self.state.health.lock();
        if !health.grow_old(self.max_age) {
            return;
        }
        let mut fetched = self.state.fetched.write();
        *fetched = FetchedKeys {
            keys: Arc::default(),
            generation: fetched.generation + 1,
        };
        drop((fetched, health));
        self.count("too_old");
        tracing::warn!(url = %self.url, "the JWK set is too old, and none of its keys counts any more");
    }

    fn count(&self, outcome: &'static str) {
        count(&self.fetch.metrics.auth_jwks, "outcome", outcome);
    }

    fn take(&self, answer: Result<Bytes, String>) {
        let parsed = answer.map_err(SetFault::NoAnswer).and_then(|body| {
            if body.len() as u64 > FILE_BYTES_MAX {
                return Err(SetFault::NoSet("is too long".to_owned()));
            }
            jwk_set::parse(&body, &self.url).map_err(|mut what| {
                what.truncate(what.floor_char_boundary(FAULT_BYTES_MAX));
                SetFault::NoSet(what)
            })
        });
        match parsed {
            Ok(keys) => {
                self.count("set");
                let mut health = self.state.health.lock();
                if health.take_good() {
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
            Err(fault) => self.note(fault),
        }
    }

    /// Tells the log of a fetch that brought no set, if the one before did, or failed otherwise.
    fn note(&self, fault: SetFault) {
        let is_news = self.state.health.lock().take_fault(fault.clone());
        match fault {
            SetFault::NoAnswer(what) => {
                self.count("no_answer");
                if is_news {
                    tracing::warn!(url = %self.url, %what, "the JWK set cannot be fetched; its last keys stay");
                }
            }
            SetFault::NoSet(what) => {
                self.count("no_set");
                if is_news {
                    tracing::warn!(url = %self.url, %what, "what was fetched is no JWK set that can be used; the last keys stay");
                }
            }
        }
    }
}
