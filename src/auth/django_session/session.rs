//! Whose a session is: what Django keeps of a login in it (django/contrib/auth, `login`).

use super::login::SessionLogin;
use super::pickle;
use std::sync::Arc;

/// Most bytes of a user's name: an address of mail has at most 254, a primary key less.
pub(super) const USER_BYTES_MAX: usize = 254;

/// Why a cookie is no session; the words of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionFlaw {
    /// Two of the name, or bytes that no cookie has.
    Unclear,
    /// Not of the form of a cookie or a key of Django.
    Form,
    /// Signed by none of the keys.
    Signature,
    /// Longer ago than SESSION_COOKIE_AGE.
    Expired,
    /// Redis has none of this key.
    Unknown,
    /// Longer than `auth.django_session.session_bytes`.
    TooLong,
    /// What it holds is neither JSON nor plain data, or names a user as Django does not.
    Content,
}

impl SessionFlaw {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Unclear => "session_unclear",
            Self::Form => "session_form",
            Self::Signature => "session_signature",
            Self::Expired => "session_expired",
            Self::Unknown => "session_unknown",
            Self::TooLong => "session_too_long",
            Self::Content => "session_content",
        }
    }
}

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionUser {
    /// Nobody has logged in.
    Nobody,
    /// The primary key of a user, as text.
    Known(Arc<str>),
}

/// Whose a session is, and when it ends: in seconds since the Unix epoch, if it does.
pub(super) type FoundSession = (SessionUser, Option<u64>);

/// Whose a session is that was written as JSON, as Django's `JSONSerializer` does.
pub(super) fn read_json(session: &[u8]) -> Result<SessionUser, SessionFlaw> {
    let is_object = session.trim_ascii_start().first() == Some(&b'{');
    if !is_object {
        return Err(SessionFlaw::Content); // serde takes a list for a struct as well.
    }
    let login = serde_json::from_slice::<SessionLogin<'_>>(session);
    user(login.map_err(|_malformed| SessionFlaw::Content)?)
}

/// Whose a session is that a cache holds: JSON, or a pickle of plain data.
pub(super) fn read_cached(session: &[u8]) -> Result<SessionUser, SessionFlaw> {
    if session.first() == Some(&pickle::PROTO) {
        let login = pickle::read_login(session).ok_or(SessionFlaw::Content)?;
        return user(login);
    }
    read_json(session)
}

/// As django/contrib/auth, `get_user`: without a user and the backend that let it in nobody is logged in.
fn user(login: SessionLogin<'_>) -> Result<SessionUser, SessionFlaw> {
    let (Some(user), Some(_backend)) = (login.user, login.backend) else {
        return Ok(SessionUser::Nobody);
    };
    let is_user = (1..=USER_BYTES_MAX).contains(&user.len()) && !user.chars().any(char::is_control);
    if is_user {
        Ok(SessionUser::Known(user.into()))
    } else {
        Err(SessionFlaw::Content)
    }
}
