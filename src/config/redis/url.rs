//! The reader of URLs; see the module above for the forms.

use super::address::{RedisAddress, Topology};
use super::draft::{self, Draft, OptionRefusal};
use super::endpoint::{DEFAULT_PORT, ENCODE, decode, endpoint};

/// Where a Sentinel listens unless it is told otherwise.
const SENTINEL_PORT: u16 = 26_379;

/// Which deployment, by the scheme.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

/// Schemes, and whether they are with TLS.
const SCHEMES: [(&str, Scheme, bool); 7] = [
    ("redis", Scheme::Server, false),
    ("rediss", Scheme::Server, true),
    ("unix", Scheme::Socket, false),
    ("redis-sentinel", Scheme::Sentinel, false),
    ("rediss-sentinel", Scheme::Sentinel, true),
    ("redis-cluster", Scheme::Cluster, false),
    ("rediss-cluster", Scheme::Cluster, true),
];

/// A URL taken apart, still escaped.
struct UrlParts<'u> {
    userinfo: Option<&'u str>,
    /// Host and port; empty for a socket.
    server: &'u str,
    /// With its slash.
    path: &'u str,
    query: &'u str,
}

/// Reads a URL. What stands beside it in a table may still be added.
pub(in crate::config) fn read(text: &str) -> Result<(Topology, Draft), String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("has no scheme; write redis://host:6379, or unix:///path/of/socket")?;
    let lower = scheme.to_ascii_lowercase();
    let known = SCHEMES.iter().find(|(name, ..)| *name == lower);
    let Some(&(_, scheme, is_tls)) = known else {
        let names = SCHEMES.map(|(name, ..)| name).join(", ");
        return Err(format!("has an unknown scheme; write one of {names}"));
    };
    let parts = split(rest, scheme)?;
    let mut draft = Draft::default();
    draft.is_tls = Some(is_tls);
    if let Some(userinfo) = parts.userinfo {
        let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        draft.username = some(decode(username)?);
        draft.password = some(decode(password)?);
    }
    read_options(parts.query, scheme, &mut draft)?;
    if scheme == Scheme::Socket {
        let path = decode(parts.path)?;
        if path.len() < 2 || path.contains('\0') {
            return Err("names no socket; write unix:///path/of/socket".to_owned());
        }
        return Ok((Topology::Socket(path.into()), draft));
    }
    let path = decode(parts.path)?;
    let number = path.trim_matches('/');
    if !number.is_empty() {
        let database = draft::database(number)?;
        draft.database = draft.database.or(Some(database));
    }
    let topology = topology(scheme, &parts, &mut draft)?;
    Ok((topology, draft))
}

/// What there is, by the scheme.
fn topology(scheme: Scheme, parts: &UrlParts<'_>, draft: &mut Draft) -> Result<Topology, String> {
    let port = match scheme {
        Scheme::Sentinel => SENTINEL_PORT,
        _ => DEFAULT_PORT,
    };
    let mut nodes = vec![endpoint(parts.server, Some(port))?];
    nodes.append(&mut draft.nodes);
    Ok(match scheme {
        Scheme::Sentinel => Topology::Sentinel {
            sentinels: nodes,
            service: draft
                .service
                .take()
                .ok_or("names no service; add ?sentinelServiceName=mymaster")?,
            login: draft::login(
                draft.sentinel_username.take(),
                draft.sentinel_password.take(),
            ),
        },
        Scheme::Cluster if draft.database.is_some_and(|database| database > 0) => {
            return Err("names a database; a Cluster has database 0 only".to_owned());
        }
        Scheme::Cluster => Topology::Cluster(nodes),
        Scheme::Server | Scheme::Socket => Topology::Server(nodes.swap_remove(0)),
    })
}

/// Takes a URL apart behind its scheme. A sign that should have been escaped shows as a part that
/// cannot be one.
fn split(rest: &str, scheme: Scheme) -> Result<UrlParts<'_>, String> {
    if let Some(sign) = rest.chars().find(|c| c.is_whitespace() || c.is_control()) {
        let name = if sign == ' ' {
            "a space"
        } else {
            "a control character"
        };
        return Err(format!("has {name} in it; {ENCODE}"));
    }
    if rest.contains('#') {
        return Err(format!("has a # in it; {ENCODE}"));
    }
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let slash = before.find('/').unwrap_or(before.len());
    let (authority, path) = before.split_at(slash);
    let (userinfo, server) = match authority.rsplit_once('@') {
        Some((userinfo, server)) => (Some(userinfo), server),
        None => (None, authority),
    };
    let is_socket = scheme == Scheme::Socket;
    if path.contains('@') && (!is_socket || !server.is_empty()) {
        return Err(format!("has an @ behind the first /; {ENCODE}"));
    }
    if is_socket && !server.is_empty() {
        let fix = "write three slashes, unix:///path/of/socket";
        return Err(format!(
            "names a host in front of a socket's path; {fix}; {ENCODE}"
        ));
    }
    Ok(UrlParts {
        userinfo,
        server,
        path,
        query,
    })
}

fn read_options(query: &str, scheme: Scheme, draft: &mut Draft) -> Result<(), String> {
    // Behind an unescaped `?` stands the rest of a password, of which no part may be shown.
    let is_broken = query.contains('@');
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("has a part without `=` behind the ?; {ENCODE}"));
        };
        let (name, value) = (decode(&name.replace('+', " "))?, &value.replace('+', " "));
        if let Some(reason) = misplaced(&name, scheme) {
            return Err(reason);
        }
        match draft.option(&name, &decode(value)?) {
            Ok(()) => {}
            Err(OptionRefusal::Unknown) if is_broken || !is_option_name(&name) => {
                return Err(format!("has an unknown option behind the ?; {ENCODE}"));
            }
            Err(OptionRefusal::Unknown) => return Err(draft::unknown(&name)),
            Err(OptionRefusal::Because(what)) => return Err(what),
        }
    }
    Ok(())
}

/// Why an option does not belong to a scheme.
fn misplaced(name: &str, scheme: Scheme) -> Option<String> {
    let belongs = match name {
        "node" => matches!(scheme, Scheme::Sentinel | Scheme::Cluster),
        "sentinelServiceName" | "sentinelUsername" | "sentinelPassword" => {
            scheme == Scheme::Sentinel
        }
        // redis-py has it in tables only.
        "ssl" => false,
        _ => true,
    };
    let fix = match name {
        "ssl" => "write rediss://",
        "node" => "write redis-sentinel:// or redis-cluster://",
        _ => "write redis-sentinel://",
    };
    (!belongs).then(|| format!("has the option `{name}`, which does not belong there; {fix}"))
}

/// May this name be shown? A part of a password may stand in its place.
pub(in crate::config) fn is_option_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(is_letter)
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl RedisAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that repeats nothing of the text but the name of an unknown option.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (topology, draft) = read(text)?;
        draft.finish(topology)
    }
}

impl TryFrom<String> for RedisAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}
