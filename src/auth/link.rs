//! Mode `link`: a signed link, for mails and sites without accounts.
//!
//! `?link=1:session-123:customer:1767225600:SIGNATURE`: business, session (or `*`, or a beginning with a star behind
//! it), role and the end in Unix seconds, signed as Django's `Signer(key=KEY, salt="supportal.link").sign(…)` does since
//! Django 3.1: HMAC-SHA-256 in base64url without padding, by the SHA-256 of salt, `signer` and key
//! (django/utils/crypto.py, `salted_hmac`). Who has the link is the customer: it names no user.

use super::jwt::{Grant, is_business_pattern, is_session_pattern, named, scope};
use super::query::{Carried, parameter};
use super::{AuthMode, AuthRefusal, Credentials, Judgement, JudgementLater, RefusalAnswer};
use crate::broker::{Identity, UserRole};
use crate::clock;
use crate::config::LinkSettings;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::hmac;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The parameter of the query.
pub(crate) const PARAMETER: &str = "link";
/// What keeps a site's other signatures with the same key from being links.
const SALT: &str = "supportal.link";
/// Longest link in bytes, its colons percent-encoded: ids, role, ten digits and a signature are below 190.
const LINK_BYTES_MAX: usize = 256;

/// The mode.
pub(crate) struct Link {
    /// The first signs, all verify.
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// Why a link is refused; the words of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkFlaw {
    Unclear,
    Form,
    Signature,
    Expired,
}

impl LinkFlaw {
    const fn label(self) -> &'static str {
        match self {
            Self::Unclear => "link_unclear",
            Self::Form => "link_form",
            Self::Signature => "link_signature",
            Self::Expired => "link_expired",
        }
    }
}

impl Link {
    /// By the keys of the settings.
    #[must_use]
    pub(crate) fn new(settings: &LinkSettings) -> Self {
        let keys = settings.key.iter().map(|key| django_key(key.expose()));
        Self {
            keys: keys.collect(),
        }
    }

    /// Who a link says somebody is, at `now` in Unix seconds.
    fn judge(&self, link: &str, now: u64) -> Result<Identity, LinkFlaw> {
        if link.len() > LINK_BYTES_MAX {
            return Err(LinkFlaw::Form);
        }
        // Programs that build addresses may encode the colon.
        let link = match link.contains('%') {
            true => Cow::Owned(link.replace("%3A", ":").replace("%3a", ":")),
            false => Cow::Borrowed(link),
        };
        let (value, signature) = link.rsplit_once(':').ok_or(LinkFlaw::Form)?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_malformed| LinkFlaw::Form)?;
        // ring compares in constant time.
        let is_by = |key: &hmac::Key| hmac::verify(key, value.as_bytes(), &signature).is_ok();
        if !self.keys.iter().any(is_by) {
            return Err(LinkFlaw::Signature);
        }
        let mut fields = value.split(':');
        let mut next = || fields.next().ok_or(LinkFlaw::Form);
        let (business_id, session_id, role, end) = (next()?, next()?, next()?, next()?);
        if fields.next().is_some()
            || !is_business_pattern(business_id)
            || !is_session_pattern(session_id)
        {
            return Err(LinkFlaw::Form);
        }
        let is_number =
            (1..=12).contains(&end.len()) && end.bytes().all(|byte| byte.is_ascii_digit());
        let end: u64 = match end.parse() {
            Ok(end) if is_number => end,
            _ => return Err(LinkFlaw::Form),
        };
        if end <= now {
            return Err(LinkFlaw::Expired);
        }
        let rooms = scope(&[named(business_id)], &[named(session_id)]);
        Ok(Identity {
            user: None,
            role: UserRole::parse(role).ok_or(LinkFlaw::Form)?,
            rooms: rooms.map_err(|_too_many| LinkFlaw::Form)?,
            expires_at: Some(end),
        })
    }
}

