//! Where a channel layer's Redis is, in each form that `hosts` of a `settings.py` may have.
//! Source: `decode_hosts` and `create_pool` of `channels_redis` 4.3, and the keywords that the
//! connections of redis-py take.

#[cfg(test)]
mod tests;

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
