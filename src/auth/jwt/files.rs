//! Keys from the operator's files: public ones in PEM, and private ones to sign with.

use super::key::TokenKey;
use crate::config::pem::{PemKind, lack};
use rustls::pki_types::pem::{PemObject, SectionKind};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest file of keys in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most keys of one file or set.
pub(crate) const KEYS_MAX: usize = 32;

/// A file, or a setting, and what is wrong with it. Nothing of a key is in the text.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {path}: {what}")]
pub struct KeyFault {
    /// The setting or flag that names the file.
    pub key: &'static str,
    /// The file or address.
    pub path: Box<str>,
    /// What is wrong, and what to do.
    pub what: Box<str>,
}

impl KeyFault {
    pub(super) fn new(key: &'static str, path: &str, what: impl Into<Box<str>>) -> Self {
        Self {
            key,
            path: path.into(),
            what: what.into(),
        }
    }
}

/// The whole of a file of at most [`FILE_BYTES_MAX`].
pub(super) fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, KeyFault> {
    let shown = path.display().to_string();
    let fault = |what: String| KeyFault::new(key, &shown, what);
    let open = || -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is no file"));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().map_err(|error| fault(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fault(format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The public keys of a PEM file.
pub(super) fn public_keys(path: &Path) -> Result<Vec<TokenKey>, KeyFault> {
    const KEY: &str = "auth.jwt.keys";
    let shown = path.display().to_string();
    let bytes = read(KEY, path)?;
    let fault = |what: &str| KeyFault::new(KEY, &shown, what);
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        let (kind, der) =
            section.map_err(|error| fault(&format!("is not well-formed PEM: {error}")))?;
        match kind {
            SectionKind::PublicKey => {
                keys.push(TokenKey::of_public_key_info(&der, &shown).map_err(fault)?);
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(fault(
                    "holds a private key, which stays where tokens are signed; write the public one: \
                     openssl pkey -in FILE -pubout",
                ));
            }
            SectionKind::Certificate => {
                return Err(fault(
                    "holds a certificate; write its public key: openssl x509 -in FILE -noout -pubkey",
                ));
            }
            _ => return Err(fault(&lack(&bytes, PemKind::PublicKey))),
        }
        if keys.len() > KEYS_MAX {
            return Err(fault(&format!("holds more than {KEYS_MAX} keys")));
        }
    }
    if keys.is_empty() {
        return Err(fault(&lack(&bytes, PemKind::PublicKey)));
    }
    Ok(keys)
}
