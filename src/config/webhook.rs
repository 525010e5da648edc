//! `[assistant.webhook]`: the site that answers, and what may be asked of it.

use super::problem::Findings;
use super::secret::Secret;
use super::setting::{BYTES_MAX, CAPACITY_MAX, DAY, WAIT, seconds, section};
use super::signed_site::SignedSite;
use super::units;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// The site that answers: a view of its own is asked by a POST that is signed.
    ["assistant.webhook"] WebhookSettings {
        /// Address of the view, `http` or `https`.
        url: Option<String> = None, restart;
        /// Value of `Host` in the question, one of the site's ALLOWED_HOSTS; empty = the host of `url`.
        host: String = String::new(), restart;
        /// File of PEM certificates of the authorities that `https` trusts; unset = the system's.
        ca_file: Option<PathBuf> = None, restart;
        /// What questions are signed with (HMAC-SHA-256), at least 16 bytes. Prefer the environment, or a file of its own.
        secret: Option<Secret> = None, restart;
        /// File with the secret in it, such as a mounted one; white space around it is cut off.
        secret_file: Option<PathBuf> = None, restart;
        /// Messages of the room that go along, the question not included; 0 = none.
        turns: usize = 10, restart, in ..=100;
        /// Most bytes of these; the newest go first.
        context_bytes: usize = 32 * 1024, restart, in 256..=1024 * 1024;
        /// Rooms whose messages are remembered for that; the one that was silent longest goes first.
        rooms: usize = 1_000, restart, in 1..=CAPACITY_MAX;
        /// How long a room's messages are remembered after the last one.
        #[serde(with = "units::duration")]
        remember: Duration = seconds(2 * 3600), restart, in seconds(1)..=DAY;
        /// Longest of one try until the site begins to answer; then it is asked again.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(8), restart, in WAIT;
        /// Longest until the first word of an answer, all tries included.
        #[serde(with = "units::duration")]
        first_token: Duration = seconds(20), restart, in WAIT;
        /// Longest that the site may then be silent between two pieces.
        #[serde(with = "units::duration")]
        between_tokens: Duration = seconds(10), restart, in WAIT;
        /// How often a question is asked again before its first word has come, under the same `Idempotency-Key`: after a connection that failed, no answer in time, and 408, 409, 429 and 5xx; after half a second, twice as long each time, or when `Retry-After` says.
        retries: usize = 2, restart, in ..=10;
        /// Retries in a row, over all questions; ten answers give one back.
        retry_budget: usize = 10, restart, in ..=1_000;
        /// Questions in a row that failed, their retries included (no answer, one that makes no sense, 429 and 5xx), after which nobody is asked for `breaker_pause`: customers are told at once that nobody answers. Those of one business stop that business alone, and those of one room nobody.
        breaker_failures: usize = 5, restart, in 1..=1_000;
        /// How long that is; then one question tries: its first word is enough.
        #[serde(with = "units::duration")]
        breaker_pause: Duration = seconds(10), restart, in WAIT;
        /// Prompts of one business answered at the same time; its further ones wait and leave `assistant.concurrency` to others.
        concurrency_per_business: usize = 16, restart, in 1..=CAPACITY_MAX;
        /// Prompts of one business that may wait, those being answered not counted; its further ones get the apology and leave `assistant.prompts` to others; 0 = a third of the places that are free, so that a few businesses do not take all; one alone has a quarter.
        prompts_per_business: usize = 0, restart, in ..=CAPACITY_MAX;
        /// Most bytes of one piece of an answer, or of an answer that does not come in pieces.
        event_bytes: usize = 256 * 1024, restart, in 4096..=BYTES_MAX;
        /// Most bytes of an answer with all its pieces.
        answer_bytes: usize = 16 * 1024 * 1024, restart, in 4096..=BYTES_MAX;
    }
}

/// There is an address and a secret, and the waits make sense together.
pub(super) fn check(
    webhook: &WebhookSettings,
    timeout: Duration,
    is_on: bool,
    found: &mut Findings,
) {
    if !is_on && *webhook != WebhookSettings::default() {
        let fix = "set assistant.kind = \"webhook\", or remove it";
        found.warn(
            "assistant.webhook",
            "has no effect with this assistant",
            fix,
        );
    }
    let site = SignedSite {
        section: "assistant.webhook",
        variable: "SUPPORTAL_ASSISTANT__WEBHOOK__SECRET",
        example: "write it as \"http://127.0.0.1:8001/supportal/answer/\"",
        url: &webhook.url,
        host: &webhook.host,
        ca_file: &webhook.ca_file,
        secret: &webhook.secret,
        secret_file: &webhook.secret_file,
    };
    site.check(is_on, found);
    let waits = [
        (
            "first_token",
            webhook.first_token,
            "assistant.timeout",
            timeout,
        ),
        (
            "timeout",
            webhook.timeout,
            "assistant.webhook.first_token",
            webhook.first_token,
        ),
    ];
    for (name, wait, other, ends) in waits {
        if is_on && wait > ends {
            let what = format!("is longer than {other}, which ends the wait before");
            let key = format!("assistant.webhook.{name}");
            found.warn(key, what, format!("write at most {other}"));
        }
    }
}
