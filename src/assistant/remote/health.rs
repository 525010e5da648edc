//! What the log has been told of a server.

use super::breaker::{BreakerChange, Unasked};
use super::exchange::AnswerRefusal;
use super::fault::AnswerFault;
use crate::clock::Clock;
use crate::redis::log_limiter::FaultLines;
use parking_lot::Mutex;

/// What kind of server it is that is asked, in the words of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::assistant) enum ServerKind {
    /// A model.
    Model,
    /// The site's own.
    Webhook,
}

/// One server's.
#[derive(Debug)]
pub(super) struct ServerHealth {
    kind: ServerKind,
    /// Questions in a row that are refused after which that is said to those who watch the node.
    refusals_max: usize,
    clock: Clock,
    said: Mutex<SaidOfServer>,
}

#[derive(Debug, Default)]
struct SaidOfServer {
    /// Why the last question that was not answered was not.
    last: Option<AnswerRefusal>,
    /// Questions that were refused since the last one that was answered, and how the last of them was.
    refusals: usize,
    refusal: Option<&'static str>,
    lines: FaultLines<&'static str>,
}

impl ServerKind {
    fn say_fault(self, fault: AnswerFault, code: &str) {
        let (look_at, fault) = (self.look_at(fault), fault.label());
        match self {
            Self::Model => tracing::warn!(fault, code, look_at, "the model gave no answer"),
            Self::Webhook => tracing::warn!(fault, code, look_at, "the webhook gave no answer"),
        }
    }

    /// The settings that are wrong, if one is; `-` where the server's own log says more.
    const fn look_at(self, fault: AnswerFault) -> &'static str {
        use AnswerFault::{
            BetweenTokens, Connect, Encoded, FirstToken, Malformed, NoModel, NotFound, NotJson,
            Redirect, Refused, Timeout,
        };
        match (self, fault) {
            (Self::Model, Refused) => "assistant.openai.api_key, assistant.openai.model",
            (Self::Model, NotFound) => "assistant.openai.base_url, assistant.openai.model",
            (Self::Model, NoModel) => "assistant.openai.model",
            (Self::Model, Connect | Redirect | Encoded | NotJson | Malformed) => {
                "assistant.openai.base_url"
            }
            (Self::Model, FirstToken) => "assistant.openai.first_token",
            (Self::Model, BetweenTokens) => "assistant.openai.between_tokens",
            (Self::Webhook, Refused) => "assistant.webhook.secret",
            (Self::Webhook, Connect | NotFound | Redirect | Encoded | NotJson | Malformed) => {
                "assistant.webhook.url"
            }
            (Self::Webhook, Timeout) => "assistant.webhook.timeout",
            (Self::Webhook, FirstToken) => "assistant.webhook.first_token",
            (Self::Webhook, BetweenTokens) => "assistant.webhook.between_tokens",
            _ => "-",
        }
    }

    /// Says whose questions are not asked any more, or that there are answers again.
    pub(super) fn say_change(self, change: BreakerChange) {
        use BreakerChange::{Closed, Lapsed, Opened};
        match (self, change) {
            (Self::Model, Opened(Unasked::All)) => {
                tracing::warn!("the model fails; nobody asks it for assistant.openai.breaker_pause")
            }
            (Self::Model, Opened(Unasked::Business)) => tracing::warn!(
                "the model fails one business; nobody there asks it for assistant.openai.breaker_pause"
            ),
            (Self::Model, Closed) => tracing::info!("the model answers again"),
            (Self::Webhook, Opened(Unasked::All)) => tracing::warn!(
                "the webhook fails; nobody asks it for assistant.webhook.breaker_pause"
            ),
            (Self::Webhook, Opened(Unasked::Business)) => tracing::warn!(
                "the webhook fails one business; nobody there asks it for assistant.webhook.breaker_pause"
            ),
            (Self::Webhook, Closed) => tracing::info!("the webhook answers again"),
            // Nobody has asked whether it does.
            (_, Lapsed) => {}
        }
    }
}

