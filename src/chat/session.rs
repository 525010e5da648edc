//! A consumer that may wait: a task on the control plane for each connection, with a bounded queue on the way
//! in and the bounds of every client on the way out.
//!
//! Backpressure: a connection whose task has `consumers.inbox` messages still to take is not read from, so TCP slows its
//! client down. What the task says waits while a mailbox it goes into is full. A task that takes nothing for
//! `consumers.held_timeout` meanwhile, or outlives its connection by `consumers.timeout`, is dropped.

use crate::broker::uplink::Author;
use crate::broker::{
    Broker, Caller, Consumer, Context, Encode, Message, Payload, Publication, Verdict,
};
use crate::clock::{Clock, Millis};
use crate::config::ConsumerSettings;
use crate::metrics::Metrics;
use crate::protocol::CloseReason;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::coop::consume_budget;

/// What a message that waits for its task costs beside its bytes: its entry, in a queue that doubles as it grows.
pub(crate) const RECEIVED_BYTES: usize = 2 * size_of::<Received>();

/// Most tasks of a node for each of `limits.connections`: those of connections that are gone may still go on for
/// `consumers.timeout`, and must not keep out who comes instead.
pub(crate) const TASKS_PER_CONNECTION: usize = 2;

/// One message of a client, taken out of its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

/// What the worker and the task share.
#[derive(Debug)]
struct Inbox {
    /// One of so many on this node: given back when nobody has the inbox any more.
    _place: OwnedSemaphorePermit,
    /// Most messages that wait, each of at most `limits.message_bytes`.
    capacity: usize,
    state: Mutex<InboxState>,
    /// For the task: a message has come, or the last one.
    changed: Notify,
    /// For who looks after the task: it has a time to keep from here on.
    due: Notify,
    /// For the same: the session is no more, whoever had it.
    left: Notify,
}

#[derive(Debug, Default)]
struct InboxState {
    messages: VecDeque<Received>,
    /// The connection is not read from until there is room.
    is_held: bool,
    /// The connection is gone: nothing more comes.
    is_over: bool,
    /// When that was so; before, when the task took something last or the hold began.
    since: Millis,
    /// The task has taken or said something.
    has_begun: bool,
    /// What it has taken last is being answered, for all anybody knows.
    is_answering: bool,
}

/// Why a task must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeUp {
    NotBegun,
    TakesNothing,
    Orphaned,
}

impl Inbox {
    fn new(capacity: usize, place: OwnedSemaphorePermit) -> Self {
        Self {
            _place: place,
            capacity,
            state: Mutex::default(),
            changed: Notify::new(),
            due: Notify::new(),
            left: Notify::new(),
        }
    }

    /// Waits until the task has not begun in time, has not taken anything in time while its connection is held for it, or
    /// has outlived its connection for too long.
    async fn overdue(&self, settings: &ConsumerSettings, clock: Clock) -> TimeUp {
        let started = clock.now();
        loop {
            let due = {
                let state = self.state.lock();
                if state.is_over {
                    Some((state.since + settings.timeout, TimeUp::Orphaned))
                } else if !state.has_begun {
                    Some((started + settings.timeout, TimeUp::NotBegun))
                } else if state.is_held {
                    Some((state.since + settings.held_timeout, TimeUp::TakesNothing))
                } else {
                    None
                }
            };
            let now = clock.now();
            match due {
                Some((at, why)) if at <= now => return why,
                // Whatever ends the wait, all is looked at again.
                Some((at, _)) => {
                    drop(tokio::time::timeout(at.since(now), self.due.notified()).await);
                }
                None => self.due.notified().await,
            }
        }
    }
}

