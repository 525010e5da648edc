//! Mode `jwt`: a signed token (RFC 7515, 7519; the rules of RFC 8725) says who somebody is.
//!
//! A key is bound to its algorithm and comes from the settings alone; a token's `kid` only chooses among these, and a
//! token that brings a key or an address is refused. HMAC is verified at once. Public keys cost more than a worker's turn
//! can spare: those tokens are verified on the control plane, and known again by their hash until they expire.
//!
//! Limits: `auth.jwt.token_bytes` before anything is decoded, [`TRIES_MAX`] keys tried for a token, `auth.jwt.cache` tokens
//! remembered, 64 KiB and 32 keys for a set.

mod algorithm;
mod carrier;
mod claims;
mod der;
mod files;
mod flaw;
mod inspect;
mod jwk_set;
mod jwk_source;
mod key;
mod object;
mod seen;
mod sign;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use carrier::TOKEN_PROTOCOL;
pub(super) use claims::{is_business_pattern, is_session_pattern, named, scope};
pub use files::KeyFault;
pub use inspect::{Step, inspect};
pub(crate) use jwk_source::Fetch;
pub use sign::{Grant, TokenSigner};

use super::query::Carried;
use super::{AuthMode, AuthRefusal, Credentials, Judgement, JudgementLater, RefusalAnswer};
use crate::broker::Identity;
use crate::clock;
use crate::config::JwtSettings;
use carrier::Carriers;
use claims::ClaimRules;
use flaw::Flaw;
use jwk_source::JwkSource;
use key::Key;
use seen::{Seen, hash_of};
use std::path::Path;
use std::sync::Arc;
use token::Token;

/// Most keys that are tried for one token: verifying costs up to 50 µs, and whoever sends nonsense pays nothing.
const TRIES_MAX: usize = 8;

/// The mode.
#[derive(Debug)]
pub(crate) struct Jwt {
    carriers: Carriers,
    rules: ClaimRules,
    token_bytes: usize,
    /// Of secrets, files, and a set in a file.
    keys: Vec<Key>,
    /// A set at an address.
    source: Option<Arc<JwkSource>>,
    seen: Arc<Seen>,
}

impl Jwt {
    /// Reads the keys of the settings. `fetch` asks the address of `auth.jwt.jwks`, if that is one.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(crate) fn new(settings: &JwtSettings, fetch: Option<Fetch>) -> Result<Self, KeyFault> {
        let seen = Arc::new(Seen::new(settings.cache));
        let url = settings.jwks.as_deref().filter(|jwks| jwks.contains("://"));
        let source = url
            .zip(fetch)
            .map(|(url, fetch)| Arc::new(JwkSource::new(url, settings, fetch, Arc::clone(&seen))));
        Ok(Self {
            carriers: Carriers::new(settings),
            rules: ClaimRules::new(settings),
            token_bytes: settings.token_bytes,
            keys: keys_of(settings)?,
            source,
            seen,
        })
    }

    /// Fetches the set of an address and keeps it fresh, as long as this mode lives.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub(crate) fn keep_fresh(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let source = self.source.as_ref()?;
        Some(JwkSource::keep_fresh(Arc::downgrade(source)))
    }

    /// The token that a handshake brings, taken apart.
    fn find<'a>(
        &self,
        credentials: &Credentials<'a>,
    ) -> Option<(&'a str, Result<Token<'a>, Flaw>)> {
        match self.carriers.find(credentials) {
            Carried::Nothing => None,
            Carried::Unclear => Some(("", Err(Flaw::Unclear))),
            Carried::One(text) => Some((text, Token::read(text, self.token_bytes))),
        }
    }

    /// Who a token says somebody is, once one of these keys has verified it.
    fn judge<'k>(
        &self,
        token: &Token<'_>,
        keys: impl Iterator<Item = &'k Key> + Clone,
        now: u64,
    ) -> Result<Identity, Flaw> {
        let mut candidates = candidates(token, keys).peekable();
        candidates.peek().ok_or(Flaw::NoKey)?;
        let message = token.message.as_bytes();
        if !candidates.any(|key| key.verifies(message, &token.signature)) {
            return Err(Flaw::Signature);
        }
        self.rules.judge(&token.claims()?, now)
    }

    async fn judge_later(&self, text: &str, token: &Token<'_>) -> Judgement {
        let mut fetched = self.fetched();
        if let Some(source) = &self.source
            && !fetched.iter().any(|key| is_named_by(key, token))
        {
            source.fetch_early().await;
            fetched = self.fetched();
        }
        let is_without_set = self
            .source
            .as_ref()
            .is_some_and(|source| source.is_without_set());
        let now = clock::wall().0;
        match self.judge(token, self.keys.iter().chain(fetched.iter()), now) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                self.seen.remember(hash_of(text), &identity);
                Judgement::Known(identity)
            }
            Err(_unknown) if is_without_set => Judgement::Refused(AuthRefusal {
                answer: RefusalAnswer::Unavailable,
                cause: "jwks",
            }),
            Err(flaw) => refused(flaw),
        }
    }

    fn fetched(&self) -> Arc<[Key]> {
        let source = self.source.as_ref();
        source.map_or_else(|| Arc::from([]), |source| source.keys())
    }
}