impl ServerHealth {
    pub(super) fn new(kind: ServerKind, refusals_max: usize) -> Self {
        Self {
            kind,
            refusals_max,
            clock: Clock::start(),
            said: Mutex::default(),
        }
    }

    /// Takes note of how a question ended: one line when questions begin to fail, or in another way, at most one a second.
    pub(super) fn note(&self, refused: Option<&AnswerRefusal>) {
        let mut said = self.said.lock();
        let fault = refused.map(|(fault, _)| fault.label());
        match refused {
            None => (said.refusals, said.refusal) = (0, None),
            Some((refusal, _)) if refusal.may_be_of_settings() => {
                (said.refusals, said.refusal) = (said.refusals.saturating_add(1), fault);
            }
            Some(_) => {}
        }
        if let Some((fault, code)) = refused {
            said.last = Some((*fault, code.clone()));
        }
        // That there are answers again is for the breaker to say.
        let is_due = said.lines.is_due(fault, self.clock.now());
        if let Some((fault, code)) = refused
            && is_due
        {
            let code = code.as_deref().unwrap_or("-");
            self.kind.say_fault(*fault, code);
        }
    }

    /// Why the last question that was not answered was not, in the words of the log.
    pub(super) fn last(&self) -> Option<String> {
        let (fault, code) = self.said.lock().last.clone()?;
        let (label, look_at) = (fault.label(), self.kind.look_at(fault));
        let code = code.map_or_else(String::new, |code| format!(" ({code})"));
        let look_at = match look_at {
            "-" => String::new(),
            keys => format!("; look at {keys}"),
        };
        Some(format!("{label}{code}{look_at}"))
    }

    /// Why no question is answered though all are asked, for those who watch the node: a key, an address or a model that is
    /// wrong is wrong for all.
    pub(super) fn refusing(&self) -> Option<String> {
        let said = self.said.lock();
        let refusal = said
            .refusal
            .filter(|_| said.refusals >= self.refusals_max)?;
        Some(match self.kind {
            ServerKind::Model => format!("the model refuses all questions: {refusal}"),
            ServerKind::Webhook => format!("the webhook refuses all questions: {refusal}"),
        })
    }

    /// Why these questions are not answered, for those who watch the node.
    pub(super) fn degraded(&self, unasked: Unasked) -> String {
        let last = self.said.lock().last.clone();
        let fault = last.map_or("failed", |(fault, _)| fault.label());
        match (self.kind, unasked) {
            (ServerKind::Model, Unasked::All) => format!("the model does not answer: {fault}"),
            (ServerKind::Model, Unasked::Business) => {
                format!("the model does not answer one business: {fault}")
            }
            (ServerKind::Webhook, Unasked::All) => format!("the webhook does not answer: {fault}"),
            (ServerKind::Webhook, Unasked::Business) => {
                format!("the webhook does not answer one business: {fault}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_a_row_are_a_reason_until_the_first_answer() {
        let health = ServerHealth::new(ServerKind::Model, 3);
        let note = |fault: AnswerFault| health.note(Some(&fault.into()));
        note(AnswerFault::Refused);
        note(AnswerFault::NotFound);
        note(AnswerFault::Server(None));
        note(AnswerFault::TooLong);
        assert_eq!(health.refusing(), None);
        note(AnswerFault::NoModel);
        let reason = health.refusing();
        assert_eq!(
            reason.as_deref(),
            Some("the model refuses all questions: no_model")
        );
        health.note(None);
        assert_eq!(health.refusing(), None);
        note(AnswerFault::Refused);
        assert_eq!(health.refusing(), None);
    }

    #[test]
    fn a_fault_names_the_settings_to_look_at() {
        let of = |fault| ServerKind::Model.look_at(fault);
        assert!(of(AnswerFault::Refused).contains("api_key"));
        assert!(of(AnswerFault::NotFound).contains("base_url"));
        assert_eq!(of(AnswerFault::NoModel), "assistant.openai.model");
        assert_eq!(of(AnswerFault::Server(None)), "-");
    }
}
