//! Typed settings: every key, its unit, its default and what it limits.
//!
//! Who reads what: `load` merges defaults, file, environment and flags; `validate` checks what types
//! cannot say; everything above this floor receives a finished [`Config`]. Nothing else in the crate
//! reads the environment.

mod admin;
mod assistant;
pub mod bridge;
pub mod channels;
mod chat;
pub mod document;
mod environment;
mod file;
pub mod history;
pub mod keys;
mod limits;
pub mod load;
mod log;
pub mod origin;
pub mod problem;
pub mod redis;
mod server;
mod setting;
pub mod units;
pub mod validate;
mod value;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use assistant::{Assistant, AssistantKind};
pub use bridge::{Bridge, BridgeMode};
pub use channels::Channels;
pub use chat::{Chat, Deliver, Dialect, Exists};
pub use history::History;
use keys::{Applies, Key, Kind, SectionKeys};
pub use limits::{Broker, Limits, Overflow, OwnConsumers, Queue};
pub use log::{Log, LogFormat};
pub use origin::Origin;
use serde::{Deserialize, Serialize};
pub use server::{Server, WORKERS_MAX};
use std::collections::BTreeMap;

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
    consumers: OwnConsumers,
    assistant: Assistant,
    admin: Admin,
    log: Log,
}

/// The one key that is in no section.
const ROUTES: SectionKeys = SectionKeys {
    name: "",
    doc: "Which path is served by what.",
    keys: &[Key {
        path: "routes",
        kind: Kind::Tables(&["path", "handler", "queue", "limits"]),
        change: Applies::Restart,
        per_route: false,
        doc: "Paths and what serves them (`chat`, `echo` or `relay`); none = the guide's chat route. A route may have keys \
              of `queue` and `limits` of its own, such as `queue.capacity = 500`: those marked `route`.",
    }],
};

/// Most routes with settings of their own: a connection keeps the number of its route's in one byte.
pub const OWN_SETTINGS_MAX: usize = 255;

/// One entry of `[[routes]]`. Without any, the chat route of the guide is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path with `{business_id}` and `{session_id}` as whole segments; compared exactly.
    pub path: String,
    /// What serves it.
    pub handler: Handler,
    /// Keys of `[queue]` that this route has of its own.
    #[serde(default, skip_serializing_if = "OwnKeys::is_empty")]
    pub queue: OwnKeys,
    /// Keys of `[limits]` that this route has of its own.
    #[serde(default, skip_serializing_if = "OwnKeys::is_empty")]
    pub limits: OwnKeys,
}

/// Keys of one section, by name, that a route has of its own.
pub type OwnKeys = BTreeMap<String, Plain>;

/// A value as a file has it, of a kind that a route may have of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Plain {
    /// A number.
    Number(u32),
    /// A duration or a choice.
    Text(String),
}

/// What serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// The chat contract; the path must name `{business_id}` and `{session_id}`.
    Chat,
    /// Sends every message back as it came, text and binary (conformance suites).
    Echo,
    /// Sends every message of a member to all members of the room as it came, text and binary.
    Relay,
}

/// The chat route of the guide, served when `[[routes]]` names none.
pub const CHAT_PATH: &str = "/ws/chat/{business_id}/{session_id}/";

impl Route {
    /// A route with the settings of the node.
    #[must_use]
    pub fn new(path: impl Into<String>, handler: Handler) -> Self {
        Self {
            path: path.into(),
            handler,
            queue: OwnKeys::new(),
            limits: OwnKeys::new(),
        }
    }

    /// Does it have settings of its own?
    #[must_use]
    pub fn has_own_settings(&self) -> bool {
        !self.queue.is_empty() || !self.limits.is_empty()
    }
}

impl Config {
    /// The routes that are served: those configured, or the guide's chat route.
    #[must_use]
    pub fn routes_or_default(&self) -> Vec<Route> {
        if self.routes.is_empty() {
            vec![Route::new(CHAT_PATH, Handler::Chat)]
        } else {
            self.routes.clone()
        }
    }
}

/// A value that never reaches a log, an error or `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for comparison or for sending, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}
