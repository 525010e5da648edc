//! `[limits.user]`, `[limits.business]`, `[limits.room]`, `[limits.address]`, `[limits.node]`: what the connections of one
//! user, one business … may use together. Zero is no limit, and costs nothing.

use super::setting::section;

/// Declares the section of a scope whose connections are counted here.
macro_rules! quota {
    ($sentence:literal [$section:literal] $type:ident $(, connections $most:literal)?) => {
        section! {
            #[doc = $sentence]
            [$section] $type {
                $(
                #[doc = $most]
                connections: u32 = 0, live;
                )?
                /// Handshakes per second, sustained; more get 429, or 503 for the whole node; 0 = no limit.
                handshakes_per_second: u32 = 0, live;
                /// Handshakes at once before the rate applies.
                handshakes_burst: u32 = 100, live, in 1..;
                /// Messages per second, sustained; more are answered `Too many messages`; 0 = no limit.
                messages_per_second: u32 = 0, live;
                /// Messages at once before the rate applies.
                messages_burst: u32 = 100, live, in 1..;
                /// Bytes of messages per second, sustained; more are answered `Too many messages`; 0 = no limit.
                bytes_per_second: u32 = 0, live;
                /// Bytes of messages at once before the rate applies.
                bytes_burst: u32 = 1024 * 1024, live, in 1..;
            }
        }

        impl From<&$type> for QuotaLimits {
            fn from(quota: &$type) -> Self {
                Self {
                    connections: 0 $(+ { let _: &str = $most; quota.connections })?,
                    handshakes: (quota.handshakes_per_second, quota.handshakes_burst),
                    messages: (quota.messages_per_second, quota.messages_burst),
                    bytes: (quota.bytes_per_second, quota.bytes_burst),
                }
            }
        }
    };
}

quota! {
    " What all connections of one user may use together, where `auth.mode` tells users apart."
    ["limits.user"] UserQuota, connections " Most connections of one user; more get 429; 0 = no limit."
}

quota! {
    " What all connections of one business may use together."
    ["limits.business"] BusinessQuota, connections " Most connections of one business; more get 429; 0 = no limit."
}

quota! {
    " What all connections of one room may use together."
    ["limits.room"] RoomQuota, connections " Most connections of one room; more get 429; 0 = no limit."
}

quota! {
    " What all connections of one address (IPv6: one /64) may use together; how many there may be is `limits.connections_per_ip`."
    ["limits.address"] AddressQuota
}

quota! {
    " What all connections of this node may use together; how many there may be is `limits.connections`."
    ["limits.node"] NodeQuota
}

/// What the connections of one scope may use together; a rate is what may be used in a second, and at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Connections; 0 = no limit.
    pub connections: u32,
    /// Handshakes.
    pub handshakes: (u32, u32),
    /// Messages.
    pub messages: (u32, u32),
    /// Bytes of messages.
    pub bytes: (u32, u32),
}

impl QuotaLimits {
    /// Is nothing limited?
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.connections == 0 && self.handshakes.0 == 0 && self.messages.0 == 0 && self.bytes.0 == 0
    }
}