impl AuthMode for Link {
    fn at_once(&self, credentials: &Credentials<'_>) -> Judgement {
        let judged = match parameter(credentials.target, PARAMETER) {
            Carried::Nothing => return Judgement::Absent,
            Carried::Unclear => Err(LinkFlaw::Unclear),
            Carried::One(link) => self.judge(link, clock::wall().0),
        };
        match judged {
            Ok(identity) => Judgement::Known(Arc::new(identity)),
            Err(flaw) => Judgement::Refused(AuthRefusal {
                answer: RefusalAnswer::Unauthorized,
                cause: flaw.label(),
            }),
        }
    }

    fn in_full<'a>(&'a self, credentials: &'a Credentials<'a>) -> JudgementLater<'a> {
        Box::pin(async { self.at_once(credentials) })
    }
}

/// Signs a link by the first key of the settings: the value of `?link=`. `None` without a key.
#[must_use]
pub fn sign_link(settings: &LinkSettings, grant: &Grant) -> Option<String> {
    let key = django_key(settings.key.first()?.expose());
    let every = || "*".to_owned();
    let value = format!(
        "{}:{}:{}:{}",
        grant.business_id.clone().unwrap_or_else(every),
        grant.session_id.clone().unwrap_or_else(every),
        grant.role.as_str(),
        grant.expires_at
    );
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, value.as_bytes()));
    Some(format!("{value}:{signature}"))
}

