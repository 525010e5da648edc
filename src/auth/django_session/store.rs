//! Sessions in the Redis of a site's cache (django/contrib/sessions/backends/cache.py).
//!
//! The key is `PREFIX:VERSION:django.contrib.sessions.cache` and what the cookie holds, and the session is the value:
//! a pickle as `django.core.cache.backends.redis` writes it, or JSON as django-redis does with its `JSONSerializer`.
//! Redis forgets a session at its end. Whoever may write there says who somebody is, to the site as well.
//!
//! One connection, opened when first somebody asks and again when it has broken; between two attempts that fail there is
//! a pause, in which nobody waits. Nothing is written. Commands: `GETRANGE`, `PTTL`.

use super::session::{FoundSession, SessionFlaw, USER_BYTES_MAX, read_cached};
use crate::auth::answers::{AnswerKey, Answers, Judged};
use crate::auth::turns::AddressTurns;
use crate::clock::{Clock, Millis};
use crate::config::{BridgeSettings, DjangoSessionSettings};
use crate::redis;
use crate::redis::client::{RedisClient, RedisCommand, RedisConnection};
use crate::redis::deployment::Deployment;
use crate::redis::failure::{CommandError, LinkFailure};
use crate::redis::log_limiter::FaultLines;
use crate::redis::supervise::OwnedTask;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex as WaitingMutex, Semaphore, watch};
use tokio::time::timeout;

/// What the keys of sessions begin with, behind the cache's own prefix.
const KEY_PREFIX: &str = "django.contrib.sessions.cache";
/// Characters of a session's key (django/contrib/sessions/backends/base.py, `_get_new_session_key`).
const KEY_BYTES: usize = 32;
/// Nobody waits for a connection so soon after one that failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Most bytes of a session that is remembered: its user, its hash, and the spare of the table.
pub const REMEMBERED_BYTES: usize = 256 + USER_BYTES_MAX;
/// Bytes of a session that is looked for beside its own, twice: two commands of the client library, and their answers.
pub const LOOKUP_BYTES: usize = 32 * 1024;

/// Redis cannot say: it is away, too slow, or does not let us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreFailure;

/// The Redis of a site's cache, and what it has said.
#[derive(Debug)]
pub(super) struct SessionStore {
    deployment: Option<Deployment>,
    prefix: String,
    settings: DjangoSessionSettings,
    connection: WaitingMutex<StoreConnection>,
    /// Of each address.
    shares: AddressTurns,
    /// Of all.
    turns: Semaphore,
    answers: Mutex<Answers>,
    /// What the log has been told of Redis.
    lines: Mutex<FaultLines<()>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct StoreConnection {
    open: Option<Arc<OpenConnection>>,
    /// Nobody tries before.
    not_before: Millis,
}

impl StoreConnection {
    /// Has another one opened for the next, unless somebody has.
    fn give_up(&mut self, broken: &Arc<OpenConnection>) {
        let is_same = |open: &Arc<OpenConnection>| Arc::ptr_eq(open, broken);
        if self.open.as_ref().is_some_and(is_same) {
            self.open = None;
        }
    }
}

/// A connection, until it breaks or is dropped.
#[derive(Debug)]
struct OpenConnection {
    client: Arc<dyn RedisClient>,
    /// Without a sender once the connection is gone.
    gone: watch::Receiver<()>,
    _keeper: OwnedTask<()>,
}

impl OpenConnection {
    fn new(mut connection: RedisConnection) -> Self {
        let client = Arc::clone(&connection.client);
        let (sender, gone) = watch::channel(());
        let keeper = tokio::spawn(async move {
            connection.ended().await;
            drop(sender);
        });
        Self {
            client,
            gone,
            _keeper: OwnedTask(keeper),
        }
    }

    fn is_gone(&self) -> bool {
        self.gone.has_changed().is_err()
    }

