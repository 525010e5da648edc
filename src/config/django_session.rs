//! `[auth.django_session]`: the sessions of a Django site, where they can be read without it.

use super::key::KeyKind;
use super::problem::Findings;
use super::recheck::check_recheck;
use super::redis::RedisAddress;
use super::role::RoleName;
use super::secret::Secret;
use super::secrets::check_secrets;
use super::setting::{CAPACITY_MAX, HOUR, SHORT, kinds, seconds, section};
use super::units;
use std::time::Duration;

/// Shortest SECRET_KEY: whoever guesses it is every user. `startproject` makes one of 50 characters and more.
const KEY_BYTES: usize = 32;
/// Longest name of a cookie.
const COOKIE_BYTES_MAX: usize = 64;
/// A prefix counts in every key.
const PREFIX_BYTES_MAX: usize = 64;
/// No session is kept longer: a year.
const AGE_MAX: Duration = seconds(366 * 24 * 3600);

section! {
    /// Sessions of a Django site, read here without asking the site: those in signed cookies, and those in its cache's Redis.
    ["auth.django_session"] DjangoSessionSettings {
        /// The site's SESSION_ENGINE: `signed_cookies`, or `cache` of a Redis; the whole dotted name is understood too. Others only the site itself can read: `forward` asks it.
        engine: SessionEngine = SessionEngine::SignedCookies, live;
        /// The site's SECRET_KEY, which signs cookies (`signed_cookies`). Prefer the environment to a file.
        secret_key: Option<Secret> = None, live;
        /// The site's SECRET_KEY_FALLBACKS: earlier keys that still verify.
        secret_key_fallbacks: Vec<Secret> = Vec::new(), live;
        /// The site's SESSION_COOKIE_NAME.
        cookie: String = "sessionid".to_owned(), live;
        /// The site's SESSION_COOKIE_AGE: a signed cookie counts for so long, and so does who came in by it, or by a session in Redis that has no end.
        #[serde(with = "units::duration")]
        cookie_age: Duration = seconds(14 * 24 * 3600), live, in seconds(1)..=AGE_MAX;
        /// The one Redis of the cache that SESSION_CACHE_ALIAS names, of several the first of its LOCATION (`cache`); in the forms of `bridge.urls`.
        redis: Vec<RedisAddress> = Vec::new(), live;
        /// The cache's KEY_PREFIX.
        key_prefix: String = String::new(), live;
        /// The cache's VERSION.
        version: usize = 1, live;
        /// Longest wait for Redis, and for a turn before it.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(3), live, in SHORT..=seconds(60);
        /// Most bytes of a session, decompressed; longer ones let nobody in.
        session_bytes: usize = 16 * 1024, live, in 256..=1024 * 1024;
        /// Most sessions that are looked for in Redis at once; further ones wait, at most for `timeout`.
        concurrency: usize = 16, live, in 1..=1024;
        /// Most of these for one address (IPv6: its /64); further ones of it wait, and leave the rest to others.
        concurrency_per_ip: usize = 4, live, in 1..=1024;
        /// How long it is remembered whose a session in Redis is; 0 = not at all.
        #[serde(with = "units::duration")]
        cache: Duration = seconds(5), live, in ..=HOUR;
        /// How long it is remembered that a session is nobody's; 0 = not at all.
        #[serde(with = "units::duration")]
        cache_refused: Duration = seconds(1), live, in ..=HOUR;
        /// How often is looked again in Redis for the sessions of who is connected, up to a tenth earlier or later at random: one that is gone, or another user's, closes with 4503, and its end counts anew. 0 = never; a signed cookie has nothing but its end.
        #[serde(with = "units::duration")]
        recheck: Duration = seconds(300), live, in ..=HOUR;
        /// Most sessions of which that is remembered.
        cache_entries: usize = 10_000, live, in ..=CAPACITY_MAX;
        /// What everybody with a session is to the business, which a session does not say: `customer`, `agent` or `backend`.
        role: RoleName = RoleName::Customer, live;
    }
}

