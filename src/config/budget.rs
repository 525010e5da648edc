//! Worst-case memory: every bound of a configuration, summed.
//!
//! An upper bound, not a forecast: it is what clients that do their worst can make the node hold. An
//! idle connection costs its slot and nothing else. The kernel's socket memory is listed too,
//! because the same machine (and the same container limit) pays for it.

use super::{ADMIN_CONNECTIONS, AssistantKind, BridgeMode, Config};
use std::fmt;

/// A connection's slab entry, its place in the room and in the timer wheel (`worker::slab`).
const SLOT_BYTES: usize = 184 + 96;
/// One room with one member: the registry's entry, the name, the member list.
const ROOM_BYTES: usize = 256;
/// What a delivery costs beside the bytes of its frame: its entry of 48 bytes in a queue that doubles
/// as it grows, and the shared frame's header.
const DELIVERY_BYTES: usize = 128;
/// A frame cut off in the middle of its header and the JSON around a text.
const STASH_BYTES: usize = 512;
/// One read: what a connection keeps of it while it must wait, beside a partial message.
const READ_BYTES: usize = 64 * 1024;
/// A worker's read buffer, lent to a connection for the length of one event, and what it gathers of a
/// room's frames before they are written.
const BUFFER_BYTES: usize = (64 + 128) * 1024;
/// A worker's stack and its poll's event list.
const WORKER_BYTES: usize = 2 * 1024 * 1024 + 64 * 1024;
/// hyper's state machine, the task, and the response of one request, beside its head.
const HANDSHAKE_BYTES: usize = 16 * 1024;
/// What a receive buffer holds beyond its bound: the kernel takes the segment that passes it, of up to
/// 64 KiB (loopback, or joined by the network card).
const SEGMENT_BYTES: usize = 64 * 1024;
/// What a connection of the operator's listener holds: hyper's buffers, which are a head's, an answer, and the
/// kernel's.
const ADMIN_CONNECTION_BYTES: usize = 512 * 1024;
/// A room's keys in Redis beside the messages: its stream, the node of it that is partly trimmed, and
/// 65 origins.
const HISTORY_ROOM_BYTES: usize = 24 * 1024;
/// An entry of it beside the message.
const HISTORY_ENTRY_BYTES: usize = 128;
/// The program, its allocator's spare pages and the page's files.
const PROCESS_BYTES: usize = 24 * 1024 * 1024;
/// The threads and connections of one host of a channel layer, and what decoding one message takes
/// beside a multiple of its length (`bridge::channels::codec`).
const CHANNEL_HOST_BYTES: usize = (16 + 20) * 1024 * 1024;
/// Messages of a channel layer in memory at once, for each host: 129 pulled in one go, one of them
/// decoded to eight times its length (`bridge::channels::receive`).
const CHANNEL_MESSAGES: usize = 129 + 8;
/// A publication in the bridge's outbox beside its frame: its entry there and on the wire, in lists
/// that double as they grow.
const OUTGOING_BYTES: usize = 256;
/// A slot for an arrival in each of the client library's event channels, made at once.
const ARRIVAL_BYTES: usize = 1024;
/// A message from Redis beside its slot: its frame and envelope, within the library's read buffer.
const ARRIVED_BYTES: usize = 1024;
/// The bridge's threads and connections, and one window of commands (7 KiB each) on the wire.
const LINK_BYTES: usize = 16 * 1024 * 1024;
/// Gaps that are read from one Redis at the same time, and bytes of one page (`bridge::streams`).
const READS: usize = 16;
const READ_PAGE_BYTES: usize = 256 * 1024;
/// Two halves of the log's buffer, see `telemetry`.
const LOG_BYTES: usize = 2 * 1024 * 1024;

/// One addend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addend {
    /// What it is.
    pub name: &'static str,
    /// How many there are.
    pub count: u64,
    /// Bytes of one.
    pub each: u64,
}

impl Addend {
    /// Bytes of all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

/// The sum and its addends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Every bound, the process's own memory first.
    pub addends: Vec<Addend>,
    /// Of these, how many bytes grow with each connection.
    pub per_connection: u64,
    /// Bytes of all addends.
    pub total: u64,
    /// What the rooms of that many connections make Redis keep, if a history is kept: not in the
    /// total, since it is another process' memory.
    pub redis: Option<Addend>,
}

