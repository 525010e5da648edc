//! Which pages of other origins may read our answers (CORS, the Fetch standard's section 3.2), decided as
//! django-cors-headers does: for pages, files and the API, and not for WebSockets, which browsers send without asking
//! ([`super::origin`] judges those).
//!
//! Pure: a request's fields in, fields of an answer out. An origin that is not allowed is not refused: the browser keeps
//! the answer from its page for want of a field.

use super::origin::Allowed;
use crate::config::CorsSettings;
use crate::transport::handshake::RequestHead;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap,
    HeaderValue, VARY,
};

/// `[http.cors]`, read.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    allowed: Allowed,
    methods: HeaderValue,
    headers: HeaderValue,
    /// Empty: nothing is said.
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// Reads the settings; `None` if no origin is allowed, and all is as without CORS.
    ///
    /// # Errors
    /// An entry cannot be read.
    pub(super) fn new(settings: &CorsSettings) -> Result<Option<Self>, String> {
        if settings.allowed.is_empty() {
            return Ok(None);
        }
        let list = |key: &str, entries: &[String]| {
            let fault = |_| format!("http.cors.{key}: an entry is no name");
            HeaderValue::try_from(entries.join(", ")).map_err(fault)
        };
        let allowed = Allowed::new(&settings.allowed)
            .map_err(|what| what.replace("origin.allowed", "http.cors.allowed"))?;
        let expose = list("expose", &settings.expose)?;
        let seconds = settings.max_age.as_secs();
        Ok(Some(Self {
            allowed,
            methods: list("methods", &settings.methods)?,
            headers: list("headers", &settings.headers)?,
            expose: (!expose.is_empty()).then_some(expose),
            credentials: settings.credentials,
            max_age: (seconds > 0).then(|| HeaderValue::from(seconds)),
        }))
    }

    /// Is this the question of a browser whether it may ask, which we answer for whoever would be asked?
    pub(super) fn is_preflight(head: &RequestHead<'_>) -> bool {
        head.method == "OPTIONS" && head.value("access-control-request-method").is_some()
    }

    /// Says in an answer to `head` who may read it.
    pub(super) fn mark(&self, head: &RequestHead<'_>, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = head.value("origin") else {
            return;
        };
        if !self.allowed.admits(Some(origin), None) {
            return;
        }
        let Ok(origin) = HeaderValue::from_bytes(origin) else {
            return;
        };
        // To a request with credentials `*` says nothing (Fetch, 3.2.5), and would be no answer of ours.
        let is_any = self.allowed.is_any() && !self.credentials;
        let origin = if is_any {
            HeaderValue::from_static("*")
        } else {
            origin
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        if let Some(expose) = &self.expose {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        if head.method == "OPTIONS" {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            if let Some(max_age) = &self.max_age {
                answer.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn cors(allowed: &[&str], credentials: bool) -> Cors {
        let settings = CorsSettings {
            allowed: allowed.iter().map(|&entry| entry.to_owned()).collect(),
            expose: vec!["x-request-id".to_owned()],
            credentials,
            ..CorsSettings::default()
        };
        let cors = Cors::new(&settings).expect("good settings");
        cors.expect("CORS is on")
    }

    /// Name and value of every field that an answer gets, sorted.
    fn marked(cors: &Cors, method: &str, origin: Option<&str>) -> Vec<String> {
        let origin = origin.map(|origin| ("Origin", origin.as_bytes()));
        let head = RequestHead {
            method,
            is_http_11: true,
            fields: origin.into_iter().collect(),
        };
        let mut answer = HeaderMap::new();
        cors.mark(&head, &mut answer);
        let fields = answer.iter();
        let mut fields: Vec<_> = fields
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        fields.sort();
        fields
    }

    #[test]
    fn who_is_allowed_is_named_and_who_is_not_is_told_nothing() {
        let listed = cors(&["https://a.example", "https://.b.example:8443"], false);
        let nothing = ["vary: origin"];
        for origin in [
            None,
            Some(""),
            Some("null"),
            Some("a.example"),
            Some("http://a.example"),
            Some("https://a.example:8443"),
            Some("https://www.a.example"),
            Some("https://a.example.evil"),
            Some("https://evil.example"),
            Some("https://b.example"),
            Some("https://user@a.example"),
            Some("https://a.example\\@evil.example"),
        ] {
            assert_eq!(marked(&listed, "GET", origin), nothing, "{origin:?}");
            assert_eq!(marked(&listed, "OPTIONS", origin), nothing, "{origin:?}");
        }
        for origin in [
            "https://a.example",
            "https://a.example:443",
            "https://b.example:8443",
            "https://c.b.example:8443",
        ] {
            let expected = [
                format!("access-control-allow-origin: {origin}"),
                "access-control-expose-headers: x-request-id".to_owned(),
                "vary: origin".to_owned(),
            ];
            assert_eq!(marked(&listed, "GET", Some(origin)), expected);
        }
    }

    #[test]
    fn a_preflight_is_told_methods_headers_and_how_long_that_holds() {
        let listed = cors(&["https://a.example"], true);
        let fields = marked(&listed, "OPTIONS", Some("https://a.example"));
        assert_eq!(
            fields,
            [
                "access-control-allow-credentials: true",
                "access-control-allow-headers: accept, authorization, content-type, user-agent, x-csrftoken, x-requested-with",
                "access-control-allow-methods: DELETE, GET, OPTIONS, PATCH, POST, PUT",
                "access-control-allow-origin: https://a.example",
                "access-control-expose-headers: x-request-id",
                "access-control-max-age: 86400",
                "vary: origin",
            ]
        );
    }

    #[test]
    fn with_credentials_nobody_is_told_that_all_may() {
        let origin = Some("https://a.example");
        let any = marked(&cors(&["*"], false), "GET", origin);
        assert!(any.contains(&"access-control-allow-origin: *".to_owned()));
        let named = marked(&cors(&["*"], true), "GET", origin);
        assert!(named.contains(&"access-control-allow-origin: https://a.example".to_owned()));
        assert!(named.iter().all(|field| !field.contains('*')), "{named:?}");
    }

    #[test]
    fn without_an_origin_in_the_list_it_is_off() {
        let settings = CorsSettings::default();
        assert!(Cors::new(&settings).is_ok_and(|cors| cors.is_none()));
        let settings = CorsSettings {
            allowed: vec!["https://a.example".to_owned()],
            max_age: Duration::ZERO,
            ..settings
        };
        let cors = Cors::new(&settings).expect("good").expect("on");
        let fields = marked(&cors, "OPTIONS", Some("https://a.example"));
        assert!(fields.iter().all(|field| !field.contains("max-age")));
    }
}
