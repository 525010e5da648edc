//! Who speaks TLS, and how: what the generator trusts and resumes, and the certificate of the floor. rustls with ring, as the server
//! has it.

use crate::cli::{Floor, Options};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Tickets kept: one for each connection that a source address has.
const TICKETS_MAX: usize = 20_000;

/// The client side of every connection to one server.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// ring, and AES-128-GCM first, which is what browsers ask for.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    let preferred = TLS13_AES_128_GCM_SHA256.suite();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != preferred);
    Arc::new(provider)
}

/// The client side by the flags, for a server of this name or address.
/// Errors: Text that says which flag is wrong, or missing.
pub(crate) fn client(options: &Options, host: &str) -> Result<ClientTls, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &options.ca {
        Some(file) => builder.with_root_certificates(roots(file)?),
        None if options.insecure => {
            let any = Arc::new(Anybody(provider));
            builder.dangerous().with_custom_certificate_verifier(any)
        }
        None => return Err("wss:// needs --ca FILE, or --insecure to trust any server".to_owned()),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = match options.full_handshakes {
        true => Resumption::disabled(),
        false => Resumption::store(Arc::new(Tickets::default())),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    Ok(ClientTls {
        config: Arc::new(config),
        name,
    })
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(none) if none.is_empty() => Err(format!("{}: no certificate in PEM", file.display())),
        read => read.map_err(|error| format!("{}: {error}", file.display())),
    }
}

/// The server side of a floor, if it has a certificate: one ticket for each connection, and nothing kept.
/// Errors: Text that says which file is wrong.
pub(crate) fn server(args: &Floor) -> Result<Option<Arc<ServerConfig>>, String> {
    let (Some(certificate), Some(key)) = (&args.certificate, &args.key) else {
        return Ok(None);
    };
    let read = PrivateKeyDer::from_pem_file(key);
    let private = read.map_err(|error| format!("{}: {error}", key.display()))?;
    let shown = certificates(certificate)?;
    let wrong = |error: Error| error.to_string();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(shown, private)
        .map_err(wrong)?;
    config.ticketer = Ticketer::new().map_err(wrong)?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Some(Arc::new(config)))
}

/// Trusts whoever is there, unread: the generator's core is for the load.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Tickets of one server. rustls' own store keeps eight, too few where more connections open at a time.
#[derive(Debug)]
struct Tickets {
    unused: Mutex<Vec<Tls13ClientSessionValue>>,
    others: ClientSessionMemoryCache,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            unused: Mutex::default(),
            others: ClientSessionMemoryCache::new(1),
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.others.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.others.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.others.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.others.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.others.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < TICKETS_MAX {
            unused.push(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.pop()
    }
}