/// One connection, as its task sees it. Dropping it ends the connection with 1000, and with 1011 if the task
/// panicked.
///
/// Once the connection is gone ([`Session::next`] is `None`, [`Session::send`] is false), the task has
/// `consumers.timeout` (5 s) to end; then it is dropped where it awaits something, as it is when the node ends. A session
/// that a task has given away, such as to one of `tokio::spawn`, keeps its connection under the same times until it is
/// dropped, by whoever has it: nobody else can drop that task.
pub struct Session {
    caller: Arc<Caller>,
    inbox: Arc<Inbox>,
    broker: Arc<Broker>,
    author: Author,
    clock: Clock,
    encode: Encode,
    metrics: Arc<Metrics>,
    ending: CloseReason,
    /// The text of the close frame.
    farewell: Option<Box<str>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Who the client is, the parts of its path, and its room.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The client's next message, in the order in which they were sent; `None` once the connection is gone. Who asks for
    /// the next one has answered the one before: a client that has ended its side after a message is still written what
    /// the task says until then, for at most `assistant.timeout`.
    ///
    /// # Cancel safety
    /// No message is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Received> {
        consume_budget().await;
        loop {
            let changed = self.inbox.changed.notified();
            let (message, is_over, is_released, has_answered) = {
                let mut state = self.inbox.state.lock();
                state.has_begun = true;
                let message = state.messages.pop_front();
                if !state.is_over {
                    state.since = self.clock.now();
                }
                let has_answered = std::mem::replace(&mut state.is_answering, message.is_some());
                let has_room = state.messages.len() <= self.inbox.capacity / 2;
                let is_released = has_room && std::mem::take(&mut state.is_held);
                (message, state.is_over, is_released, has_answered)
            };
            if has_answered {
                self.broker.answered(self.author);
            }
            if is_released {
                self.broker.resume(self.author);
            }
            match message {
                Some(message) => return Some(message),
                None if is_over => return None,
                None => changed.await,
            }
        }
    }

    /// Says something to this connection alone; is the connection still there? If not, nothing is said. Waits while the
    /// worker's mailbox is full (`broker.mailbox_capacity`), and lets other tasks have their turn; what the client has not
    /// taken then waits in its queue (`queue.*`).
    ///
    /// # Cancel safety
    /// Either all of it is said or nothing.
    pub async fn send<'p>(&mut self, payload: impl Into<Payload<'p>>) -> bool {
        let frame = self.frame(payload.into());
        let Author { worker, connection } = self.author;
        let mailboxes = self.broker.mailboxes();
        let is_there = || !self.inbox.state.lock().is_over;
        // Who never has to wait stops for others now and then all the same.
        consume_budget().await;
        if is_there() {
            mailboxes.wait_while_full(worker).await;
        }
        if !is_there() {
            return false;
        }
        let publication = self.publication(frame);
        self.broker
            .direct(worker, connection, publication, false, None);
        true
    }

    /// Says something to every member of the room, on every node, whether the connection is still there or not; is it?
    /// Waits while the mailbox of a worker with members is full, and otherwise as [`Session::send`].
    ///
    /// # Cancel safety
    /// Either all of it is said or nothing.
    pub async fn publish<'p>(&mut self, payload: impl Into<Payload<'p>>) -> bool {
        let frame = self.frame(payload.into());
        if let Some(room) = &self.caller.room {
            consume_budget().await;
            self.broker.wait_while_full(room).await;
            let publication = self.publication(frame);
            self.broker.publish_by_name(room, &publication);
        }
        !self.inbox.state.lock().is_over
    }

    /// Ends the connection with this code, as [`Verdict::close`] reads it, behind what was said before. The close frame
    /// says `reason`, of which at most 123 bytes fit (RFC 6455 §5.5); it may be empty.
    pub fn close(mut self, code: u16, reason: &str) {
        if let Verdict::Close(ending) = Verdict::close(code) {
            self.ending = ending;
            self.farewell = ending.farewell(reason);
        }
    }

    fn frame(&self, payload: Payload<'_>) -> Bytes {
        self.inbox.state.lock().has_begun = true;
        match payload {
            Payload::Text(text) => (self.encode)(true, text.as_bytes()),
            Payload::Binary(bytes) => (self.encode)(false, bytes),
        }
    }

    fn publication(&self, frame: Bytes) -> Publication {
        Publication {
            frame,
            deadline: self.broker.deadline(self.clock.now()),
            event: None,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.ending, self.farewell) = (CloseReason::Internal, None);
            self.metrics.panics.inc();
            tracing::error!("a consumer's task panicked; its connection is closed with 1011");
        }
        let farewell = self.farewell.take();
        self.broker.end(self.author, self.ending, farewell);
        self.inbox.left.notify_one();
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts the task of one connection.
pub(crate) type Begin = Arc<dyn Fn(Session) -> Task + Send + Sync>;

/// What serves a route by tasks.
#[derive(Clone)]
pub(crate) struct Tasks {
    begin: Begin,
    control: Handle,
    metrics: Arc<Metrics>,
    settings: ConsumerSettings,
    /// Places for all tasks of the node.
    places: Arc<Semaphore>,
    /// Closed when the node ends.
    node: watch::Receiver<()>,
    /// Once the connection has begun.
    inbox: Option<Arc<Inbox>>,
}

