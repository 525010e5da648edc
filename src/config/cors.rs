//! `[http.cors]`: which pages of other origins may ask for what is not a WebSocket, with the words and defaults of
//! django-cors-headers.
//!
//! An origin is written as there, with its scheme; where django-cors-headers has regular expressions,
//! `https://.example.com` is a domain with its subdomains.

use super::origin::{Pattern, shown};
use super::problem::Findings;
use super::setting::{DAY, seconds, section};
use super::units;
use std::time::Duration;

section! {
    /// Pages of other origins that may ask for what is not a WebSocket (CORS); what `http.upstream` answers is that site's to say.
    ["http.cors"] CorsSettings {
        /// Origins that may (`https://example.com`, `https://.example.com` with its subdomains, `*`); an empty list = CORS is off.
        allowed: Vec<String> = Vec::new(), restart;
        /// Methods that they may use.
        methods: Vec<String> = words(&["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]), restart;
        /// Header fields that they may send.
        headers: Vec<String> = words(&["accept", "authorization", "content-type", "user-agent", "x-csrftoken", "x-requested-with"]), restart;
        /// Header fields of answers that their scripts may read.
        expose: Vec<String> = Vec::new(), restart;
        /// May they ask with cookies and other credentials?
        credentials: bool = false, restart;
        /// Browsers may keep the answer to a preflight for this long; 0 = it says nothing of that.
        #[serde(with = "units::duration")]
        max_age: Duration = DAY, restart, in seconds(0)..=DAY;
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Entries that cannot be read, and what has no effect.
pub(super) fn check(cors: &CorsSettings, found: &mut Findings) {
    cors.check_ranges(found);
    const ALLOWED: &str = "http.cors.allowed";
    for entry in &cors.allowed {
        let sentence = |what: &str| format!("{} {what}", shown(entry));
        match Pattern::read(entry) {
            Err(fault) => found.error(ALLOWED, sentence(&fault.what), fault.fix),
            Ok((Pattern::Host(_), _)) => {
                let fix = format!("write \"https://{entry}\"");
                found.error(ALLOWED, sentence("has no scheme"), fix);
            }
            Ok((_, Some(fault))) => found.warn(ALLOWED, sentence(&fault.what), fault.fix),
            Ok((_, None)) => {}
        }
    }
    let is_any = cors.allowed.iter().any(|entry| entry == "*");
    if is_any && cors.allowed.len() > 1 {
        let what = "\"*\" makes the other entries pointless";
        found.warn(ALLOWED, what, "remove \"*\", or the others");
    }
    if is_any && cors.credentials {
        found.warn(
            "http.cors.credentials",
            "with http.cors.allowed = [\"*\"] every page on the web may ask in its user's name",
            "name the origins",
        );
    }
    for (key, entries) in [
        ("http.cors.methods", &cors.methods),
        ("http.cors.headers", &cors.headers),
        ("http.cors.expose", &cors.expose),
    ] {
        for entry in entries {
            // `*` is a token, and means nothing to a request with credentials.
            let is_part =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
            if entry.is_empty() || !entry.bytes().all(is_part) {
                let fix = "write one name an entry, such as \"content-type\"";
                found.error(key, format!("{entry:?} is no name of one"), fix);
            }
        }
    }
    let default = CorsSettings::default();
    if cors.allowed.is_empty() && *cors != default {
        let fix = "write the origins into http.cors.allowed, or remove it";
        found.warn("http.cors", "has no effect: no origin is allowed", fix);
    }
}
