//! A Cluster of Redis: a connection to each of its servers, and commands and subscriptions that follow the slots.
//!
//! The client library's own Cluster is not used: it ends with the first connection that breaks, takes the answer to
//! ASKING for that of whatever command is under way, and says nothing of subscriptions that a server has dropped.
//!
//! | Module | |
//! |---|---|
//! | `slots` `redirect` | who has which slot, and what a server says that has not |
//! | `topology` | what the node knows of the Cluster |
//! | `servers` | a connection to each server |
//! | `turns` | commands of one slot stay in order |
//! | `cluster_client` | the port of Redis over all of it |
//! | `held` `watch` | which channels are subscribed where, and which are no more |

mod cluster_client;
mod held;
mod redirect;
mod servers;
mod slots;
mod topology;
mod turns;
mod watch;

use super::client::{Connector, Purpose, RedisConnection, RedisFuture};
use super::failure::LinkFailure;
use super::supervise::OwnedTask;
use cluster_client::ClusterClient;
use servers::Servers;
use std::sync::Arc;
pub(super) use topology::ServerConnector;
pub(crate) use topology::{ClusterTopology, SentOn};

/// Opens connections to a Cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterConnector(pub(super) Arc<ClusterTopology>);

/// A client's end: dropping this ends all its connections.
struct Closing(Arc<Servers>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Connector for ClusterConnector {
    fn connect(&self, purpose: Purpose) -> RedisFuture<Result<RedisConnection, LinkFailure>> {
        let topology = Arc::clone(&self.0);
        Box::pin(async move {
            topology.refresh(None).await?;
            let servers = Arc::new(Servers::new(topology, purpose));
            let closing = Closing(Arc::clone(&servers));
            let client = ClusterClient::new(servers);
            let mut watching = OwnedTask(tokio::spawn(watch::watch(client.clone())));
            let ended = async move {
                // A connection that breaks is made anew; what ends all of them is the session.
                drop((&mut watching.0).await);
                drop(closing);
                LinkFailure::Ended
            };
            Ok(RedisConnection::new(Arc::new(client), Box::pin(ended)))
        })
    }
}
