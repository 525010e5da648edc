//! Why a model has not answered.

use super::super::Failure;
use crate::http_client::RequestError;
use std::time::Duration;

/// Why there is no answer, or not the whole of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ModelFault {
    /// No connection to the server.
    Connect,
    /// No first word within `assistant.openai.first_token`.
    FirstToken,
    /// Nothing more within `assistant.openai.between_tokens`.
    BetweenTokens,
    /// 429: too much was asked; how long the server wants to be left alone, if it says so.
    RateLimited(Option<Duration>),
    /// 408, 409 or 5xx; as above.
    Server(Option<Duration>),
    /// Another status of 4xx: the request, the key or the model is wrong.
    Refused,
    /// 404: no such model, or no such path.
    NotFound,
    /// A status of 1xx or 3xx: nobody is followed elsewhere.
    Redirect,
    /// A body in a coding that was not asked for.
    Encoded,
    /// A body that is neither JSON nor events.
    NotJson,
    /// A body that is no answer of this API.
    Malformed,
    /// An error in the place of an answer, or in the middle of one.
    Reported,
    /// The connection broke before the end.
    BrokenOff,
    /// An event, the body or the reply is too long.
    TooLong,
    /// The answer is without words.
    Empty,
    /// The server lists no model.
    NoModel,
    /// Nobody is asked for now: `assistant.openai.breaker_pause`.
    BreakerOpen,
}

/// Every label of a question's outcome but those of [`ModelFault`].
pub(super) const OK: &str = "ok";
/// Nobody waited for the answer any more.
pub(super) const CANCELLED: &str = "cancelled";

impl ModelFault {
    /// One of each.
    pub(super) const ALL: [Self; 17] = [
        Self::Connect,
        Self::FirstToken,
        Self::BetweenTokens,
        Self::RateLimited(None),
        Self::Server(None),
        Self::Refused,
        Self::NotFound,
        Self::Redirect,
        Self::Encoded,
        Self::NotJson,
        Self::Malformed,
        Self::Reported,
        Self::BrokenOff,
        Self::TooLong,
        Self::Empty,
        Self::NoModel,
        Self::BreakerOpen,
    ];

    /// The fault's name, as a label of metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstToken => "first_token",
            Self::BetweenTokens => "between_tokens",
            Self::RateLimited(_) => "rate_limited",
            Self::Server(_) => "server_error",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Redirect => "redirect",
            Self::Encoded => "encoded",
            Self::NotJson => "not_json",
            Self::Malformed => "malformed",
            Self::Reported => "error",
            Self::BrokenOff => "broken_off",
            Self::TooLong => "too_long",
            Self::Empty => "empty",
            Self::NoModel => "no_model",
            Self::BreakerOpen => "breaker_open",
        }
    }

    /// May the same question be asked again?
    pub(super) const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::RateLimited(_) | Self::Server(_) | Self::BrokenOff
        )
    }

    /// How long the server wants to be left alone.
    pub(super) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited(after) | Self::Server(after) => after,
            _ => None,
        }
    }

    /// Is the server at fault, so that asking it about other things is in vain too?
    pub(super) const fn is_of_server(self) -> bool {
        !matches!(
            self,
            Self::Refused | Self::NotFound | Self::TooLong | Self::Empty | Self::BreakerOpen
        )
    }
}

impl From<RequestError> for ModelFault {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout => Self::FirstToken,
            RequestError::Connect(_) => Self::Connect,
            RequestError::TooLong => Self::TooLong,
            RequestError::Broken(_) => Self::BrokenOff,
        }
    }
}

impl From<ModelFault> for Failure {
    fn from(fault: ModelFault) -> Self {
        match fault {
            ModelFault::FirstToken | ModelFault::BetweenTokens => Self::Timeout,
            ModelFault::BrokenOff => Self::BrokenOff,
            ModelFault::TooLong => Self::TooLong,
            ModelFault::Empty => Self::Empty,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_fault_has_a_label_of_its_own() {
        let labels: HashSet<_> = ModelFault::ALL.iter().map(|fault| fault.label()).collect();
        assert_eq!(labels.len(), ModelFault::ALL.len());
        assert!(!labels.contains(OK) && !labels.contains(CANCELLED));
    }
}