impl AuthMode for Jwt {
    fn at_once(&self, credentials: &Credentials<'_>) -> Judgement {
        let (text, token) = match self.find(credentials) {
            None => return Judgement::Absent,
            Some((_, Err(flaw))) => return refused(flaw),
            Some((text, Ok(token))) => (text, token),
        };
        let now = clock::wall().0;
        if token.algorithm.is_quick() {
            return match self.judge(&token, self.keys.iter(), now) {
                Ok(identity) => Judgement::Known(Arc::new(identity)),
                Err(flaw) => refused(flaw),
            };
        }
        if self.source.is_none() && candidates(&token, self.keys.iter()).next().is_none() {
            return refused(Flaw::NoKey);
        }
        if self.seen.is_off() {
            return Judgement::Later;
        }
        let known = self.seen.find(&hash_of(text), now);
        known.map_or(Judgement::Later, Judgement::Known)
    }

    fn later<'a>(&'a self, credentials: &'a Credentials<'a>) -> JudgementLater<'a> {
        Box::pin(async move {
            match self.find(credentials) {
                None => Judgement::Absent,
                Some((_, Err(flaw))) => refused(flaw),
                Some((text, Ok(token))) => self.judge_later(text, &token).await,
            }
        })
    }
}

fn refused(flaw: Flaw) -> Judgement {
    Judgement::Refused(AuthRefusal {
        answer: RefusalAnswer::Unauthorized,
        cause: flaw.label(),
    })
}

/// The keys that may have signed a token: of its algorithm, and by the name that it says; where no key has that name,
/// those without a name, as secrets and files are.
fn candidates<'k>(
    token: &Token<'_>,
    keys: impl Iterator<Item = &'k Key> + Clone,
) -> impl Iterator<Item = &'k Key> {
    let has_name = keys.clone().any(|key| is_named_by(key, token));
    let (algorithm, is_nameless) = (token.algorithm, token.key_id.is_none());
    let key_id = token.key_id.clone();
    keys.filter(move |key| {
        let may = match (has_name, is_nameless) {
            (true, _) => key.id.as_deref() == key_id.as_deref(),
            (false, true) => true,
            (false, false) => key.id.is_none(),
        };
        may && key.algorithm == algorithm
    })
    .take(TRIES_MAX)
}

/// Does the token say that this key signed it?
fn is_named_by(key: &Key, token: &Token<'_>) -> bool {
    key.id.is_some()
        && key.id.as_deref() == token.key_id.as_deref()
        && key.algorithm == token.algorithm
}

/// Every key that the settings name by itself or by a file.
fn keys_of(settings: &JwtSettings) -> Result<Vec<Key>, KeyFault> {
    let secret = |secret: &crate::config::Secret| {
        let algorithm = settings.algorithm.into();
        Key::of_secret(algorithm, secret.expose().as_bytes(), "auth.jwt.secret")
    };
    let mut keys: Vec<Key> = settings.secret.iter().map(secret).collect();
    for path in &settings.keys {
        keys.extend(files::public_keys(path)?);
    }
    let of_files = keys.len() - settings.secret.len();
    if of_files > TRIES_MAX {
        let what = format!("hold {of_files} keys; at most {TRIES_MAX} are tried for a token");
        return Err(KeyFault::new("auth.jwt.keys", "the files", what));
    }
    if let Some(path) = settings
        .jwks
        .as_deref()
        .filter(|jwks| !jwks.contains("://"))
    {
        const KEY: &str = "auth.jwt.jwks";
        let json = files::read(KEY, Path::new(path))?;
        let set = jwk_set::parse(&json, path);
        keys.extend(set.map_err(|what| KeyFault::new(KEY, path, what))?);
    }
    Ok(keys)
}
