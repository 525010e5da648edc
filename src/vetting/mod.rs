//! What members say is shown to the site before it is published (`chat.vet = "webhook"`): a view of its own, which is asked
//! by a POST that is signed, says what becomes of it.
//!
//! | The view answers | Means |
//! |---|---|
//! | 204, or 200 with `{"pass": true}` | the message is published as it is |
//! | 200 with `{"message": "…"}` | this is published in its place |
//! | 200 with `{"refuse": "…"}` | nothing is published, and the sender alone is told this |
//! | anything else, or nothing in time | `vet.on_timeout` says what becomes of the message ([`VetFault`]) |
//!
//! Each message is shown once. Whoever hands one in reads nothing more of its connection until it is decided
//! ([`VetTo`]): a connection's messages keep their order. Nothing waits but that connection. There is no breaker: who can make
//! the view fail would turn the vetting off for everybody.
//!
//! Limits: all of `[vet]`; [`HELD_BYTES`] for each message beside its texts.

mod answer;
mod businesses;
mod error;
mod fault;
mod health;
mod site;
#[cfg(test)]
mod tests;

pub use error::Error;

use crate::config::{Config, OnTimeout, Vet};
use crate::http_client::HEAD_BYTES_MAX;
use crate::metrics::{Metrics, count, declare};
use crate::name::RoomName;
use crate::panics::caught;
use crate::protocol::Event;
use answer::VetAnswer;
use businesses::{Businesses, Visit};
use fault::VetFault;
use health::VettingHealth;
use site::VettingSite;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

/// What a message that is being vetted costs beside its texts: its task, and where it goes.
pub const HELD_BYTES: usize = 2048;

/// Bytes of a message at the site beside what it costs while it waits: its JSON, the answer, and the buffers of a
/// connection with TLS.
#[must_use]
pub fn asked_bytes(config: &Config) -> usize {
    let text_bytes_max = config.chat.text_bytes_max;
    let answer = answer::answer_bytes_max(text_bytes_max);
    // As it came, and what is read of it.
    let answer = answer.saturating_add(text_bytes_max);
    // JSON may write each byte of a text as six.
    let question = text_bytes_max.saturating_mul(6);
    question
        .saturating_add(answer)
        .saturating_add(4 * HEAD_BYTES_MAX)
}

/// What was said, and where it goes.
pub struct HeldMessage {
    /// The room that it is said in.
    pub room: RoomName,
    /// Who says what; the moment is that of its arrival.
    pub event: Event<'static>,
    /// Takes what becomes of it.
    pub to: Box<dyn VetTo>,
}

impl fmt::Debug for HeldMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldMessage")
            .field("room", &self.room)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// Ends when there may be room.
pub type LackOfRoom = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a message goes once it is decided. Exactly one of `publish`, `refuse` and `turn_away` is called for every message, on a
/// thread of the control plane, or on the one that hands it in. The call must not block. A panic in it is caught and counted.
pub trait VetTo: Send {
    /// What the message has to wait for before there may be room for it; `None` if there is. Asked again after each wait, but
    /// for a node that goes down.
    fn lack(&self) -> Option<LackOfRoom>;
    /// The message is to be published, in the site's words if that has changed them.
    fn publish(self: Box<Self>, event: Event<'static>);
    /// The message is not to be published, and its sender is to be told this.
    fn refuse(self: Box<Self>, why: &str);
    /// The message is not to be published, as it could not be vetted.
    fn turn_away(self: Box<Self>);
}

/// The desk that messages are brought to. Cheap to clone; all clones are one desk. The default vets nothing.
#[derive(Clone, Default)]
pub struct Vetting(Option<Arc<VettingDesk>>);

struct VettingDesk {
    handle: Handle,
    site: VettingSite,
    timeout: Duration,
    on_timeout: OnTimeout,
    businesses: Arc<Businesses>,
    /// Messages being vetted.
    open: AtomicUsize,
    idle: Notify,
    /// From then on nobody is asked any more.
    stop: watch::Sender<Option<Instant>>,
    health: VettingHealth,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Vetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vetting").field(&self.is_on()).finish()
    }
}

impl Vetting {
    /// What `config` says; the site is asked on `handle`.
    ///
    /// # Errors
    /// If it cannot be asked with these settings.
    pub fn start(handle: &Handle, config: &Config, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        if config.chat.vet == Vet::Off {
            return Ok(Self::default());
        }
        let faults = VetFault::ALL.map(VetFault::label);
        let results = answer::RESULTS.into_iter().chain(faults);
        declare(&metrics.vets, "result", results);
        Ok(Self(Some(Arc::new(VettingDesk {
            handle: handle.clone(),
            site: VettingSite::new(config)?,
            timeout: config.vet.timeout,
            on_timeout: config.vet.on_timeout,
            businesses: Arc::new(Businesses::new(
                config.vet.concurrency_per_business,
                config.vet.queue_bytes,
            )),
            open: AtomicUsize::new(0),
            idle: Notify::new(),
            stop: watch::Sender::new(None),
            health: VettingHealth::new(),
            metrics: Arc::clone(metrics),
        }))))
    }

