//! What it costs that a site vets what is said.

use super::addend::{Addend, addend};
use crate::config::{Config, Vet};
use crate::vetting::asked_bytes;

/// Messages that wait to be vetted, and those at the site.
pub(super) fn vetting(config: &Config) -> Vec<Addend> {
    let vet = &config.vet;
    match config.chat.vet {
        Vet::Off => Vec::new(),
        Vet::Webhook => vec![
            addend("vetting: messages held", 1, vet.queue_bytes),
            addend(
                "vetting: messages at the site",
                vet.concurrency,
                asked_bytes(config),
            ),
        ],
    }
}