/// Sums what `connections` clients and `workers` threads may occupy at most.
#[must_use]
pub fn worst_case_memory(config: &Config, connections: usize, workers: usize) -> MemoryBudget {
    let (limits, queue, assistant) = (&config.limits, &config.queue, &config.assistant);
    let queue_bytes = queue
        .bytes_max
        .saturating_add(queue.capacity.saturating_mul(DELIVERY_BYTES));
    let prompts = match assistant.kind {
        AssistantKind::None => 0,
        AssistantKind::Faq => assistant.prompts,
    };
    let mailbox_bytes = config.broker.mailbox_bytes.saturating_add(
        config
            .broker
            .mailbox_capacity
            .saturating_mul(DELIVERY_BYTES),
    );
    // A prompt is a text; its reply may be as long.
    let prompt_bytes = config.chat.text_bytes_max.saturating_mul(2);
    // The kernel books a buffer at twice what was asked for (socket(7)).
    let send_bytes = limits.send_buffer_bytes.saturating_mul(2);
    let receive_bytes = limits
        .receive_buffer_bytes
        .saturating_mul(2)
        .saturating_add(SEGMENT_BYTES);
    let backlog = usize::try_from(config.server.backlog).unwrap_or(usize::MAX);
    let head_bytes = limits.header_bytes.saturating_add(limits.uri_bytes);
    let request_bytes = head_bytes
        .saturating_add(HANDSHAKE_BYTES)
        .saturating_add(send_bytes)
        .saturating_add(receive_bytes);
    #[rustfmt::skip]
    let mut addends = vec![
        addend("process and allocator", 1, PROCESS_BYTES),
        addend("log lines waiting for standard error", 1, LOG_BYTES),
        addend("the operator's connections", ADMIN_CONNECTIONS * 2, ADMIN_CONNECTION_BYTES),
        addend("workers: stack, buffers", workers, WORKER_BYTES + BUFFER_BYTES),
        addend("mailboxes between workers", workers, mailbox_bytes),
        addend("kernel: connections not yet accepted", backlog, receive_bytes),
        addend("handshakes, with the kernel's buffers", limits.handshakes, request_bytes),
        addend("page connections kept alive, with the kernel's buffers", limits.kept_alive, request_bytes),
        addend("prompts and their replies", prompts, prompt_bytes),
    ];
    #[rustfmt::skip]
    let each_connection = [
        addend("connections: slot and room", connections, SLOT_BYTES + ROOM_BYTES),
        addend("partial messages", connections, limits.message_bytes.saturating_add(STASH_BYTES)),
        addend("input kept back while a mailbox is full (one read)", connections, READ_BYTES),
        addend("queues of slow readers", connections, queue_bytes),
        addend("kernel: send buffers", connections, send_bytes),
        addend("kernel: receive buffers", connections, receive_bytes),
    ];
    let per_connection = each_connection
        .iter()
        .fold(0_u64, |sum, addend| sum.saturating_add(addend.each));
    addends.extend(bridge(config));
    addends.extend(each_connection);
    let total = addends
        .iter()
        .fold(0_u64, |sum, addend| sum.saturating_add(addend.bytes()));
    MemoryBudget {
        addends,
        per_connection,
        total,
        redis: (config.bridge.mode == BridgeMode::Streams).then(|| {
            // The newest is kept whatever its size, and counts as the appending function weighs it.
            let newest = (config.event_bytes() / 4).saturating_mul(5) + HISTORY_ENTRY_BYTES;
            let kept = config.history.bytes_max.max(newest);
            let room_bytes = kept.saturating_add(HISTORY_ROOM_BYTES);
            addend("rooms", connections, room_bytes)
        }),
    }
}

