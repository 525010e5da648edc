//! What the site is asked: the fields of one question, and which questions are the same.

use crate::auth::Credentials;
use crate::auth::answers::AnswerKey;
use crate::config::ForwardSettings;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::Full;
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::Authority;
use hyper::{Request, Uri};
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt;

/// Says who asks.
const AGENT: &str = concat!("supportal/", env!("CARGO_PKG_VERSION"));

/// The fields that name what the path names.
const BUSINESS: &str = "x-supportal-business";
const SESSION: &str = "x-supportal-session";

/// Which question it is: a keyed hash of all that is said in it. Whoever reads the table of answers learns no
/// credentials, and nobody outside can make two questions one.
pub(super) type QuestionKey = AnswerKey;

/// Why a handshake makes no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoQuestion {
    /// A field twice of which there may be one, or with bytes that are no text.
    Malformed,
    /// Longer than `auth.forward.question_bytes`.
    TooLong,
}

/// Which fields of a handshake go along, and where to.
#[derive(Clone)]
pub(super) struct QuestionForm {
    url: Uri,
    host: Option<HeaderValue>,
    headers: Vec<HeaderName>,
    cookies: Vec<String>,
    bytes_max: usize,
    hasher: Hmac<Sha256>,
}

/// The hasher's key is none of anybody's business.
impl fmt::Debug for QuestionForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuestionForm")
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// One question, with the credentials in it. Kept only for as long as it may be asked again.
#[derive(Clone)]
pub(super) struct SiteQuestion {
    pub(super) key: QuestionKey,
    uri: Uri,
    fields: Box<[(HeaderName, HeaderValue)]>,
}

/// Credentials are not shown.
impl fmt::Debug for SiteQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteQuestion").finish_non_exhaustive()
    }
}

impl QuestionForm {
    /// From the settings; `key` is random. `None` if the address, the host or the name of a field is none.
    pub(super) fn new(settings: &ForwardSettings, key: &[u8; 32]) -> Option<Self> {
        let names = settings.headers.iter();
        let names = names.map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        let host = match settings.host.as_str() {
            "" => None,
            host => Some(HeaderValue::from_str(host).ok()?),
        };
        Some(Self {
            url: settings.url.as_deref()?.parse().ok()?,
            host,
            headers: names.collect::<Option<_>>()?,
            cookies: settings.cookies.clone(),
            bytes_max: settings.question_bytes,
            hasher: Hmac::new_from_slice(key).ok()?,
        })
    }