    /// Waits until it is.
    async fn gone(&self) {
        // Nothing is ever sent: what comes is the end.
        drop(self.gone.clone().changed().await);
    }
}

impl SessionStore {
    /// By the settings. Opens no connection.
    pub(super) fn new(settings: &DjangoSessionSettings) -> Result<Self, redis::Error> {
        let bridge = BridgeSettings {
            // Longer than anybody waits: what ends a wait is `timeout`, and says so.
            command_timeout: settings.timeout * 2,
            ..BridgeSettings::default()
        };
        let first = settings.redis.first();
        let deployment = first.map(|address| Deployment::new(address, &bridge));
        Ok(Self {
            deployment: deployment.transpose()?,
            prefix: format!("{}:{}:{KEY_PREFIX}", settings.key_prefix, settings.version),
            connection: WaitingMutex::default(),
            shares: AddressTurns::new(settings.concurrency_per_ip),
            turns: Semaphore::new(settings.concurrency),
            answers: Mutex::new(Answers::new(settings.cache_entries)),
            lines: Mutex::default(),
            settings: settings.clone(),
            clock: Clock::start(),
        })
    }

    /// What is remembered of a session.
    pub(super) fn remembered(&self, key: &str) -> Option<Judged> {
        self.answers.lock().get(&hash(key), self.clock.now())
    }

    /// Remembers what a session came to, at `wall` in Unix seconds.
    pub(super) fn remember(&self, key: &str, judged: &Judged, wall: u64) {
        let time = match judged {
            Judged::In(identity) => {
                let left = identity.expires_at.map(|end| end.saturating_sub(wall));
                let left = left.map_or(Duration::MAX, Duration::from_secs);
                self.settings.cache.min(left)
            }
            Judged::Nobody | Judged::Out(_) => self.settings.cache_refused,
        };
        let now = self.clock.now();
        let mut answers = self.answers.lock();
        answers.insert(hash(key), judged.clone(), now, now + time);
    }

    /// Forgets what a session came to.
    pub(super) fn forget(&self, key: &str) {
        self.answers.lock().forget(&hash(key));
    }

    /// How often sessions of who is connected are looked for again; zero is never.
    pub(super) fn recheck(&self) -> Duration {
        self.settings.recheck
    }

    /// How many turns may be taken for that at once.
    pub(super) fn turns_of_rechecks(&self) -> usize {
        self.settings.concurrency.div_ceil(4)
    }

    /// Whose a session is, and when it ends. A `client` that asks has no more turns than its share.
    ///
    /// # Cancel safety
    /// A connection that is being opened is opened anew by the next.
    pub(super) async fn find(
        &self,
        key: &str,
        client: Option<IpAddr>,
        now: u64,
    ) -> Result<Result<FoundSession, SessionFlaw>, StoreFailure> {
        let turns = async {
            let share = match client {
                Some(client) => Some(self.shares.take(client).await),
                None => None,
            };
            (share, self.turns.acquire().await)
        };
        // What others fill is not Redis' fault.
        let turn = timeout(self.settings.timeout, turns).await;
        let _turn = turn.map_err(|_elapsed| StoreFailure)?;
        let used = Mutex::new(None);
        let asked = timeout(self.settings.timeout, Box::pin(self.ask(key, now, &used)));
        match asked.await {
            Ok(Ok(found)) => {
                self.note(None);
                Ok(found)
            }
            Ok(Err(failure)) => {
                self.note(Some(&failure.to_string()));
                Err(StoreFailure)
            }
            Err(_elapsed) => {
                // Whoever holds the lock is connecting, and that by another one.
                if let (Some(silent), Ok(mut connection)) =
                    (used.into_inner(), self.connection.try_lock())
                {
                    connection.give_up(&silent);
                }
                self.note(Some("no answer within auth.django_session.timeout"));
                Err(StoreFailure)
            }
        }
    }

