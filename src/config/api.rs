//! `[api]`: the way in for the site's own programs, over HTTP.

use super::admin::{is_loopback, overlap};
use super::problem::Findings;
use super::secret::Secret;
use super::setting::{BYTES_MAX, CAPACITY_MAX, HOUR, SHORT, WAIT, milliseconds, seconds, section};
use super::units;
use std::net::SocketAddr;

/// Shorter tokens are found by trying.
const TOKEN_BYTES_MIN: usize = 16;

/// The longest body that is kept for a command without text: ids, room and user.
const BODY_BYTES_MIN: usize = 4096;

/// Commands in one request; above this they are better two requests.
const BATCH_MAX: usize = 10_000;

section! {
    /// The HTTP API: publish, broadcast, disconnect and presence, for the site's own programs.
    ["api"] ApiSettings {
        /// Bearer token of the HTTP API, at least 16 characters; without one and without `api.listen` there is no API. Prefer the environment to a file.
        token: Option<Secret> = None, restart;
        /// Address and port of a listener for the HTTP API alone; the public listener then has no `/api/`. Not given = on the public listener. Without a token a loopback address.
        listen: Option<SocketAddr> = None, restart;
        /// Longest body of a request in bytes, at least 4096.
        body_bytes: usize = 256 * 1024, restart, in BODY_BYTES_MIN..=BYTES_MAX;
        /// Most requests answered at once; more get 503.
        requests: usize = 64, restart, in 1..=CAPACITY_MAX;
        /// Most commands in one batch.
        batch: usize = 100, restart, in 1..=BATCH_MAX;
        /// Messages published per second, sustained, those of batches and broadcasts included; more get 429; 0 = no limit.
        messages_per_second: u32 = 1000, restart;
        /// Messages that may be published at once before the rate applies.
        messages_burst: u32 = 2000, restart;
        /// Most `id`s that are remembered; the oldest are forgotten first.
        idempotency_capacity: usize = 10_000, restart, in 1..=CAPACITY_MAX;
        /// How long an `id` is remembered: a message that is published again with it meanwhile is not shown again.
        #[serde(with = "units::duration")]
        idempotency_expiry: std::time::Duration = seconds(300), restart, in WAIT;
        /// Most connections that `presence` lists of a room on one node; all are counted.
        members: usize = 1000, restart, in 1..=CAPACITY_MAX;
        /// How long other nodes may take to answer; those that have not are missing in the answer, which says so.
        #[serde(with = "units::duration")]
        nodes_timeout: std::time::Duration = milliseconds(1000), restart, in SHORT..=HOUR;
    }
}

impl ApiSettings {
    /// Is there an API?
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.token.is_some() || self.listen.is_some()
    }
}

/// The token can be sent and not be guessed, and the listener is nobody else's.
pub(super) fn check(
    api: &ApiSettings,
    others: [(&str, SocketAddr); 2],
    text_bytes_max: usize,
    found: &mut Findings,
) {
    api.check_ranges(found);
    let listen = api.listen;
    for (key, other) in others {
        if let Some(listen) = listen.filter(|listen| overlap(*listen, other)) {
            let what = format!("{listen} is taken by {key} = {other}");
            found.error("api.listen", what, "give the listeners different ports");
        }
    }
    match (&api.token, listen) {
        // Unset and empty differ: an empty variable is a secret that was not delivered.
        (Some(token), _) if token.expose().is_empty() => {
            let fix = "give it a value (such as 32 random characters), or unset it";
            found.error("api.token", "is empty", fix);
        }
        (Some(token), _) if token.expose().bytes().any(|byte| !byte.is_ascii_graphic()) => {
            let what = "has characters that no Authorization header carries";
            found.error("api.token", what, "use printable ASCII without spaces");
        }
        (Some(token), _) if token.expose().len() < TOKEN_BYTES_MIN => {
            let what = format!("has fewer than {TOKEN_BYTES_MIN} characters");
            found.error("api.token", what, "use 32 random characters");
        }
        (None, Some(listen)) if !is_loopback(listen.ip()) => found.error(
            "api.listen",
            format!("{listen} is reachable from outside, and there is no api.token"),
            "set SUPPORTAL_API__TOKEN, or listen on 127.0.0.1",
        ),
        _ => {}
    }
    if api.is_on() && api.messages_per_second > 0 && api.messages_burst == 0 {
        let fix = "write at least 1";
        found.error("api.messages_burst", "0 is too small", fix);
    }
    if api.is_on() && api.body_bytes < text_bytes_max.saturating_add(BODY_BYTES_MIN) {
        let what = "is so short that the longest text (chat.text_bytes_max) does not fit";
        found.warn(
            "api.body_bytes",
            what,
            "raise it, or lower chat.text_bytes_max",
        );
    }
}