    /// Is anything vetted?
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands in a message. Never waits; for any thread.
    pub fn vet(&self, message: HeldMessage) {
        match &self.0 {
            Some(desk) => desk.vet(message),
            None => message.to.publish(message.event),
        }
    }

    /// Why messages are not vetted for now, if they are not.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        self.0.as_ref()?.health.degraded()
    }

    /// Waits until nothing is being vetted; after `grace` the site is asked no more, also of what comes later, and
    /// `vet.on_timeout` decides.
    ///
    /// # Cancel safety
    /// Dropping it leaves that as it is; calling it again may shorten the grace.
    pub async fn shutdown(&self, grace: Duration) {
        if let Some(desk) = &self.0 {
            let end = Instant::now() + grace;
            desk.stop
                .send_modify(|stop| *stop = Some(stop.map_or(end, |stop| stop.min(end))));
        }
        self.decided().await;
    }

    /// Waits until nothing is being vetted.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn decided(&self) {
        if let Some(desk) = &self.0 {
            desk.idle().await;
        }
    }
}

impl VettingDesk {
    fn vet(self: &Arc<Self>, message: HeldMessage) {
        let bytes = message.event.bytes().saturating_add(HELD_BYTES);
        let visit = self.businesses.enter(message.room.business_id(), bytes);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.metrics.vet_open.inc();
        let mut vet = OpenVet {
            message: Some(message),
            began: Instant::now(),
            desk: Arc::clone(self),
        };
        match visit {
            Some(visit) => drop(self.handle.spawn(vet.take(visit))),
            None => vet.finish(Err(VetFault::Full)),
        }
    }

    /// Waits until nothing is being vetted.
    async fn idle(&self) {
        loop {
            let mut notified = std::pin::pin!(self.idle.notified());
            notified.as_mut().enable();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// One message being vetted. However that ends, dropped in the middle included, the message is decided once.
struct OpenVet {
    message: Option<HeldMessage>,
    began: Instant,
    desk: Arc<VettingDesk>,
}

impl OpenVet {
    async fn take(mut self, visit: Visit) {
        let mut stop = self.desk.stop.subscribe();
        let answer = tokio::select! {
            biased;
            () = stopped(&mut stop) => Err(VetFault::Stopped),
            answer = self.ask(&visit) => answer,
        };
        // What the site has said stands, whatever ends the wait.
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {}
            () = self.room() => {}
        }
        self.finish(answer);
    }

    async fn ask(&mut self, visit: &Visit) -> Result<VetAnswer, VetFault> {
        let deadline = self.began + self.desk.timeout;
        let Some(HeldMessage { room, event, .. }) = &mut self.message else {
            return Err(VetFault::Stopped);
        };
        self.desk.site.ask(visit, room, event, deadline).await
    }

    /// Waits for room, as the message will be published by whoever answers.
    async fn room(&mut self) {
        while let Some(message) = &mut self.message
            && let Some(lack) = message.to.lack()
        {
            lack.await;
        }
    }

    fn finish(&mut self, answer: Result<VetAnswer, VetFault>) {
        let Some(message) = self.message.take() else {
            return;
        };
        let (desk, HeldMessage { event, to, .. }) = (&self.desk, message);
        // Counted first: whoever has seen what became of it sees it counted.
        let result = answer
            .as_ref()
            .map_or_else(|fault| fault.label(), VetAnswer::label);
        count(&desk.metrics.vets, "result", result);
        desk.metrics
            .vet_time
            .observe(self.began.elapsed().as_secs_f64());
        let fault = answer.as_ref().err().copied();
        if fault.is_none_or(VetFault::is_of_site) {
            desk.health.note(fault);
        }
        let done = caught(|| match (answer, desk.on_timeout) {
            (Ok(VetAnswer::Pass), _) | (Err(_), OnTimeout::Pass) => to.publish(event),
            (Ok(VetAnswer::Change(text)), _) => to.publish(Event {
                text: Cow::Owned(text),
                json: None,
                ..event
            }),
            (Ok(VetAnswer::Refuse(why)), _) => to.refuse(&why),
            (Err(_), OnTimeout::Refuse) => to.turn_away(),
        });
        if done.is_none() {
            desk.metrics.panics.inc();
        }
    }
}

/// Waits until nobody is to be asked any more.
async fn stopped(stop: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let end = *stop.borrow_and_update();
        let Some(end) = end else {
            if stop.changed().await.is_err() {
                return;
            }
            continue;
        };
        if !matches!(timeout_at(end, stop.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}

impl Drop for OpenVet {
    fn drop(&mut self) {
        // Only if the runtime dropped the task: a message that was decided is gone.
        self.finish(Err(VetFault::Stopped));
        self.desk.metrics.vet_open.dec();
        if self.desk.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.desk.idle.notify_waiters();
        }
    }
}