    async fn ask(
        &self,
        key: &str,
        now: u64,
        used: &Mutex<Option<Arc<OpenConnection>>>,
    ) -> Result<Result<FoundSession, SessionFlaw>, LinkFailure> {
        let connection = self.connected().await?;
        *used.lock() = Some(Arc::clone(&connection));
        match self.read(&connection, key, now).await {
            // The connection may have broken since the last one asked: once more, by a new one.
            Err(LinkFailure::Ended) => {
                self.connection.lock().await.give_up(&connection);
                let connection = self.connected().await?;
                *used.lock() = Some(Arc::clone(&connection));
                self.read(&connection, key, now).await
            }
            answered => answered,
        }
    }

    async fn connected(&self) -> Result<Arc<OpenConnection>, LinkFailure> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.open.as_ref().filter(|open| !open.is_gone()) {
            return Ok(Arc::clone(open));
        }
        let deployment = self.deployment.as_ref().ok_or(LinkFailure::Ended)?;
        if self.clock.now() < connection.not_before {
            return Err(LinkFailure::Ended);
        }
        // Whoever gives up waiting ends the attempt: then too the next one comes after a pause.
        connection.not_before = self.clock.now() + PAUSE;
        let opened = Arc::new(OpenConnection::new(deployment.commander().await?));
        connection.not_before = Millis::default();
        connection.open = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn read(
        &self,
        connection: &OpenConnection,
        key: &str,
        now: u64,
    ) -> Result<Result<FoundSession, SessionFlaw>, LinkFailure> {
        let key = [&*self.prefix, key].concat();
        let bytes_max = self.settings.session_bytes;
        // One byte more than may be says that there are more; the rest stays where it is.
        let last = bytes_max.to_string();
        let get = RedisCommand::new("GETRANGE", [key.as_bytes(), b"0", last.as_bytes()]);
        let left = RedisCommand::new("PTTL", [key.as_bytes()]);
        let client = &connection.client;
        let answers = async { tokio::join!(client.send(get), client.send(left)) };
        let (session, left) = tokio::select! {
            biased;
            answers = answers => answers,
            () = connection.gone() => return Err(LinkFailure::Ended),
        };
        let session = ended(session)?.into_bytes().unwrap_or_default();
        let left = match ended(left)? {
            redis::value::RedisValue::Integer(-1) => self.settings.cookie_age.as_secs(),
            other => other.number() / 1000,
        };
        if session.is_empty() {
            return Ok(Err(SessionFlaw::Unknown));
        }
        if session.len() > bytes_max {
            return Ok(Err(SessionFlaw::TooLong));
        }
        let end = Some(now.saturating_add(left));
        Ok(read_cached(&session).map(|user| (user, end)))
    }

    /// Tells the log when Redis begins to answer, and when it ends.
    fn note(&self, failure: Option<&str>) {
        let fault = failure.map(|_error| ());
        if !self.lines.lock().is_due(fault, self.clock.now()) {
            return;
        }
        match failure {
            Some(error) => {
                let address = self.deployment.as_ref().map(|at| at.shown.as_str());
                tracing::warn!(
                    redis = "auth.django_session.redis[0]",
                    address,
                    error,
                    "sessions cannot be looked for in the site's Redis"
                );
            }
            None => tracing::info!("sessions are found in the site's Redis again"),
        }
    }
}

/// What is wrong with the connection is its end, whatever the details say.
fn ended<T>(answered: Result<T, CommandError>) -> Result<T, LinkFailure> {
    answered.map_err(|error| match error.is_about_connection() {
        true => LinkFailure::Ended,
        false => error.into(),
    })
}

/// Can this be the key of a session?
pub(super) fn is_key(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    text.len() == KEY_BYTES && text.bytes().all(is_legal)
}

/// Whoever reads the table of answers learns no key.
fn hash(key: &str) -> AnswerKey {
    let whole = digest(&SHA256, key.as_bytes());
    whole.as_ref().first_chunk().copied().unwrap_or_default()
}
