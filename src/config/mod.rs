//! Typed settings: every key, its unit, its default and what it limits.
//!
//! Who reads what: `load` merges defaults, file, environment and flags; `validate` checks what types
//! cannot say; everything above this floor receives a finished [`Config`]. Nothing else in the crate
//! reads the environment.

mod admin;
pub mod banner;
pub mod bridge;
pub mod budget;
pub mod channels;
pub mod document;
mod environment;
mod file;
pub mod history;
pub mod keys;
mod level;
pub mod load;
mod machine;
pub mod origin;
pub mod problem;
pub mod redis;
pub mod units;
pub mod validate;
mod value;

#[cfg(test)]
mod tests;

pub use admin::{ADMIN_CONNECTIONS, Admin};
pub use bridge::{Bridge, BridgeMode};
pub use history::History;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listeners, threads and shutdown.
    pub server: Server,
    /// Which path is served by what.
    pub routes: Vec<Route>,
    /// Which web pages may connect.
    pub origin: Origin,
    /// The chat contract.
    pub chat: Chat,
    /// What one subscriber may have waiting.
    pub queue: Queue,
    /// What one client, and all of them together, may use.
    pub limits: Limits,
    /// Rooms and the mailboxes between workers.
    pub broker: Broker,
    /// What is kept of a room.
    pub history: History,
    /// Other nodes, by way of Redis.
    pub bridge: Bridge,
    /// Who answers.
    pub assistant: Assistant,
    /// The operator's listener.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address of the public listener.
    pub listen: SocketAddr,
    /// Data-plane threads; 0 = one per core.
    pub workers: usize,
    /// Worker n stays on the n-th core this process may run on (Linux).
    pub pin_workers: bool,
    /// Control-plane threads (handshakes, pages, assistants).
    pub control_threads: usize,
    /// Pending connections the kernel holds for us.
    pub backlog: u32,
    /// Longest from accept, or the first byte of a further request, to the end of the request's head.
    #[serde(with = "units::duration")]
    pub handshake_timeout: Duration,
    /// Longest from the end of a request's head until the peer has taken the answer, if it is no WebSocket's.
    #[serde(with = "units::duration")]
    pub http_timeout: Duration,
    /// Longest a connection waits for another request after an answer, on both listeners.
    #[serde(with = "units::duration")]
    pub keep_alive_timeout: Duration,
    /// A ping goes to a connection that sent nothing for this long.
    #[serde(with = "units::duration")]
    pub ping_interval: Duration,
    /// A connection that answers no ping within this time is closed.
    #[serde(with = "units::duration")]
    pub ping_timeout: Duration,
    /// After SIGTERM new connections are still taken for this long.
    #[serde(with = "units::duration")]
    pub drain_notice: Duration,
    /// Longest from SIGTERM to exit, the notice included; closes are spread over it.
    #[serde(with = "units::duration")]
    pub drain_grace: Duration,
}

impl Server {
    /// The notice a drain really gives: of a grace that is short, at most two thirds, so that the
    /// closes have the rest.
    #[must_use]
    pub fn notice(&self) -> Duration {
        self.drain_notice.min(self.drain_grace * 2 / 3)
    }

    /// Is the notice one that may be written beside this grace? The default gives way to any.
    pub(crate) fn is_notice_within_grace(&self) -> bool {
        self.drain_notice <= self.drain_grace || self.drain_notice == Self::default().drain_notice
    }

    /// Does somebody wait for a notice that this grace does not give?
    pub(crate) fn is_notice_cut(&self) -> bool {
        self.notice() < self.drain_notice && self.drain_notice != Self::default().drain_notice
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            workers: 0,
            pin_workers: false,
            control_threads: 1,
            backlog: 4096,
            handshake_timeout: Duration::from_secs(5),
            http_timeout: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(8),
            drain_notice: Duration::from_secs(3),
            drain_grace: Duration::from_secs(10),
        }
    }
}

/// One entry of `[[routes]]`. Without any, the chat route of the guide is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path with `{business_id}` and `{session_id}` as whole segments; compared exactly.
    pub path: String,
    /// What serves it.
    pub handler: Handler,
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
}

/// `[origin]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// Django's `ALLOWED_HOSTS` semantics; empty = no check (as the guide's base set-up).
    pub allowed: Vec<String>,
}

/// `[chat]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chat {
    /// Wire dialect.
    pub dialect: Dialect,
    /// Who receives a user's message.
    pub deliver: Deliver,
    /// One system frame on open says what was joined.
    pub welcome: bool,
    /// Longest `message` in bytes of UTF-8; longer is answered with `Message too long`.
    pub text_bytes_max: usize,
    /// Dialect `django` only: the businesses and sessions that exist.
    pub exists: Vec<Exists>,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            dialect: Dialect::Guide,
            deliver: Deliver::Room,
            welcome: true,
            text_bytes_max: 32 * 1024,
            exists: Vec::new(),
        }
    }
}

/// Wire dialect of the chat route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// What the site's guide documents.
    Guide,
    /// Byte for byte what `django_supportal` 1.0.2 sends.
    Django,
}

