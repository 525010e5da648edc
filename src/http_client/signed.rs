//! Requests to the site that are signed, so that the site can tell who asks.

use crate::config::Secret;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri, http};
use ring::hmac;

/// The field with the time and the signature.
const SIGNATURE: &str = "x-supportal-signature";
/// The field that is the same for all tries of a request (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Where requests go, and what they are signed with.
#[derive(Debug)]
pub(crate) struct SignedRequests {
    uri: Uri,
    /// `None`: that of the address.
    host: Option<HeaderValue>,
    key: hmac::Key,
}

impl SignedRequests {
    /// Requests to this address, and to this host there unless it is empty; `None` if one of them is none.
    pub(crate) fn new(url: &str, host: &str, secret: &Secret) -> Option<Self> {
        let own = Some(host).filter(|host| !host.is_empty());
        let host = own.map(HeaderValue::try_from).transpose().ok()?;
        Some(Self {
            uri: url.parse().ok()?,
            host,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
        })
    }

    /// The address.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// A POST of this JSON under an id, signed at `now` in seconds since the Unix epoch. `accepted` are the types of an
    /// answer.
    ///
    /// # Errors
    /// When the id is no value of a field.
    pub(crate) fn post(
        &self,
        accepted: &'static str,
        id: &str,
        json: Bytes,
        now: u64,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder();
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        request
            .method(Method::POST)
            .uri(&self.uri)
            .header(ACCEPT, HeaderValue::from_static(accepted))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(IDEMPOTENCY_KEY, id)
            .header(SIGNATURE, self.signature(&json, now))
            .body(Full::new(json))
    }

    /// `t=<time>,v1=<HMAC-SHA-256 of "time.body" in hexadecimal>`: the time is signed, so that a request which somebody
    /// has kept is known for an old one.
    fn signature(&self, body: &[u8], now: u64) -> String {
        let mut signing = hmac::Context::with_key(&self.key);
        signing.update(format!("{now}.").as_bytes());
        signing.update(body);
        let tag = signing.sign();
        let tag: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("t={now},v1={tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_request_is_signed_over_its_time_and_its_body() {
        let secret = Secret::new("a-secret-of-the-site");
        let requests = SignedRequests::new("http://site/answer/?a=b", "example.com", &secret);
        let requests = requests.expect("good");
        let json = Bytes::from_static(b"{\"message\":\"Hi\"}");
        let request = requests
            .post("application/json", "x1", json, 1_700_000_000)
            .expect("a request");
        assert_eq!(request.uri(), "http://site/answer/?a=b");
        assert_eq!(request.headers()[IDEMPOTENCY_KEY], "x1");
        assert_eq!(request.headers()[HOST], "example.com");
        let signature = request.headers()[SIGNATURE]
            .to_str()
            .expect("ASCII")
            .to_owned();
        let body = request
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let signed = [b"1700000000.", &body[..]].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-secret-of-the-site");
        let (time, hex) = signature.split_once(",v1=").expect("two parts");
        assert_eq!((time, hex.len()), ("t=1700000000", 64));
        let bytes: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2).expect("two"), 16).expect("digits"))
            .collect();
        assert!(hmac::verify(&key, &signed, &bytes).is_ok());
        // A witness from outside: openssl dgst -sha256 -hmac.
        let known = SignedRequests::new("http://site/", "", &Secret::new("key")).expect("good");
        let tag = "1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224";
        assert_eq!(known.signature(b"{}", 1), format!("t=1,v1={tag}"));
        assert!(!format!("{requests:?}").contains("a-secret"));
    }
}
