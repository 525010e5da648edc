//! Why a message was not vetted.

use crate::http_client::RequestError;

/// Why the site has not said what becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum VetFault {
    /// Too much was being vetted already, or of this business: `vet.queue_bytes`.
    Full,
    /// Nothing within `vet.timeout`, or no turn.
    Timeout,
    /// No connection to the site.
    Connect,
    /// The connection broke before the end of the answer.
    BrokenOff,
    /// 408, 429 or 5xx.
    Server,
    /// Another status of 4xx: most often another secret, a host that is not allowed, or no such path.
    Client,
    /// A status of 1xx or 3xx: nobody is followed elsewhere.
    Redirect,
    /// A body in a coding that was not asked for.
    Encoded,
    /// A body that is no JSON, or does not say so.
    NotJson,
    /// An answer that is none of this contract.
    Malformed,
    /// An answer, or a text in it, that is too long.
    TooLong,
    /// The node went down before.
    Stopped,
}

impl VetFault {
    /// One of each.
    pub(super) const ALL: [Self; 12] = [
        Self::Full,
        Self::Timeout,
        Self::Connect,
        Self::BrokenOff,
        Self::Server,
        Self::Client,
        Self::Redirect,
        Self::Encoded,
        Self::NotJson,
        Self::Malformed,
        Self::TooLong,
        Self::Stopped,
    ];

    /// The fault's name, as a label of metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::BrokenOff => "broken_off",
            Self::Server => "server_error",
            Self::Client => "client_error",
            Self::Redirect => "redirect",
            Self::Encoded => "encoded",
            Self::NotJson => "not_json",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Stopped => "stopped",
        }
    }

    /// Is it the site's, and none of this node?
    pub(super) const fn is_of_site(self) -> bool {
        !matches!(self, Self::Full | Self::Stopped)
    }
}

impl From<RequestError> for VetFault {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout => Self::Timeout,
            RequestError::Connect(_) => Self::Connect,
            RequestError::TooLong => Self::TooLong,
            RequestError::Broken(_) => Self::BrokenOff,
        }
    }
}
