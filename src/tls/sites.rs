//! Which certificate a client is shown: by the name it asks for.

use super::certificate::{self, CertificateFault, NamedFile};
use crate::config::TlsSettings;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A certificate that was read, and what is to be said of it.
#[derive(Debug)]
pub(super) struct LoadedCertificate {
    /// The setting that names its file.
    pub(super) key: String,
    certified: Arc<CertifiedKey>,
    /// From when and until when it is good, in seconds since the Unix epoch.
    pub(super) from: Option<u64>,
    pub(super) until: Option<u64>,
    /// Names of its site that it does not stand for.
    pub(super) foreign: Vec<String>,
}

/// All certificates of a node.
#[derive(Debug)]
pub(super) struct Sites {
    /// For clients that name no site, or one that is none of ours.
    fallback: Arc<CertifiedKey>,
    /// By name in lower case; those with a star by what follows it.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wild: HashMap<String, Arc<CertifiedKey>>,
}

impl Sites {
    /// Reads every certificate of the settings; the loaded ones in the settings' order.
    pub(super) fn load(
        settings: &TlsSettings,
        provider: &CryptoProvider,
    ) -> Result<(Self, Vec<LoadedCertificate>), CertificateFault> {
        let mut loaded = Vec::new();
        let mut load = |section: &str, chain: &Path, key: &Path, names: &[String]| {
            let (chain_key, key_key) = (format!("{section}.certificate"), format!("{section}.key"));
            let chain_file = NamedFile {
                key: &chain_key,
                path: chain,
            };
            let key_file = NamedFile {
                key: &key_key,
                path: key,
            };
            let certified = certificate::load(chain_file, key_file, provider)?;
            let own = certified.cert.first();
            let (from, until) = own.map(certificate::validity).unwrap_or_default();
            let is_foreign =
                |name: &&String| !own.is_some_and(|own| certificate::is_for(own, name));
            let certified_key = Arc::new(certified.clone());
            loaded.push(LoadedCertificate {
                key: chain_key,
                certified: Arc::clone(&certified_key),
                from,
                until,
                foreign: names.iter().filter(is_foreign).cloned().collect(),
            });
            Ok(certified_key)
        };
        if let (Some(chain), Some(key)) = (&settings.certificate, &settings.key) {
            load("tls", chain, key, &[])?;
        }
        let (mut exact, mut wild) = (HashMap::new(), HashMap::new());
        for (index, site) in settings.sites.iter().enumerate() {
            let section = format!("tls.sites[{index}]");
            let certified = load(&section, &site.certificate, &site.key, &site.names)?;
            for name in &site.names {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(domain) => wild.insert(domain.to_owned(), Arc::clone(&certified)),
                    None => exact.insert(name, Arc::clone(&certified)),
                };
            }
        }
        let first = loaded.first().map(|first| Arc::clone(&first.certified));
        let fallback = first.ok_or_else(|| CertificateFault {
            key: "tls.certificate".into(),
            text: "there is no certificate; set tls.certificate and tls.key".into(),
        })?;
        let sites = Self {
            fallback,
            exact,
            wild,
        };
        Ok((sites, loaded))
    }

    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let domain = || name.split_once('.').map(|(_, domain)| domain);
        let exact = self.exact.get(name);
        exact.or_else(|| self.wild.get(domain()?))
    }
}

impl ResolvesServerCert for Sites {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case.
        let site = hello.server_name().and_then(|name| self.of(name));
        Some(Arc::clone(site.unwrap_or(&self.fallback)))
    }
}
