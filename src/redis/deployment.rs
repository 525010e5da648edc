//! One deployment of Redis: an address, and connections to it.

use super::client::{Connector, Purpose, RedisConnection};
use super::error::Error;
use super::failure::LinkFailure;
use super::fred_client::FredConnector;
use super::mismatch::Mismatch;
use crate::config;
use crate::config::redis::RedisAddress;
use std::sync::Arc;
use std::time::Duration;

/// How to reach one deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    connector: Arc<dyn Connector>,
    /// What the address may be wrong about; `None` where there is no network.
    mismatch: Option<Arc<Mismatch>>,
    pub(crate) is_cluster: bool,
    /// For people: no password.
    pub(crate) shown: String,
    /// What the names of channels and keys between nodes begin with. Publishing ignores databases, so
    /// the number is part of it; 0 is not, for nodes that do not know this yet.
    pub(crate) prefix: String,
}

impl Deployment {
    /// Those at these addresses.
    ///
    /// # Errors
    /// As [`Deployment::new`].
    pub fn all<'a>(
        addresses: impl IntoIterator<Item = &'a RedisAddress>,
        settings: &config::BridgeSettings,
    ) -> Result<Vec<Self>, Error> {
        let addresses = addresses.into_iter();
        addresses.map(|at| Self::new(at, settings)).collect()
    }

    /// From an address and the settings.
    ///
    /// # Errors
    /// When a file of certificates cannot be read.
    pub fn new(address: &RedisAddress, settings: &config::BridgeSettings) -> Result<Self, Error> {
        let connector = Arc::new(FredConnector::new(address, settings)?);
        let mismatch = Mismatch::new(address, settings.command_timeout);
        Ok(Self {
            mismatch: mismatch.map(Arc::new),
            ..Self::over(connector, address, settings)
        })
    }

    /// What `connector` reaches, under the name of an address.
    #[must_use]
    pub fn over(
        connector: Arc<dyn Connector>,
        address: &RedisAddress,
        settings: &config::BridgeSettings,
    ) -> Self {
        Self {
            connector,
            mismatch: None,
            is_cluster: address.is_cluster(),
            shown: address.to_string(),
            prefix: match address.database {
                0 => settings.prefix.clone(),
                // No prefix has a slash.
                number => format!("{}/{number}", settings.prefix),
            },
        }
    }

    async fn connect(&self, purpose: Purpose) -> Result<RedisConnection, LinkFailure> {
        let connected = self.connector.connect(purpose).await;
        match (&self.mismatch, connected) {
            (Some(mismatch), Ok(connection)) => {
                mismatch.connected();
                Ok(connection)
            }
            (Some(mismatch), Err(failure)) => Err(mismatch.explain(failure).await),
            (None, connected) => connected,
        }
    }

    /// A connected client for commands that block, by their own argument for up to `patience`.
    ///
    /// # Errors
    /// As [`Deployment::commander`].
    pub(crate) async fn receiver(
        &self,
        patience: Duration,
    ) -> Result<RedisConnection, LinkFailure> {
        self.connect(Purpose::Blocking(patience)).await
    }

    /// A connected client for commands.
    ///
    /// # Errors
    /// When Redis is not there, does not answer in time, or does not let us in.
    pub async fn commander(&self) -> Result<RedisConnection, LinkFailure> {
        self.connect(Purpose::Commands).await
    }

    /// A connected client for subscriptions.
    ///
    /// # Errors
    /// As [`Deployment::commander`].
    pub async fn subscriber(&self) -> Result<RedisConnection, LinkFailure> {
        self.connect(Purpose::Messages).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown_by_debug() {
        let urls = [
            "redis://ann:hushhush@127.0.0.1",
            "rediss://:hushhush@127.0.0.1",
            "redis-cluster://ann:hushhush@127.0.0.1",
            "redis-sentinel://ann:hushhush@127.0.0.1?sentinelServiceName=m&sentinelPassword=hushhush",
        ];
        for url in urls {
            let address = RedisAddress::parse(url).unwrap();
            let deployment = Deployment::new(&address, &config::BridgeSettings::default()).unwrap();
            let shown = format!("{deployment:?} {address:?}");
            assert!(!shown.contains("hushhush"), "{shown}");
        }
    }
}
