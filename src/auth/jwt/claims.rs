//! What a verified token says, judged and made an identity (RFC 7519 §4.1).

use super::flaw::Flaw;
use super::object;
use crate::broker::{Identity, RoomPattern, RoomScope, UserRole};
use crate::config::{DefaultRooms, JwtSettings};
use crate::name::{SESSION_ID_BYTES_MAX, is_business_id, is_session_id};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Members of the claims; nobody reads more than nine.
const MEMBERS_MAX: usize = 64;
/// Longest `sub` in bytes.
const SUBJECT_BYTES_MAX: usize = 255;
/// Most rooms, or beginnings of rooms, of one identity.
pub(super) const ROOMS_MAX: usize = 32;
/// The end of the year 9999: a later time is a slip, or milliseconds.
const LATEST: f64 = 253_402_300_799.0;

/// What the settings want of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimRules {
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway: u64,
    default_rooms: DefaultRooms,
}

impl ClaimRules {
    /// The rules of the settings.
    pub(crate) fn new(settings: &JwtSettings) -> Self {
        Self {
            issuers: settings.issuer.clone(),
            audiences: settings.audience.clone(),
            leeway: settings.leeway.as_secs(),
            default_rooms: settings.default_rooms,
        }
    }

    /// Who the claims say somebody is, at `now` in Unix seconds.
    ///
    /// # Errors
    /// The first flaw: form, time, issuer, audience, then the rest.
    pub(crate) fn judge(&self, json: &[u8], now: u64) -> Result<Identity, Flaw> {
        const KNOWN: [&str; 9] = [
            "exp",
            "nbf",
            "iat",
            "iss",
            "aud",
            "sub",
            "role",
            "business_id",
            "session_id",
        ];
        let members = object::read(json, KNOWN, MEMBERS_MAX).map_err(|_malformed| Flaw::Claims)?;
        let [exp, nbf, iat, iss, aud, sub, role, business_id, session_id] = members;
        let expires_at = self.judge_times([exp, nbf, iat], now)?;
        self.judge_parties(iss.as_ref(), aud.as_ref())?;
        Ok(Identity {
            user: subject(sub)?,
            role: role_of(role.as_ref())?,
            rooms: self.rooms(business_id.as_ref(), session_id.as_ref())?,
            expires_at: Some(expires_at),
        })
    }

    /// When the token ends. One that has ended within the leeway ends with that: the clocks differ, and whoever is let in
    /// is not thrown out at once.
    fn judge_times(&self, [exp, nbf, iat]: [Option<Value>; 3], now: u64) -> Result<u64, Flaw> {
        let exp = seconds(exp.as_ref().ok_or(Flaw::Expiry)?).ok_or(Flaw::Expiry)?;
        let latest = now.saturating_add(self.leeway);
        if let Some(nbf) = nbf
            && seconds(&nbf).is_none_or(|nbf| nbf > latest)
        {
            return Err(Flaw::NotYet);
        }
        if let Some(iat) = iat
            && seconds(&iat).is_none_or(|iat| iat > latest)
        {
            return Err(Flaw::Issued);
        }
        match exp {
            exp if exp > now => Ok(exp),
            exp if exp.saturating_add(self.leeway) > now => Ok(exp + self.leeway),
            _ => Err(Flaw::Expired),
        }
    }

