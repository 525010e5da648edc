//! Where the generator connects to.

use crate::cli::Options;
use crate::server::PATH;
use crate::tls::{self, ClientTls};
use socket2::{Domain, Socket, Type};
use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

/// Connections one source address serves: below the smallest default range of local ports (28,232).
const PORTS_PER_SOURCE: usize = 20_000;
/// The first of the source addresses.
const SOURCE: Ipv4Addr = Ipv4Addr::LOCALHOST;

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
    /// The first of them.
    pub(crate) source: Ipv4Addr,
    pub(crate) tls: Option<ClientTls>,
    /// What handshakes bring, in turns; nothing without.
    pub(crate) tokens: Arc<[String]>,
}

impl Target {
    /// A socket that is connecting, the so many-th: that chooses its source address.
    pub(crate) fn connect(
        &self,
        attempt: u32,
        receive_buffer: Option<usize>,
    ) -> io::Result<Socket> {
        let address = self.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let is_chosen = self.sources > 1 || self.source != SOURCE;
        if is_chosen && address.is_ipv4() && address.ip().is_loopback() {
            let source = Ipv4Addr::from_bits(self.source.to_bits() + attempt % self.sources);
            socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(115) => Err(error), // EINPROGRESS
            _ => Ok(socket),
        }
    }

    /// The header lines of the so many-th handshake.
    pub(crate) fn lines(&self, attempt: u32) -> Cow<'_, str> {
        match self.tokens.get(attempt as usize % self.tokens.len().max(1)) {
            Some(token) => format!("{}Authorization: Bearer {token}\r\n", self.lines).into(),
            None => Cow::Borrowed(&self.lines),
        }
    }
}

/// Resolves `--url` for so many connections, and refuses what is not on this machine.
/// Errors: Text that says what is wrong.
pub(crate) fn target(options: &Options, connections: usize) -> Result<Target, String> {
    let url = &options.url;
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let is_tls = match scheme {
        "ws" | "http" => false,
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
        source: SOURCE,
        tokens: tokens(options.tokens.as_deref())?,
        tls: tls.transpose()?,
    })
}

/// The lines of a file.
fn tokens(file: Option<&Path>) -> Result<Arc<[String]>, String> {
    let Some(file) = file else {
        return Ok(Arc::default());
    };
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("--tokens {}: {error}", file.display()))?;
    let tokens: Arc<[String]> = text.lines().map(str::to_owned).collect();
    match tokens.is_empty() {
        true => Err(format!("--tokens {}: no token", file.display())),
        false => Ok(tokens),
    }
}
