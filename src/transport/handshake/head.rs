//! A request head as the rules read it, whoever has parsed it.

use hyper::header::HeaderValue;
use hyper::{Request, Version};

/// A request's method, version and fields. Names may be in any case; the order is the request's.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a str,
    /// Is it HTTP/1.1?
    pub is_http_11: bool,
    /// Names and values.
    pub fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> RequestHead<'a> {
    /// The head of a request that hyper has parsed.
    #[must_use]
    pub fn of<B>(request: &'a Request<B>) -> Self {
        let bytes = |value: &'a HeaderValue| value.as_bytes();
        let fields = request.headers().iter();
        Self {
            method: request.method().as_str(),
            is_http_11: request.version() == Version::HTTP_11,
            fields: fields
                .map(|(name, value)| (name.as_str(), bytes(value)))
                .collect(),
        }
    }

    /// Every value of a field.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter();
        let named = fields.filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value)
    }

    /// The first value of a field.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}
