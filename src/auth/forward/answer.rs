//! What the site's answer says: who comes in, or why nobody does.
//!
//! | Answer | Means |
//! |---|---|
//! | 2xx without a body, or with a JSON object | in; who it is stands in the object, or in `X-Supportal-User`, `-Role` and `-Expires` |
//! | a redirect of the question itself: to https, or to the same path with a slash | not understood: it never came to the view |
//! | 401, and any other redirect: a login page is elsewhere | 401 |
//! | 403 | 403 |
//! | 404, 410, and `"exists": false` | the session does not exist: 403 |
//! | 408, 429, 5xx, no connection, nothing in time, no whole answer | the site cannot be asked: `auth.forward.on_error` |
//! | anything else, such as a page of HTML with 200 | not understood: 503, whatever `on_error` says |
//!
//! What is not understood never lets anybody in: a login page with status 200 is the commonest of such answers.

use crate::broker::{Identity, RoomPattern, RoomScope, UserRole};
use crate::http_client::RequestError;
use crate::name;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use hyper::{HeaderMap, Response, StatusCode, Uri};
use serde::Deserialize;

/// Most bytes of a user's name: an address of mail has at most 254.
pub(super) const USER_BYTES_MAX: usize = 254;
/// Most rooms that one answer may list.
pub(super) const ROOMS_MAX: usize = 16;

/// What the site says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SiteAnswer {
    /// In, as this. [`RoomScope::Any`] stands for an answer that names no rooms.
    In(Identity),
    /// Not in.
    Out(SiteRefusal),
    /// The site cannot be asked, for this reason.
    Unavailable(&'static str),
    /// What it answered is not understood, for this reason.
    Unreadable(&'static str),
}

/// Why the site lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SiteRefusal {
    /// The site does not know who that is.
    Unknown,
    /// The site knows, and says no.
    Forbidden,
    /// There is no such session.
    NoSession,
    /// What it knows is over.
    Expired,
}

impl SiteAnswer {
    /// Reads an answer to the question at `asked`, of a site that has a host if `is_ours` says so; `now` in seconds since
    /// the Unix epoch.
    pub(super) fn read(
        answered: &Result<Response<Bytes>, RequestError>,
        asked: &Uri,
        is_ours: impl Fn(&str) -> bool,
        now: u64,
    ) -> Self {
        let answer = match answered {
            Ok(answer) => answer,
            // More than fits into memory is the answer's fault, and not a site that is away.
            Err(error @ RequestError::TooLong) => return Self::Unreadable(error.label()),
            Err(error) => return Self::Unavailable(error.label()),
        };
        match answer.status() {
            status if status.is_success() => match identity(answer, now) {
                Ok(said) => said,
                Err(why) => Self::Unreadable(why),
            },
            StatusCode::UNAUTHORIZED => Self::Out(SiteRefusal::Unknown),
            status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                match moved(answer.headers(), asked, is_ours) {
                    Some(why) => Self::Unreadable(why),
                    None => Self::Out(SiteRefusal::Unknown),
                }
            }
            StatusCode::FORBIDDEN => Self::Out(SiteRefusal::Forbidden),
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Out(SiteRefusal::NoSession),
            StatusCode::REQUEST_TIMEOUT => Self::Unavailable("overloaded"),
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Unavailable("server_error"),
            // Of these a client can be the cause: by its rate, or by a cookie that breaks the view. So they admit nobody.
            StatusCode::TOO_MANY_REQUESTS => Self::Unreadable("overloaded"),
            status if status.is_server_error() => Self::Unreadable("server_error"),
            _ => Self::Unreadable("status"),
        }
    }

    /// The outcome, as a label of metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::In(_) => "in",
            Self::Out(refused) => refused.label(),
            Self::Unavailable(why) | Self::Unreadable(why) => why,
        }
    }
}

impl SiteRefusal {
    /// The reason's name, as a label of metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Forbidden => "forbidden",
            Self::NoSession => "no_session",
            Self::Expired => "expired",
        }
    }
}

/// The site wants the question by https (Django: SECURE_SSL_REDIRECT).
pub(super) const TO_HTTPS: &str = "to_https";
/// The site wants a slash at the end of the question's path (Django: APPEND_SLASH).
pub(super) const TO_SLASH: &str = "to_slash";

/// Every label of an outcome.
pub(super) const LABELS: [&str; 20] = [
    "in",
    "unknown",
    "forbidden",
    "no_session",
    "expired", // understood
    "timeout",
    "connect",
    "broken",
    "overloaded",
    "server_error", // not to be asked
    "status",
    "too_long",
    "encoded",
    "not_json",
    "json",
    "user",
    "role",
    "claims",
    TO_HTTPS,
    TO_SLASH, // not understood
];

/// What a body may say. What else is in there is the site's business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    user: Option<User>,
    role: Option<String>,
    exists: Option<bool>,
    expires: Option<serde_json::Number>,
    rooms: Option<Vec<String>>,
}

