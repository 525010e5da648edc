//! What types cannot say: ranges, and keys that contradict each other.
//!
//! An error stops the start (exit 64); a warning goes to the banner. Each names its key and the fix.
//! Pure: nothing is opened, resolved or measured here.

use super::problem::Findings;
use super::sections::Config;
use super::{
    admin, api, assistant, auth, channels, chat, cors, http, log, origin, own_settings, proxy,
    redirect, retrieval, route, server, tls, vet,
};

/// Checks a whole configuration.
#[must_use]
pub fn validate(config: &Config) -> Findings {
    let mut found = Findings::default();
    server::check(&config.server, &mut found);
    tls::check(&config.tls, &mut found);
    proxy::check(&config.proxy, &mut found);
    http::check(&config.http, &mut found);
    redirect::check(config, &mut found);
    cors::check(&config.http.cors, &mut found);
    route::check(&config.routes, config.chat.dialect, &mut found);
    origin::check(&config.origin, &mut found);
    auth::check(&config.auth, &mut found);
    chat::check(&config.chat, &config.limits, &mut found);
    let event_bytes = config.event_bytes(config.limits.message_bytes);
    vet::check(&config.vet, config.chat.vet, event_bytes, &mut found);
    own_settings::check_bounds(config, &mut found);
    channels::check(&config.channels, &mut found);
    let has_token = config.api.token.is_some();
    assistant::check(&config.assistant, &config.chat, has_token, &mut found);
    retrieval::check(&config.retrieval, &config.assistant, &mut found);
    admin::check(&config.admin, config.server.listen, &mut found);
    let others = [
        ("server.listen", config.server.listen),
        ("admin.listen", config.admin.listen),
    ];
    let text_bytes_max = config.chat.text_bytes_max;
    api::check(&config.api, others, text_bytes_max, &mut found);
    log::check(&config.log, &mut found);
    config.consumers.check_ranges(&mut found);
    own_settings::check(config, &mut found);
    found
}
