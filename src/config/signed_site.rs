//! A site that is asked by requests that are signed: what its section must say.

use super::http_url::{is_host_and_port, is_open_to_readers, url_fault};
use super::problem::Findings;
use super::secret::Secret;
use super::secret_file::SIGNING_SECRET_BYTES_MIN;
use super::secrets::check_secrets;
use std::path::PathBuf;

/// The keys that such a section has.
pub(super) struct SignedSite<'s> {
    /// The section's name.
    pub(super) section: &'static str,
    /// The variable of its secret.
    pub(super) variable: &'static str,
    /// How an address is written.
    pub(super) example: &'static str,
    pub(super) url: &'s Option<String>,
    pub(super) host: &'s str,
    pub(super) ca_file: &'s Option<PathBuf>,
    pub(super) secret: &'s Option<Secret>,
    pub(super) secret_file: &'s Option<PathBuf>,
}

impl SignedSite<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    /// There is an address and a secret, if the site is asked at all.
    pub(super) fn check(&self, is_on: bool, found: &mut Findings) {
        self.check_url(is_on, found);
        self.check_secret(is_on, found);
    }

    fn check_url(&self, is_on: bool, found: &mut Findings) {
        let key = self.key("url");
        match self.url {
            None if is_on => found.error(key, "is unset: there is no site to ask", self.example),
            None => {}
            Some(url) => {
                let instead = "remove it: who asks is shown by the signature";
                if let Some((what, fix)) = url_fault(url, self.example, instead) {
                    found.error(key, what, fix);
                } else if is_on && is_open_to_readers(url) {
                    let what = "is off this machine and without TLS: what customers write can be read on the way";
                    let fix = "write an https address, or that of a tunnel on this machine";
                    found.warn(key, what, fix);
                }
            }
        }
        if !self.host.is_empty() && !is_host_and_port(self.host) {
            let what = format!("{:?} is no host", self.host);
            let fix = "write a name such as \"example.com\"";
            found.error(self.key("host"), what, fix);
        }
        let is_https = |url: &String| url.starts_with("https:");
        if self.ca_file.is_some() && !self.url.as_ref().is_some_and(is_https) {
            let fix = format!(
                "write an https address as {}, or remove it",
                self.key("url")
            );
            found.warn(self.key("ca_file"), "has no effect without TLS", fix);
        }
    }

    /// A secret of one source: without one the site could not tell who asks.
    fn check_secret(&self, is_on: bool, found: &mut Findings) {
        let key = self.key("secret");
        if let Some(secret) = self.secret {
            let secrets = std::slice::from_ref(secret);
            check_secrets(&key, secrets, SIGNING_SECRET_BYTES_MIN, found);
            if self.secret_file.is_some() {
                let what = format!("is set, and {key}_file is too");
                found.error(key, what, "remove one of the two");
            }
        } else if is_on && self.secret_file.is_none() {
            let what = "is unset: the site could not tell who asks";
            let variable = self.variable;
            let fix = format!(
                "write {variable}=… into the environment, of `openssl rand -hex 32`, and give it to the site too"
            );
            found.error(key, what, fix);
        }
    }
}
