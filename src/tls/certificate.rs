//! A certificate and its key, read from their files: what is wrong with them is said with the file, the key of the
//! settings and the fix.

use crate::config::pem::{PemKind, lack};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a file that is read as PEM: a chain has some 10 KiB.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A file that is not what its key of the settings says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {text}")]
pub struct CertificateFault {
    /// The key of the settings that names the file.
    pub key: Box<str>,
    /// The file, what is wrong with it, and the fix; never holds anything of a key.
    pub text: Box<str>,
}

/// A file that a setting names.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedFile<'a> {
    pub(super) key: &'a str,
    pub(super) path: &'a Path,
}

impl NamedFile<'_> {
    fn fault(self, what: impl fmt::Display, fix: &str) -> CertificateFault {
        CertificateFault {
            key: self.key.into(),
            text: format!("{}: {what}; {fix}", self.path.display()).into(),
        }
    }

    fn read(self) -> Result<Vec<u8>, CertificateFault> {
        let length = std::fs::metadata(self.path).map(|facts| facts.len());
        if length.is_ok_and(|length| length > FILE_BYTES_MAX as u64) {
            let fix = "name the file with the chain or the key alone";
            return Err(self.fault("has more than 1 MiB", fix));
        }
        let read = std::fs::read(self.path);
        let bytes = read.map_err(|error| {
            let fix = "give the path of a file that the server's user may read";
            self.fault(format_args!("cannot be read: {error}"), fix)
        })?;
        if bytes.trim_ascii().is_empty() {
            let fix = "write the PEM text into it";
            return Err(self.fault("is empty", fix));
        }
        Ok(bytes)
    }
}

/// What stands in a PEM file.
#[derive(Debug, Default)]
struct Sections {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
    has_request: bool,
}

impl Sections {
    fn of(file: NamedFile<'_>, bytes: &[u8]) -> Result<Self, CertificateFault> {
        let mut found = Self::default();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            let (kind, der) = section.map_err(|error: pem::Error| {
                let fix = "write it anew, whole from BEGIN to END";
                file.fault(format_args!("is no PEM: {error}"), fix)
            })?;
            match kind {
                SectionKind::Certificate => found.certificates.push(der.into()),
                SectionKind::Csr => found.has_request = true,
                kind => found.keys.extend(PrivateKeyDer::from_pem(kind, der)),
            }
        }
        Ok(found)
    }
}

fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// The chain in a file, the server's own certificate first.
fn chain(
    file: NamedFile<'_>,
    key_path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let bytes = file.read()?;
    let found = Sections::of(file, &bytes)?;
    let has_key = !found.keys.is_empty() || is_encrypted(&bytes);
    match found.certificates.is_empty() {
        true if has_key => {
            let fix = "name the certificate here, and the key at the other setting";
            Err(file.fault("holds a private key and no certificate", fix))
        }
        true if found.has_request => {
            let fix = "name the certificate that the authority made of it";
            Err(file.fault("holds a request for a certificate, not one", fix))
        }
        true => Err(file.fault(lack(&bytes, PemKind::Certificate), "give a chain in PEM")),
        false if has_key && key_path != file.path => {
            let fix =
                "take the key out of this file: certificates are often readable for everybody";
            Err(file.fault("holds a private key beside the certificate", fix))
        }
        false => Ok(found.certificates),
    }
}

/// The one private key in a file.
fn private_key(file: NamedFile<'_>) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    let bytes = file.read()?;
    if is_encrypted(&bytes) {
        let fix = "decrypt it with `openssl pkey`, and let only the server's user read it";
        return Err(file.fault("holds an encrypted private key", fix));
    }
    let mut found = Sections::of(file, &bytes)?;
    match (found.keys.pop(), found.keys.is_empty()) {
        (Some(key), true) => Ok(key),
        (Some(_), false) => {
            let fix = "leave the one of the certificate";
            Err(file.fault("holds more than one private key", fix))
        }
        (None, _) if !found.certificates.is_empty() => {
            let fix = "name the private key here, and the certificate at the other setting";
            Err(file.fault("holds a certificate and no private key", fix))
        }
        (None, _) => {
            let fix = "give a key in PEM (PKCS#8, SEC1 or PKCS#1)";
            Err(file.fault(lack(&bytes, PemKind::PrivateKey), fix))
        }
    }
}

/// A chain with its key.
pub(super) fn load(
    chain_file: NamedFile<'_>,
    key_file: NamedFile<'_>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateFault> {
    let chain = chain(chain_file, key_file.path)?;
    let key = private_key(key_file)?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| {
        let fix = "use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits and more";
        key_file.fault(format_args!("cannot be used: {error}"), fix)
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(TlsError::InconsistentKeys(_)) => {
            let others = certified.cert.iter().skip(1);
            let fits = |other: &CertificateDer<'static>| {
                let alone = CertifiedKey::new(vec![other.clone()], Arc::clone(&certified.key));
                alone.keys_match().is_ok()
            };
            let [what, fix] = if others.into_iter().any(fits) {
                [
                    "does not begin with the certificate of the key",
                    "write the server's own certificate first, then its issuer",
                ]
            } else {
                [
                    "is not the certificate of this key",
                    "name the key that the certificate was made for, or have a new one made",
                ]
            };
            let what = format!("{what} {} ({})", key_file.path.display(), key_file.key);
            Err(chain_file.fault(what, fix))
        }
        Err(error) => {
            let fix = "have it made anew, as X.509 version 3";
            let what = format!("holds a certificate that cannot be used: {error}");
            Err(chain_file.fault(what, fix))
        }
    }
}

/// From when and until when a certificate is good, in seconds since the Unix epoch; `None` if it does not say.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> (Option<u64>, Option<u64>) {
    // webpki says it of a moment outside.
    let judge = |at: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        let usage = webpki::KeyUsage::server_auth();
        let verified = parsed.verify_for_usage(&[], &[], &[], time, usage, None, None);
        verified.err()
    };
    let from = match judge(0) {
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => Some(not_before.as_secs()),
        _ => None,
    };
    let until = match judge(u64::MAX) {
        Some(webpki::Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
        _ => None,
    };
    (from, until)
}

/// May a browser that asks for this name take the certificate?
pub(super) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let concrete = name
        .strip_prefix("*.")
        .map_or_else(|| name.to_owned(), |domain| format!("label.{domain}"));
    let Ok(server_name) = ServerName::try_from(concrete) else {
        return false;
    };
    let parsed = webpki::EndEntityCert::try_from(certificate);
    parsed.is_ok_and(|parsed| {
        parsed
            .verify_is_valid_for_subject_name(&server_name)
            .is_ok()
    })
}
