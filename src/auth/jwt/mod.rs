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
mod set_health;
mod sign;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use carrier::TOKEN_PROTOCOL;
pub(super) use claims::{is_business_pattern, is_session_pattern, named, scope};
pub use files::KeyFault;
pub use inspect::{CheckStep, inspect};
pub(crate) use jwk_source::Fetch;
pub(crate) use seen::SEEN_BYTES;
pub use sign::{Grant, TokenSigner};

use super::query::Carried;
use super::{AuthMode, AuthRefusal, Credentials, Judgement, JudgementLater, RefusalAnswer};
use crate::broker::Identity;
use crate::clock;
use crate::config::JwtSettings;
use carrier::Carriers;
use claims::ClaimRules;
use flaw::Flaw;
use jwk_source::{FetchedKeys, JwkSource};
use key::TokenKey;
use seen::{Seen, TokenHash};
use std::path::Path;
use std::sync::Arc;
use token::Token;

/// Most keys that are tried for one token: verifying costs up to 50 µs, and whoever sends nonsense pays nothing.
const TRIES_MAX: usize = 8;

/// The mode.
#[derive(Debug)]
pub(crate) struct Jwt {
    settings: JwtSettings,
    carriers: Carriers,
    rules: ClaimRules,
    token_bytes: usize,
    /// Of secrets, files, and a set in a file.
    keys: Vec<TokenKey>,
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
        Self::after(None, settings, fetch)
    }

    /// The mode of settings that were read again, after this one; this one itself if nothing of it has changed, not even a
    /// file. The set of the same address is known on where the same authorities are believed, and so are the tokens that
    /// were seen where they would be judged alike.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(crate) fn renew(
        self: &Arc<Self>,
        settings: &JwtSettings,
        fetch: Option<Fetch>,
    ) -> Result<Arc<Self>, KeyFault> {
        let next = Self::after(Some(self), settings, fetch)?;
        let is_same =
            self.settings == *settings && next.has_set_of(self) && next.has_public_keys_of(self);
        Ok(if is_same {
            Arc::clone(self)
        } else {
            Arc::new(next)
        })
    }

    fn after(
        previous: Option<&Self>,
        settings: &JwtSettings,
        fetch: Option<Fetch>,
    ) -> Result<Self, KeyFault> {
        let url = settings.jwks.as_deref().filter(|jwks| jwks.contains("://"));
        let source = url.zip(fetch).map(|(url, fetch)| {
            let previous = previous.and_then(|previous| previous.source.as_deref());
            Arc::new(JwkSource::new(url, settings, fetch, previous))
        });
        let mut next = Self {
            settings: settings.clone(),
            carriers: Carriers::new(settings),
            rules: ClaimRules::new(settings),
            token_bytes: settings.token_bytes,
            keys: keys_of(settings)?,
            source,
            seen: Arc::new(Seen::new(settings.cache)),
        };
        if let Some(previous) = previous.filter(|previous| next.judges_alike(previous)) {
            next.seen = Arc::clone(&previous.seen);
        }
        Ok(next)
    }

    /// Is what the other mode has verified and remembered verified by this one too?
    fn judges_alike(&self, other: &Self) -> bool {
        self.has_set_of(other)
            && self.rules == other.rules
            && self.seen.capacity() == other.seen.capacity()
            && self.has_public_keys_of(other)
    }

    /// Is the set that of the same address, whose certificate the same authorities vouch for?
    fn has_set_of(&self, other: &Self) -> bool {
        match (&self.source, &other.source) {
            (None, None) => true,
            (Some(own), Some(other)) => own.is_same(other),
            _ => false,
        }
    }

    /// Are the public keys of files the same, in the same order?
    fn has_public_keys_of(&self, other: &Self) -> bool {
        let public = |jwt: &Self| jwt.settings.secret.len()..;
        let (own, others) = (self.keys.get(public(self)), other.keys.get(public(other)));
        let (own, others) = (own.unwrap_or_default(), others.unwrap_or_default());
        own.len() == others.len()
            && own
                .iter()
                .zip(others)
                .all(|(key, other)| key.is_same(other))
    }

    /// Fetches the set of an address and keeps it fresh, as long as this mode lives; `None` without an address, or if that
    /// is done already.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub(crate) fn keep_fresh(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.source.as_ref()?.keep_fresh()
    }

    /// Why the set of an address is not there, or not fresh.
    pub(crate) fn fault(&self) -> Option<String> {
        self.source.as_ref()?.fault()
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
        keys: impl Iterator<Item = &'k TokenKey> + Clone,
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

    /// What can be said of a token without a wait; else the hash by which it is to be remembered, if any is.
    fn judge_at_once(&self, text: &str, token: &Token<'_>) -> Result<Judgement, Option<TokenHash>> {
        let now = clock::wall().0;
        if token.algorithm.is_quick() {
            return Ok(match self.judge(token, self.keys.iter(), now) {
                Ok(identity) => Judgement::Known(Arc::new(identity)),
                Err(flaw) => refused(flaw),
            });
        }
        if self.source.is_none() && candidates(token, self.keys.iter()).next().is_none() {
            return Ok(refused(Flaw::NoKey));
        }
        let source = self.source.as_ref();
        let generation = source.map_or(0, |source| source.generation());
        let hash = self.seen.hash_of(text);
        let known = hash.and_then(|hash| self.seen.find(&hash, now, generation));
        known.map(Judgement::Known).ok_or(hash)
    }

    /// The rest: tokens that were not seen, by public keys.
    async fn judge_later(&self, token: &Token<'_>, hash: Option<TokenHash>) -> Judgement {
        let mut fetched = self.fetched();
        if let Some(source) = &self.source
            && !fetched.keys.iter().any(|key| is_named_by(key, token))
        {
            source.fetch_early().await;
            fetched = self.fetched();
        }
        let is_without_set = self.source.is_some() && fetched.keys.is_empty();
        let now = clock::wall().0;
        match self.judge(token, self.keys.iter().chain(fetched.keys.iter()), now) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                if let Some(hash) = hash {
                    self.seen.remember(hash, &identity, fetched.generation);
                }
                Judgement::Known(identity)
            }
            Err(_unknown) if is_without_set => Judgement::Refused(AuthRefusal {
                answer: RefusalAnswer::Unavailable,
                cause: "jwks",
            }),
            Err(flaw) => refused(flaw),
        }
    }

    fn fetched(&self) -> FetchedKeys {
        let source = self.source.as_ref();
        source.map(|source| source.fetched()).unwrap_or_default()
    }
}

