//! `[vet]`: the site that says what may be published, and how long it is waited for. (`chat.vet` turns it on: a key
//! cannot be a section too, which is why these are none of `chat`.)

use super::chat::Vet;
use super::problem::Findings;
use super::secret::Secret;
use super::setting::{BYTES_MAX, CAPACITY_MAX, WAIT, choice, seconds, section};
use super::signed_site::SignedSite;
use super::units;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// The site that vets what members say (`chat.vet = "webhook"`): a view of its own is asked by a POST that is signed.
    ["vet"] VetSettings {
        /// Address of the view, `http` or `https`.
        url: Option<String> = None, restart;
        /// Value of `Host` in the request, one of the site's ALLOWED_HOSTS; empty = the host of `url`.
        host: String = String::new(), restart;
        /// File of PEM certificates of the authorities that `https` trusts; unset = the system's.
        ca_file: Option<PathBuf> = None, restart;
        /// What requests are signed with (HMAC-SHA-256), at least 16 bytes. Prefer the environment, or a file of its own.
        secret: Option<Secret> = None, restart;
        /// File with the secret in it, such as a mounted one; white space around it is cut off.
        secret_file: Option<PathBuf> = None, restart;
        /// Longest until the site has said what becomes of a message, the wait for its turn included.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(2), restart, in WAIT;
        /// What becomes of a message of which the site says nothing that makes sense in time, or of which it is not asked, as too much waits: it is published as it is (`pass`), or its sender gets `Too busy, please try again` (`refuse`).
        on_timeout: OnTimeout = OnTimeout::Pass, restart;
        /// Messages that the site is asked about at the same time; further ones wait for their turn.
        concurrency: usize = 64, restart, in 1..=CAPACITY_MAX;
        /// Most of these of one business; its further ones wait, and leave the rest to others.
        concurrency_per_business: usize = 16, restart, in 1..=CAPACITY_MAX;
        /// Most bytes of messages being vetted, those that wait for their turn included, with 2 KiB for each; a business has at most as many as are then free, alone half of them; the site is not asked about what is beyond.
        queue_bytes: usize = 8 * 1024 * 1024, restart, in 65536..=BYTES_MAX;
    }
}

choice! {
    /// What becomes of a message that the site has not vetted.
    OnTimeout {
        /// The message is published.
        Pass = "pass",
        /// The message is refused.
        Refuse = "refuse",
    }
}

/// There is a site that can be asked, and room for an event of `event_bytes`, the longest there is.
pub(super) fn check(vet: &VetSettings, by: Vet, event_bytes: usize, found: &mut Findings) {
    vet.check_ranges(found);
    let is_on = by == Vet::Webhook;
    if !is_on && *vet != VetSettings::default() {
        let fix = "set chat.vet = \"webhook\", or remove it";
        found.warn("vet", "has no effect with chat.vet = \"off\"", fix);
    }
    let site = SignedSite {
        section: "vet",
        variable: "SUPPORTAL_VET__SECRET",
        example: "write it as \"http://127.0.0.1:8001/supportal/vet/\"",
        url: &vet.url,
        host: &vet.host,
        ca_file: &vet.ca_file,
        secret: &vet.secret,
        secret_file: &vet.secret_file,
    };
    site.check(is_on, found);
    // The text, and the JSON that the package's dialect may echo; one business has half.
    let least = event_bytes.saturating_mul(4);
    if is_on && vet.queue_bytes < least {
        let what = format!("{} is too small for the longest message", vet.queue_bytes);
        let fix = format!("write at least {least}, or lower limits.message_bytes");
        found.error("vet.queue_bytes", what, fix);
    }
}
