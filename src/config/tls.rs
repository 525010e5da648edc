//! `[tls]`: encryption of the public listener, and what its settings may be.

use super::key::KeyKind;
use super::problem::Findings;
use super::setting::{SHORT, kinds, seconds, section};
use super::units;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Longest a changed file may stay unnoticed: certificates are renewed days before they expire.
const POLL_MAX: Duration = seconds(3600);

section! {
    /// TLS on the public listener; without a certificate it speaks plain HTTP.
    ["tls"] TlsSettings {
        /// File of the certificate chain (PEM, the server's own first) for clients that name no site, or none of `tls.sites`. With it `server.listen` speaks TLS 1.2 and 1.3 alone.
        certificate: Option<PathBuf> = None, restart;
        /// File of that certificate's private key (PEM, not encrypted).
        key: Option<PathBuf> = None, restart;
        /// How often the files of certificates and keys are looked at for a change; SIGHUP looks at once.
        #[serde(with = "units::duration")]
        poll: Duration = seconds(5), restart, in SHORT..=POLL_MAX;
        /// Session tickets, with which a client that comes back saves a signature: one each, sealed with keys that change every 6 hours and are kept nowhere.
        tickets: bool = true, restart;
        /// Certificates for names of their own: the client's server name (SNI) chooses. A name may begin with `*.`, for one label.
        sites: Vec<TlsSite> = Vec::new(), restart;
    }
}

/// One entry of `[[tls.sites]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSite {
    /// Names of hosts, such as `chat.example.com` or `*.example.com`.
    pub names: Vec<String>,
    /// File of the certificate chain (PEM).
    pub certificate: PathBuf,
    /// File of its private key (PEM).
    pub key: PathBuf,
}

kinds! {
    Vec<TlsSite> => KeyKind::Tables(&["names", "certificate", "key"]),
}

impl TlsSettings {
    /// Does the public listener speak TLS?
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.certificate.is_some() || !self.sites.is_empty()
    }
}

/// What is wrong with a site's name, and the fix.
fn fault(name: &str) -> Option<(&'static str, &'static str)> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len());
    if name.is_empty() {
        Some(("is empty", "write a host, such as \"chat.example.com\""))
    } else if host.contains('*') {
        let fix = "a star stands for the first label alone, as in \"*.example.com\"";
        Some(("has a star inside", fix))
    } else if host.contains(':') || host.contains('/') {
        let fix = "write the host alone, without scheme, port and path";
        Some(("is an address, not a name", fix))
    } else if host.parse::<std::net::IpAddr>().is_ok() {
        let fix = "clients send no server name for an address: use tls.certificate";
        Some(("is an IP address", fix))
    } else if !host.bytes().all(is_legal) || host.len() > 253 || !host.split('.').all(is_label) {
        let fix = "write it as DNS has it; an international name begins with \"xn--\"";
        Some(("is no name of a host", fix))
    } else {
        None
    }
}

/// Keys that contradict each other; the files are read when the node starts.
pub(super) fn check(tls: &TlsSettings, found: &mut Findings) {
    tls.check_ranges(found);
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => {
            let fix = "add tls.key, the file of its private key";
            found.error("tls.certificate", "stands without its key", fix);
        }
        (None, Some(_)) => {
            let fix = "add tls.certificate, or remove it";
            found.error("tls.key", "stands without its certificate", fix);
        }
        _ => {}
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, site) in tls.sites.iter().enumerate() {
        let key = format!("tls.sites[{index}].names");
        if site.names.is_empty() {
            let fix = "write names = [\"chat.example.com\"]";
            found.error(
                &key,
                "is empty: nobody would be shown this certificate",
                fix,
            );
        }
        for name in &site.names {
            if let Some((what, fix)) = fault(name) {
                found.error(&key, format!("{name:?} {what}"), fix);
            } else if let Some(first) = names.insert(name.to_ascii_lowercase(), index) {
                let what = format!("{name:?} is a name of tls.sites[{first}] too");
                found.error(&key, what, "leave it in one of them");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::Loader;

    fn said(sets: &[&str]) -> String {
        let loader = Loader {
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            ..Loader::default()
        };
        match loader.load() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    fn site(names: &str) -> String {
        format!("tls.sites=[{{names={names}, certificate=\"a\", key=\"b\"}}]")
    }

    #[test]
    fn keys_that_contradict_each_other_are_named_with_the_fix() {
        for (sets, what, fix) in [
            (
                &["tls.certificate=a"][..],
                "tls.certificate: stands without its key",
                "add tls.key",
            ),
            (
                &["tls.key=a"],
                "tls.key: stands without its certificate",
                "add tls.certificate",
            ),
            (&["tls.poll=0s"], "tls.poll: must be longer", "10ms"),
            (
                &["tls.poll=2h"],
                "tls.poll: is longer than",
                "check the unit",
            ),
            (&["tls.tickets=maybe"], "tls.tickets", "true"),
            (
                &["tls.sites=[{names=[\"a.example\"]}]"],
                "tls.sites[0]",
                "needs names, certificate, key",
            ),
            (
                &["tls.sites=[{name=\"a.example\", certificate=\"a\", key=\"b\"}]"],
                "tls.sites[0].name: unknown key",
                "did you mean `names`?",
            ),
        ] {
            let text = said(sets);
            assert!(
                text.contains(what) && text.contains(fix),
                "{sets:?}: {text}"
            );
        }
        assert_eq!(said(&["tls.certificate=a", "tls.key=b"]), "");
    }

    #[test]
    fn names_of_sites_are_names_of_hosts_and_stand_once() {
        for (names, what) in [
            ("[]", "is empty: nobody"),
            ("[\"\"]", "\"\" is empty"),
            ("[\"a.*.example\"]", "has a star inside"),
            ("[\"*\"]", "has a star inside"),
            ("[\"https://a.example\"]", "is an address"),
            ("[\"a.example:443\"]", "is an address"),
            ("[\"192.0.2.1\"]", "is an IP address"),
            ("[\"b\u{fc}cher.example\"]", "is no name of a host"),
            ("[\"a..example\"]", "is no name of a host"),
            ("[\"a b\"]", "is no name of a host"),
            (
                "[\"a.example\", \"A.example\"]",
                "\"A.example\" is a name of tls.sites[0] too",
            ),
        ] {
            let text = said(&[&site(names)]);
            assert!(text.contains(what), "{names}: {text}");
            assert!(text.contains("tls.sites[0].names: "), "{names}: {text}");
        }
        let good =
            site("[\"a.example\", \"*.a.example\", \"xn--bcher-kva.example\", \"localhost\"]");
        assert_eq!(said(&[&good]), "");
    }
}
