//! The one table of setting keys: loader, documents, `supportal config` and the manual read it.

/// What a key's value is, in the words of its error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of at least zero.
    Count,
    /// `true` or `false`.
    Switch,
    /// Text.
    Text,
    /// Text that is never printed.
    Secret,
    /// Text such as `"60s"`.
    Duration,
    /// Text such as `"127.0.0.1:8000"`.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of texts that are never printed.
    Secrets,
    /// A list of addresses with passwords in them, printed without.
    Urls,
    /// A list of hosts, each an address as in `Urls` or in another form of channels_redis.
    Hosts,
    /// An array of tables whose entries have these fields.
    Tables(&'static [&'static str]),
}

impl Kind {
    /// The word for the kind in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "number",
            Self::Switch => "switch",
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Duration => "duration",
            Self::Address => "address",
            Self::Choice(_) => "choice",
            Self::List => "list",
            Self::Secrets => "secrets",
            Self::Urls => "addresses",
            Self::Hosts => "hosts",
            Self::Tables(_) => "tables",
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`, a section being one name or several with dots; only `routes` has none.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// One sentence: unit, meaning, what zero means.
    pub doc: &'static str,
}

impl Key {
    /// The section, empty for a key of the top level.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The key inside its section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn environment(&self) -> String {
        format!(
            "{ENVIRONMENT_PREFIX}{}",
            self.path.replace('.', "__").to_ascii_uppercase()
        )
    }
}

/// What the names of our environment variables begin with.
pub const ENVIRONMENT_PREFIX: &str = "SUPPORTAL_";

const fn key(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { path, kind, doc }
}

/// Sections in the order of the documents, each with its sentence.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "Which path is served by what."),
    ("server", "Listeners, threads and shutdown."),
    ("origin", "Which web pages may connect."),
    ("chat", "The chat contract."),
    ("queue", "What one subscriber's socket has not taken yet."),
    (
        "limits",
        "What one client, and all of them together, may use.",
    ),
    ("broker", "Rooms and the mailboxes between workers."),
    (
        "history",
        "What is kept of a room, in Redis: `bridge.mode = \"streams\"`.",
    ),
    ("bridge", "Other nodes, by way of Redis."),
    (
        "bridge.channels",
        "A Django site's channel layer; the first keys are those of CHANNEL_LAYERS' CONFIG in its settings.py.",
    ),
    ("assistant", "Who answers."),
    ("admin", "The operator's listener."),
    ("log", "What is logged, and how."),
];