    /// The address that is asked, without what a question adds.
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// Where the site is asked, without the query: that may hold a secret.
    pub(super) fn shown_url(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        let authority = self
            .url
            .authority()
            .map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}{}", self.url.path())
    }

    /// Which question a handshake makes.
    pub(super) fn key(&self, credentials: &Credentials<'_>) -> Result<QuestionKey, NoQuestion> {
        let (mut hasher, mut bytes) = (self.hasher.clone(), 0_usize);
        self.visit(credentials, |name, value| {
            bytes = bytes.saturating_add(value.len());
            // With its length in front, no value runs into the next name.
            for part in [name.as_bytes(), value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        })?;
        if bytes > self.bytes_max {
            return Err(NoQuestion::TooLong);
        }
        let whole = hasher.finalize().into_bytes();
        whole.first_chunk().copied().ok_or(NoQuestion::Malformed)
    }

    /// The question that a handshake makes, of which the key is known.
    pub(super) fn question(
        &self,
        credentials: &Credentials<'_>,
        key: QuestionKey,
    ) -> Result<SiteQuestion, NoQuestion> {
        let mut fields = Vec::with_capacity(self.headers.len() + 12);
        let mut is_well_formed = true;
        self.visit(credentials, |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            match (name, HeaderValue::from_bytes(value)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    fields.push((name, value));
                }
                _ => is_well_formed = false,
            }
        })?;
        let uri = self.uri(credentials).filter(|_| is_well_formed);
        Ok(SiteQuestion {
            key,
            uri: uri.ok_or(NoQuestion::Malformed)?,
            fields: fields.into_boxed_slice(),
        })
    }

    /// The address with what the path of the handshake names.
    fn uri(&self, credentials: &Credentials<'_>) -> Option<Uri> {
        let mut parts = self.url.clone().into_parts();
        let own = parts.path_and_query.as_ref();
        let (path, query) = own.map_or(("/", ""), |own| (own.path(), own.query().unwrap_or("")));
        let mut said = form_urlencoded::Serializer::new(query.to_owned());
        for (name, value) in [
            ("business_id", credentials.business_id),
            ("session_id", credentials.session_id),
        ] {
            if let Some(value) = value {
                said.append_pair(name, value);
            }
        }
        let said = said.finish();
        let question_mark = if said.is_empty() { "" } else { "?" };
        parts.path_and_query = Some([path, question_mark, &said].concat().parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Shows every field that the question has because of this handshake, in one order.
    fn visit(
        &self,
        credentials: &Credentials<'_>,
        mut show: impl FnMut(&str, &[u8]),
    ) -> Result<(), NoQuestion> {
        for name in &self.headers {
            let value = match name.as_str() {
                "cookie" => self.cookie(credentials).map(Cow::Owned),
                name => once(credentials, name)?.map(Cow::Borrowed),
            };
            if let Some(value) = value {
                show(name.as_str(), &value);
            }
        }
        // In an identity's rooms a star stands for others.
        let named = [credentials.business_id, credentials.session_id];
        if named.into_iter().flatten().any(|id| id.contains('*')) {
            return Err(NoQuestion::Malformed);
        }
        let address = credentials.client.to_string();
        let target = credentials.target.as_bytes();
        let proto = if credentials.is_https {
            "https"
        } else {
            "http"
        };
        // As who uses nginx's auth_request, or Traefik's forwardAuth, has them.
        let said = [
            ("x-forwarded-for", Some(address.as_bytes())),
            ("x-forwarded-host", credentials.host.map(str::as_bytes)),
            ("x-forwarded-method", Some(&b"GET"[..])),
            ("x-forwarded-proto", Some(proto.as_bytes())),
            ("x-forwarded-uri", Some(target)),
            ("x-original-method", Some(&b"GET"[..])),
            ("x-original-uri", Some(target)),
            ("x-real-ip", Some(address.as_bytes())),
            (BUSINESS, credentials.business_id.map(str::as_bytes)),
            (SESSION, credentials.session_id.map(str::as_bytes)),
        ];
        for (name, value) in said {
            if let Some(value) = value {
                if !value
                    .iter()
                    .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
                {
                    return Err(NoQuestion::Malformed);
                }
                show(name, value);
            }
        }
        Ok(())
    }

    /// The cookies that go along, of all fields (RFC 9113 §8.2.3 joins them so); those with bytes that some parsers take
    /// for ends of lines do not.
    fn cookie(&self, credentials: &Credentials<'_>) -> Option<Vec<u8>> {
        let fields = credentials.head.values("cookie");
        let pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
        let mut cookie = Vec::new();
        for pair in pairs.map(<[u8]>::trim_ascii) {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            let is_wanted = self.cookies.is_empty()
                || self.cookies.iter().any(|wanted| wanted.as_bytes() == name);
            let is_text = pair.iter().all(|byte| matches!(byte, b' '..=b'~'));
            if is_wanted && is_text && !pair.is_empty() {
                if !cookie.is_empty() {
                    cookie.extend(b"; ");
                }
                cookie.extend(pair);
            }
        }
        (!cookie.is_empty()).then_some(cookie)
    }
}

/// The value of a field that may be there once, of printable ASCII: what else there is one parser reads so and another
/// otherwise.
fn once<'a>(credentials: &Credentials<'a>, name: &str) -> Result<Option<&'a [u8]>, NoQuestion> {
    let mut values = credentials.head.values(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) => {
            Ok(Some(value))
        }
        _ => Err(NoQuestion::Malformed),
    }
}

impl SiteQuestion {
    /// The business and the session that the path names.
    pub(super) fn ids(&self) -> (Option<&str>, Option<&str>) {
        let said = |name: &str| {
            let mut fields = self.fields.iter();
            let (_, value) = fields.find(|(own, _)| own == name)?;
            value.to_str().ok()
        };
        (said(BUSINESS), said(SESSION))
    }

    /// The address that is asked, with what the path of the handshake names.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Is that the host of which it is asked: as the settings name the site, or as the client does (Django:
    /// USE_X_FORWARDED_HOST)?
    pub(super) fn is_of_host(&self, form: &QuestionForm, host: &str) -> bool {
        let mut fields = self.fields.iter();
        let by_client = fields.find(|(own, _)| own == "x-forwarded-host");
        let is_it = |value: &HeaderValue| {
            let named = Authority::try_from(value.as_bytes());
            named.is_ok_and(|named| named.host().eq_ignore_ascii_case(host))
        };
        let is_by_settings = match &form.host {
            Some(value) => is_it(value),
            None => self
                .uri
                .host()
                .is_some_and(|own| own.eq_ignore_ascii_case(host)),
        };
        is_by_settings || by_client.is_some_and(|(_, value)| is_it(value))
    }

    /// The request that asks it.
    pub(super) fn request(&self, form: &QuestionForm) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(self.fields.iter().cloned());
        if let Some(host) = &form.host {
            headers.insert(HOST, host.clone());
        }
        request
    }
}
