//! TLS for the tests' plain clients: a tunnel that is a client of TLS on one side and a plain socket on the other.

use super::{Gateway, PATIENCE, repository};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, mpsc};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// Where the tunnels run.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
});

/// A file of `tests/data/tls`.
pub(crate) fn file(name: &str) -> PathBuf {
    repository().join("tests/data/tls").join(name)
}

/// The settings of a certificate of that folder.
pub(crate) fn settings(name: &str) -> [String; 2] {
    let set =
        |key: &str, end: &str| format!("tls.{key}={}", file(&format!("{name}.{end}")).display());
    [set("certificate", "pem"), set("key", "key")]
}

/// Starts a server that speaks TLS with the certificate `main`, and has these settings too.
#[track_caller]
pub(crate) fn start(more: &[&str]) -> Gateway {
    let own = settings("main");
    let all: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    Gateway::start(&all)
}

/// A client that trusts the tests' authority, and speaks these versions.
pub(crate) fn config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let authority = CertificateDer::from_pem_file(file("authority.pem")).expect("the authority");
    let mut roots = RootCertStore::empty();
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions of the provider")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Who resumes is shown no certificate.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// A plain socket whose other end speaks TLS with this server, or why that cannot be. Half-closes go through both ways, as
/// `close_notify` and the end of the stream.
pub(crate) fn tunnel_with(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<(TcpStream, CertificateDer<'static>)> {
    tunnel_behind(b"", address, config, name)
}

/// [`tunnel_with`], where a proxy says this in front of TLS.
pub(crate) fn tunnel_behind(
    preamble: &[u8],
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<(TcpStream, CertificateDer<'static>)> {
    let preamble = preamble.to_vec();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    for (socket, is_nonblocking) in [(&ours, false), (&theirs, true)] {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(is_nonblocking)?;
    }
    ours.set_read_timeout(Some(PATIENCE))?;
    ours.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::clone(config));
    let (said, outcome) = mpsc::channel();
    RUNTIME.spawn(async move {
        let connect = async {
            let mut tcp = tokio::net::TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            tcp.write_all(&preamble).await?;
            connector.connect(name, tcp).await
        };
        let mut tls = match connect.await {
            Ok(tls) => tls,
            Err(error) => return drop(said.send(Err(error))),
        };
        let shown = tls.get_ref().1.peer_certificates();
        let shown = shown.and_then(|chain| chain.first()).cloned();
        drop(said.send(Ok(shown.expect("a certificate").into_owned())));
        let mut plain = tokio::net::TcpStream::from_std(theirs).expect("a socket");
        // However it ends, both sides see that.
        drop(tokio::io::copy_bidirectional(&mut plain, &mut tls).await);
    });
    let shown = outcome.recv_timeout(PATIENCE).map_err(io::Error::other)??;
    Ok((ours, shown))
}

/// [`tunnel_with`] both versions, to `localhost`.
#[track_caller]
pub(crate) fn tunnel(gateway: &Gateway) -> TcpStream {
    let config = Arc::new(config(rustls::ALL_VERSIONS));
    let tunnel = tunnel_with(gateway.public(), &config, "localhost");
    tunnel.expect("a handshake").0
}
