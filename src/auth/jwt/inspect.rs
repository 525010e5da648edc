//! What `supportal token --check` says of a token, step by step, as the server would judge it.

use super::claims::ClaimRules;
use super::files::KeyFault;
use super::flaw::Flaw;
use super::token::Token;
use super::{candidates, keys_of};
use crate::broker::{Identity, RoomScope};
use crate::config::JwtSettings;

/// One step of the judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Is there nothing wrong?
    pub is_good: bool,
    /// What was found, or what is wrong and where. Nothing of a key or of the signature.
    pub text: String,
}

impl Step {
    fn good(text: impl Into<String>) -> Self {
        Self {
            is_good: true,
            text: text.into(),
        }
    }
}

impl From<Flaw> for Step {
    fn from(flaw: Flaw) -> Self {
        Self {
            is_good: false,
            text: flaw.to_string(),
        }
    }
}

/// Judges a token at `now` in Unix seconds by the keys that are here: a set at an address is not fetched.
///
/// # Errors
/// When a file of keys cannot be used.
pub fn inspect(settings: &JwtSettings, text: &str, now: u64) -> Result<Vec<Step>, KeyFault> {
    let keys = keys_of(settings)?;
    let mut steps = Vec::new();
    let token = match Token::read(text, settings.token_bytes) {
        Ok(token) => token,
        Err(flaw) => return Ok(vec![flaw.into()]),
    };
    let kid = token.key_id.as_deref();
    steps.push(Step::good(format!(
        "form: {} bytes, algorithm {}, {}",
        text.len(),
        token.algorithm.name(),
        kid.map_or_else(|| "no kid".to_owned(), |kid| format!("kid {kid:?}"))
    )));
    let tried: Vec<_> = candidates(&token, keys.iter()).collect();
    let signed = tried
        .iter()
        .find(|key| key.verifies(token.message.as_bytes(), &token.signature));
    steps.push(match signed {
        Some(key) => Step::good(format!("signature: by {}", key.source)),
        None if tried.is_empty() => Flaw::NoKey.into(),
        None => Flaw::Signature.into(),
    });
    if signed.is_none()
        && settings
            .jwks
            .as_deref()
            .is_some_and(|jwks| jwks.contains("://"))
    {
        steps.push(Step::good(
            "keys: those at the address of auth.jwt.jwks were not tried",
        ));
    }
    let claims = token.claims();
    let judged = claims.and_then(|json| ClaimRules::new(settings).judge(&json, now));
    match judged {
        Ok(identity) => steps.extend(said(&identity, now)),
        Err(flaw) => steps.push(flaw.into()),
    }
    Ok(steps)
}

fn said(identity: &Identity, now: u64) -> [Step; 3] {
    let user = identity.user.as_deref();
    let user = user.map_or_else(
        || "somebody without a name".to_owned(),
        |user| format!("{user:?}"),
    );
    let end = identity.expires_at.unwrap_or_default();
    let rooms = match &identity.rooms {
        RoomScope::Any => Step::good("rooms: any"),
        RoomScope::Of(rooms) if rooms.is_empty() => Step {
            is_good: false,
            text: "rooms: none, since the token does not say which (see auth.jwt.default_rooms)"
                .to_owned(),
        },
        RoomScope::Of(rooms) => {
            let shown = rooms.iter().map(|room| {
                let of = |id: &Option<Box<str>>| id.as_deref().unwrap_or("*").to_owned();
                format!("{}/{}", of(&room.business_id), of(&room.session_id))
            });
            Step::good(format!("rooms: {}", shown.collect::<Vec<_>>().join(", ")))
        }
    };
    [
        Step::good(format!("time: ends in {} s", end.saturating_sub(now))),
        Step::good(format!("who: {user}, {}", identity.role.as_str())),
        rooms,
    ]
}
