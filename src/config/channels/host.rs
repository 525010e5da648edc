//! Where a channel layer's Redis is, in each form that `hosts` of a `settings.py` may have.
//! Source: `decode_hosts` and `create_pool` of `channels_redis` 4.3.

use super::Secret;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One entry of `hosts`. `Debug` and serialisation hide passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Host {
    /// `"redis://[user]:[password]@host:port/db"`, `rediss://`, `unix://path`.
    Url(HostUrl),
    /// `["127.0.0.1", 6379]`: host and port.
    Pair(String, u16),
    /// `{ address = "redis://…" }`.
    Address {
        /// The URL.
        address: HostUrl,
    },
    /// `{ sentinels = [["host", 26379]], master_name = "mymaster" }`: whom the sentinels name.
    Sentinel {
        /// Host and port of each sentinel, asked in this order.
        sentinels: Vec<(String, u16)>,
        /// The name of the master.
        master_name: String,
        /// The master's database.
        #[serde(default)]
        db: u8,
        /// The master's user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// The master's password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
    /// `{ host = "127.0.0.1", port = 6379, db = 0 }`: what redis-py connects with.
    Server {
        /// Name or address.
        #[serde(default = "localhost")]
        host: String,
        /// Port.
        #[serde(default = "redis_port")]
        port: u16,
        /// Database.
        #[serde(default)]
        db: u8,
        /// User.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// Password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
}

impl Host {
    /// Is the connection encrypted?
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Url(url) | Self::Address { address: url } => url.0.starts_with("rediss://"),
            Self::Pair(..) | Self::Sentinel { .. } | Self::Server { .. } => false,
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::Url(HostUrl("redis://localhost:6379".to_owned()))
    }
}

fn localhost() -> String {
    "localhost".to_owned()
}

const fn redis_port() -> u16 {
    6379
}

/// A URL whose password is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostUrl(String);

impl HostUrl {
    /// The URL itself, for connecting, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL without user and password, and without its query, which may name a password too.
    #[must_use]
    pub fn shown(&self) -> String {
        let url = self.0.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://(hidden)@{host}"),
            None => format!("{scheme}://{rest}"),
        }
    }
}

impl TryFrom<String> for HostUrl {
    type Error = &'static str;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        let known = ["redis://", "rediss://", "unix://"];
        if known.iter().any(|scheme| url.starts_with(scheme)) {
            Ok(Self(url))
        } else {
            Err("write redis://, rediss:// or unix:// before the host")
        }
    }
}

impl fmt::Debug for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for HostUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        hosts: Vec<Host>,
    }

    fn read(hosts: &str) -> Result<Vec<Host>, Box<toml::de::Error>> {
        let file: File = toml::from_str(&format!("hosts = {hosts}")).map_err(Box::new)?;
        Ok(file.hosts)
    }

    #[test]
    fn every_form_of_the_layer_is_read() {
        let hosts = read(
            r#"["redis://a", ["b", 1], { address = "unix:///run/redis" }, { host = "c", db = 3 },
                { sentinels = [["d", 26379]], master_name = "m", password = "pw" }]"#,
        )
        .expect("well-formed");
        assert!(matches!(&hosts[0], Host::Url(url) if url.expose() == "redis://a"));
        assert_eq!(hosts[1], Host::Pair("b".to_owned(), 1));
        assert!(matches!(&hosts[2], Host::Address { .. }));
        assert!(matches!(&hosts[3], Host::Server { host, port: 6379, db: 3, .. } if host == "c"));
        let Host::Sentinel {
            sentinels,
            password,
            ..
        } = &hosts[4]
        else {
            panic!("{:?}", hosts[4]);
        };
        assert_eq!(sentinels[0], ("d".to_owned(), 26379));
        assert_eq!(password.as_ref().map(Secret::expose), Some("pw"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for hosts in [
            "[\"localhost\"]",
            "[[\"a\", 70000]]",
            "[{ hots = \"a\" }]",
            "[{ sentinels = [[\"d\", 1]] }]",
            "[6379]",
        ] {
            assert!(read(hosts).is_err(), "{hosts}");
        }
    }

    #[test]
    fn no_form_shows_its_password() {
        let hosts = read(
            r#"["redis://u:pw@a/1?password=pw", { address = "rediss://:p@pw@b" },
                { host = "c", password = "pw" },
                { sentinels = [["d", 1]], master_name = "m", password = "pw" }]"#,
        )
        .expect("well-formed");
        for host in hosts {
            let json = serde_json::to_string(&host).expect("serialises");
            let shown = format!("{host:?} {json}");
            assert!(
                !shown.contains("pw") && shown.contains("(hidden)"),
                "{shown}"
            );
        }
    }
}
