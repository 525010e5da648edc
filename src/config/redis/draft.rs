//! An address while it is read: the options of redis-py, which a URL has behind its `?` and a table
//! of `hosts` has as keys, and what they mean here.

use super::address::{Login, RedisAddress, Tls, Topology};
use super::endpoint::{Endpoint, endpoint};
use crate::config::secret::Secret;
use crate::config::spelling::nearest_of;

/// Options that are about how redis-py itself works: read over, with a warning.
const UNUSED: [&str; 18] = [
    "client_name",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "legacy_responses",
    "lib_name",
    "lib_version",
    "max_connections",
    "protocol",
    "retry_on_error",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_read_size",
    "socket_timeout",
    "socket_type",
    "timeout",
];

/// Options that change whom we trust, and are not understood: to read over them would be to trust
/// somebody else than the site does.
const UNSUPPORTED: [&str; 9] = [
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_ciphers",
    "ssl_exclude_verify_flags",
    "ssl_include_verify_flags",
    "ssl_min_version",
    "ssl_password",
    "ssl_validate_ocsp",
    "ssl_validate_ocsp_stapled",
];

/// Options that mean something here.
const KNOWN: [&str; 13] = [
    "db",
    "node",
    "password",
    "sentinelPassword",
    "sentinelServiceName",
    "sentinelUsername",
    "ssl",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "username",
];

/// What redis-py takes for no.
const FALSE: [&str; 5] = ["0", "F", "FALSE", "N", "NO"];

/// Why an option is refused.
#[derive(Debug)]
pub(in crate::config) enum OptionRefusal {
    /// No such option.
    Unknown,
    /// A sentence.
    Because(String),
}

/// What was read so far; of each option the first value counts, as in redis-py.
#[derive(Default)]
pub(in crate::config) struct Draft {
    pub(in crate::config) database: Option<u8>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password: Option<String>,
    pub(in crate::config) is_tls: Option<bool>,
    pub(in crate::config) nodes: Vec<Endpoint>,
    pub(in crate::config) service: Option<String>,
    pub(in crate::config) sentinel_username: Option<String>,
    pub(in crate::config) sentinel_password: Option<String>,
    ca_file: Option<String>,
    client_cert: Option<String>,
    client_key: Option<String>,
    checks_name: Option<bool>,
    /// The first option that is about TLS.
    about_tls: Option<&'static str>,
    unused: Vec<&'static str>,
}

/// The number of a database. The client library takes one byte.
pub(in crate::config) fn database(text: &str) -> Result<u8, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| "names a database that is no number from 0 to 255".to_owned())
}

fn keep<T>(place: &mut Option<T>, value: T) {
    if place.is_none() {
        *place = Some(value);
    }
}

impl Draft {
    /// Takes an option.
    ///
    /// # Errors
    /// When there is none of this name, or its value does not fit.
    pub(in crate::config) fn option(
        &mut self,
        name: &str,
        value: &str,
    ) -> Result<(), OptionRefusal> {
        let because = |what: &str| Err(OptionRefusal::Because(what.to_owned()));
        if let Some(name) = UNUSED.iter().find(|unused| **unused == name) {
            self.unused.push(name);
            return Ok(());
        }
        if let Some(name) = UNSUPPORTED.iter().find(|other| **other == name) {
            return because(&format!(
                "has the option `{name}`, which is not supported; what is trusted stands in ssl_ca_certs or bridge.ca_file, as a PEM file"
            ));
        }
        let Some(name) = KNOWN.iter().copied().find(|known| *known == name) else {
            return Err(OptionRefusal::Unknown);
        };
        if name.starts_with("ssl_") {
            keep(&mut self.about_tls, name);
        }
        // As in redis-py: an option without a value is none.
        if value.is_empty() {
            return Ok(());
        }
        let text = value.to_owned();
        let is_yes = !FALSE.contains(&value.to_ascii_uppercase().as_str());
        match name {
            "db" => keep(
                &mut self.database,
                database(value).map_err(OptionRefusal::Because)?,
            ),
            "username" => keep(&mut self.username, text),
            "password" => keep(&mut self.password, text),
            "node" => {
                let node = endpoint(value, None).map_err(OptionRefusal::Because)?;
                self.nodes.push(node);
            }
            "sentinelServiceName" => keep(&mut self.service, text),
            "sentinelUsername" => keep(&mut self.sentinel_username, text),
            "sentinelPassword" => keep(&mut self.sentinel_password, text),
            "ssl" => keep(&mut self.is_tls, is_yes),
            "ssl_ca_certs" => keep(&mut self.ca_file, text),
            "ssl_certfile" => keep(&mut self.client_cert, text),
            "ssl_keyfile" => keep(&mut self.client_key, text),
            "ssl_check_hostname" => keep(&mut self.checks_name, is_yes),
            // For a client, Python takes `optional` for `required`.
            "ssl_cert_reqs" if ["required", "optional"].contains(&value) => {}
            _ => {
                return because(
                    "has ssl_cert_reqs without a check of the certificate, which anybody in between could use; leave it out, and name a certificate that signs itself in ssl_ca_certs",
                );
            }
        }
        Ok(())
    }

    /// The address, of this topology.
    ///
    /// # Errors
    /// When parts of it contradict each other.
    pub(in crate::config) fn finish(self, topology: Topology) -> Result<RedisAddress, String> {
        let is_tls = self.is_tls == Some(true);
        if let Some(name) = self.about_tls.filter(|_| !is_tls) {
            return Err(format!(
                "has the option `{name}`, which needs TLS; write rediss://"
            ));
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err(
                "has one of ssl_certfile and ssl_keyfile without the other; write both".to_owned(),
            );
        }
        let path = |text: Option<String>| text.map(Into::into);
        let tls = Tls {
            ca_file: path(self.ca_file),
            client_cert: path(self.client_cert),
            client_key: path(self.client_key),
            checks_name: self.checks_name != Some(false),
        };
        Ok(RedisAddress {
            topology,
            database: self.database.unwrap_or_default(),
            login: login(self.username, self.password),
            tls: is_tls.then_some(tls),
            unused: self.unused,
        })
    }
}

/// As redis-py: what is empty is not there, and a user without a password has an empty one.
pub(in crate::config) fn login(username: Option<String>, password: Option<String>) -> Login {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (username, password) = (given(username), given(password));
    let password = password.or_else(|| username.as_ref().map(|_| String::new()));
    Login {
        username,
        password: password.map(Secret::new),
    }
}

/// A sentence about an option that nobody knows.
pub(in crate::config) fn unknown(name: &str) -> String {
    let known = KNOWN.iter().chain(&UNUSED).copied();
    let fix = match nearest_of(name, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "leave it out".to_owned(),
    };
    format!("has the option `{name}`, which is unknown; {fix}")
}
