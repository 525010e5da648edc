//! Addresses of Redis: checked by their form here, secret in every output.
//!
//! What the form is: `redis://[[user:]password@]host[:port][/db]`, `rediss://` for TLS, with
//! `-sentinel` and `-cluster` behind the scheme for those deployments; further nodes of one as
//! `?node=host:port`, a Sentinel's service as `sentinelServiceName=name`. The client library reads
//! the same form again; nothing is resolved here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Schemes: plain or TLS, alone or behind Sentinel or Cluster.
const SCHEMES: [&str; 6] = [
    "redis",
    "rediss",
    "redis-sentinel",
    "rediss-sentinel",
    "redis-cluster",
    "rediss-cluster",
];

/// The address of one Redis deployment, password included. Printed without it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Checks the form.
    ///
    /// # Errors
    /// A sentence that never repeats the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("has no scheme; write redis://host:6379")?;
        if !SCHEMES.contains(&scheme) {
            return Err(format!("has an unknown scheme; {}", known()));
        }
        if rest.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("has a space or another character that a URL escapes as %20".to_owned());
        }
        let (authority, query) = split(rest);
        let address = authority.rsplit_once('@').map_or(authority, |(_, at)| at);
        let (host, database) = address.split_once('/').unwrap_or((address, ""));
        if host.is_empty() || host.starts_with(':') {
            return Err("names no host; write redis://host:6379".to_owned());
        }
        if !database.is_empty() && database.parse::<u8>().is_err() {
            return Err("names a database that is no number from 0 to 255".to_owned());
        }
        if let Some((_, port)) = host.rsplit_once(':')
            && !port.ends_with(']')
            && port.parse::<u16>().is_err()
        {
            return Err("has a port that is no number from 0 to 65535".to_owned());
        }
        let names_service = query.split('&').any(|part| {
            part.strip_prefix("sentinelServiceName=")
                .is_some_and(|name| !name.is_empty())
        });
        if scheme.ends_with("-sentinel") && !names_service {
            return Err("names no service; add ?sentinelServiceName=mymaster".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The address with its password, for connecting, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Does it lead to a Redis Cluster?
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.0
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.ends_with("-cluster"))
    }

    /// Is the connection encrypted?
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("rediss")
    }
}

fn known() -> String {
    format!("write one of {}", SCHEMES.join(", "))
}

/// Authority with its path, and query.
fn split(rest: &str) -> (&str, &str) {
    rest.split_once('?').unwrap_or((rest, ""))
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", ""));
        let (authority, query) = split(rest);
        let (hidden, address) = match authority.rsplit_once('@') {
            Some((_, address)) => ("(hidden)@", address),
            None => ("", authority),
        };
        write!(f, "{scheme}://{hidden}{address}")?;
        let shown = query
            .split('&')
            .filter(|part| part.starts_with("node=") || part.starts_with("sentinelServiceName="));
        for (index, part) in shown.enumerate() {
            write!(f, "{}{part}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_deployment_are_understood() {
        for text in [
            "redis://localhost",
            "redis://localhost:6379/1",
            "redis://:secret@10.0.0.1:6379",
            "rediss://user:secret@redis.example:6380/2",
            "redis://[::1]:6379",
            "redis-sentinel://a:26379?sentinelServiceName=mymaster&node=b:26379",
            "redis-cluster://a:7000?node=b:7001",
        ] {
            RedisUrl::parse(text).unwrap_or_else(|what| panic!("{text}: {what}"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for text in [
            "hunter2",
            "http://hunter2",
            "redis://",
            "redis://:hunter2@",
            "redis://hunter2@:6379",
            "redis://host/hunter2",
            "redis://host:hunter2",
            "redis://host hunter2",
            "redis-sentinel://host:26379",
        ] {
            let what = RedisUrl::parse(text).expect_err(text);
            assert!(!what.contains("hunter2"), "{what}");
        }
    }

    #[test]
    fn no_output_shows_a_password() {
        let url = "rediss-sentinel://u:hunter2@h:1/0?sentinelServiceName=m&sentinelPassword=hunter2&node=n:2";
        let url = RedisUrl::parse(url).unwrap();
        for text in [
            format!("{url}"),
            format!("{url:?}"),
            serde_json::to_string(&url).unwrap(),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains("(hidden)@h:1/0?sentinelServiceName=m&node=n:2"));
        }
        assert!(url.is_tls() && !url.is_cluster());
    }
}
