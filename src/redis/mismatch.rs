//! What there is at an address that says something else: TLS or none, a Cluster, a Sentinel, a service that no Sentinel
//! knows. The failure of a connection tells little of that: a server without TLS waits for the rest of a command, and one
//! with TLS cuts off.
//!
//! So until an address has been connected to, what listens there is asked by hand, after a failure that was no answer of
//! Redis: one more connection, at most every [`EVERY`], for `bridge.command_timeout` at most, that says PING in place of
//! TLS, or begins TLS in place of PING. Nothing that is secret is said.

use super::client::{RedisClient, RedisCommand};
use super::failure::LinkFailure;
use crate::config::redis::{Endpoint, RedisAddress, Topology};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Time between two looks at what does not let us in.
const EVERY: Duration = Duration::from_secs(10);

/// Most characters of a service's name that are shown.
const SERVICE_MAX: usize = 64;

/// What an address says of its servers, and whether that was ever true.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// Those that are connected to first: servers, or sentinels.
    servers: Vec<Endpoint>,
    is_tls: bool,
    /// How the address would begin without TLS, and with it.
    schemes: [&'static str; 2],
    /// Of which the sentinels are asked.
    service: Option<String>,
    timeout: Duration,
    has_connected: AtomicBool,
    /// When it was looked last, and whether something else was there.
    looked: Mutex<Option<(Instant, bool)>>,
}

impl Mismatch {
    /// For the servers of an address; `None` for a socket, which may be one thing alone.
    pub(super) fn new(address: &RedisAddress, timeout: Duration) -> Option<Self> {
        let (servers, schemes, service) = match &address.topology {
            Topology::Socket(_) => return None,
            Topology::Server(at) => (vec![at.clone()], ["redis", "rediss"], None),
            Topology::Cluster(at) => (at.clone(), ["redis-cluster", "rediss-cluster"], None),
            Topology::Sentinel {
                sentinels, service, ..
            } => (
                sentinels.clone(),
                ["redis-sentinel", "rediss-sentinel"],
                Some(service.chars().take(SERVICE_MAX).collect()),
            ),
        };
        Some(Self {
            servers,
            is_tls: address.is_tls(),
            schemes,
            service,
            timeout,
            has_connected: AtomicBool::new(false),
            looked: Mutex::default(),
        })
    }

    /// The address is right, so far as a connection tells.
    pub(super) fn connected(&self) {
        self.has_connected.store(true, Relaxed);
    }

    /// A failure to connect, with what is wrong with the address if it is.
    pub(super) async fn explain(&self, failure: LinkFailure) -> LinkFailure {
        let LinkFailure::Redis(error) = &failure else {
            return failure;
        };
        if let Some(service) = self.service.as_ref().filter(|_| error.is_of_no_service()) {
            let text = format!(
                "no Sentinel knows the service {service:?}: sentinelServiceName is the name behind `sentinel monitor`"
            );
            return LinkFailure::Mismatch(text.into());
        }
        if error.was_answered() || self.has_connected.load(Relaxed) || !self.is_other().await {
            return failure;
        }
        let [plain, sealed] = self.schemes;
        let (what, right, wrong) = match self.is_tls {
            true => ("without TLS", plain, sealed),
            false => ("with TLS", sealed, plain),
        };
        let failure = failure.to_string();
        let failure = failure.trim_end_matches('.');
        let text = format!(
            "{failure}; what listens there speaks {what}: write {right}:// in place of {wrong}://"
        );
        LinkFailure::Mismatch(text.into())
    }

    /// Does what listens there speak TLS where none is written, or none where it is?
    async fn is_other(&self) -> bool {
        let last = *self.looked.lock();
        if let Some((_, is_other)) = last.filter(|(at, _)| at.elapsed() < EVERY) {
            return is_other;
        }
        let mut is_other = false;
        for server in &self.servers {
            let asked = tokio::time::timeout(self.timeout, self.ask(server)).await;
            if let Ok(Some(found)) = asked {
                is_other = found;
                break;
            }
        }
        *self.looked.lock() = Some((Instant::now(), is_other));
        is_other
    }

    /// `None` if it does not say.
    async fn ask(&self, server: &Endpoint) -> Option<bool> {
        let address = (server.host.as_str(), server.port);
        let mut socket = TcpStream::connect(address).await.ok()?;
        let question = match self.is_tls {
            true => b"PING\r\n".to_vec(),
            false => hello(&server.host)?,
        };
        socket.write_all(&question).await.ok()?;
        let mut answer = [0; 3];
        socket.read_exact(&mut answer).await.ok()?;
        Some(match self.is_tls {
            // A status or an error of Redis.
            true => matches!(answer, [b'+' | b'-', b'A'..=b'Z', b'A'..=b'Z']),
            // A record of TLS: a part of the handshake, or an alert.
            false => matches!(answer, [0x15 | 0x16, 3, _]),
        })
    }
}

/// What a client of TLS says first.
fn hello(host: &str) -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(crate::tls::provider());
    let config = config.with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty());
    let config = Arc::new(config.with_no_client_auth());
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut bytes = Vec::new();
    let mut client = ClientConnection::new(config, name).ok()?;
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

/// Is this server one of a Cluster, so far as it tells us?
///
/// # Errors
/// When it does not answer in time.
pub(crate) async fn is_of_cluster(client: &dyn RedisClient) -> Result<bool, LinkFailure> {
    match client.send(RedisCommand::new("INFO", [b"server"])).await {
        Ok(info) => {
            let info = info.into_bytes().unwrap_or_default();
            let mut lines = info.split(|byte| *byte == b'\n');
            Ok(lines.any(|line| line.trim_ascii() == b"redis_mode:cluster"))
        }
        Err(error) if error.is_about_connection() => Err(error.into()),
        // INFO may be forbidden (ACL).
        Err(_forbidden) => Ok(false),
    }
}
