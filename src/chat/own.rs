//! A consumer of the program's own: any value of its [`Consumer`], made anew for each connection as that begins.

use super::calls::Calls;
use crate::broker::{Caller, Consumer, Context, Message, Verdict};
use crate::protocol::CloseReason;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A route of the program's own.
#[derive(Clone)]
pub struct OwnRoute {
    template: String,
    settings: u8,
    /// The type of its consumers.
    consumer: &'static str,
    calls: Arc<Calls>,
    /// The number of this route there.
    number: u16,
    make: Make,
}

type Make = Arc<dyn Fn() -> Box<dyn Consumer> + Send + Sync>;

impl fmt::Debug for OwnRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnRoute")
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

impl OwnRoute {
    /// A route whose connections are each served by what `make` makes; `C` is what the log calls that.
    pub fn new<C>(
        template: impl Into<String>,
        make: impl Fn() -> Box<dyn Consumer> + Send + Sync + 'static,
    ) -> Self {
        Self {
            template: template.into(),
            settings: 0,
            consumer: std::any::type_name::<C>(),
            calls: Arc::default(),
            number: 0,
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

    /// Has these routes note the calls of their consumers on so many workers; each may take `timeout`.
    pub(crate) fn note_calls(routes: &mut [Self], workers: usize, timeout: Duration) -> Arc<Calls> {
        let known = routes
            .iter()
            .map(|route| (route.template.clone(), route.consumer));
        let calls = Arc::new(Calls::new(workers, known.collect(), timeout));
        for (number, route) in (1..).zip(routes) {
            route.calls = Arc::clone(&calls);
            route.number = number;
        }
        calls
    }
}

/// What is kept of a connection whose consumer is the program's own.
pub(super) struct Own {
    caller: Arc<Caller>,
    consumer: OwnConsumer,
    calls: Arc<Calls>,
    /// The number of its route there.
    route: u16,
}

/// The consumer of one connection.
enum OwnConsumer {
    /// The connection has not begun.
    Unmade(Make),
    Made(Box<dyn Consumer>),
    /// The connection is gone.
    Over,
}

impl Own {
    /// What one more connection of this route may become: nothing of the program's is called before it does.
    pub(super) fn new(route: &OwnRoute, caller: Caller) -> Self {
        Self {
            caller: Arc::new(caller),
            consumer: OwnConsumer::Unmade(Arc::clone(&route.make)),
            calls: Arc::clone(&route.calls),
            route: route.number,
        }
    }

    /// Calls the consumer, with the context that knows what it may ask; `None` if there is none, as making it
    /// panicked.
    fn call<'a, T>(
        &mut self,
        cx: &mut Context<'a>,
        call: impl FnOnce(&mut dyn Consumer, &mut Context<'a>) -> T,
    ) -> Option<T> {
        let OwnConsumer::Made(consumer) = &mut self.consumer else {
            return None;
        };
        cx.caller = Some(Arc::clone(&self.caller));
        let _call = self.calls.begin(cx.author.worker, cx.now, self.route);
        Some(call(&mut **consumer, cx))
    }

    /// As [`Own::call`], where the connection ends if there is no consumer.
    fn ask<'a>(
        &mut self,
        cx: &mut Context<'a>,
        call: impl FnOnce(&mut dyn Consumer, &mut Context<'a>) -> Verdict,
    ) -> Verdict {
        let verdict = self.call(cx, call);
        verdict.unwrap_or(Verdict::Close(CloseReason::Internal))
    }
}

impl Consumer for Own {
    /// A thread cannot be interrupted: one that is late is closed with 1011 once it has returned.
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        let began = cx.clock.now();
        if let OwnConsumer::Unmade(make) = &self.consumer {
            let _call = self.calls.begin(cx.author.worker, cx.now, self.route);
            self.consumer = OwnConsumer::Made(make());
        }
        let verdict = self.ask(cx, |consumer, cx| consumer.open(cx));
        if self.calls.is_late(began, cx.clock.now()) {
            return Verdict::Close(CloseReason::Internal);
        }
        verdict
    }

    fn joined(&mut self, cx: &mut Context<'_>) -> Verdict {
        self.ask(cx, |consumer, cx| consumer.joined(cx))
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        self.ask(cx, |consumer, cx| consumer.message(cx, message))
    }

    fn too_many(&mut self, cx: &mut Context<'_>) {
        self.call(cx, |consumer, cx| consumer.too_many(cx));
    }

    /// What a consumer does as it is dropped is a call of its own: it may not return either.
    fn close(&mut self, cx: &mut Context<'_>) {
        self.call(cx, |consumer, cx| consumer.close(cx));
        let _call = self.calls.begin(cx.author.worker, cx.now, self.route);
        self.consumer = OwnConsumer::Over;
    }
}