impl Tasks {
    /// Tasks on this runtime, as many at once as there are `places`, each of which must keep the times of `settings`, for
    /// as long as there is a sender of `node`.
    pub(crate) fn new(
        begin: Begin,
        control: Handle,
        metrics: Arc<Metrics>,
        settings: ConsumerSettings,
        places: Arc<Semaphore>,
        node: watch::Receiver<()>,
    ) -> Self {
        Self {
            begin,
            control,
            metrics,
            settings,
            places,
            node,
            inbox: None,
        }
    }

    /// Runs the task until it ends and its session is no more, it does not keep its times, or the node ends.
    async fn run(self, session: Session) {
        let (broker, author, clock) = (Arc::clone(&session.broker), session.author, session.clock);
        let inbox = Arc::clone(&session.inbox);
        let task = async {
            (self.begin)(session).await;
            inbox.left.notified().await;
        };
        // These end the connection before the task is dropped: what the session says then comes second.
        let is_overdue = async {
            let why = inbox.overdue(&self.settings, clock).await;
            match why {
                TimeUp::NotBegun => tracing::error!(
                    "a consumer's task did not begin in time; its connection is closed with 1011"
                ),
                TimeUp::TakesNothing => tracing::error!(
                    "a consumer's task takes nothing of what its client says; its connection is closed with 1011"
                ),
                TimeUp::Orphaned => {
                    return tracing::warn!(
                        "a consumer's task goes on without its connection; it is dropped"
                    );
                }
            }
            broker.end(author, CloseReason::Internal, None);
        };
        let mut node = self.node.clone();
        let has_ended = async {
            while node.changed().await.is_ok() {}
            broker.end(author, CloseReason::Restart, None);
        };
        // The task last, since it may be ready each time.
        tokio::select! {
            biased;
            () = is_overdue => {}
            () = has_ended => {}
            () = task => {}
        }
    }
}

impl Consumer for Tasks {
    fn open(&mut self, cx: &mut Context<'_>) -> Verdict {
        // Else who comes and goes fast enough would leave any number of tasks behind.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Verdict::Close(CloseReason::TryLater);
        };
        let inbox = Arc::new(Inbox::new(self.settings.inbox, place));
        let session = Session {
            caller: cx.caller.clone().unwrap_or_default(),
            inbox: Arc::clone(&inbox),
            broker: Arc::clone(cx.broker),
            author: cx.author,
            clock: cx.clock,
            encode: cx.encode,
            metrics: Arc::clone(&self.metrics),
            ending: CloseReason::Normal,
            farewell: None,
        };
        self.inbox = Some(inbox);
        self.control.spawn(self.clone().run(session));
        Verdict::Done
    }

    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        let Some(inbox) = &self.inbox else {
            return Verdict::Close(CloseReason::Internal);
        };
        let received = match message.text() {
            Some(text) => Received::Text(text.to_owned()),
            None => Received::Binary(Bytes::copy_from_slice(message.bytes())),
        };
        // As a question to an assistant: who ends its side now waits for the answer.
        cx.asked = cx.asked.saturating_add(1);
        let mut state = inbox.state.lock();
        state.messages.push_back(received);
        let is_held = state.messages.len() >= inbox.capacity;
        if is_held {
            (state.is_held, state.since) = (true, cx.now);
        }
        drop(state);
        inbox.changed.notify_one();
        if is_held {
            inbox.due.notify_one();
            Verdict::Await
        } else {
            Verdict::Done
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        if let Some(inbox) = &self.inbox {
            let mut state = inbox.state.lock();
            (state.is_over, state.since) = (true, cx.now);
            drop(state);
            inbox.changed.notify_one();
            inbox.due.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ConnectionKey;
    use crate::transport::{Opcode, encoder};
    use std::time::Duration;

    #[test]
    fn what_a_task_says_is_worth_delivering_for_as_long_as_the_settings_say_by_then() {
        let broker = Broker::new(&crate::config::BrokerSettings::default(), Vec::new(), None);
        let broker = Arc::new(broker);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let session = Session {
            caller: Arc::default(),
            inbox: Arc::new(Inbox::new(1, place.expect("a place"))),
            broker: Arc::clone(&broker),
            author: Author {
                worker: 0,
                connection: ConnectionKey(0),
            },
            clock: Clock::simulated(|| Duration::from_secs(7)),
            encode: |_is_text, bytes| encoder::frame(Opcode::Text, bytes),
            metrics: Arc::new(Metrics::new()),
            ending: CloseReason::Normal,
            farewell: None,
        };
        let until = || session.publication(Bytes::new()).deadline;
        assert_eq!(until(), Millis(67_000));
        broker.set_expiry(Duration::from_millis(1_500));
        assert_eq!(until(), Millis(8_500), "settings were read again");
    }
}