/// Where a site keeps sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEngine {
    /// `django.contrib.sessions.backends.signed_cookies`.
    #[serde(alias = "django.contrib.sessions.backends.signed_cookies")]
    SignedCookies,
    /// `django.contrib.sessions.backends.cache`.
    #[serde(alias = "django.contrib.sessions.backends.cache")]
    Cache,
    /// One of Django's that only the site can read: refused.
    #[serde(
        alias = "django.contrib.sessions.backends.db",
        alias = "cached_db",
        alias = "django.contrib.sessions.backends.cached_db",
        alias = "file",
        alias = "django.contrib.sessions.backends.file"
    )]
    Db,
}

kinds! {
    SessionEngine => KeyKind::Choice(&["signed_cookies", "cache"]),
}

impl DjangoSessionSettings {
    /// Is there what sessions are read by? With it and without the mode no node starts (`auth`).
    pub(super) fn has_keys(&self) -> bool {
        self.secret_key.is_some() || !self.redis.is_empty()
    }
}

/// The engine can be read here, and there is what it takes. `is_on`: is the mode listed?
pub(super) fn check(session: &DjangoSessionSettings, is_on: bool, found: &mut Findings) {
    session.check_ranges(found);
    let fallbacks = &session.secret_key_fallbacks;
    for (key, secrets) in [
        (
            "auth.django_session.secret_key",
            session.secret_key.as_slice(),
        ),
        ("auth.django_session.secret_key_fallbacks", fallbacks),
    ] {
        check_secrets(key, secrets, KEY_BYTES, found);
    }
    check_names(session, found);
    check_recheck("auth.django_session.recheck", session.recheck, found);
    let has_key = session.secret_key.is_some();
    match session.redis.len() {
        0 | 1 => {}
        count => found.error(
            "auth.django_session.redis",
            format!("holds {count} addresses"),
            "write the first of LOCATION: sessions are written there",
        ),
    }
    if !has_key && !fallbacks.is_empty() {
        let fix = "set SUPPORTAL_AUTH__DJANGO_SESSION__SECRET_KEY too";
        let key = "auth.django_session.secret_key_fallbacks";
        found.error(key, "stands without secret_key", fix);
    }
    if session.engine == SessionEngine::Db {
        let what = "is an engine of which only the site can read sessions (db, cached_db, file or your own)";
        let fix = "set auth.mode = [\"forward\"], which asks the site";
        found.error("auth.django_session.engine", what, fix);
    } else if is_on {
        check_engine(session, has_key, found);
    }
}

/// What the engine of the settings takes is there, and what another one takes is not.
fn check_engine(session: &DjangoSessionSettings, has_key: bool, found: &mut Findings) {
    let is_cache = session.engine == SessionEngine::Cache;
    match (is_cache, has_key, session.redis.is_empty()) {
        (false, false, _) => found.error(
            "auth.mode",
            "django_session has nothing to verify cookies with",
            "set SUPPORTAL_AUTH__DJANGO_SESSION__SECRET_KEY",
        ),
        (false, true, false) => found.error(
            "auth.django_session.redis",
            "is set, and auth.django_session.engine is \"signed_cookies\"",
            "write engine = \"cache\", or leave redis out",
        ),
        (true, _, true) => found.error(
            "auth.mode",
            "django_session has no Redis to look for sessions in",
            "write auth.django_session.redis = [\"redis://127.0.0.1:6379/1\"]",
        ),
        (true, true, false) => found.error(
            "auth.django_session.secret_key",
            "is set, and auth.django_session.engine is \"cache\", which takes none",
            "leave it out",
        ),
        (false, true, true) | (true, false, false) => {}
    }
}

fn check_names(session: &DjangoSessionSettings, found: &mut Findings) {
    // RFC 6265 §4.1.1: a token of RFC 9110.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = &session.cookie;
    if !(1..=COOKIE_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_token) {
        let what = format!("{name:?} is no name of a cookie");
        found.error(
            "auth.django_session.cookie",
            what,
            "write the site's SESSION_COOKIE_NAME, such as \"sessionid\"",
        );
    }
    let prefix = &session.key_prefix;
    if prefix.len() > PREFIX_BYTES_MAX || prefix.chars().any(char::is_control) {
        let fix = "write the cache's KEY_PREFIX, of at most 64 bytes";
        let what = "is too long, or holds a control character";
        found.error("auth.django_session.key_prefix", what, fix);
    }
}
