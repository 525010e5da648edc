//! What the log has been told of a server.

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
    lines: LogLimiter,
}

impl ServerKind {
    fn say_fault(self, fault: &str, code: &str) {
        match self {
            Self::Model => tracing::warn!(fault, code, "the model gave no answer"),
            Self::Webhook => tracing::warn!(fault, code, "the webhook gave no answer"),
        }
    }

    /// Says that nobody asks any more, or that there are answers again.
    pub(super) fn say_change(self, is_open: bool) {
        match (self, is_open) {
            (Self::Model, true) => {
                tracing::warn!("the model fails; nobody asks it for assistant.openai.breaker_pause")
            }
            (Self::Model, false) => tracing::info!("the model answers again"),
            (Self::Webhook, true) => tracing::warn!(
                "the webhook fails; nobody asks it for assistant.webhook.breaker_pause"
            ),
            (Self::Webhook, false) => tracing::info!("the webhook answers again"),
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
        if let Some((fault, code)) = refused
            && said.lines.is_due(self.clock.now())
        {
            let code = code.as_deref().unwrap_or("-");
            self.kind.say_fault(fault.label(), code);
        }
    }

    /// Why questions are not answered, for those who watch the node.
    pub(super) fn degraded(&self) -> String {
        let fault = self.said.lock().fault.unwrap_or("failed");
        match self.kind {
            ServerKind::Model => format!("the model does not answer: {fault}"),
            ServerKind::Webhook => format!("the webhook does not answer: {fault}"),
        }
    }
}
