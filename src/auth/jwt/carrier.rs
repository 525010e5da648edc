//! Where a token is taken from, in this order: `Authorization`, the sub-protocol, the cookie, the query.

use crate::auth::Credentials;
use crate::auth::query::{self, Carried};
use crate::config::JwtSettings;
use std::str;

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
        let fields = credentials.head.values("cookie");
        let pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
        let values = pairs.filter_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            // RFC 6265 §4.1.1 lets a value stand in quotes.
            let quoted = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Some(quoted.unwrap_or(value))
        });
        only(values)
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

fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Carried<'a> {
    match (values.next(), values.next()) {
        (None, _) => Carried::Nothing,
        (Some(value), None) => str::from_utf8(value).map_or(Carried::Unclear, Carried::One),
        (Some(_), Some(_)) => Carried::Unclear,
    }
}
