//! What types cannot say: ranges, and keys that contradict each other.
//!
//! An error stops the start (exit 64); a warning goes to the banner. Each names its key and the fix.
//! Pure: nothing is opened, resolved or measured here.

use super::problem::Findings;
use super::sections::Config;
use super::{
    admin, assistant, bridge, channels, chat, history, limits, log, origin, own_settings, route,
    server,
};

/// Checks a whole configuration.
#[must_use]
pub fn validate(config: &Config) -> Findings {
    let mut found = Findings::default();
    server::check(&config.server, &mut found);
    route::check(&config.routes, &mut found);
    origin::check(&config.origin, &mut found);
    chat::check(&config.chat, &config.limits, &mut found);
    let event_bytes = config.event_bytes(config.limits.message_bytes);
    let (queue, bridge) = (&config.queue, &config.bridge);
    limits::check(
        queue,
        &config.limits,
        &config.broker,
        event_bytes,
        &mut found,
    );
    history::check(&config.history, bridge.mode, queue, &mut found);
    bridge::check(bridge, &config.channels, event_bytes, &mut found);
    channels::check(&config.channels, &mut found);
    assistant::check(&config.assistant, &mut found);
    admin::check(&config.admin, config.server.listen, &mut found);
    log::check(&config.log, &mut found);
    config.consumers.check_ranges(&mut found);
    own_settings::check(config, &mut found);
    found
}
