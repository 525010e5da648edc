//! What is kept of those who come in, by their limits and by `auth.mode`.

use super::addend::{Addend, addend};
use crate::auth::{django_session as session, forward as asked, jwt};
use crate::broker::quota;
use crate::config::{AuthMode, Config, ForwardSettings, SessionEngine};

/// What is kept of those who come: by their limits, and by `auth.mode`.
pub(super) fn who_comes(config: &Config) -> Vec<Addend> {
    let scopes = quota::scopes_limited(config);
    #[rustfmt::skip]
    let addends = vec![
        addend("users, rooms … remembered for their limits", scopes * quota::REMEMBERED_MAX, quota::HOLDER_BYTES),
        addend("tokens that were verified", tokens(config), jwt::SEEN_BYTES),
    ];
    addends
}

/// What is kept of a question of `auth.forward` while its connection lives.
pub(super) fn question_bytes(forward: &ForwardSettings) -> usize {
    match forward.url {
        Some(_) if !forward.recheck.is_zero() => {
            forward.question_bytes.saturating_add(asked::QUESTION_BYTES)
        }
        _ => 0,
    }
}

/// What is kept of a session of a Django site while its connection lives.
pub(super) fn recheck_bytes(config: &Config) -> usize {
    let settings = &config.auth.django_session;
    let is_on = has_cached_sessions(config) && !settings.recheck.is_zero();
    if is_on { session::RECHECK_BYTES } else { 0 }
}

/// Are sessions of a Django site looked for in Redis?
fn has_cached_sessions(config: &Config) -> bool {
    config.auth.mode.contains(&AuthMode::DjangoSession)
        && config.auth.django_session.engine == SessionEngine::Cache
}

/// The site that is asked who somebody is.
pub(super) fn forward(forward: &ForwardSettings) -> Vec<Addend> {
    if forward.url.is_none() {
        return Vec::new();
    }
    let under_way = forward
        .question_bytes
        .saturating_add(forward.answer_bytes)
        .saturating_add(asked::QUESTION_BYTES + asked::EXCHANGE_BYTES);
    vec![
        addend(
            "forward: questions under way",
            forward.concurrency,
            under_way,
        ),
        addend(
            "forward: answers that are remembered",
            forward.cache_entries,
            asked::REMEMBERED_BYTES,
        ),
    ]
}

/// Sessions of a Django site, where they are looked for in Redis.
pub(super) fn django_sessions(config: &Config) -> Vec<Addend> {
    let settings = &config.auth.django_session;
    if !has_cached_sessions(config) {
        return Vec::new();
    }
    let bytes = settings.session_bytes.saturating_mul(session::READ_FACTOR);
    let found = bytes.saturating_add(session::LOOKUP_BYTES);
    #[rustfmt::skip]
    let addends = vec![
        addend("sessions that are looked for", settings.concurrency, found),
        addend("sessions that are remembered", settings.cache_entries, session::REMEMBERED_BYTES),
    ];
    addends
}

/// Tokens that are remembered, if there are any.
fn tokens(config: &Config) -> usize {
    let has_tokens = config.auth.mode.contains(&AuthMode::Jwt);
    if has_tokens { config.auth.jwt.cache } else { 0 }
}