    fn judge_parties(&self, iss: Option<&Value>, aud: Option<&Value>) -> Result<(), Flaw> {
        let is_known = |issuer: &&str| self.issuers.iter().any(|known| known == issuer);
        let issuer = iss.and_then(Value::as_str).filter(is_known);
        if !self.issuers.is_empty() && issuer.is_none() {
            return Err(Flaw::Issuer);
        }
        let is_ours = |one: &Value| {
            let one = one.as_str();
            one.is_some_and(|one| self.audiences.iter().any(|known| known == one))
        };
        let is_meant = match aud {
            Some(Value::Array(several)) => several.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        if !self.audiences.is_empty() && !is_meant {
            return Err(Flaw::Audience);
        }
        Ok(())
    }

    fn rooms(&self, business: Option<&Value>, session: Option<&Value>) -> Result<RoomScope, Flaw> {
        let names = |ids: Option<&Value>, is_pattern: fn(&str) -> bool| {
            ids.map(|ids| names(ids, is_pattern)).transpose()
        };
        let businesses = names(business, is_business_pattern)?;
        let sessions = names(session, is_session_pattern)?;
        let (businesses, sessions) = match (businesses, sessions, self.default_rooms) {
            (Some(businesses), Some(sessions), _) => (businesses, sessions),
            (Some(businesses), None, DefaultRooms::Business | DefaultRooms::Any) => {
                (businesses, vec![None])
            }
            (None, Some(sessions), DefaultRooms::Any) => (vec![None], sessions),
            (None, None, DefaultRooms::Any) => (vec![None], vec![None]),
            _ => return Ok(RoomScope::Of(Box::default())),
        };
        scope(&businesses, &sessions)
    }
}

/// Each session of each business.
pub(in crate::auth) fn scope(
    businesses: &[Option<Box<str>>],
    sessions: &[Option<Box<str>>],
) -> Result<RoomScope, Flaw> {
    if businesses.contains(&None) && sessions.contains(&None) {
        return Ok(RoomScope::Any);
    }
    if businesses.len() * sessions.len() > ROOMS_MAX {
        return Err(Flaw::Rooms);
    }
    let of_business = |business_id: &Option<Box<str>>| {
        let pattern = |session_id: &Option<Box<str>>| RoomPattern {
            business_id: business_id.clone(),
            session_id: session_id.clone(),
        };
        sessions.iter().map(pattern).collect::<Vec<_>>()
    };
    Ok(RoomScope::Of(
        businesses.iter().flat_map(of_business).collect(),
    ))
}

/// A time of RFC 7519 §2, whole seconds since 1970: a fraction is cut off.
fn seconds(time: &Value) -> Option<u64> {
    let time = time.as_number()?.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within the years 1970 to 9999"
    )]
    (0.0..=LATEST).contains(&time).then_some(time as u64)
}

fn subject(sub: Option<Value>) -> Result<Option<Arc<str>>, Flaw> {
    match sub {
        None => Ok(None),
        Some(Value::String(name))
            if (1..=SUBJECT_BYTES_MAX).contains(&name.len())
                && !name.chars().any(char::is_control) =>
        {
            Ok(Some(name.into()))
        }
        Some(_) => Err(Flaw::Subject),
    }
}

fn role_of(role: Option<&Value>) -> Result<UserRole, Flaw> {
    match role {
        None => Ok(UserRole::default()),
        Some(role) => role.as_str().and_then(UserRole::parse).ok_or(Flaw::Role),
    }
}

/// One name or several; each an id, the beginning of sessions with a star behind it, or a star (`None`).
fn names(ids: &Value, is_pattern: fn(&str) -> bool) -> Result<Vec<Option<Box<str>>>, Flaw> {
    let one_or_more = match ids {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    if one_or_more.len() > ROOMS_MAX {
        return Err(Flaw::Rooms);
    }
    let name = |id: &Value| {
        let text = text_of(id).filter(|text| is_pattern(text));
        text.ok_or(Flaw::Rooms).map(|text| named(&text))
    };
    one_or_more.iter().map(name).collect()
}

/// A name, or a star's every name.
pub(in crate::auth) fn named(text: &str) -> Option<Box<str>> {
    (text != "*").then(|| text.into())
}

/// A site's ids are numbers to it: 7 is "7", and 7.5 nothing.
fn text_of(id: &Value) -> Option<Cow<'_, str>> {
    match id {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => number.as_u64().map(|id| Cow::Owned(id.to_string())),
        _ => None,
    }
}

/// Is this a business id, or a star?
pub(in crate::auth) fn is_business_pattern(text: &str) -> bool {
    text == "*" || is_business_id(text)
}

/// Is this a session id, the beginning of some with a star behind it, or a star?
pub(in crate::auth) fn is_session_pattern(text: &str) -> bool {
    match text.strip_suffix('*') {
        Some("") => true,
        Some(beginning) => is_session_id(beginning) && beginning.len() < SESSION_ID_BYTES_MAX,
        None => is_session_id(text),
    }
}
