//! Who a Redis must prove to be, and who we say we are.
//!
//! Certificates are judged by webpki, with one addition: a certificate that itself stands in the
//! trusted file is accepted as the server's own, whatever it says of its use. `openssl req -x509`
//! makes one that calls itself an authority, which webpki does not take for a server's
//! (`CaUsedAsEndEntity`), and a server's certificate without its authority has no issuer. Such a
//! certificate speaks for itself alone: unless it is an authority, nothing that it has signed is
//! accepted, as OpenSSL has it. Time and name are judged all the same; only a trusted certificate that names nobody at all (no
//! subjectAltName, as RFC 9525 wants it) may stand for any host: whoever has its key is the one
//! that was meant.

#[cfg(test)]
mod tests;

use super::error::Error;
use crate::config::BridgeSettings;
use crate::config::pem::{PemKind, lack};
use crate::config::redis::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys, OtherError,
    RootCertStore, SignatureScheme,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A file, and the key that names it.
struct PemFile<'f> {
    key: &'static str,
    path: &'f PathBuf,
}

impl PemFile<'_> {
    fn fault(&self, what: impl std::fmt::Display) -> Error {
        Error::Certificates {
            key: self.key,
            path: self.path.display().to_string().into(),
            what: what.to_string().into(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, Error> {
        let read = std::fs::read(self.path);
        read.map_err(|error| self.fault(format!("cannot be read: {error}")))
    }

    /// Of what is no PEM, or none of the kind that is wanted.
    fn pem_fault(&self, error: pem::Error, bytes: &[u8], wanted: PemKind) -> Error {
        match error {
            pem::Error::NoItemsFound => self.fault(lack(bytes, wanted)),
            error => self.fault(format!("is not well-formed PEM: {error}")),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let bytes = self.read()?;
        let fault = |error| self.pem_fault(error, &bytes, PemKind::Certificate);
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let certificates = read.map_err(fault)?;
        if certificates.is_empty() {
            return Err(fault(pem::Error::NoItemsFound));
        }
        Ok(certificates)
    }
}

/// What the address names, else what the settings name.
fn file<'f>(
    option: &'static str,
    of_address: Option<&'f PathBuf>,
    key: &'static str,
    of_settings: Option<&'f PathBuf>,
) -> Option<PemFile<'f>> {
    let of_settings = of_settings.map(|path| PemFile { key, path });
    let path = of_address.map(|path| PemFile { key: option, path });
    path.or(of_settings)
}

/// How connections to an address are made.
///
/// # Errors
/// When a file cannot be read, or is not what it should be.
pub(crate) fn client(tls: &Tls, settings: &BridgeSettings) -> Result<ClientConfig, Error> {
    let provider = crate::tls::provider();
    let trusted = file(
        "ssl_ca_certs",
        tls.ca_file.as_ref(),
        "bridge.ca_file",
        settings.ca_file.as_ref(),
    );
    let verifier = Verifier::new(trusted.as_ref(), tls.checks_name, &provider)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    // Both stand in one place: half of each would be nobody's.
    let (cert, key) = match (&tls.client_cert, &tls.client_key) {
        (Some(cert), Some(key)) => (Some(("ssl_certfile", cert)), Some(("ssl_keyfile", key))),
        _ => (
            settings
                .client_cert
                .as_ref()
                .map(|path| ("bridge.client_cert", path)),
            settings
                .client_key
                .as_ref()
                .map(|path| ("bridge.client_key", path)),
        ),
    };
    let (Some((cert, cert_path)), Some((key, key_path))) = (cert, key) else {
        return Ok(config.with_no_client_auth());
    };
    let cert = PemFile {
        key: cert,
        path: cert_path,
    };
    let key = PemFile {
        key,
        path: key_path,
    };
    let identity = identity(&cert, &key, &provider)?;
    Ok(config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))))
}

/// Who we say we are. Our own certificate is Redis' to judge: one of X.509 version 1, as `openssl x509 -req` makes it
/// without extensions, is none that rustls reads, and may be sent all the same.
fn identity(
    cert: &PemFile<'_>,
    key: &PemFile<'_>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let bytes = key.read()?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| key.pem_fault(error, &bytes, PemKind::PrivateKey))?;
    let does_not_fit = |error| key.fault(format!("does not fit {}: {error}", cert.path.display()));
    let secret = provider.key_provider.load_private_key(secret);
    let identity = CertifiedKey::new(cert.certificates()?, secret.map_err(does_not_fit)?);
    match identity.keys_match() {
        Err(error @ rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(does_not_fit(error))
        }
        _ => Ok(identity),
    }
}

