//! A consumer of the program's own: any value of its [`Consumer`], made anew for each connection.

use crate::broker::{Caller, Consumer, Context, Message, Verdict};
use std::fmt;
use std::sync::Arc;

/// A route of the program's own.
#[derive(Clone)]
pub struct OwnRoute {
    template: String,
    settings: u8,
    make: Arc<dyn Fn() -> Box<dyn Consumer> + Send + Sync>,
}

impl fmt::Debug for OwnRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnRoute")
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

impl OwnRoute {
    /// A route whose connections are each served by what `make` makes.
    pub fn new(
        template: impl Into<String>,
        make: impl Fn() -> Box<dyn Consumer> + Send + Sync + 'static,
    ) -> Self {
        Self {
            template: template.into(),
            settings: 0,
            make: Arc::new(make),
        }
    }

    /// The template of its paths.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The number of its own settings, or 0.
    #[must_use]
    pub(crate) fn settings(&self) -> u8 {
        self.settings
    }

    /// The same route with the settings of this number.
    pub(crate) fn with_settings(self, settings: u8) -> Self {
        Self { settings, ..self }
    }

    /// The consumer of one more connection.
    pub(super) fn make(&self) -> Box<dyn Consumer> {
        (self.make)()
    }
}

/// What is kept of a connection whose consumer is the program's own.
pub(super) struct Own {
    pub(super) caller: Arc<Caller>,
    pub(super) consumer: Box<dyn Consumer>,
}

impl Own {
    /// The consumer, and the context with what it may ask.
    fn with<'c, 'a>(
        &mut self,
        cx: &'c mut Context<'a>,
    ) -> (&mut dyn Consumer, &'c mut Context<'a>) {
        cx.caller = Some(Arc::clone(&self.caller));
        (&mut *self.consumer, cx)
    }
}

impl Consumer for Own {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        let (consumer, cx) = self.with(cx);
        consumer.open(cx)
    }

    fn joined(&mut self, cx: &mut Context<'_>) -> Verdict {
        let (consumer, cx) = self.with(cx);
        consumer.joined(cx)
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let (consumer, cx) = self.with(cx);
        consumer.message(cx, message)
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        let (consumer, cx) = self.with(cx);
        consumer.close(cx);
    }
}