/// A name, or a number as primary keys are.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum User {
    Name(String),
    Number(u64),
}

fn identity(answer: &Response<Bytes>, now: u64) -> Result<SiteAnswer, &'static str> {
    let headers = answer.headers();
    let encoding = one(headers, CONTENT_ENCODING.as_str()).map_err(|()| "encoded")?;
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err("encoded");
    }
    let body = body(headers, answer.body())?;
    if body.exists == Some(false) {
        return Ok(SiteAnswer::Out(SiteRefusal::NoSession));
    }
    let user = match body.user {
        Some(User::Name(name)) => Some(name),
        Some(User::Number(number)) => Some(number.to_string()),
        None => one(headers, "x-supportal-user")
            .map_err(|()| "user")?
            .map(str::to_owned),
    };
    let user = user.filter(|user| !user.is_empty());
    if user.as_deref().is_some_and(|user| !is_user(user)) {
        return Err("user");
    }
    let role = match body.role {
        Some(role) => Some(role),
        None => one(headers, "x-supportal-role")
            .map_err(|()| "role")?
            .map(str::to_owned),
    };
    let role = match role.as_deref() {
        None | Some("") => UserRole::default(),
        Some(word) => UserRole::parse(word).ok_or("role")?,
    };
    let expires_at = match body.expires {
        Some(number) => Some(seconds(&number)?),
        None => one(headers, "x-supportal-expires")
            .map_err(|()| "claims")?
            .map(|digits| digits.parse().map_err(|_malformed| "claims"))
            .transpose()?,
    };
    if expires_at.is_some_and(|end| end <= now) {
        return Ok(SiteAnswer::Out(SiteRefusal::Expired));
    }
    Ok(SiteAnswer::In(Identity {
        user: user.map(Into::into),
        role,
        rooms: body
            .rooms
            .map_or(Ok(RoomScope::Any), |rooms| scope(&rooms))?,
        expires_at,
    }))
}

/// Does a redirect lead where the question was asked, but for https or the slash at the end? Then it says nothing of
/// whoever was asked about.
fn moved(headers: &HeaderMap, asked: &Uri, is_ours: impl Fn(&str) -> bool) -> Option<&'static str> {
    let target: Uri = headers.get(LOCATION)?.to_str().ok()?.parse().ok()?;
    let slashed = [asked.path(), "/"].concat();
    // A login may be elsewhere at the same path.
    let is_elsewhere = target.host().is_some_and(|host| !is_ours(host));
    if is_elsewhere || target.query() != asked.query() {
        None
    } else if target.path() == asked.path() {
        let is_to_https =
            asked.scheme_str() == Some("http") && target.scheme_str() == Some("https");
        is_to_https.then_some(TO_HTTPS)
    } else {
        (target.path() == slashed).then_some(TO_SLASH)
    }
}

/// The body's object; without a body, nothing said.
fn body(headers: &HeaderMap, bytes: &Bytes) -> Result<Body, &'static str> {
    if bytes.is_empty() {
        return Ok(Body::default());
    }
    let kind = one(headers, CONTENT_TYPE.as_str()).map_err(|()| "not_json")?;
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err("not_json");
    }
    // A struct may stand as an array in serde's eyes, and not in the site's.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("json");
    }
    serde_json::from_slice(bytes).map_err(|_malformed| "json")
}

/// A field that may be there once, as text; an error if it is there twice, or is none.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(()),
        },
        (Some(_), Some(_)) => Err(()),
    }
}

fn is_user(user: &str) -> bool {
    user.len() <= USER_BYTES_MAX && !user.chars().any(char::is_control)
}

/// Seconds since the Unix epoch; Python's `timestamp()` has a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of seconds that is no time at all is cut to the first or the last"
)]
fn seconds(number: &serde_json::Number) -> Result<u64, &'static str> {
    number
        .as_u64()
        .or_else(|| {
            number
                .as_f64()
                .filter(|seconds| *seconds >= 0.0)
                .map(|seconds| seconds as u64)
        })
        .ok_or("claims")
}

/// `business/session` each, either a `*`, the session also with one at its end.
fn scope(rooms: &[String]) -> Result<RoomScope, &'static str> {
    if rooms.len() > ROOMS_MAX {
        return Err("claims");
    }
    let patterns = rooms.iter().map(|room| pattern(room).ok_or("claims"));
    Ok(RoomScope::Of(patterns.collect::<Result<_, _>>()?))
}

fn pattern(room: &str) -> Option<RoomPattern> {
    let (business_id, session_id) = room.split_once('/')?;
    let beginning = session_id.strip_suffix('*').unwrap_or(session_id);
    let is_session = session_id == "*" || name::is_session_id(beginning);
    let is_business = business_id == "*" || name::is_business_id(business_id);
    let named = |id: &str| (id != "*").then(|| id.into());
    (is_business && is_session).then(|| RoomPattern {
        business_id: named(business_id),
        session_id: named(session_id),
    })
}
