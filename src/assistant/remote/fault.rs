//! Why a server has not answered.

use super::super::Failure;
use crate::http_client::RequestError;
use std::time::Duration;

/// Why there is no answer, or not the whole of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::assistant) enum AnswerFault {
    /// No connection to the server.
    Connect,
    /// A try of a webhook was not answered within `assistant.webhook.timeout`.
    Timeout,
    /// No first word within `first_token`.
    FirstToken,
    /// Nothing more within `between_tokens`.
    BetweenTokens,
    /// 429: too much was asked; how long the server wants to be left alone, if it says so.
    RateLimited(Option<Duration>),
    /// 408, 409 or 5xx; as above.
    Server(Option<Duration>),
    /// Another status of 4xx: the request, the key or the model is wrong, or what it was signed with.
    Refused,
    /// 404: no such path, or no such model.
    NotFound,
    /// A status of 1xx or 3xx: nobody is followed elsewhere.
    Redirect,
    /// A body in a coding that was not asked for.
    Encoded,
    /// A body that is neither JSON nor events, or does not say so.
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
    /// A model's server lists none.
    NoModel,
    /// Nobody is asked for now: `breaker_pause`.
    BreakerOpen,
}

/// Outcomes of a question that are none of [`AnswerFault`]: there is an answer.
pub(in crate::assistant) const OK: &str = "ok";
/// The answer comes later, by another way.
pub(in crate::assistant) const LATER: &str = "later";
/// No answer is wanted.
pub(in crate::assistant) const UNWANTED: &str = "unwanted";
/// Nobody waited for the answer any more.
pub(in crate::assistant) const CANCELLED: &str = "cancelled";

impl AnswerFault {
    /// One of each.
    const ALL: [Self; 18] = [
        Self::Connect,
        Self::Timeout,
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
    pub(in crate::assistant) const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
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

    /// The names of all but this one.
    pub(in crate::assistant) fn labels_but(other: Self) -> impl Iterator<Item = &'static str> {
        let others = Self::ALL.into_iter().filter(move |fault| *fault != other);
        others.map(Self::label)
    }

    /// May the same question be asked again?
    pub(in crate::assistant) const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Timeout
                | Self::RateLimited(_)
                | Self::Server(_)
                | Self::BrokenOff
        )
    }

    /// How long the server wants to be left alone.
    pub(in crate::assistant) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited(after) | Self::Server(after) => after,
            _ => None,
        }
    }

    /// May a setting be wrong, so that no question is answered until that is put right?
    pub(in crate::assistant) const fn may_be_of_settings(self) -> bool {
        matches!(self, Self::Refused | Self::NotFound | Self::NoModel)
    }

    /// Is the server at fault, so that asking it about other things is in vain too?
    pub(in crate::assistant) const fn is_of_server(self) -> bool {
        !matches!(
            self,
            Self::Refused | Self::NotFound | Self::TooLong | Self::Empty | Self::BreakerOpen
        )
    }
}

impl From<RequestError> for AnswerFault {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout => Self::Timeout,
            RequestError::Connect(_) => Self::Connect,
            RequestError::TooLong => Self::TooLong,
            RequestError::Broken(_) => Self::BrokenOff,
        }
    }
}

impl From<AnswerFault> for Failure {
    fn from(fault: AnswerFault) -> Self {
        match fault {
            AnswerFault::Timeout | AnswerFault::FirstToken | AnswerFault::BetweenTokens => {
                Self::Timeout
            }
            AnswerFault::BrokenOff => Self::BrokenOff,
            AnswerFault::TooLong => Self::TooLong,
            AnswerFault::Empty => Self::Empty,
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
        let labels: HashSet<_> = AnswerFault::ALL.iter().map(|fault| fault.label()).collect();
        assert_eq!(labels.len(), AnswerFault::ALL.len());
        for other in [OK, LATER, UNWANTED, CANCELLED] {
            assert!(!labels.contains(other), "{other}");
        }
    }
}