/// Every key of [`Config`](super::Config), in the order of the documents.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("routes", Kind::Tables(&["path", "handler"]), "Paths and what serves them (`chat`, `echo` or `relay`); none = the guide's chat route."),

    key("server.listen", Kind::Address, "Address and port of the public listener; `PORT` in the environment changes the port."),
    key("server.workers", Kind::Count, "Data-plane threads, at most 64; 0 = one per core."),
    key("server.pin_workers", Kind::Switch, "Worker n stays on the n-th core this process may run on (Linux only; for machines of its own)."),
    key("server.control_threads", Kind::Count, "Control-plane threads: handshakes, pages, assistants."),
    key("server.backlog", Kind::Count, "Connections the kernel holds until they are accepted."),
    key("server.handshake_timeout", Kind::Duration, "Longest from accept, or from the first byte of a further request, to the end of the request's head."),
    key("server.http_timeout", Kind::Duration, "Longest from the end of a request's head until the client has taken the answer, if it is no WebSocket's."),
    key("server.keep_alive_timeout", Kind::Duration, "Longest a connection waits for another request after an answer, on both listeners."),
    key("server.ping_interval", Kind::Duration, "A ping goes to a connection that sent nothing for this long."),
    key("server.ping_timeout", Kind::Duration, "A connection that answers no ping within this time is closed, unless its socket still takes what waits for it."),
    key("server.drain_notice", Kind::Duration, "After SIGTERM new connections are still taken for this long, at most two thirds of the grace: load balancers notice `/ready` meanwhile."),
    key("server.drain_grace", Kind::Duration, "Longest from SIGTERM to exit, the notice included; closes are spread over what the notice leaves."),

    key("origin.allowed", Kind::List, "Pages that may connect, as in Django's ALLOWED_HOSTS (`example.com`, `.example.com`, `*`) and Channels' OriginValidator (`https://example.com:8443`, `capacitor://localhost`); an empty list = no check."),

    key("chat.dialect", Kind::Choice(&["guide", "django"]), "Wire dialect: `guide` (documented) or `django` (byte for byte what django_supportal 1.0.2 sends)."),
    key("chat.deliver", Kind::Choice(&["room", "sender"]), "Who receives a user's message: every member of the `room`, or only its `sender`."),
    key("chat.welcome", Kind::Switch, "One system frame on open says what was joined."),
    key("chat.text_bytes_max", Kind::Count, "Longest `message` in bytes of UTF-8; longer is answered with `Message too long`."),
    key("chat.exists", Kind::Tables(&["business_id", "sessions"]), "Dialect `django` only: businesses that exist and their sessions; no sessions = any."),

    key("queue.capacity", Kind::Count, "Most deliveries waiting for one subscriber."),
    key("queue.bytes_max", Kind::Count, "Most bytes of frames waiting for one subscriber."),
    key("queue.expiry", Kind::Duration, "A delivery older than this is dropped instead of written late."),
    key("queue.overflow", Kind::Choice(&["drop_newest", "drop_oldest", "disconnect"]), "What a full queue does: `drop_newest`, `drop_oldest` or `disconnect` (close code 4008)."),

    key("limits.connections", Kind::Count, "Most connections on this node; 0 = what the file-descriptor limit allows."),
    key("limits.connections_per_ip", Kind::Count, "Most connections from one address (IPv6: one /64); 0 = no limit."),
    key("limits.handshakes", Kind::Count, "Most handshakes in progress."),
    key("limits.handshakes_per_ip", Kind::Count, "Most handshakes in progress from one address (IPv6: one /64); 0 = no limit."),
    key("limits.kept_alive", Kind::Count, "Most connections kept open for another request after an answer; 0 = each answer closes its connection."),
    key("limits.header_bytes", Kind::Count, "Longest request head in bytes, at least 8192."),
    key("limits.headers", Kind::Count, "Most header fields in a request."),
    key("limits.uri_bytes", Kind::Count, "Longest request target in bytes."),
    key("limits.message_bytes", Kind::Count, "Longest message in bytes, its fragments together; longer closes with 1009."),
    key("limits.fragments", Kind::Count, "Most fragments in one message, empty ones included."),
    key("limits.message_timeout", Kind::Duration, "A message begun must be complete within this time."),
    key("limits.pings_per_second", Kind::Count, "Pings answered per second and connection; more closes with 1008."),
    key("limits.messages_per_second", Kind::Count, "Messages per second and connection, sustained; 0 = no limit."),
    key("limits.messages_burst", Kind::Count, "Messages a connection may send at once before the rate applies."),
    key("limits.bytes_per_second", Kind::Count, "Bytes read per second and connection, sustained; more stops reading for a while; 0 = no limit."),
    key("limits.refusals", Kind::Count, "Messages in a row refused for their rate before the connection is closed with 4429."),
    key("limits.send_buffer_bytes", Kind::Count, "Kernel send buffer of a socket in bytes."),
    key("limits.receive_buffer_bytes", Kind::Count, "Kernel receive buffer of a socket in bytes: what a client may send that is not read yet."),
    key("limits.unsent_bytes", Kind::Count, "Unsent bytes the kernel may hold per socket (TCP_NOTSENT_LOWAT)."),

    key("broker.spread_above", Kind::Count, "Members above which a room spreads over all workers."),
    key("broker.mailbox_capacity", Kind::Count, "Most publications waiting for one worker; a full mailbox stops the reading of its publishers."),
    key("broker.mailbox_bytes", Kind::Count, "Most bytes of publications waiting for one worker."),

    key("history.capacity", Kind::Count, "Most messages kept of a room."),
    key("history.bytes_max", Kind::Count, "Most bytes kept of a room, as Redis needs them: a quarter more than a message has, and 128; the newest is kept whatever its size."),
    key("history.expiry", Kind::Duration, "A message is kept for this long, and a room's history for this long after its last message."),

    key("bridge.mode", Kind::Choice(&["off", "pubsub", "streams"]), "How nodes speak to each other: `off` (one node alone), `pubsub` (publish and subscribe; what is lost on the way is counted) or `streams` (one order on all nodes; what was missed is read again)."),
    key("bridge.urls", Kind::Urls, "Redis deployments, as `redis://[[user]:password@][host][:port][/db]` (`rediss`: TLS; `-sentinel`, `-cluster`) or `unix:///path?db=0`; rooms are spread over them, so the same list in the same order on every node. `REDIS_URL` and `--redis-url` set one, and the mode to `pubsub` if none is named."),
    key("bridge.prefix", Kind::Text, "What every channel and key begins with; the same on every node that belongs together."),
    key("bridge.node", Kind::Text, "This node's name in logs and at Redis (CLIENT LIST); empty = `supportal`."),
    key("bridge.ca_file", Kind::Text, "File of PEM certificates that `rediss` trusts: authorities', or a server's own; unset = the system's."),
    key("bridge.client_cert", Kind::Text, "File of our own certificate (PEM), for a Redis that asks for one; with `client_key`."),
    key("bridge.client_key", Kind::Text, "File of that certificate's private key (PEM, not encrypted)."),
    key("bridge.required", Kind::Switch, "A node without Redis takes nobody new: `/ready` says 503 instead of degraded."),
    key("bridge.linger", Kind::Duration, "A room without members stays subscribed for this long."),
    key("bridge.confirm_timeout", Kind::Duration, "Longest a member's welcome waits for Redis to confirm the room's subscription."),
    key("bridge.outbox_capacity", Kind::Count, "Most publications on their way to one Redis; further ones stay on this node and are counted."),
    key("bridge.outbox_bytes", Kind::Count, "Most bytes of publications on their way to one Redis."),
    key("bridge.arrivals_capacity", Kind::Count, "Most publications from one Redis that wait for this node; those it throws away are counted as gaps."),
    key("bridge.command_timeout", Kind::Duration, "Redis must connect, answer, and bring back a canary within this time."),
    key("bridge.reconnect_max", Kind::Duration, "Longest pause between two attempts to connect to Redis."),
    key("bridge.order_timeout", Kind::Duration, "Longest a message waits for its place in the order of all nodes; then its room goes on alone (`streams`)."),

    key("bridge.channels.enabled", Kind::Switch, "Rooms are groups of a Django site: `group_send` to `chat_{business_id}_{session_id}` reaches the room's members."),
    key("bridge.channels.layer", Kind::Choice(&["core", "pubsub"]), "The site's `BACKEND`: `core` (RedisChannelLayer) or `pubsub` (RedisPubSubChannelLayer); the whole dotted name is understood too."),
    key("bridge.channels.hosts", Kind::Hosts, "The site's `hosts` in its order: URLs, `[host, port]`, or tables as channels_redis takes them."),
    key("bridge.channels.prefix", Kind::Text, "What every key of the site begins with."),
    key("bridge.channels.expiry", Kind::Duration, "A message that nobody took within this time is dropped; whole seconds, a bare number too."),
    key("bridge.channels.group_expiry", Kind::Duration, "A membership that is not renewed within this time ends; ours are renewed four times as often."),
    key("bridge.channels.capacity", Kind::Count, "Most messages waiting for one process; what does not fit is counted, and refused as the layer does."),
    key("bridge.channels.symmetric_encryption_keys", Kind::Secrets, "The first encrypts, all are tried; none = messages are not encrypted."),
    key("bridge.channels.random_prefix_length", Kind::Count, "Random bytes in front of each message (layer `core`)."),
    key("bridge.channels.serializer_format", Kind::Choice(&["msgpack", "json"]), "Form of a message: `msgpack` or `json`."),
    key("bridge.channels.deliver_types", Kind::List, "Types of events that the members of a room are shown."),
    key("bridge.channels.close_types", Kind::List, "Types of events that close a room's connections, with the event's `code` or 4500."),
    key("bridge.channels.full_error", Kind::Switch, "`send.error.message` shows the whole event, as the Python consumer does, instead of its text alone."),
    key("bridge.channels.send_to", Kind::Text, "Channel of a worker (`manage.py runworker NAME`) that gets every user's message (layer `core`); unset = none."),
    key("bridge.channels.send_to_group", Kind::Text, "Group that gets every user's message; never one of chat consumers; unset = none."),
    key("bridge.channels.send_type", Kind::Text, "The `type` of what is sent there: the consumer's method, with `_` for `.`."),
    key("bridge.channels.tell_full", Kind::Switch, "A user whose message was taken on and could not be sent there is told so by an error frame."),
    key("bridge.channels.receivers", Kind::Count, "Channels this node receives on, each with room for `capacity` messages (layer `core`)."),
    key("bridge.channels.message_bytes", Kind::Count, "Longest message in bytes that is read or written."),
    key("bridge.channels.channel_capacity", Kind::Tables(&["pattern", "regex", "capacity"]), "Other capacities by the channel's name, the first match counting: a shell `pattern`, or a `regex` for its beginning."),

    key("assistant.kind", Kind::Choice(&["none", "faq"]), "Who answers: `none` (nobody) or `faq` (a local knowledge file; works offline)."),
    key("assistant.knowledge", Kind::Text, "Knowledge file of `faq`; unset = the small one inside the binary."),
    key("assistant.timeout", Kind::Duration, "Longest a reply may take; then the guide's apology is sent."),
    key("assistant.prompts", Kind::Count, "Most prompts waiting or being answered on this node."),
    key("assistant.prompts_per_room", Kind::Count, "Most prompts waiting in one room, the one being answered not counted."),
    key("assistant.concurrency", Kind::Count, "Prompts answered at the same time on this node."),

    key("admin.listen", Kind::Address, "Address and port of the operator's listener."),
    key("admin.token", Kind::Secret, "Bearer token of the operator's listener; needed for any address but loopback. Prefer the environment to a file."),
    key("admin.hosts", Kind::List, "Names and addresses, without port, by which requests may call the operator's listener (`Host`); loopback's always may, and any address where it listens on more than loopback."),

    key("log.format", Kind::Choice(&["text", "json"]), "Log lines for people (`text`) or one object a line (`json`), on standard error."),
    key("log.level", Kind::Text, "Levels per module, as in `info,supportal::worker=debug` (off error warn info debug trace)."),
];

