//! What an address says, and how it is shown.

use super::endpoint::Endpoint;
use crate::config::key::KeyKind;
use crate::config::secret::Secret;
use crate::config::setting::kinds;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What a path needs escaped in the shown form.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// Who logs in. `Debug` hides the password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// Of Redis' ACL; none = `default`.
    pub username: Option<String>,
    /// Any bytes that are UTF-8.
    pub password: Option<Secret>,
}

/// What there is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Server(Endpoint),
    /// One server behind a socket of this machine.
    Socket(PathBuf),
    /// Whom the sentinels name as the master of a service.
    Sentinel {
        /// Asked in this order; never empty.
        sentinels: Vec<Endpoint>,
        /// The service's name, such as `mymaster`.
        service: String,
        /// Who logs in at the sentinels.
        login: Login,
    },
    /// The nodes of a Cluster that are asked for the others; never empty.
    Cluster(Vec<Endpoint>),
}

/// What an address says about TLS; what it leaves out is `bridge.ca_file`, `bridge.client_cert` and
/// `bridge.client_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `ssl_ca_certs`: file of certificates that are trusted.
    pub ca_file: Option<PathBuf>,
    /// `ssl_certfile`: file of our own certificate.
    pub client_cert: Option<PathBuf>,
    /// `ssl_keyfile`: file of its key.
    pub client_key: Option<PathBuf>,
    /// `ssl_check_hostname`: must the certificate be for the host?
    pub checks_name: bool,
}

/// The address of one Redis deployment, password included. Printed without it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RedisAddress {
    /// What is there.
    pub topology: Topology,
    /// Which database; 0 in a Cluster.
    pub database: u8,
    /// Who logs in.
    pub login: Login,
    /// TLS, if the connection is encrypted.
    pub tls: Option<Tls>,
    /// Options of redis-py that have no effect here, by name.
    pub unused: Vec<&'static str>,
}

kinds! {
    Vec<RedisAddress> => KeyKind::Urls,
}

impl RedisAddress {
    /// Does it lead to a Redis Cluster?
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Is the connection encrypted?
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    fn scheme(&self) -> &'static str {
        match (&self.topology, self.is_tls()) {
            (Topology::Socket(_), _) => "unix",
            (Topology::Server(_), false) => "redis",
            (Topology::Server(_), true) => "rediss",
            (Topology::Sentinel { .. }, false) => "redis-sentinel",
            (Topology::Sentinel { .. }, true) => "rediss-sentinel",
            (Topology::Cluster(_), false) => "redis-cluster",
            (Topology::Cluster(_), true) => "rediss-cluster",
        }
    }

    /// The options that are shown: none of them is secret.
    fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = Vec::new();
        let further = match &self.topology {
            Topology::Sentinel {
                sentinels, service, ..
            } => {
                let name = utf8_percent_encode(service, PATH).to_string();
                options.push(("sentinelServiceName", name));
                sentinels.as_slice()
            }
            Topology::Cluster(nodes) => nodes.as_slice(),
            Topology::Server(_) => &[],
            Topology::Socket(_) => {
                if self.database > 0 {
                    options.push(("db", self.database.to_string()));
                }
                &[]
            }
        };
        options.extend(
            further
                .iter()
                .skip(1)
                .map(|node| ("node", node.to_string())),
        );
        if let Some(tls) = &self.tls {
            for (name, path) in [
                ("ssl_ca_certs", &tls.ca_file),
                ("ssl_certfile", &tls.client_cert),
                ("ssl_keyfile", &tls.client_key),
            ] {
                if let Some(path) = path {
                    let path = path.to_string_lossy();
                    options.push((name, utf8_percent_encode(&path, PATH).to_string()));
                }
            }
            if !tls.checks_name {
                options.push(("ssl_check_hostname", "false".to_owned()));
            }
        }
        options
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        if self.login != Login::default() {
            f.write_str("(hidden)@")?;
        }
        match &self.topology {
            Topology::Server(at) => write!(f, "{at}")?,
            Topology::Socket(path) => {
                let path = path.to_string_lossy();
                write!(f, "{}", utf8_percent_encode(&path, PATH))?;
            }
            Topology::Sentinel { sentinels: at, .. } | Topology::Cluster(at) => {
                if let Some(first) = at.first() {
                    write!(f, "{first}")?;
                }
            }
        }
        if self.database > 0 && !matches!(self.topology, Topology::Socket(_)) {
            write!(f, "/{}", self.database)?;
        }
        for (index, (name, value)) in self.options().into_iter().enumerate() {
            let sign = if index == 0 { '?' } else { '&' };
            write!(f, "{sign}{name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RedisAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
