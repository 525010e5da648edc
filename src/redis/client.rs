//! What a connected Redis does for the bridge and the channel layer, and nothing else: the port behind
//! which stand the client library today and whatever else plays a Redis.
//!
//! The wire is not hidden: a command's name and arguments are Redis' own.

use super::failure::{CommandError, LinkFailure};
use super::value::RedisValue;
use bytes::Bytes;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A future of this port, and what Redis answers. The command begins when the future is first polled: that hands a
/// command over, and those that wait together leave in one write.
pub type RedisFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What Redis answers to one command.
pub type Answer<T = RedisValue> = RedisFuture<Result<T, CommandError>>;

/// One command of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisCommand {
    /// The command's name, in one or two words.
    pub name: &'static str,
    /// The command's arguments. In a Cluster the first one, if there is any, says which node it is for.
    pub arguments: Vec<Vec<u8>>,
}

impl RedisCommand {
    /// A command with its arguments.
    pub fn new<const N: usize>(name: &'static str, arguments: [&[u8]; N]) -> Self {
        Self {
            name,
            arguments: arguments.map(<[u8]>::to_vec).to_vec(),
        }
    }
}

/// One connection to a Redis. Every call takes `bridge.command_timeout` at most (and what it was
/// connected to wait for), and fails once the connection is gone.
pub trait RedisClient: Debug + Send + Sync {
    /// Sends a command.
    fn send(&self, command: RedisCommand) -> Answer;

    /// PING, of whichever node.
    fn ping(&self) -> Answer;

    /// Publishes, in a Cluster to the shard of the channel.
    fn publish(&self, channel: String, bytes: Bytes) -> Answer;

    /// Makes a Lua function known, at every master of a Cluster; its name for
    /// [`RedisClient::evaluate`].
    fn load(&self, function: &'static str) -> Answer<String>;

    /// Calls a Lua function by that name.
    fn evaluate(&self, function: String, keys: Vec<String>, arguments: Vec<Bytes>) -> Answer;

    /// Subscribes; done once Redis has.
    fn subscribe(&self, channels: Vec<String>) -> Answer<()>;

    /// Unsubscribes; does not wait for Redis.
    fn unsubscribe(&self, channels: Vec<String>) -> Answer<()>;

    /// What comes by the subscriptions from here on.
    fn messages(&self) -> Box<dyn Messages>;

    /// Who has which slots of a Cluster in the eyes of each master, in an order of its own; empty for
    /// a Redis alone.
    fn slots(&self) -> Answer<Vec<String>>;
}

/// What comes by subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// A message was published on a channel.
    Message {
        /// The channel.
        channel: Box<str>,
        /// What was published.
        bytes: Bytes,
    },
    /// This many were thrown away, since nobody took them in time.
    Lagged(u64),
    /// The connection is gone.
    Ended,
}

/// What comes by the subscriptions of one connection, held until it is taken: at most
/// `bridge.arrivals_capacity`.
pub trait Messages: Send {
    /// The next one; waits for it.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = SubscriptionEvent> + Send + '_>>;
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Commands.
    Commands,
    /// Commands that block, by their own argument for up to this long.
    Blocking(Duration),
    /// Subscriptions.
    Messages,
}

/// Opens connections to one deployment.
pub trait Connector: Debug + Send + Sync {
    /// A connected client. Fails when Redis is not there, does not answer in time, or does not let us
    /// in.
    fn connect(&self, purpose: Purpose) -> RedisFuture<Result<RedisConnection, LinkFailure>>;
}

/// A connection's end, with the reason.
type ConnectionEnd = Pin<Box<dyn Future<Output = LinkFailure> + Send + Sync>>;

/// A client, and its end; dropping it ends the connection, and fails what its clones wait for.
pub struct RedisConnection {
    /// The client.
    pub client: Arc<dyn RedisClient>,
    /// Done when the connection is gone, with the reason.
    ended: ConnectionEnd,
}

impl Debug for RedisConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisConnection")
            .field(&self.client)
            .finish()
    }
}

impl RedisConnection {
    /// A connection that is over once `ended` is done, and is ended by dropping that.
    pub fn new(client: Arc<dyn RedisClient>, ended: ConnectionEnd) -> Self {
        Self { client, ended }
    }

    /// Done when the connection is gone.
    ///
    /// # Cancel safety
    /// May be called again, until it has returned once.
    pub(crate) async fn ended(&mut self) -> LinkFailure {
        (&mut self.ended).await
    }
}

/// Hands a command over, so that what follows is behind it; its answer is waited for later.
pub(crate) async fn hand_over<T>(mut answer: Answer<T>) -> HandedOver<T> {
    match std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
        Poll::Ready(answered) => HandedOver::Answered(answered),
        Poll::Pending => HandedOver::Waiting(answer),
    }
}

/// A command that is on its way or answered.
pub(crate) enum HandedOver<T = RedisValue> {
    /// The answer is waited for.
    Waiting(Answer<T>),
    /// The command was answered at once.
    Answered(Result<T, CommandError>),
}

impl<T> HandedOver<T> {
    /// The answer.
    pub(crate) async fn answered(self) -> Result<T, CommandError> {
        match self {
            Self::Waiting(answer) => answer.await,
            Self::Answered(answered) => answered,
        }
    }
}

/// Is this server, so far as it tells us, one that may be published to?
///
/// # Errors
/// When it is a replica or a Sentinel, or does not answer in time.
pub(crate) async fn check_role(client: &dyn RedisClient) -> Result<(), LinkFailure> {
    match client.send(RedisCommand::new("ROLE", [])).await {
        Ok(role) => {
            let first = role.into_array().into_iter().next();
            let word = first.and_then(RedisValue::into_bytes);
            match word.as_deref() {
                Some(b"slave") => Err(LinkFailure::Replica),
                Some(b"sentinel") => Err(LinkFailure::Sentinel),
                _ => Ok(()),
            }
        }
        Err(error) if error.is_about_connection() => Err(error.into()),
        // ROLE may be forbidden (ACL): then the canary alone decides.
        Err(_forbidden) => Ok(()),
    }
}
