//! Where a channel layer's Redis is, in each form that `hosts` of a `settings.py` may have.
//! Source: `decode_hosts` and `create_pool` of `channels_redis` 4.3, and the keywords that the
//! connections of redis-py take.

use crate::config::key::KeyKind;
use crate::config::redis::{
    DEFAULT_PORT, Draft, Endpoint, OptionRefusal, RedisAddress, Topology, host_name,
    is_option_name, login, read_url, unknown,
};
use crate::config::setting::kinds;
use serde::{Deserialize, Serialize};
use toml::Value;

/// One entry of `hosts`:
///
/// - `"redis://…"`, `"rediss://…"`, `"unix://…"`: a URL,
/// - `["127.0.0.1", 6379]`: host and port,
/// - `{ address = "redis://…", … }`: a URL, and options for what it does not say,
/// - `{ host = "…", port = 6379, db = 0, … }`: what redis-py connects with,
/// - `{ sentinels = [["host", 26379]], master_name = "mymaster", … }`: whom the sentinels name; what
///   they themselves want to know stands in `sentinel_kwargs`.
///
/// `Debug` and serialisation hide passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct HostAddress(RedisAddress);

kinds! {
    Vec<HostAddress> => KeyKind::Hosts,
}

impl HostAddress {
    /// Reads an entry.
    ///
    /// # Errors
    /// A sentence that repeats nothing of the entry but the name of an unknown option.
    pub fn read(entry: &Value) -> Result<Self, String> {
        let address = match entry {
            Value::String(url) => RedisAddress::parse(url)?,
            Value::Array(pair) => Draft::default().finish(Topology::Server(endpoint(pair)?))?,
            Value::Table(table) => read_table(table)?,
            _ => {
                return Err(
                    "is no text, pair or table; write \"redis://localhost:6379\"".to_owned(),
                );
            }
        };
        if address.is_cluster() {
            return Err("leads to a Cluster, which channels_redis cannot use".to_owned());
        }
        Ok(Self(address))
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &RedisAddress {
        &self.0
    }

    /// Is the connection encrypted?
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

impl Default for HostAddress {
    fn default() -> Self {
        let at = Endpoint {
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
        };
        Self(RedisAddress {
            topology: Topology::Server(at),
            database: 0,
            login: login(None, None),
            tls: None,
            unused: Vec::new(),
        })
    }
}

impl TryFrom<Value> for HostAddress {
    type Error = String;

    fn try_from(entry: Value) -> Result<Self, String> {
        Self::read(&entry)
    }
}

/// `["host", 6379]`; redis-py takes the port as a text too.
fn endpoint(pair: &[Value]) -> Result<Endpoint, String> {
    let [Value::String(host), port] = pair else {
        return Err("is no pair of a host and a port; write [\"localhost\", 6379]".to_owned());
    };
    Ok(Endpoint {
        host: host_name(host)?,
        port: self::port(port)?,
    })
}

fn port(value: &Value) -> Result<u16, String> {
    let number = match value {
        Value::Integer(number) => u16::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|port| *port > 0);
    number.ok_or_else(|| "has a port that is no number from 1 to 65535".to_owned())
}

/// A plain value as the text that a URL would have.
fn text(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        _ if is_option_name(name) => Err(format!("has `{name}`, which is no text and no number")),
        _ => Err("has an unknown option".to_owned()),
    }
}

fn option(draft: &mut Draft, name: &str, value: &Value) -> Result<(), String> {
    // Of a URL only.
    let is_ours = name == "node" || (name.starts_with("sentinel") && !name.contains('_'));
    let taken = match text(name, value) {
        Ok(text) if !is_ours => draft.option(name, &text),
        Err(what) if !is_ours => Err(OptionRefusal::Because(what)),
        _ => Err(OptionRefusal::Unknown),
    };
    taken.map_err(|refusal| match refusal {
        OptionRefusal::Because(what) => what,
        OptionRefusal::Unknown if is_option_name(name) => unknown(name),
        OptionRefusal::Unknown => "has an unknown option".to_owned(),
    })
}

/// What a table says apart from its options.
#[derive(Default)]
struct Named {
    host: Option<String>,
    port: Option<u16>,
    sentinels: Option<Vec<Endpoint>>,
    master_name: Option<String>,
    /// `sentinel_kwargs`.
    sentinel: Draft,
}

fn read_table(table: &toml::Table) -> Result<RedisAddress, String> {
    // First: what the URL says itself wins over what stands beside it, as in redis-py.
    let (topology, mut draft) = match table.get("address") {
        None => (None, Draft::default()),
        Some(Value::String(url)) => {
            let (topology, draft) = read_url(url)?;
            (Some(topology), draft)
        }
        Some(_) => return Err("has `address`, which is no text".to_owned()),
    };
    let is_plain = draft.is_tls == Some(false);
    let mut named = Named::default();
    for (name, value) in table {
        read_key(name, value, &mut named, &mut draft)?;
    }
    if is_plain && table.get("ssl").and_then(Value::as_bool) == Some(true) {
        return Err("has ssl beside an address without TLS; write rediss://".to_owned());
    }
    let is_server = named.host.is_some() || named.port.is_some();
    match (topology, named.sentinels, named.master_name) {
        (Some(topology), None, None) if !is_server => draft.finish(topology),
        (None, Some(sentinels), Some(service)) if !is_server => {
            let Named { sentinel, .. } = named;
            if draft.is_tls.unwrap_or_default() != sentinel.is_tls.unwrap_or_default() {
                let fix = "write ssl on both sides, or on none";
                return Err(format!("has ssl for the master or for its sentinels alone; {fix}"));
            }
            let login = login(sentinel.username, sentinel.password);
            draft.finish(Topology::Sentinel {
                sentinels,
                service,
                login,
            })
        }
        (None, None, None) => draft.finish(Topology::Server(Endpoint {
            host: named.host.unwrap_or_else(|| "localhost".to_owned()),
            port: named.port.unwrap_or(DEFAULT_PORT),
        })),
        _ => Err(
            "mixes the forms; write `address`, or `host` and `port`, or `sentinels` and `master_name`"
                .to_owned(),
        ),
    }
}

fn read_key(name: &str, value: &Value, named: &mut Named, draft: &mut Draft) -> Result<(), String> {
    match (name, value) {
        ("address", _) => {}
        ("host", Value::String(name)) => named.host = Some(host_name(name)?),
        ("port", value) => named.port = Some(port(value)?),
        ("sentinels", Value::Array(pairs)) => named.sentinels = Some(read_sentinels(pairs)?),
        ("master_name", Value::String(name)) => named.master_name = Some(name.clone()),
        ("sentinel_kwargs", Value::Table(table)) => {
            for (name, value) in table {
                option(&mut named.sentinel, name, value)?;
            }
        }
        ("host" | "master_name", _) => return Err(format!("has `{name}`, which is no text")),
        ("sentinels" | "sentinel_kwargs", _) => {
            let fix = "write sentinels = [[\"host\", 26379]], sentinel_kwargs = {}";
            return Err(format!("has `{name}` in another form; {fix}"));
        }
        (name, value) => option(draft, name, value)?,
    }
    Ok(())
}

fn read_sentinels(pairs: &[Value]) -> Result<Vec<Endpoint>, String> {
    let pairs: Result<Vec<Endpoint>, String> = pairs
        .iter()
        .map(|pair| match pair {
            Value::Array(pair) => endpoint(pair),
            _ => endpoint(&[]),
        })
        .collect();
    let pairs = pairs?;
    if pairs.is_empty() {
        return Err("has no entry in `sentinels`".to_owned());
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        hosts: Vec<HostAddress>,
    }

    fn read(host: &str) -> Result<HostAddress, String> {
        let file: Result<File, _> = toml::from_str(&format!("hosts = [{host}]"));
        let file = file.map_err(|error| error.message().to_owned())?;
        Ok(file.hosts.into_iter().next().expect("one"))
    }

    /// What is written, and the address that it is. Passwords are `hunter2`.
    const HOSTS: &[(&str, &str)] = &[
        (r#""redis://a""#, "redis://a:6379"),
        (r#""redis://:hunter2@a:1/1""#, "redis://(hidden)@a:1/1"),
        (r#""rediss://a""#, "rediss://a:6379"),
        (r#""unix:///run/redis""#, "unix:///run/redis"),
        (r#"["b", 1]"#, "redis://b:1"),
        (r#"["b", "1"]"#, "redis://b:1"),
        (r#"["::1", 1]"#, "redis://[::1]:1"),
        ("{}", "redis://localhost:6379"),
        (r#"{ host = "c", db = 3 }"#, "redis://c:6379/3"),
        (r#"{ host = "c", port = "7", db = "3" }"#, "redis://c:7/3"),
        (
            r#"{ port = 7, password = "hunter2" }"#,
            "redis://(hidden)@localhost:7",
        ),
        (
            r#"{ host = "c", username = "hunter2" }"#,
            "redis://(hidden)@c:6379",
        ),
        (r#"{ host = "c", password = "" }"#, "redis://c:6379"),
        (r#"{ host = "c", ssl = true }"#, "rediss://c:6379"),
        (
            r#"{ host = "c", ssl = true, ssl_ca_certs = "/ca.pem", ssl_certfile = "c", ssl_keyfile = "k" }"#,
            "rediss://c:6379?ssl_ca_certs=/ca.pem&ssl_certfile=c&ssl_keyfile=k",
        ),
        (
            r#"{ host = "c", socket_timeout = 1.5, retry_on_timeout = true }"#,
            "redis://c:6379",
        ),
        (r#"{ address = "redis://a" }"#, "redis://a:6379"),
        (
            r#"{ address = "redis://a", db = 2, password = "hunter2" }"#,
            "redis://(hidden)@a:6379/2",
        ),
        (r#"{ db = 2, address = "redis://a/0" }"#, "redis://a:6379"),
        (r#"{ db = 2, address = "redis://a/1" }"#, "redis://a:6379/1"),
        (
            r#"{ address = "unix:///run/r", db = 2 }"#,
            "unix:///run/r?db=2",
        ),
        (
            r#"{ address = "rediss://a", ssl_check_hostname = false, ssl_cert_reqs = "required" }"#,
            "rediss://a:6379?ssl_check_hostname=false",
        ),
        (
            r#"{ sentinels = [["d", 26379], ["e", 1]], master_name = "m", password = "hunter2", db = 1 }"#,
            "redis-sentinel://(hidden)@d:26379/1?sentinelServiceName=m&node=e:1",
        ),
        (
            r#"{ sentinels = [["d", 1]], master_name = "m", sentinel_kwargs = { password = "hunter2" } }"#,
            "redis-sentinel://d:1?sentinelServiceName=m",
        ),
        (
            r#"{ sentinels = [["d", 1]], master_name = "m", ssl = true, sentinel_kwargs = { ssl = true } }"#,
            "rediss-sentinel://d:1?sentinelServiceName=m",
        ),
    ];

    #[test]
    fn every_form_of_the_layer_is_read() {
        for (host, address) in HOSTS {
            let read = read(host).unwrap_or_else(|what| panic!("{host}: {what}"));
            assert_eq!(read.address().to_string(), *address, "{host}");
            let shown = format!("{read:?} {}", serde_json::to_string(&read).expect("JSON"));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn what_a_url_says_wins_over_what_stands_beside_it() {
        let host = r#"{ address = "redis://u:a@h", username = "v", password = "b" }"#;
        let login = read(host).expect(host).0.login;
        assert_eq!(login.username.as_deref(), Some("u"));
        let password = login.password.as_ref().map(crate::config::Secret::expose);
        assert_eq!(password, Some("a"));
        let host = r#"{ address = "redis://u@h", password = "b \"c" }"#;
        let login = read(host).expect(host).0.login;
        let password = login.password.as_ref().map(crate::config::Secret::expose);
        assert_eq!(password, Some("b \"c"));
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason_and_without_a_password() {
        for (host, part) in [
            ("\"localhost\"", "scheme"),
            ("6379", "no text, pair or table"),
            ("[]", "pair"),
            ("[\"hunter2\"]", "pair"),
            ("[1, \"hunter2\"]", "pair"),
            ("[\"a\", 70000]", "port"),
            ("[\"a\", 0]", "port"),
            ("[\"hunter2!\", 1]", "host"),
            ("\"redis-cluster://a\"", "Cluster"),
            ("{ hots = \"hunter2\" }", "`hots`"),
            ("{ hunter2 = \"a\" }", "unknown option"),
            ("{ host = 1 }", "`host`"),
            ("{ host = \"hunter2!\" }", "host"),
            ("{ host = \"a\", db = \"hunter2\" }", "database"),
            ("{ host = \"a\", password = [\"hunter2\"] }", "`password`"),
            ("{ host = \"a\", ssl_ca_certs = \"x\" }", "rediss"),
            (
                "{ host = \"a\", connection_class = \"x\" }",
                "`connection_class`",
            ),
            ("{ host = \"a\", node = \"b:1\" }", "`node`"),
            ("{ address = \"redis://:hun/ter2@h\" }", "percent-encoded"),
            ("{ address = \"redis://a\", host = \"b\" }", "mixes"),
            ("{ address = \"redis://a\", ssl = true }", "rediss"),
            ("{ address = 1 }", "`address`"),
            ("{ sentinels = [[\"d\", 1]] }", "master_name"),
            ("{ master_name = \"d\" }", "sentinels"),
            ("{ sentinels = [], master_name = \"d\" }", "`sentinels`"),
            ("{ sentinels = [\"d\"], master_name = \"d\" }", "pair"),
            ("{ sentinels = \"d\", master_name = \"d\" }", "`sentinels`"),
            (
                "{ sentinels = [[\"d\", 1]], master_name = \"m\", ssl = true }",
                "both sides",
            ),
            (
                "{ sentinels = [[\"d\", 1]], master_name = \"m\", sentinel_kwargs = { pasword = \"hunter2\" } }",
                "`pasword`",
            ),
        ] {
            let what = read(host).expect_err(host);
            assert!(
                what.contains(part) && !what.contains("hunter2"),
                "{host}: {what}"
            );
        }
    }
}