/// The ways to other nodes and to a Django site.
fn bridge(config: &Config) -> Vec<Addend> {
    let [(hosts, host_bytes), (sends, said_bytes)] = channel_layer(config);
    let links = match config.bridge.mode {
        BridgeMode::Off => 0,
        BridgeMode::Pubsub | BridgeMode::Streams => config.bridge.urls.len(),
    };
    let streams = if config.bridge.mode == BridgeMode::Streams {
        links
    } else {
        0
    };
    let outgoing = config.bridge.outbox_capacity.saturating_mul(OUTGOING_BYTES);
    let outbox_bytes = config.bridge.outbox_bytes.saturating_add(outgoing);
    let arrivals = config.bridge.arrivals_capacity;
    #[rustfmt::skip]
    let addends = vec![
        addend("Django: hosts, and messages from them", hosts, host_bytes),
        addend("Django: users' messages", sends, said_bytes),
        addend("bridge: connections to Redis", links, LINK_BYTES),
        addend("bridge: outboxes", links, outbox_bytes),
        addend("bridge: arrivals", links, arrivals.saturating_mul(ARRIVAL_BYTES + ARRIVED_BYTES)),
        addend("bridge: messages that are to come back in order", streams, outbox_bytes),
        addend("bridge: gaps being read", streams, READS.saturating_mul(READ_PAGE_BYTES.saturating_add(config.limits.message_bytes.saturating_mul(4)))),
    ];
    addends
}

/// Hosts of a Django site's channel layer, and queues of users' messages for it: how many, and bytes
/// of each.
fn channel_layer(config: &Config) -> [(usize, usize); 2] {
    let (bridge, channels) = (&config.bridge, &config.bridge.channels);
    if !channels.enabled {
        return [(0, 0); 2];
    }
    let host_bytes = channels
        .message_bytes
        .saturating_mul(CHANNEL_MESSAGES)
        .saturating_add(CHANNEL_HOST_BYTES);
    let sends = [&channels.send_to, &channels.send_to_group];
    let said = bridge.outbox_capacity.saturating_mul(DELIVERY_BYTES);
    [
        (channels.hosts.len(), host_bytes),
        (
            sends.into_iter().flatten().count(),
            bridge.outbox_bytes.saturating_add(said),
        ),
    ]
}

fn addend(name: &'static str, count: usize, each: usize) -> Addend {
    Addend {
        name,
        count: count as u64,
        each: each as u64,
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A part that is off has none.
        for addend in self.addends.iter().filter(|addend| addend.count > 0) {
            let (count, each) = (addend.count, Bytes(addend.each));
            let sum = Bytes(addend.bytes()).to_string();
            writeln!(f, "  {sum:>12}  {} ({count} x {each})", addend.name)?;
        }
        write!(f, "  {:>12}  in all", Bytes(self.total).to_string())?;
        if let Some(rooms) = &self.redis {
            let (count, each) = (rooms.count, Bytes(rooms.each));
            let sum = Bytes(rooms.bytes()).to_string();
            write!(
                f,
                "\n\nmemory at worst, in Redis\n  {sum:>12}  {count} rooms that spoke within the history's time ({each} each)"
            )?;
        }
        Ok(())
    }
}

