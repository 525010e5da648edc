//! Where the generator connects to.

use crate::cli::Options;
use crate::server::PATH;
use crate::tls::{self, ClientTls};
use std::net::{SocketAddr, ToSocketAddrs};

/// Connections one source address serves: below the smallest default range of local ports (28,232).
const PORTS_PER_SOURCE: usize = 20_000;

/// Where to connect, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    /// Path with `{business}` and `{room}`.
    pub(crate) path: String,
    /// Value of `{business}`.
    pub(crate) business: String,
    /// The run's number, part of every room's name.
    pub(crate) run: u16,
    /// Whole header lines.
    pub(crate) lines: String,
    /// Loopback source addresses to rotate; the first one alone leaves the choice to the kernel.
    pub(crate) sources: u32,
    pub(crate) tls: Option<ClientTls>,
}

/// Resolves `--url` for so many connections, and refuses what is not on this machine.
/// Errors: Text that says what is wrong.
pub(crate) fn target(options: &Options, connections: usize) -> Result<Target, String> {
    let url = &options.url;
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let is_tls = match scheme {
        "ws" => false,
        "wss" => true,
        _ => return Err(format!("--url {url}: must start with ws:// or wss://")),
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let path = if path.len() > 1 { path } else { PATH };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, _)) => (name, ""),
        None => (host, if is_tls { ":443" } else { ":80" }),
    };
    let address = format!("{host}{port}")
        .to_socket_addrs()
        .map_err(|error| format!("--url {url}: {error}"))?
        .next()
        .ok_or_else(|| format!("--url {url}: no address"))?;
    if !address.ip().is_loopback() && !options.i_own_this_server {
        return Err(format!(
            "{address} is not on this machine; a load test of somebody else's server is an attack. \
             If it is yours, say so with --i-own-this-server"
        ));
    }
    let tls = is_tls.then(|| tls::client(options, name));
    let needed = u32::try_from(connections / PORTS_PER_SOURCE + 1).unwrap_or(1);
    let lines = options.header.iter().map(|line| format!("{line}\r\n"));
    Ok(Target {
        address,
        host: host.to_owned(),
        path: options.contract.path(path),
        business: options.business.clone(),
        run: (std::process::id() ^ options.seed as u32) as u16,
        lines: lines.collect(),
        sources: options.sources.unwrap_or(needed).clamp(1, 250),
        tls: tls.transpose()?,
    })
}
