//! `[queue]`, `[limits]` and `[broker]`: what one client, and all of them together, may use, and what those
//! bounds may be.

use super::memory::{self, MemoryLimit};
use super::problem::Findings;
use super::quota::{AddressQuota, BusinessQuota, NodeQuota, RoomQuota, UserQuota};
use super::setting::{
    BYTES_MAX, CAPACITY_MAX, Ranged, WAIT, check_least, choice, seconds, section,
};
use super::units;
use std::time::Duration;

/// hyper refuses to read with a smaller buffer.
const HEADER_BYTES_MIN: usize = 8192;
/// What a browser's upgrade request is known to need, with a proxy's additions.
const HEADERS_MIN: usize = 16;
/// Room for the guide's path with its longest ids: 9 + 18 + 1 + 64 + 1, percent-encoded threefold.
const URI_BYTES_MIN: usize = 256;
/// The kernel rounds `SO_SNDBUF` and `SO_RCVBUF` up to about this (tcp(7)).
const SOCKET_BUFFER_BYTES_MIN: usize = 4608;
/// Counted in 16 bits for each connection.
const REFUSALS_MAX: u32 = u16::MAX as u32;
section! {
    /// What one subscriber's socket has not taken yet.
    ["queue"] QueueSettings {
        /// Most deliveries waiting for one subscriber.
        capacity: usize = 100, live per route, in 1..=CAPACITY_MAX;
        /// Most bytes of frames waiting for one subscriber.
        bytes_max: usize = 256 * 1024, live per route, in ..=BYTES_MAX;
        /// A delivery older than this is dropped instead of written late.
        #[serde(with = "units::duration")]
        expiry: Duration = seconds(60), live per route, in WAIT;
        /// What a full queue does: `drop_newest`, `drop_oldest` or `disconnect` (close code 4008).
        overflow: Overflow = Overflow::DropNewest, live per route;
    }
}

choice! {
    /// What a full queue does.
    Overflow {
        /// The delivery that does not fit is dropped (Channels' rule).
        DropNewest = "drop_newest",
        /// The oldest deliveries make room.
        DropOldest = "drop_oldest",
        /// The slow reader's connection is closed with 4008.
        Disconnect = "disconnect",
    }
}

section! {
    /// What one client, and all of them together, may use.
    ["limits"] LimitSettings {
        /// Most connections on this node; 0 = what the file-descriptor limit allows.
        connections: usize = 0, live;
        /// Most connections from one address (IPv6: one /64); 0 = no limit.
        connections_per_ip: usize = 1000, live;
        /// Bytes of memory to stay under; "auto" = three quarters of the container's, or else of the machine's; 0 = no limit.
        memory: MemoryLimit = MemoryLimit::Auto, live;
        /// Most handshakes in progress; fewer if the file-descriptor limit is low. A sixteenth of them is kept for the listener of redirects and the Unix socket, if there are such.
        handshakes: usize = 4096, live, in 1..;
        /// Most handshakes in progress from one address (IPv6: one /64); 0 = no limit.
        handshakes_per_ip: usize = 1024, live;
        /// Most connections kept open for another request after an answer, fewer if the file-descriptor limit is low; 0 = each answer closes its connection.
        kept_alive: usize = 1024, restart;
        /// Longest request head in bytes, at least 8192.
        header_bytes: usize = 16 * 1024, restart, in HEADER_BYTES_MIN..=BYTES_MAX;
        /// Most header fields in a request.
        headers: usize = 64, restart, in HEADERS_MIN..;
        /// Longest request target in bytes.
        uri_bytes: usize = 8192, restart, in URI_BYTES_MIN..;
        /// Longest message in bytes, its fragments together; longer closes with 1009.
        message_bytes: usize = 64 * 1024, restart per route, in 1..=BYTES_MAX;
        /// Most fragments in one message, empty ones included.
        fragments: usize = 128, restart per route, in 1..;
        /// A message begun must be complete within this time.
        #[serde(with = "units::duration")]
        message_timeout: Duration = seconds(30), live per route, in WAIT;
        /// Pings answered per second and connection; more closes with 1008.
        pings_per_second: u32 = 20, live per route, in 1..;
        /// Messages per second and connection, sustained; 0 = no limit.
        messages_per_second: u32 = 20, live per route;
        /// Messages a connection may send at once before the rate applies.
        messages_burst: u32 = 100, live per route;
        /// Bytes read per second and connection, sustained, over TLS with those of its records; more stops reading for a while; 0 = no limit.
        bytes_per_second: u32 = 1024 * 1024, live per route;
        /// Messages in a row refused for their rate before the connection is closed with 4429.
        refusals: u32 = 100, live per route, in 1..=REFUSALS_MAX;
        /// Kernel send buffer of a socket in bytes.
        send_buffer_bytes: usize = 64 * 1024, restart, in SOCKET_BUFFER_BYTES_MIN..=BYTES_MAX;
        /// Kernel receive buffer of a socket in bytes: what a client may send that is not read yet.
        receive_buffer_bytes: usize = 64 * 1024, restart, in SOCKET_BUFFER_BYTES_MIN..=BYTES_MAX;
        /// Unsent bytes the kernel may hold per socket (TCP_NOTSENT_LOWAT).
        unsent_bytes: u32 = 16 * 1024, restart, in 1..;
    }
    /// Of one user.
    user: UserQuota,
    /// Of one business.
    business: BusinessQuota,
    /// Of one room.
    room: RoomQuota,
    /// Of one address.
    address: AddressQuota,
    /// Of the node.
    node: NodeQuota,
}