/// The key with this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The known key an unknown one was probably meant to be.
///
/// The same name in another section is taken first: a key under the wrong heading is the usual slip.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let moved = KEYS.iter().find(|key| key.name() == name);
    moved
        .map(|key| key.path)
        .or_else(|| nearest_of(path, KEYS.iter().map(|key| key.path)))
}

/// The word of `known` that looks most like `word`, if any looks like it at all.
pub(super) fn nearest_of(
    word: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    known
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Secret};
    use super::*;
    use std::collections::BTreeSet;

    fn paths_of(config: &Config) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        collect("", &toml::Table::try_from(config).unwrap(), &mut paths);
        paths
    }

    fn collect(section: &str, table: &toml::Table, paths: &mut BTreeSet<String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(keys) => collect(&format!("{section}{name}."), keys, paths),
                _ => {
                    paths.insert(format!("{section}{name}"));
                }
            }
        }
    }

    #[test]
    fn the_table_lists_exactly_the_keys_of_the_settings() {
        let mut config = Config::default();
        // Unset values are not serialised.
        config.assistant.knowledge = Some("faq.toml".into());
        config.bridge.ca_file = Some("ca.pem".into());
        config.bridge.client_cert = Some("cert.pem".into());
        config.bridge.client_key = Some("key.pem".into());
        config.bridge.channels.send_to = Some("a".to_owned());
        config.bridge.channels.send_to_group = Some("a".to_owned());
        config.admin.token = Some(Secret::new("x"));
        let listed: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
        assert_eq!(listed, paths_of(&config));
        assert_eq!(listed.len(), KEYS.len(), "a key is listed twice");
    }

    #[test]
    fn every_section_has_a_sentence_and_keys() {
        let sections: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        let mut seen: Vec<&str> = KEYS.iter().map(Key::section).collect();
        seen.dedup();
        assert_eq!(sections, seen);
    }

    #[test]
    fn the_nearest_key_is_a_sensible_one() {
        assert_eq!(nearest("queue.capasity"), Some("queue.capacity"));
        assert_eq!(nearest("server.capacity"), Some("queue.capacity"));
        assert_eq!(nearest("zzz"), None);
    }
}