impl AuthMode for Jwt {
    fn at_once(&self, credentials: &Credentials<'_>) -> Judgement {
        match self.find(credentials) {
            None => Judgement::Absent,
            Some((_, Err(flaw))) => refused(flaw),
            Some((text, Ok(token))) => {
                let judged = self.judge_at_once(text, &token);
                judged.unwrap_or(Judgement::Later)
            }
        }
    }

    fn in_full<'a>(&'a self, credentials: &'a Credentials<'a>) -> JudgementLater<'a> {
        Box::pin(async move {
            let (text, token) = match self.find(credentials) {
                None => return Judgement::Absent,
                Some((_, Err(flaw))) => return refused(flaw),
                Some((text, Ok(token))) => (text, token),
            };
            match self.judge_at_once(text, &token) {
                Ok(judgement) => judgement,
                Err(hash) => self.judge_later(&token, hash).await,
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
    keys: impl Iterator<Item = &'k TokenKey> + Clone,
) -> impl Iterator<Item = &'k TokenKey> {
    let has_name = keys.clone().any(|key| is_named_by(key, token));
    let (algorithm, is_nameless) = (token.algorithm, token.key_id.is_none());
    let key_id = token.key_id.as_deref();
    keys.filter(move |key| {
        let may = match (has_name, is_nameless) {
            (true, _) => key.id.as_deref() == key_id,
            (false, true) => true,
            (false, false) => key.id.is_none(),
        };
        may && key.algorithm == algorithm
    })
    .take(TRIES_MAX)
}

/// Does the token say that this key signed it?
fn is_named_by(key: &TokenKey, token: &Token<'_>) -> bool {
    key.id.is_some()
        && key.id.as_deref() == token.key_id.as_deref()
        && key.algorithm == token.algorithm
}

/// Every key that the settings name by itself or by a file.
fn keys_of(settings: &JwtSettings) -> Result<Vec<TokenKey>, KeyFault> {
    let secret = |secret: &crate::config::Secret| {
        let algorithm = settings.algorithm.into();
        TokenKey::of_secret(algorithm, secret.expose().as_bytes(), "auth.jwt.secret")
    };
    let mut keys: Vec<TokenKey> = settings.secret.iter().map(secret).collect();
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