/// webpki's judgement, and the trusted certificates themselves.
#[derive(Debug)]
struct Verifier {
    /// By the trusted authorities; `None` if there is none.
    chain: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<Pinned>,
    checks_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A trusted certificate, and the judge of it alone.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    alone: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    fn new(
        certificate: CertificateDer<'static>,
        file: &PemFile<'_>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let added = roots.add(certificate.clone());
        added.map_err(|error| file.fault(error))?;
        let alone = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
        let alone = alone.build().map_err(|error| file.fault(error))?;
        Ok(Self { certificate, alone })
    }

    /// May it speak for others? webpki asks no trusted certificate whether it is an authority (RFC 5280 section
    /// 4.2.1.9), but it refuses one as a server's, once the time is right. One of version 1 cannot say.
    fn is_authority(&self) -> bool {
        let anybody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let fault = |now| {
            let alone = &self.alone;
            match alone.verify_server_cert(&self.certificate, &[], &anybody, &[], now) {
                Err(rustls::Error::InvalidCertificate(fault)) => Some(fault),
                _ => None,
            }
        };
        let fault = match fault(UnixTime::since_unix_epoch(Duration::ZERO)) {
            Some(CertificateError::NotValidYetContext { not_before, .. }) => fault(not_before),
            other => other,
        };
        let Some(CertificateError::Other(OtherError(cause))) = fault else {
            return false;
        };
        matches!(
            cause.downcast_ref(),
            Some(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion)
        )
    }
}

impl Verifier {
    fn new(
        trusted: Option<&PemFile<'_>>,
        checks_name: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let mut pinned = Vec::new();
        if let Some(file) = trusted {
            for certificate in file.certificates()? {
                let one = Pinned::new(certificate, file, provider)?;
                if one.is_authority() {
                    let added = roots.add(one.certificate.clone());
                    added.map_err(|error| file.fault(error))?;
                }
                pinned.push(one);
            }
        } else {
            // One that cannot be read is one fewer that is trusted.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let chain = if roots.is_empty() && !pinned.is_empty() {
            None
        } else {
            let chain =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
            Some(chain.build().map_err(|error| {
                let fix = "name a file of certificates in bridge.ca_file";
                Error::Tls(format!("the system has no certificates ({error}); {fix}"))
            })?)
        };
        Ok(Self {
            chain,
            pinned,
            checks_name,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

/// What is wrong with the name, if anything, once the rest of a certificate is accepted.
fn fault_of_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Option<rustls::Error> {
    let parsed = match ParsedCertificate::try_from(certificate) {
        Ok(parsed) => parsed,
        Err(error) => return Some(error),
    };
    match verify_server_name(&parsed, name) {
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) if presented.is_empty() => None,
        judged => judged.err(),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut pinned = self.pinned.iter();
        let pinned = pinned.find(|pinned| pinned.certificate == *end_entity);
        let is_pinned = pinned.is_some();
        let judge = pinned.map(|pinned| &pinned.alone).or(self.chain.as_ref());
        let Some(judge) = judge else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let judged = judge.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        let Err(rustls::Error::InvalidCertificate(fault)) = &judged else {
            return judged;
        };
        match fault {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                if !self.checks_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            // Time is judged before either.
            fault
                if is_pinned
                    && (is_about_use(fault)
                        || matches!(fault, CertificateError::NotValidForNameContext { .. })) =>
            {
                match fault_of_name(end_entity, name).filter(|_| self.checks_name) {
                    Some(error) => Err(error),
                    None => Ok(ServerCertVerified::assertion()),
                }
            }
            _ => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Is a certificate refused only because of who signed it, or because it calls itself an authority?
fn is_about_use(fault: &CertificateError) -> bool {
    match fault {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(OtherError(cause)) => {
            let cause = cause.downcast_ref::<webpki::Error>();
            cause == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}
