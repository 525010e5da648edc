//! What new connections shake hands with: the certificates of now, and the accounts of handshakes.

use super::certificate::CertificateFault;
use super::files::FileStamps;
use super::provider;
use super::sites::{LoadedCertificate, Sites};
use crate::clock;
use crate::config::TlsSettings;
use crate::metrics::{Metrics, count, declare};
use parking_lot::{Mutex, RwLock};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{AlertDescription, Error as TlsError, HandshakeKind, ServerConfig};
use std::sync::Arc;
use std::time::Duration;

/// Why handshakes fail: the labels of `tls_handshakes_failed`.
const REASONS: [&str; 9] = [
    "alert",
    "alpn",
    "closed",
    "incompatible",
    "malformed",
    "not_tls",
    "other",
    "plain_http",
    "proxy",
];

/// A certificate that is good for less than this is warned of: whoever renews them does so long before.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// TLS on one node's public listener.
#[derive(Debug)]
pub struct TlsServer {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    /// Seals and opens session tickets, across renewals of certificates.
    ticketer: Option<Arc<dyn ProducesTickets>>,
    /// For handshakes that begin now. Those under way and established connections keep theirs.
    current: RwLock<Arc<ServerConfig>>,
    /// The files as they were when they were last read, well or not.
    seen: Mutex<FileStamps>,
    metrics: Arc<Metrics>,
}

/// Certificates that have been read and not taken yet.
#[derive(Debug)]
pub struct RenewedCertificates {
    sites: Sites,
    loaded: Vec<LoadedCertificate>,
}

impl TlsServer {
    /// Reads the certificates, if there are any. What is to be said of them: sentences with the setting's name.
    ///
    /// # Errors
    /// The first file that is not what its setting says.
    pub fn check(settings: &TlsSettings) -> Result<Vec<String>, CertificateFault> {
        if !settings.is_on() {
            return Ok(Vec::new());
        }
        let (_, loaded) = Sites::load(settings, &provider())?;
        Ok(loaded.iter().flat_map(warnings).collect())
    }

    /// Reads the certificates and logs what is to be said of them.
    ///
    /// # Errors
    /// The first file that is not what its setting says.
    pub fn new(settings: &TlsSettings, metrics: &Arc<Metrics>) -> Result<Self, CertificateFault> {
        let provider = provider();
        // Before they are read: what changes meanwhile is read again.
        let stamps = FileStamps::of(settings);
        let (sites, loaded) = Sites::load(settings, &provider)?;
        let ticketer = settings
            .tickets
            .then(|| rustls::crypto::ring::Ticketer::new().ok());
        let ticketer = ticketer.flatten();
        let config = config(sites, &provider, ticketer.as_ref());
        declare(&metrics.tls_handshakes, "kind", ["full", "resumed"]);
        declare(&metrics.tls_handshakes_failed, "reason", REASONS);
        let server = Self {
            settings: settings.clone(),
            provider,
            ticketer,
            current: RwLock::new(Arc::new(config)),
            seen: Mutex::new(stamps),
            metrics: Arc::clone(metrics),
        };
        server.note(&loaded);
        Ok(server)
    }

    /// How often [`TlsServer::look`] is to be called.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.settings.poll
    }

    /// Reads the certificates again if a file has changed since. A change that is no good leaves all as it was, and is
    /// logged once. Reads files: not for a worker's thread.
    pub fn look(&self) {
        let stamps = FileStamps::of(&self.settings);
        let is_changed = std::mem::replace(&mut *self.seen.lock(), stamps.clone()) != stamps;
        if !is_changed {
            return;
        }
        match self.read() {
            Ok(renewed) => self.take(renewed),
            Err(fault) => {
                tracing::error!(%fault, "the new certificates are not taken; the old ones stay");
            }
        }
    }

    /// Reads the certificates again, changed or not; nothing changes by that.
    ///
    /// # Errors
    /// The first file that is not what its setting says.
    pub fn read(&self) -> Result<RenewedCertificates, CertificateFault> {
        let (sites, loaded) = Sites::load(&self.settings, &self.provider)?;
        Ok(RenewedCertificates { sites, loaded })
    }

    /// Shows these certificates to whoever connects from now on.
    pub fn take(&self, renewed: RenewedCertificates) {
        let RenewedCertificates { sites, loaded } = renewed;
        let config = config(sites, &self.provider, self.ticketer.as_ref());
        *self.current.write() = Arc::new(config);
        tracing::info!("the certificates have been read again; new connections are shown these");
        self.note(&loaded);
    }

    /// Logs and counts what is to be known of certificates just read.
    fn note(&self, loaded: &[LoadedCertificate]) {
        for certificate in loaded {
            for warning in warnings(certificate) {
                tracing::warn!(warning, "a certificate is not as browsers want it");
            }
        }
        let until = loaded.iter().filter_map(|certificate| certificate.until);
        if let Some(until) = until.min() {
            let until = i64::try_from(until).unwrap_or(i64::MAX);
            self.metrics.tls_certificate_expiry.set(until);
        }
    }

    /// What a handshake that begins now goes by.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read())
    }

    /// A handshake has succeeded.
    pub(super) fn count_success(&self, kind: Option<HandshakeKind>) {
        let kind = match kind {
            Some(HandshakeKind::Resumed) => "resumed",
            _ => "full",
        };
        count(&self.metrics.tls_handshakes, "kind", kind);
    }

    /// A handshake has failed, for one of [`REASONS`].
    pub(super) fn count_failure(&self, reason: &'static str) {
        count(&self.metrics.tls_handshakes_failed, "reason", reason);
        tracing::debug!(reason, "TLS handshake failed");
    }
}

/// Why a handshake failed, for the record.
pub(super) fn reason_of(error: &TlsError) -> &'static str {
    match error {
        TlsError::AlertReceived(AlertDescription::CloseNotify) => "closed",
        TlsError::AlertReceived(_) => "alert",
        TlsError::NoApplicationProtocol => "alpn",
        TlsError::PeerIncompatible(_) => "incompatible",
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::PeerMisbehaved(_)
        | TlsError::DecryptError
        | TlsError::PeerSentOversizedRecord => "malformed",
        _ => "other",
    }
}

fn warnings(certificate: &LoadedCertificate) -> Vec<String> {
    let ((now, _), key) = (clock::wall(), &certificate.key);
    let mut said = Vec::new();
    match (certificate.from, certificate.until) {
        (Some(from), _) if now < from => said.push(format!("{key}: is not valid yet")),
        (_, Some(until)) if until < now => said.push(format!("{key}: has expired; renew it")),
        (_, Some(until)) if until < now + SOON.as_secs() => {
            said.push(format!("{key}: expires within 7 days; renew it"));
        }
        _ => {}
    }
    for name in &certificate.foreign {
        said.push(format!("{key}: is not for {name:?}, a name of this site"));
    }
    said
}

fn config(
    sites: Sites,
    provider: &Arc<CryptoProvider>,
    ticketer: Option<&Arc<dyn ProducesTickets>>,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .expect("invariant: the provider has suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(sites));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets alone: a session kept here would be memory of connections that are gone.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // rustls would send two; a browser opens one connection of ours.
    config.send_tls13_tickets = usize::from(ticketer.is_some());
    if let Some(ticketer) = ticketer {
        config.ticketer = Arc::clone(ticketer);
    }
    config
}
