//! Whom the client believes to be the server that it asks.

use crate::config::pem::{PemKind, lack};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;

/// The authorities whose certificates are believed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'t> {
    /// None: the client is for `http` alone, and nothing is read.
    Nobody,
    /// The system's.
    System,
    /// Those of a file of PEM certificates, and no others.
    File(&'t Path),
}

impl<'t> Trust<'t> {
    /// What a URL needs: nothing for `http`, else a file's authorities if there is one, else the system's.
    pub(crate) fn for_url(url: &hyper::Uri, ca_file: Option<&'t Path>) -> Self {
        if url.scheme() == Some(&hyper::http::uri::Scheme::HTTP) {
            return Self::Nobody;
        }
        ca_file.map_or(Self::System, Self::File)
    }
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// A file of authorities cannot be read, or holds none.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: Box<str>,
        /// What is wrong with it.
        what: Box<str>,
    },
    /// The system has no authorities.
    #[error(
        "this system has no certificates of authorities: install them (ca-certificates), or name a file"
    )]
    System,
    /// TLS itself cannot be set up.
    #[error("TLS: {0}")]
    Tls(Box<str>),
}

/// How the client speaks TLS.
pub(super) fn client_config(trust: Trust<'_>) -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Nobody => {}
        Trust::System => {
            // One that rustls does not read is no reason to do without the others.
            let found = rustls_native_certs::load_native_certs().certs;
            let (added, _unread) = roots.add_parsable_certificates(found);
            if added == 0 {
                return Err(TrustError::System);
            }
        }
        Trust::File(path) => {
            let fault = |what: String| TrustError::File {
                path: path.display().to_string().into(),
                what: what.into(),
            };
            let bytes = std::fs::read(path);
            let bytes = bytes.map_err(|error| fault(format!("cannot be read: {error}")))?;
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
            let certificates =
                read.map_err(|error| fault(format!("is not well-formed PEM: {error}")))?;
            for certificate in certificates {
                let added = roots.add(certificate);
                added.map_err(|error| fault(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(fault(lack(&bytes, PemKind::Certificate)));
            }
        }
    }
    let provider = crate::tls::provider();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Tls(error.to_string().into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
