//! A host of `bridge.channels.hosts` as the client library wants it.

use crate::bridge::Error;
use crate::bridge::deployment::Deployment;
use crate::config::channels::Host;
use crate::config::{Bridge, Secret};
use fred::types::config::{Config, Server, ServerConfig};

/// A host as the bridge reaches it.
///
/// # Errors
/// When its address is none, or the trusted certificates cannot be read.
pub(in crate::bridge) fn deploy(host: &Host, settings: &Bridge) -> Result<Deployment, Error> {
    let (library, shown) = describe(host).map_err(|(shown, what)| Error::Host { shown, what })?;
    Deployment::described(library, shown, settings)
}

/// The library's configuration of a host, and its address without password.
///
/// # Errors
/// What is wrong with the address, without repeating it.
fn describe(host: &Host) -> Result<(Config, String), (String, String)> {
    match host {
        Host::Url(url) | Host::Address { address: url } => {
            let config = from_url(url.expose()).map_err(|what| (url.shown(), what))?;
            Ok((config, url.shown()))
        }
        Host::Pair(host, port) => Ok(centralized(host, *port)),
        Host::Server {
            host,
            port,
            db,
            username,
            password,
        } => {
            let (mut config, shown) = centralized(host, *port);
            log_in(&mut config, *db, username.as_ref(), password.as_ref());
            Ok((config, shown))
        }
        Host::Sentinel {
            sentinels,
            master_name,
            db,
            username,
            password,
        } => {
            let hosts = sentinels.iter();
            let hosts = hosts.map(|(host, port)| Server::new(host.clone(), *port));
            let mut config = Config {
                server: ServerConfig::Sentinel {
                    hosts: hosts.collect(),
                    service_name: master_name.clone(),
                    username: None,
                    password: None,
                },
                ..Config::default()
            };
            log_in(&mut config, *db, username.as_ref(), password.as_ref());
            Ok((config, format!("{master_name} as its sentinels say")))
        }
    }
}

fn centralized(host: &str, port: u16) -> (Config, String) {
    let config = Config {
        server: ServerConfig::new_centralized(host, port),
        ..Config::default()
    };
    (config, format!("{host}:{port}"))
}

fn log_in(config: &mut Config, database: u8, username: Option<&String>, password: Option<&Secret>) {
    config.database = Some(database);
    config.username = username.cloned();
    config.password = password.map(|secret| secret.expose().to_owned());
}

/// A URL as redis-py reads it: the database in the path or as `db`, a socket's path after `unix://`.
fn from_url(url: &str) -> Result<Config, String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut config = match base.strip_prefix("unix://") {
        Some(rest) => {
            let (login, path) = rest.rsplit_once('@').unwrap_or(("", rest));
            let mut config = Config {
                server: ServerConfig::Unix { path: path.into() },
                ..Config::default()
            };
            let (username, password) = login.split_once(':').unwrap_or((login, ""));
            config.username = some(username);
            config.password = some(password);
            config
        }
        None => Config::from_url(base)
            .map_err(|_may_hold_the_password| "is no URL of a Redis".to_owned())?,
    };
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "db" => {
                let number = value.parse();
                config.database = Some(number.map_err(|_not_shown| "has a db that is no number")?);
            }
            "username" => config.username = some(value),
            "password" => config.password = some(value),
            _ => return Err(format!("has `{name}`, which is not understood here")),
        }
    }
    Ok(config)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn url(text: &str) -> Result<Config, String> {
        from_url(text)
    }

    #[test]
    fn a_url_names_its_database_in_the_path_or_the_query() {
        for text in ["redis://:pw@h:1/3", "redis://h:1?db=3&password=pw"] {
            let config = url(text).expect(text);
            assert_eq!(config.server, ServerConfig::new_centralized("h", 1));
            assert_eq!(config.database, Some(3), "{text}");
            assert_eq!(config.password.as_deref(), Some("pw"), "{text}");
        }
    }

    #[test]
    fn a_socket_has_a_path() {
        let config = url("unix://u:pw@/run/redis.sock?db=2").expect("a path");
        let path = PathBuf::from("/run/redis.sock");
        assert_eq!(config.server, ServerConfig::Unix { path });
        assert_eq!(config.username.as_deref(), Some("u"));
        assert_eq!(config.password.as_deref(), Some("pw"));
        assert_eq!(config.database, Some(2));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_showing_a_password() {
        for text in ["redis://h?ssl_cert_reqs=none", "redis://h?db=hunter2"] {
            let what = url(text).expect_err(text);
            assert!(!what.contains("hunter2"), "{what}");
        }
    }
}
