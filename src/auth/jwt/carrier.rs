//! Where a token is taken from, in this order: `Authorization`, the sub-protocol, the cookie, the query.

use crate::auth::query::{self, Carried, only};
use crate::auth::{Credentials, cookie};
use crate::config::JwtSettings;

/// What the sub-protocol with a token begins with. A browser's `WebSocket` can set no other field.
pub(crate) const TOKEN_PROTOCOL: &str = "supportal.token.";

/// The places that the settings allow.
#[derive(Clone, Debug)]
pub(super) struct Carriers {
    cookie: Option<String>,
    query: Option<String>,
}

impl Carriers {
    pub(super) fn new(settings: &JwtSettings) -> Self {
        Self {
            cookie: settings.cookie.clone(),
            query: settings.query.clone(),
        }
    }

    /// The token of the first place that has one.
    pub(super) fn find<'a>(&self, credentials: &Credentials<'a>) -> Carried<'a> {
        let places = [
            bearer(credentials),
            protocol(credentials),
            self.cookie(credentials),
            self.query(credentials),
        ];
        let found = places.into_iter().find(|found| *found != Carried::Nothing);
        found.unwrap_or(Carried::Nothing)
    }

    fn cookie<'a>(&self, credentials: &Credentials<'a>) -> Carried<'a> {
        let Some(name) = self.cookie.as_deref() else {
            return Carried::Nothing;
        };
        cookie::value(credentials, name)
    }

    fn query<'a>(&self, credentials: &Credentials<'a>) -> Carried<'a> {
        match &self.query {
            Some(name) => query::parameter(credentials.target, name),
            None => Carried::Nothing,
        }
    }
}

/// `Authorization: Bearer <token>` (RFC 6750 §2.1); another scheme is somebody else's.
fn bearer<'a>(credentials: &Credentials<'a>) -> Carried<'a> {
    let mut fields = credentials.head.values("authorization");
    let (first, second) = (fields.next(), fields.next());
    let Some(field) = first else {
        return Carried::Nothing;
    };
    let (scheme, rest) = match field.iter().position(|byte| *byte == b' ') {
        Some(space) => field.split_at(space),
        None => (field, &[][..]),
    };
    match (scheme.eq_ignore_ascii_case(b"bearer"), second) {
        (_, Some(_)) => Carried::Unclear,
        (true, None) => only([rest.trim_ascii()].into_iter()),
        (false, None) => Carried::Nothing,
    }
}

/// `Sec-WebSocket-Protocol: supportal.v1, supportal.token.<token>`.
fn protocol<'a>(credentials: &Credentials<'a>) -> Carried<'a> {
    let fields = credentials.head.values("sec-websocket-protocol");
    let offers = fields.flat_map(|field| field.split(|byte| *byte == b','));
    only(offers.filter_map(|offer| offer.trim_ascii().strip_prefix(TOKEN_PROTOCOL.as_bytes())))
}
