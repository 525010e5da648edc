//! Why a request is not served, and how that is said: one line that repeats nothing of the request.

use super::admission::Full;
use super::body::{ResponseBody, whole};
use super::visitor::BadForwardedHost;
use crate::auth::{AuthRefusal, RefusalAnswer};
use crate::broker::QuotaScope;
use crate::transport::handshake;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

/// Why a request is not served.
pub(super) struct RefusedRequest {
    status: StatusCode,
    reason: &'static str,
    label: &'static str,
    hint: Hint,
}

/// What the answer tells the client to do.
enum Hint {
    None,
    /// What the handshake would accept.
    Handshake(handshake::RefusalKind),
    /// Come back later.
    RetryAfter,
    /// Bring credentials.
    Authenticate,
}

impl RefusedRequest {
    /// This node takes nobody new any more.
    pub(super) const DRAINING: Self = Self::later(
        StatusCode::SERVICE_UNAVAILABLE,
        "draining",
        "draining, try another node",
    );

    /// `limits.handshakes_per_ip`, of a client whom a proxy's request has named.
    pub(super) const TOO_MANY_HANDSHAKES: Self = Self::later(
        StatusCode::SERVICE_UNAVAILABLE,
        "handshakes",
        "too many handshakes from this address",
    );

    /// `http.require_tls`: a client of a WebSocket goes nowhere else.
    pub(super) const WITHOUT_TLS: Self =
        Self::new(StatusCode::FORBIDDEN, "tls", "this address needs wss");

    pub(super) const fn new(status: StatusCode, label: &'static str, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            label,
            hint: Hint::None,
        }
    }

    pub(super) const fn later(
        status: StatusCode,
        label: &'static str,
        reason: &'static str,
    ) -> Self {
        Self {
            hint: Hint::RetryAfter,
            ..Self::new(status, label, reason)
        }
    }

    /// What is counted.
    pub(super) const fn label(&self) -> &'static str {
        self.label
    }

    /// The answer.
    pub(super) fn answer(self) -> Response<ResponseBody> {
        tracing::debug!(
            status = self.status.as_u16(),
            reason = self.label,
            "request refused"
        );
        let mut response = Response::new(whole(self.reason));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        match self.hint {
            Hint::None => {}
            Hint::RetryAfter => {
                headers.insert(RETRY_AFTER, retry_after());
            }
            Hint::Authenticate => {
                // RFC 9110 §15.5.2: a 401 says how.
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Hint::Handshake(kind) => {
                let reason = self.reason;
                let refusal = handshake::HandshakeRefusal { kind, reason };
                if let Some((name, value)) = refusal.header() {
                    // RFC 9110 §7.8: `Upgrade` is a field of this connection. Whoever uses another method is no
                    // client of a WebSocket's route, and is not waited for.
                    if name == UPGRADE {
                        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                    } else if name == ALLOW {
                        headers.insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    headers.insert(name, value);
                }
            }
        }
        response
    }
}

impl From<handshake::HandshakeRefusal> for RefusedRequest {
    fn from(refusal: handshake::HandshakeRefusal) -> Self {
        Self {
            status: refusal.status(),
            reason: refusal.reason,
            label: refusal.kind.label(),
            hint: Hint::Handshake(refusal.kind),
        }
    }
}

impl From<BadForwardedHost> for RefusedRequest {
    fn from(_bad: BadForwardedHost) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "host", "Host missing or malformed")
    }
}

impl From<Full> for RefusedRequest {
    fn from(full: Full) -> Self {
        match full {
            Full::Node => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::later(status, "connections", "too many connections")
            }
            Full::Memory => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::later(status, "memory", "too little memory")
            }
            Full::Address => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let reason = "too many connections from this address";
                Self::later(status, "address", reason)
            }
        }
    }
}

impl From<QuotaScope> for RefusedRequest {
    fn from(scope: QuotaScope) -> Self {
        let status = match scope {
            QuotaScope::Node => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::TOO_MANY_REQUESTS,
        };
        Self::later(status, "quota", "too many at once")
    }
}

impl From<AuthRefusal> for RefusedRequest {
    fn from(refusal: AuthRefusal) -> Self {
        match refusal.answer {
            RefusalAnswer::Unauthorized => {
                let status = StatusCode::UNAUTHORIZED;
                let hint = Hint::Authenticate;
                Self {
                    hint,
                    ..Self::new(status, "credentials", "credentials not accepted")
                }
            }
            RefusalAnswer::Forbidden => Self::new(
                StatusCode::FORBIDDEN,
                "identity",
                "not allowed in this room",
            ),
            RefusalAnswer::Unavailable => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::later(status, "authentication", "cannot say who you are")
            }
        }
    }
}

/// One to five seconds, different from client to client, so that they do not come back at once.
fn retry_after() -> HeaderValue {
    HeaderValue::from(1 + crate::clock::wall().1 % 5)
}
