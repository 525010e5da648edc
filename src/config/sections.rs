//! All sections together.

use super::admin::Admin;
use super::assistant::Assistant;
use super::bridge::Bridge;
use super::channels::Channels;
use super::chat::{Chat, Dialect};
use super::history::History;
use super::key::SectionKeys;
use super::limits::{Broker, Limits, Queue};
use super::log::Log;
use super::origin::Origin;
use super::route::{CHAT_PATH, Handler, ROUTES, Route};
use super::server::Server;
use serde::{Deserialize, Serialize};

/// A frame's header, the other fields of its JSON and the spare of a cut-off tail.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// The parts of a configuration, in the order of the documents.
macro_rules! sections {
    ($($name:ident: $section:ident,)+) => {
        /// All settings of one node.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            /// Which path is served by what.
            pub routes: Vec<Route>,
            $(
                #[doc = concat!("`[", stringify!($name), "]`.")]
                pub $name: $section,
            )+
        }

        /// Every section with its keys, that of the top level first.
        pub(crate) const SECTIONS: &[SectionKeys] = &[ROUTES, $($section::SECTION),+];
    };
}

sections! {
    server: Server,
    origin: Origin,
    chat: Chat,
    queue: Queue,
    limits: Limits,
    broker: Broker,
    history: History,
    bridge: Bridge,
    channels: Channels,
    assistant: Assistant,
    admin: Admin,
    log: Log,
}

impl Config {
    /// The routes that are served: those configured, or the guide's chat route.
    #[must_use]
    pub fn routes_or_default(&self) -> Vec<Route> {
        if self.routes.is_empty() {
            vec![Route {
                path: CHAT_PATH.to_owned(),
                handler: Handler::Chat,
            }]
        } else {
            self.routes.clone()
        }
    }

    /// Most bytes of the event that one message becomes.
    pub(crate) fn event_bytes(&self) -> usize {
        // Python's ASCII escapes write a character of two bytes as six, and one of four as twelve.
        let growth = match self.chat.dialect {
            Dialect::Guide => 1,
            Dialect::Django => 3,
        };
        let bytes = self.limits.message_bytes.saturating_mul(growth);
        bytes.saturating_add(EVENT_OVERHEAD_BYTES)
    }
}