section! {
    /// Rooms and the mailboxes between workers.
    ["broker"] BrokerSettings {
        /// Members above which a room spreads over all workers.
        spread_above: usize = 256, restart, in 1..;
        /// Most publications waiting for one worker; a full mailbox stops the reading of its publishers.
        mailbox_capacity: usize = 8192, restart, in 1..=CAPACITY_MAX;
        /// Most bytes of publications waiting for one worker.
        mailbox_bytes: usize = 16 * 1024 * 1024, restart, in ..=BYTES_MAX;
    }
}

/// Messages that wait for one task; above this it is no task that keeps up.
const INBOX_MAX: usize = 4096;

section! {
    /// Consumers of a program's own: the library's routes.
    ["consumers"] ConsumerSettings {
        /// Most messages of one connection that wait for its task; while as many wait, it is not read from.
        inbox: usize = 16, restart, in 1..=INBOX_MAX;
        /// Longest until a task takes or says something, or its connection ends with 1011, and longest that a task goes on without its connection before it is dropped; an in-line consumer that has not returned by then is logged, and `/ready` says no until it has.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(5), restart, in WAIT;
        /// Longest that a task takes nothing while its connection is not read from for that reason, or that ends with 1011.
        #[serde(with = "units::duration")]
        held_timeout: Duration = seconds(60), restart, in WAIT;
    }
}

/// Ranges, and keys that contradict each other.
/// The event of the longest message has `event_bytes`.
pub(super) fn check(
    queue: &QueueSettings,
    limits: &LimitSettings,
    broker: &BrokerSettings,
    event_bytes: usize,
    found: &mut Findings,
) {
    queue.check_ranges(found);
    limits.check_ranges(found);
    broker.check_ranges(found);
    // Each queue must hold the event of the longest message, or that message reaches nobody, ever.
    let queues = [
        ("queue.bytes_max", queue.bytes_max),
        ("broker.mailbox_bytes", broker.mailbox_bytes),
    ];
    let why = " for the event of the longest message";
    let instead = ", or lower limits.message_bytes";
    check_least(&queues, event_bytes, (why, instead), found);
    if limits.messages_per_second > 0 {
        let key = "limits.messages_burst";
        limits.messages_burst.check(1.., key, found);
    }
    let (least, most) = (memory::LEAST, memory::MOST);
    match limits.memory {
        MemoryLimit::Bytes(bytes) if bytes < least => found.error(
            "limits.memory",
            format!("{bytes} is too small: a node needs some for itself"),
            format!("write at least {least}, 0 for no limit, or \"auto\""),
        ),
        MemoryLimit::Bytes(bytes) if bytes > most => found.error(
            "limits.memory",
            format!("{bytes} is too large"),
            format!("write at most {most}, 0 for no limit, or \"auto\""),
        ),
        MemoryLimit::Auto | MemoryLimit::Off | MemoryLimit::Bytes(_) => {}
    }
    if limits.uri_bytes > limits.header_bytes {
        let what = "is above limits.header_bytes: no request that long arrives whole";
        found.error(
            "limits.uri_bytes",
            what,
            "lower it, or raise limits.header_bytes",
        );
    }
    let readable = u128::from(limits.bytes_per_second) * limits.message_timeout.as_millis() / 1000;
    if limits.bytes_per_second > 0 && readable < limits.message_bytes as u128 {
        let what = "is so low that a message of full length may miss limits.message_timeout";
        let fix = "raise it or limits.message_timeout, or lower limits.message_bytes";
        found.warn("limits.bytes_per_second", what, fix);
    }
    if limits.unsent_bytes as usize > limits.send_buffer_bytes {
        let what = "is above limits.send_buffer_bytes and has no effect";
        found.warn(
            "limits.unsent_bytes",
            what,
            "write at most limits.send_buffer_bytes",
        );
    }
}
