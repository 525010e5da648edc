//! Whom the client believes to be the server that it asks.

use crate::config::pem::{PemKind, lack};
use ring::digest::{Context, SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore};
use std::error::Error;
use std::io;
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

/// Which authorities are believed, by the hash of their keys and names: two clients with the same ones believe the same
/// servers, whatever the files are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authorities(pub(crate) [u8; 32]);

impl Authorities {
    fn of(roots: &RootCertStore) -> Self {
        let mut hashes: Vec<_> = roots
            .roots
            .iter()
            .map(|root| {
                let constraints = root.name_constraints.as_deref().unwrap_or_default();
                let mut hash = Context::new(&SHA256);
                for part in [&*root.subject, &*root.subject_public_key_info, constraints] {
                    hash.update(&part.len().to_le_bytes());
                    hash.update(part);
                }
                hash.finish().as_ref().to_vec()
            })
            .collect();
        // The order in which a folder lists its files is nobody's decision.
        hashes.sort_unstable();
        let all = digest(&SHA256, &hashes.concat());
        Self(all.as_ref().first_chunk().copied().unwrap_or_default())
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

/// How the client speaks TLS, and whom it believes.
pub(super) fn client_config(trust: Trust<'_>) -> Result<(ClientConfig, Authorities), TrustError> {
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
    let authorities = Authorities::of(&roots);
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok((config, authorities))
}

/// What to do about a certificate that is not believed, if that is why there is no connection.
pub(super) fn advice(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    // One error of the system carries the other, and neither calls what it carries its source.
    if let Some(carried) = cause.downcast_ref().and_then(io::Error::get_ref) {
        return advice(carried);
    }
    let rustls::Error::InvalidCertificate(flaw) = cause.downcast_ref()? else {
        return None;
    };
    Some(match flaw {
        // A certificate that was made anew has another key under the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that is trusted has signed its certificate; name the file of the one that has as ca_file"
        }
        CertificateError::Other(OtherError(flaw)) if is_an_authoritys(flaw.as_ref()) => {
            "its certificate is an authority's own, which stands for no server; have one made that is none \
             (openssl req -x509 -addext basicConstraints=critical,CA:FALSE), or signed by that authority, and name \
             its file as ca_file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name than that of the address"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired"
        }
        _ => return None,
    })
}

/// The error of webpki that rustls has no word for.
fn is_an_authoritys(flaw: &(dyn Error + 'static)) -> bool {
    flaw.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}
