//! What is wrong with a request, as a problem document (RFC 9457).
//!
//! The type is one of a closed set, the detail is ours but for the name of a field, and neither a token nor a text
//! that was to be published is repeated.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// What the types of all problems begin with.
const PREFIX: &str = "urn:supportal:problem:";

/// A name of a field that is repeated is cut to so many characters.
const FIELD_CHARACTERS_MAX: usize = 64;

/// Kinds of problems: name, status, title.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $status:ident, $title:literal;)+) => {
        /// What kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ProblemKind {
            $($(#[$doc])* $kind,)+
        }

        impl ProblemKind {
            /// Every kind.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$kind),+];

            /// The last part of the type.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }
        }
    };
}

kinds! {
    /// The body is no JSON object.
    NotJson = "not-json", BAD_REQUEST, "The body is not a JSON object";
    /// A name stands twice in an object.
    DuplicateField = "duplicate-field", BAD_REQUEST, "A field is given twice";
    /// The query is not what the endpoint takes.
    Query = "query", BAD_REQUEST, "The query is not understood";
    /// No token, or not ours.
    Unauthorized = "unauthorized", UNAUTHORIZED, "The bearer token of the API is needed";
    /// A browser's page asks a listener that has no token.
    ForeignPage = "foreign-page", FORBIDDEN, "Without a token no web page is answered";
    /// No endpoint has this path.
    NotFound = "not-found", NOT_FOUND, "There is no such endpoint";
    /// There is no archive.
    NoArchive = "no-archive", NOT_FOUND, "Nothing is kept here (archive.mode)";
    /// A cursor that is none of this journal's.
    Cursor = "cursor", CONFLICT, "The cursor is no place in this archive";
    /// The journal cannot be read.
    ArchiveFault = "archive", SERVICE_UNAVAILABLE, "The archive cannot be read";
    /// The endpoint takes another method.
    Method = "method", METHOD_NOT_ALLOWED, "The endpoint takes another method";
    /// The body did not come in time.
    BodyTimeout = "body-timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// The body is longer than is read.
    BodyTooLong = "body-too-long", PAYLOAD_TOO_LARGE, "The body is too long";
    /// The body is of another type, or compressed.
    MediaType = "media-type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json";
    /// The request is for another host.
    ForeignHost = "foreign-host", MISDIRECTED_REQUEST, "This host is not ours";
    /// A field that the command has not.
    UnknownField = "unknown-field", UNPROCESSABLE_ENTITY, "The command has no such field";
    /// A field that the command must have.
    MissingField = "missing-field", UNPROCESSABLE_ENTITY, "A field is missing";
    /// A field whose value is not legal.
    InvalidField = "invalid-field", UNPROCESSABLE_ENTITY, "The value of a field is not legal";
    /// The rate of messages is used up.
    TooMany = "too-many", TOO_MANY_REQUESTS, "Too many messages";
    /// More requests at once than are answered.
    Busy = "busy", SERVICE_UNAVAILABLE, "Too many requests at once";
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiProblem {
    pub(super) kind: ProblemKind,
    detail: Option<Box<str>>,
    /// The field that is meant, with those around it: `commands.2.publish.room`.
    field: Option<Box<str>>,
    /// The methods that are taken.
    allow: Option<&'static str>,
    /// When to come back, in seconds.
    retry_after: Option<u8>,
}

impl From<ProblemKind> for ApiProblem {
    fn from(kind: ProblemKind) -> Self {
        Self {
            kind,
            detail: None,
            field: None,
            allow: None,
            retry_after: None,
        }
    }
}

impl ApiProblem {
    /// A problem, explained.
    pub(super) fn new(kind: ProblemKind, detail: impl Into<Box<str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..kind.into()
        }
    }

    /// A problem with a field.
    pub(super) fn field(kind: ProblemKind, field: &str, detail: impl Into<Box<str>>) -> Self {
        let shown: String = field.chars().take(FIELD_CHARACTERS_MAX).collect();
        Self {
            field: Some(shown.into()),
            ..Self::new(kind, detail)
        }
    }

    /// The endpoint takes these methods only.
    pub(super) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..ProblemKind::Method.into()
        }
    }

    /// Come back after so many seconds.
    pub(super) fn later(kind: ProblemKind, after: u8) -> Self {
        Self {
            retry_after: Some(after),
            ..kind.into()
        }
    }

    /// The same, of a command inside another document.
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("{outer}.{field}").into(),
            None => outer.into(),
        });
        self
    }

    /// The same, of a query, where all is one kind.
    pub(super) fn of_query(self) -> Self {
        Self {
            kind: ProblemKind::Query,
            ..self
        }
    }

    /// The document.
    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "type": format!("{PREFIX}{}", self.kind.name()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
        });
        if let Some(fields) = document.as_object_mut() {
            if let Some(detail) = &self.detail {
                fields.insert("detail".to_owned(), (&**detail).into());
            }
            if let Some(field) = &self.field {
                fields.insert("field".to_owned(), (&**field).into());
            }
            if let Some(after) = self.retry_after {
                fields.insert("retry_after".to_owned(), after.into());
            }
        }
        document
    }

    /// The answer to the request.
    pub(super) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{}\n", self.document())));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, json);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind == ProblemKind::Unauthorized {
            // RFC 6750 section 3, without a word on what was wrong with the token.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_title_of_its_own() {
        let mut names: Vec<&str> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(!kind.title().ends_with('.'), "{}", kind.title());
        }
    }

    #[test]
    fn a_long_name_of_a_field_is_cut() {
        let problem = ApiProblem::field(ProblemKind::UnknownField, &"é".repeat(5000), "no");
        let document = problem.within("commands.3").document();
        assert_eq!(
            document["field"].as_str().map(|f| f.chars().count()),
            Some(75)
        );
    }
}
