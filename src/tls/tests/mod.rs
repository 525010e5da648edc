//! Sessions against rustls' own client, in memory; certificates from `tests/data/tls`.

mod certificates;
mod preamble;
mod refusals;
mod sessions;

use super::{TlsServer, TlsSession, provider};
use crate::config::TlsSettings;
use crate::metrics::Metrics;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// A file of `tests/data/tls`.
fn file(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
    PathBuf::from(folder).join(name)
}

fn settings(name: &str) -> TlsSettings {
    TlsSettings {
        certificate: Some(file(&format!("{name}.pem"))),
        key: Some(file(&format!("{name}.key"))),
        ..TlsSettings::default()
    }
}

fn client_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(file("authority.pem")).unwrap();
    roots.add(authority).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The network between a session and its client.
#[derive(Default)]
struct Wire {
    /// Towards the session.
    to_server: VecDeque<u8>,
    /// The client has ended its side.
    is_over: bool,
    /// Towards the client.
    to_client: Vec<u8>,
    /// Most bytes of one read.
    piece: usize,
    /// Bytes that it still takes.
    room: usize,
    /// Why it takes nothing at all.
    refusal: Option<ErrorKind>,
}

impl Wire {
    fn new() -> Self {
        Self {
            piece: usize::MAX,
            room: usize::MAX,
            ..Self::default()
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.to_server.is_empty() && !self.is_over {
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = self.piece.min(into.len());
        // A short read says that there is no more.
        self.to_server.make_contiguous();
        self.to_server.read(&mut into[..most])
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.refusal {
            return Err(kind.into());
        }
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.to_client.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends of a connection.
struct Ends {
    server: TlsSession,
    client: ClientConnection,
    wire: Wire,
    /// What the session has given.
    heard: Vec<u8>,
}

impl Ends {
    fn new(server: &Arc<TlsServer>, config: ClientConfig) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self::named(server, config, name)
    }

    fn named(server: &Arc<TlsServer>, config: ClientConfig, name: ServerName<'static>) -> Self {
        Self {
            server: TlsSession::new(server),
            client: ClientConnection::new(Arc::new(config), name).unwrap(),
            wire: Wire::new(),
            heard: Vec::new(),
        }
    }

    /// Moves what the client has to say onto the wire.
    fn send(&mut self) {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        self.wire.to_server.extend(bytes);
    }

    /// Gives the client what the wire has for it; what it decrypts of that.
    fn receive(&mut self) -> Result<Vec<u8>, Box<rustls::Error>> {
        let bytes = std::mem::take(&mut self.wire.to_client);
        let (mut bytes, mut plain) = (&bytes[..], Vec::new());
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            self.client.process_new_packets()?;
            if let Err(error) = self.client.reader().read_to_end(&mut plain) {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
            }
        }
        Ok(plain)
    }

    /// Reads what is there; the outcome that ended that.
    fn read(&mut self) -> io::Result<usize> {
        let mut into = [0; 512];
        loop {
            match self.server.read(&mut self.wire, &mut into) {
                Ok(0) => return Ok(0),
                Ok(count) => self.heard.extend_from_slice(&into[..count]),
                // Nothing would announce what is left.
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock && self.server.holds_unread() => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(self.wire.to_server.is_empty(), "left unread");
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets both say what they have to until the handshake is over.
    fn shake_hands(&mut self) {
        for _ in 0..10 {
            self.send();
            if let Err(error) = self.read() {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
            }
            self.receive().unwrap();
            if self.server.is_established() && !self.client.wants_write() {
                return;
            }
        }
        panic!("no end of the handshake");
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.server.write(&mut self.wire, &[IoSlice::new(bytes)])
    }
}

/// A server with the certificate of this name, and its counters.
fn server(name: &str) -> (Arc<TlsServer>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let server = TlsServer::new(&settings(name), &metrics).unwrap();
    (Arc::new(server), metrics)
}

fn failures(metrics: &Metrics, reason: &'static str) -> u64 {
    let failed = &metrics.tls_handshakes_failed;
    failed.get_or_create(&[("reason", reason)]).get()
}

fn successes(metrics: &Metrics, kind: &'static str) -> u64 {
    let done = &metrics.tls_handshakes;
    done.get_or_create(&[("kind", kind)]).get()
}
