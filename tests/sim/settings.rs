//! The configuration of a simulation, from its seed.

use crate::sim::seed::Choices;
use std::time::Duration;
use supportal::config::{AssistantKind, Config, Deliver, Dialect, Overflow};

/// A configuration, and whether it leaves room for everything: then nothing may be dropped while a client is there.
pub fn draw(choices: &mut Choices) -> (Config, bool) {
    let mut config = Config::default();
    let is_roomy = choices.once_in(3);
    config.assistant.kind = AssistantKind::None;
    config.assistant.timeout = Duration::from_secs(*choices.pick(&[1, 5]));
    config.assistant.prompts = *choices.pick(&[2, 1024]);
    config.assistant.concurrency = *choices.pick(&[1, 64]);
    config.chat.dialect = *choices.pick(&[Dialect::Guide, Dialect::Guide, Dialect::Django]);
    config.chat.deliver = *choices.pick(&[Deliver::Room, Deliver::Room, Deliver::Sender]);
    config.chat.welcome = choices.percent(50);
    config.queue.overflow = *choices.pick(&[
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Disconnect,
    ]);
    config.limits.message_bytes = *choices.pick(&[2_000, 65_536]);
    config.chat.text_bytes_max = *choices.pick(&[1_000, 2_000]);
    config.broker.spread_above = *choices.pick(&[1, 3, 256]);
    config.broker.mailbox_capacity = *choices.pick(&[1, 4, 64, 8_192]);
    config.limits.messages_per_second = 0;
    config.limits.bytes_per_second = 0;
    config.limits.pings_per_second = 1_000;
    config.server.ping_interval = Duration::from_secs(*choices.pick(&[25, 25, 60]));
    if is_roomy {
        config.queue.capacity = 100_000;
        config.queue.bytes_max = 1 << 28;
        config.queue.expiry = Duration::from_secs(86_400);
        return (config, true);
    }
    config.queue.capacity = *choices.pick(&[1, 3, 20, 100]);
    config.queue.bytes_max = config.limits.message_bytes * *choices.pick(&[3, 30]) + 512;
    let expiry = *choices.pick(&[5, 300, 2_000, 60_000]);
    config.queue.expiry = Duration::from_millis(expiry);
    config.limits.pings_per_second = *choices.pick(&[1, 20]);
    config.limits.messages_per_second = *choices.pick(&[0, 0, 5]);
    config.limits.messages_burst = *choices.pick(&[1, 20]);
    config.limits.refusals = *choices.pick(&[2, 100]);
    config.limits.bytes_per_second = *choices.pick(&[0, 0, 20_000]);
    config.limits.message_timeout = Duration::from_secs(*choices.pick(&[1, 30]));
    config.server.ping_timeout = Duration::from_secs(*choices.pick(&[1, 8]));
    (config, false)
}
