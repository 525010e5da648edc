//! What the log has been told of a server.

use super::breaker::Unasked;
use super::exchange::AnswerRefusal;
use crate::clock::Clock;
use crate::redis::log_limiter::LogLimiter;
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
    clock: Clock,
    said: Mutex<SaidOfServer>,
}

#[derive(Debug, Default)]
struct SaidOfServer {
    /// Why the last question was not answered; `None` if it was.
    fault: Option<&'static str>,
    /// The same of the last one that was not.
    last_fault: Option<&'static str>,
    lines: LogLimiter,
}

impl ServerKind {
    fn say_fault(self, fault: &str, code: &str) {
        match self {
            Self::Model => tracing::warn!(fault, code, "the model gave no answer"),
            Self::Webhook => tracing::warn!(fault, code, "the webhook gave no answer"),
        }
    }

    /// Says whose questions are not asked any more, or that there are answers again.
    pub(super) fn say_change(self, unasked: Option<Unasked>) {
        match (self, unasked) {
            (Self::Model, Some(Unasked::All)) => {
                tracing::warn!("the model fails; nobody asks it for assistant.openai.breaker_pause")
            }
            (Self::Model, Some(Unasked::Business)) => tracing::warn!(
                "the model fails one business; nobody there asks it for assistant.openai.breaker_pause"
            ),
            (Self::Model, None) => tracing::info!("the model answers again"),
            (Self::Webhook, Some(Unasked::All)) => tracing::warn!(
                "the webhook fails; nobody asks it for assistant.webhook.breaker_pause"
            ),
            (Self::Webhook, Some(Unasked::Business)) => tracing::warn!(
                "the webhook fails one business; nobody there asks it for assistant.webhook.breaker_pause"
            ),
            (Self::Webhook, None) => tracing::info!("the webhook answers again"),
        }
    }
}

impl ServerHealth {
    pub(super) fn new(kind: ServerKind) -> Self {
        Self {
            kind,
            clock: Clock::start(),
            said: Mutex::default(),
        }
    }

    /// One line when questions begin to fail, or in another way, at most one a second.
    pub(super) fn log(&self, refused: Option<&AnswerRefusal>) {
        let mut said = self.said.lock();
        let fault = refused.map(|(fault, _)| fault.label());
        if said.fault == fault {
            return;
        }
        said.fault = fault;
        said.last_fault = fault.or(said.last_fault);
        if let Some((fault, code)) = refused
            && said.lines.is_due(self.clock.now())
        {
            let code = code.as_deref().unwrap_or("-");
            self.kind.say_fault(fault.label(), code);
        }
    }

    /// Why these questions are not answered, for those who watch the node.
    pub(super) fn degraded(&self, unasked: Unasked) -> String {
        let fault = self.said.lock().last_fault.unwrap_or("failed");
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