/// Who receives a user's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deliver {
    /// Every member of the room, the sender included.
    Room,
    /// Only the sender, as the Python package does.
    Sender,
}

/// One business of `[[chat.exists]]` and its sessions (dialect `django`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exists {
    /// The business's id.
    pub business_id: u64,
    /// Its sessions, exactly as in the decoded path; empty = any session.
    #[serde(default)]
    pub sessions: Vec<String>,
}

/// `[queue]`: what one subscriber's socket has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Most deliveries (Channels' `capacity`).
    pub capacity: usize,
    /// Most bytes of frames.
    pub bytes_max: usize,
    /// A delivery older than this is dropped instead of written late (Channels' `expiry`).
    #[serde(with = "units::duration")]
    pub expiry: Duration,
    /// What a full queue does.
    pub overflow: Overflow,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            capacity: 100,
            bytes_max: 256 * 1024,
            expiry: Duration::from_secs(60),
            overflow: Overflow::DropNewest,
        }
    }
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The delivery that does not fit is dropped (Channels' rule).
    DropNewest,
    /// The oldest deliveries make room.
    DropOldest,
    /// The slow reader's connection is closed with 4008.
    Disconnect,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most connections on this node; 0 = what the file-descriptor limit allows.
    pub connections: usize,
    /// Most connections from one address (IPv6: one /64); 0 = no limit.
    pub connections_per_ip: usize,
    /// Most handshakes in progress.
    pub handshakes: usize,
    /// Most handshakes in progress from one address (IPv6: one /64); 0 = no limit.
    pub handshakes_per_ip: usize,
    /// Most connections kept open for another request after an answer; 0 = each answer closes its connection.
    pub kept_alive: usize,
    /// Longest request head in bytes.
    pub header_bytes: usize,
    /// Most header fields in a request.
    pub headers: usize,
    /// Longest request target in bytes.
    pub uri_bytes: usize,
    /// Longest message in bytes, fragments together.
    pub message_bytes: usize,
    /// Most fragments in one message, empty ones included.
    pub fragments: usize,
    /// A message begun must be complete within this time.
    #[serde(with = "units::duration")]
    pub message_timeout: Duration,
    /// Pings answered per second and connection; more closes it with 1008.
    pub pings_per_second: u32,
    /// Messages per second and connection, sustained; 0 = no limit.
    pub messages_per_second: u32,
    /// Messages a connection may send at once before the rate applies.
    pub messages_burst: u32,
    /// Bytes read per second and connection, sustained; more stops reading for a while; 0 = no limit.
    pub bytes_per_second: u32,
    /// Messages in a row refused for their rate before the connection is closed with 4429.
    pub refusals: u32,
    /// Kernel send buffer of a socket in bytes.
    pub send_buffer_bytes: usize,
    /// Kernel receive buffer of a socket in bytes: what a client may send that is not read yet.
    pub receive_buffer_bytes: usize,
    /// Unsent bytes the kernel may hold per socket (`TCP_NOTSENT_LOWAT`).
    pub unsent_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 0,
            connections_per_ip: 1000,
            handshakes: 4096,
            handshakes_per_ip: 1024,
            kept_alive: 1024,
            header_bytes: 16 * 1024,
            headers: 64,
            uri_bytes: 8192,
            message_bytes: 64 * 1024,
            fragments: 128,
            message_timeout: Duration::from_secs(30),
            pings_per_second: 20,
            messages_per_second: 20,
            messages_burst: 100,
            bytes_per_second: 1024 * 1024,
            refusals: 100,
            send_buffer_bytes: 64 * 1024,
            receive_buffer_bytes: 64 * 1024,
            unsent_bytes: 16 * 1024,
        }
    }
}

/// `[broker]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Members above which a room spreads over all workers.
    pub spread_above: usize,
    /// Most publications waiting for one worker; a full mailbox stops the reading of its publishers.
    pub mailbox_capacity: usize,
    /// Most bytes of publications waiting for one worker.
    pub mailbox_bytes: usize,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            spread_above: 256,
            mailbox_capacity: 8192,
            mailbox_bytes: 16 * 1024 * 1024,
        }
    }
}

/// `[assistant]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assistant {
    /// Who answers.
    pub kind: AssistantKind,
    /// Knowledge file of `faq`; empty = the small one inside the binary.
    pub knowledge: Option<PathBuf>,
    /// Longest a reply may take; then the guide's apology is sent.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// Most prompts waiting or being answered on this node.
    pub prompts: usize,
    /// Most prompts waiting in one room, the one being answered not counted.
    pub prompts_per_room: usize,
    /// Prompts answered at the same time on this node.
    pub concurrency: usize,
}

impl Default for Assistant {
    fn default() -> Self {
        Self {
            kind: AssistantKind::Faq,
            knowledge: None,
            timeout: Duration::from_secs(30),
            prompts: 1024,
            prompts_per_room: 8,
            concurrency: 64,
        }
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssistantKind {
    /// Nobody.
    None,
    /// A local knowledge file, ranked; works offline.
    Faq,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// Levels per module, as in `info,supportal::worker=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
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