/// The key that Django's `Signer` makes of a key and our salt.
fn django_key(key: &str) -> hmac::Key {
    let mut hash = Context::new(&SHA256);
    for part in [SALT, "signer", key] {
        hash.update(part.as_bytes());
    }
    hmac::Key::new(hmac::HMAC_SHA256, hash.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::RoomScope;
    use crate::config::Secret;
    use crate::transport::handshake::RequestHead;
    use serde_json::Value;

    fn vectors() -> Value {
        let text = include_str!("../../tests/auth/vectors.json");
        serde_json::from_str(text).expect("vectors.json")
    }

    fn settings(keys: &[&str]) -> LinkSettings {
        LinkSettings {
            key: keys.iter().map(|key| Secret::new(*key)).collect(),
        }
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("a text")
    }

    fn shown(identity: &Identity) -> String {
        let RoomScope::Of(rooms) = &identity.rooms else {
            return "any".to_owned();
        };
        let of = |id: &Option<Box<str>>| id.as_deref().unwrap_or("*").to_owned();
        let rooms = rooms
            .iter()
            .map(|room| [of(&room.business_id), of(&room.session_id)].join("/"));
        let rooms: Vec<_> = rooms.collect();
        format!("{} {}", identity.role.as_str(), rooms.join(" "))
    }

    #[test]
    fn links_of_both_versions_of_django_are_ours_byte_for_byte() {
        let vectors = vectors();
        let settings = settings(&[text(&vectors["link_key"])]);
        let link = Link::new(&settings);
        let versions = vectors["links"].as_array().expect("versions");
        let made_by = |start: &str| {
            versions
                .iter()
                .any(|entry| text(&entry["version"]).starts_with(start))
        };
        assert!(made_by("4.2.") && made_by("5."));
        for entry in versions {
            let links = entry["links"].as_array().expect("links");
            for (made, expected) in
                links
                    .iter()
                    .zip(["customer 1/session-123", "agent 1/*", "backend 42/abc*"])
            {
                let identity = link.judge(text(made), 1_900_000_000).expect("a good link");
                assert_eq!(shown(&identity), expected);
                assert_eq!(
                    (identity.expires_at, &identity.user),
                    (Some(4_102_444_800), &None)
                );
                let encoded = text(made).replace(':', "%3A");
                assert!(link.judge(&encoded, 1_900_000_000).is_ok());
                assert_eq!(
                    link.judge(text(made), 4_102_444_800),
                    Err(LinkFlaw::Expired)
                );
            }
            let ours = sign_link(
                &settings,
                &Grant {
                    business_id: Some("1".to_owned()),
                    session_id: Some("session-123".to_owned()),
                    user: None,
                    role: UserRole::Customer,
                    expires_at: 4_102_444_800,
                },
            );
            assert_eq!(ours.as_deref(), links[0].as_str());
        }
    }

    #[test]
    fn several_keys_verify_and_the_first_signs() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let grant = Grant {
            business_id: None,
            session_id: None,
            user: None,
            role: UserRole::Agent,
            expires_at: 2000,
        };
        let by_old = sign_link(&settings(&[&old]), &grant).expect("a key");
        let both = settings(&[&new, &old]);
        let by_new = sign_link(&both, &grant).expect("a key");
        assert_ne!(by_old, by_new);
        for link in [&by_old, &by_new] {
            let identity = Link::new(&both).judge(link, 1000).expect("a good link");
            assert_eq!(shown(&identity), "any");
        }
        assert_eq!(
            Link::new(&settings(&[&new])).judge(&by_old, 1000),
            Err(LinkFlaw::Signature)
        );
        assert_eq!(sign_link(&settings(&[]), &grant), None);
        assert!(!format!("{both:?} {:?}", Link::new(&both)).contains(&new));
    }

    #[test]
    fn bad_links_are_refused_and_counted_by_their_cause() {
        let key = "k".repeat(32);
        let link = Link::new(&settings(&[&key]));
        let sign = |value: &str| {
            let signature = hmac::sign(&django_key(&key), value.as_bytes());
            format!("{value}:{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let good = sign("1:abc:customer:2000");
        assert!(link.judge(&good, 1999).is_ok());
        let (value, signature) = good.rsplit_once(':').expect("a colon");
        use LinkFlaw::{Expired, Form, Signature};
        for (text, flaw) in [
            (String::new(), Form),
            (":".to_owned(), Signature),
            ("1:abc:customer:2000".to_owned(), Signature),
            (value.to_owned() + ":", Signature),
            (format!("{value}:{signature}="), Form),
            (format!("{value}:{}", signature.split_at(2).1), Form),
            (format!("{value}:{}", signature.split_at(4).1), Signature),
            (good.replace("customer", "agent"), Signature),
            (good.replace("abc", "abd"), Signature),
            (good.replace("2000", "3000"), Signature),
            (format!("{value}::{signature}"), Signature),
            ("x".repeat(300), Form),
            (sign("1:abc:customer"), Form),
            (sign("1:abc:customer:2000:1"), Form),
            (sign("1:abc:admin:2000"), Form),
            (sign("1:abc::2000"), Form),
            (sign("01:abc:customer:2000"), Form),
            (sign("a:abc:customer:2000"), Form),
            (sign(":abc:customer:2000"), Form),
            (sign("1::customer:2000"), Form),
            (sign("1:a/b:customer:2000"), Form),
            (sign("1:abc:customer:"), Form),
            (sign("1:abc:customer:+2000"), Form),
            (sign("1:abc:customer:2000.5"), Form),
            (sign("1:abc:customer:9999999999999"), Form),
            (sign("1:abc:customer:1999"), Expired),
            (sign("1:abc:customer:0"), Expired),
        ] {
            assert_eq!(link.judge(&text, 1999), Err(flaw), "{text}");
        }
    }

    #[test]
    fn a_handshake_without_a_link_is_another_modes_and_one_with_two_is_nobodys() {
        let link = Link::new(&settings(&[&"k".repeat(32)]));
        let head = RequestHead {
            method: "GET",
            is_http_11: true,
            fields: Vec::new(),
        };
        let cause = |target: &str| {
            let credentials = Credentials::into_abc(&head, target);
            match link.at_once(&credentials) {
                Judgement::Absent => "(absent)",
                Judgement::Refused(refusal) => refusal.cause,
                judgement => panic!("{judgement:?}"),
            }
        };
        assert_eq!(cause("/?links=1"), "(absent)");
        assert_eq!(cause("/?link=1"), "link_form");
        assert_eq!(cause("/?link=1&link=1"), "link_unclear");
    }
}
