//! The port of `redis/` over the model.

use super::ModelRedis;
use super::network::Network;
use super::server::Asked;
use bytes::Bytes;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use supportal::internal::redis::{
    Answer, CommandError, Connector, ErrorKind, LinkFailure, Messages, Purpose, RedisClient,
    RedisCommand, RedisConnection, RedisFuture, RedisValue, SubscriptionEvent,
};
use tokio::sync::{mpsc, oneshot};

/// How one node reaches the model.
#[derive(Clone)]
pub struct ModelConnector {
    redis: ModelRedis,
    node: usize,
    /// `bridge.command_timeout`.
    timeout: Duration,
}

impl ModelRedis {
    /// How this node reaches it, waiting so long for answers.
    pub fn connector(&self, node: usize, timeout: Duration) -> ModelConnector {
        ModelConnector {
            redis: self.clone(),
            node,
            timeout,
        }
    }
}

impl fmt::Debug for ModelConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelConnector").field(&self.node).finish()
    }
}

fn timed_out() -> CommandError {
    CommandError::new(ErrorKind::Timeout, "Timeout Error", "no answer")
}

type Answered = oneshot::Receiver<Result<RedisValue, CommandError>>;

async fn within(timeout: Duration, answered: Answered) -> Result<RedisValue, CommandError> {
    match tokio::time::timeout(timeout, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_nobody)) => Err(CommandError::new(ErrorKind::Gone, "Canceled", "it is gone")),
        Err(_elapsed) => Err(timed_out()),
    }
}

impl Connector for ModelConnector {
    fn connect(&self, purpose: Purpose) -> RedisFuture<Result<RedisConnection, LinkFailure>> {
        let own = self.clone();
        Box::pin(async move {
            let (answers, answered) = oneshot::channel();
            let (ending, ended) = oneshot::channel();
            let who = (own.node, purpose == Purpose::Messages);
            let begin = |network: &mut Network, now| network.connect(who, now, (answers, ending));
            let link = own.redis.with(begin);
            let held = Held {
                redis: own.redis.clone(),
                link,
            };
            within(own.timeout * 2, answered).await?;
            let client = ModelClient {
                redis: own.redis,
                link,
                timeout: own.timeout,
            };
            let ended = async move {
                let ended = ended.await.unwrap_or(LinkFailure::Ended);
                drop(held);
                ended
            };
            Ok(RedisConnection::new(Arc::new(client), Box::pin(ended)))
        })
    }
}

/// The node's end of a connection.
struct Held {
    redis: ModelRedis,
    link: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let link = self.link;
        self.redis.with(|network, now| network.let_go(link, now));
    }
}

/// One connection.
#[derive(Clone)]
struct ModelClient {
    redis: ModelRedis,
    link: u64,
    timeout: Duration,
}

impl fmt::Debug for ModelClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelClient").field(&self.link).finish()
    }
}

impl ModelClient {
    /// Asks when it is first polled.
    fn ask<T: 'static>(
        &self,
        asked: Asked,
        read: impl FnOnce(RedisValue) -> T + Send + 'static,
    ) -> Answer<T> {
        let own = self.clone();
        Box::pin(async move {
            let (answers, answered) = oneshot::channel();
            let link = own.link;
            let ask = |network: &mut Network, now| network.ask(link, now, asked, answers);
            own.redis.with(ask);
            within(own.timeout, answered).await.map(read)
        })
    }
}

impl RedisClient for ModelClient {
    fn send(&self, command: RedisCommand) -> Answer {
        self.ask(Asked::Command(command), |answer| answer)
    }

    fn ping(&self) -> Answer {
        self.ask(Asked::Ping, |answer| answer)
    }

    fn publish(&self, channel: String, bytes: Bytes) -> Answer {
        self.ask(Asked::Publish(channel, bytes), |answer| answer)
    }

    fn load(&self, function: &'static str) -> Answer<String> {
        self.ask(Asked::Load(function), |answer| {
            let name = answer.into_bytes().unwrap_or_default();
            String::from_utf8_lossy(&name).into_owned()
        })
    }

    fn evaluate(&self, function: String, keys: Vec<String>, arguments: Vec<Bytes>) -> Answer {
        self.ask(Asked::Evaluate(function, keys, arguments), |answer| answer)
    }

    fn subscribe(&self, channels: Vec<String>) -> Answer<()> {
        self.ask(Asked::Subscribe(channels), drop)
    }

    fn unsubscribe(&self, channels: Vec<String>) -> Answer<()> {
        let own = self.clone();
        Box::pin(async move {
            let (answers, _nobody) = oneshot::channel();
            let asked = Asked::Unsubscribe(channels);
            let link = own.link;
            own.redis
                .with(|network, now| network.ask(link, now, asked, answers));
            Ok(())
        })
    }

    fn messages(&self) -> Box<dyn Messages> {
        let (inbox, messages) = mpsc::unbounded_channel();
        self.redis
            .with(|network, _| network.listen(self.link, inbox));
        Box::new(ModelMessages(messages))
    }
}

struct ModelMessages(mpsc::UnboundedReceiver<SubscriptionEvent>);

impl Messages for ModelMessages {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = SubscriptionEvent> + Send + '_>> {
        Box::pin(async { self.0.recv().await.unwrap_or(SubscriptionEvent::Ended) })
    }
}