/// A number of bytes for people: `64 KiB`, `1.5 GiB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [
            ("TiB", 1_u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ] {
            if self.0 >= size {
                let tenths = u128::from(self.0) * 10 / u128::from(size);
                return match tenths % 10 {
                    0 => write!(f, "{} {unit}", tenths / 10),
                    tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::channels::Host;
    use crate::config::redis::RedisAddress;

    #[test]
    fn the_total_is_the_sum_of_the_lines() {
        let budget = worst_case_memory(&Config::default(), 10_000, 2);
        assert_eq!(
            budget.total,
            budget.addends.iter().map(Addend::bytes).sum::<u64>()
        );
    }

    #[test]
    fn one_more_connection_costs_per_connection() {
        let config = Config::default();
        let (ten, eleven) = (
            worst_case_memory(&config, 10, 2),
            worst_case_memory(&config, 11, 2),
        );
        assert_eq!(eleven.total - ten.total, ten.per_connection);
    }

    #[test]
    fn every_bound_of_a_channel_layer_moves_the_sum() {
        let mut plain = Config::default();
        plain.bridge.channels.enabled = true;
        plain.bridge.channels.send_to = Some("worker".to_owned());
        let base = worst_case_memory(&plain, 10, 2).total;
        let change: [fn(&mut Config); 5] = [
            |config| config.bridge.channels.hosts.push(Host::default()),
            |config| config.bridge.channels.message_bytes += 1,
            |config| config.bridge.channels.send_to_group = Some("group".to_owned()),
            |config| config.bridge.outbox_bytes += 1,
            |config| config.bridge.outbox_capacity += 1,
        ];
        for change in change {
            let mut config = plain.clone();
            change(&mut config);
            assert!(worst_case_memory(&config, 10, 2).total > base);
        }
    }

    #[test]
    fn every_bound_of_a_configuration_moves_the_sum() {
        let mut plain = Config::default();
        plain.bridge.mode = BridgeMode::Pubsub;
        plain.bridge.urls = vec![RedisAddress::parse("redis://a").unwrap()];
        let base = worst_case_memory(&plain, 10, 2).total;
        let change: [fn(&mut Config); 17] = [
            |config| config.queue.bytes_max += 1,
            |config| config.queue.capacity += 1,
            |config| config.limits.message_bytes += 1,
            |config| config.limits.send_buffer_bytes += 1,
            |config| config.limits.receive_buffer_bytes += 1,
            |config| config.server.backlog += 1,
            |config| config.limits.handshakes += 1,
            |config| config.limits.kept_alive += 1,
            |config| config.limits.uri_bytes += 1,
            |config| config.limits.header_bytes += 1,
            |config| config.broker.mailbox_bytes += 1,
            |config| config.broker.mailbox_capacity += 1,
            |config| config.assistant.prompts += 1,
            |config| config.bridge.outbox_capacity += 1,
            |config| config.bridge.outbox_bytes += 1,
            |config| config.bridge.arrivals_capacity += 1,
            |config| {
                config
                    .bridge
                    .urls
                    .push(RedisAddress::parse("redis://b").unwrap())
            },
        ];
        for change in change {
            let mut config = plain.clone();
            change(&mut config);
            assert!(worst_case_memory(&config, 10, 2).total > base);
        }
    }

    #[test]
    fn a_partial_message_and_input_kept_back_are_held_at_once() {
        let config = Config::default();
        let budget = worst_case_memory(&config, 1, 1);
        let kernel = 2 * (config.limits.send_buffer_bytes + config.limits.receive_buffer_bytes);
        let without = config.queue.bytes_max + kernel + SEGMENT_BYTES;
        let input = budget.per_connection - without as u64;
        assert!(input >= (config.limits.message_bytes + READ_BYTES) as u64);
    }

    #[test]
    fn what_redis_keeps_is_counted_for_a_history_alone_and_moves_with_its_bound() {
        let mut config = Config::default();
        assert_eq!(worst_case_memory(&config, 10, 2).redis, None);
        config.bridge.mode = BridgeMode::Streams;
        config.bridge.urls = vec![RedisAddress::parse("redis://a").unwrap()];
        let before = worst_case_memory(&config, 10, 2);
        config.history.bytes_max += 1;
        let after = worst_case_memory(&config, 10, 2);
        let bytes = |budget: &MemoryBudget| budget.redis.map(|rooms| rooms.bytes());
        assert_eq!(bytes(&after), bytes(&before).map(|bytes| bytes + 10));
        assert_eq!(after.total, before.total, "another process' memory");
        config.history.bytes_max = 4096;
        let small = bytes(&worst_case_memory(&config, 10, 2));
        assert!(
            small > Some(10 * config.limits.message_bytes as u64),
            "{small:?}"
        );
        assert!(before.to_string().contains("10 rooms"), "{before}");
    }

    #[test]
    fn what_is_off_is_not_listed() {
        let mut config = Config::default();
        config.assistant.kind = AssistantKind::None;
        let text = worst_case_memory(&config, 10, 2).to_string();
        for part in ["bridge", "Django", "prompts", "Redis", " 0 x"] {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut config = Config::default();
        config.queue.bytes_max = usize::MAX;
        assert_eq!(worst_case_memory(&config, usize::MAX, 2).total, u64::MAX);
    }

    #[test]
    fn bytes_are_readable() {
        let texts = [0, 1023, 1024, 1536, 64 << 20].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(texts, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "64 MiB"]);
    }
}
