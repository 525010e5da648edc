//! Every bound is in the sum.

use super::*;
use crate::config::channels::HostAddress;
use crate::config::key::{Key, KeyKind};
use crate::config::keys;
use crate::config::redis::RedisAddress;
use crate::config::{AuthMode, RetrievalKind, SessionEngine};

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

/// Numbers that bound no memory of their own, and why.
const WITHIN_OTHERS: [(&str, &[&str]); 4] = [
    (
        "counted by who asks for the sum",
        &["server.workers", "limits.connections"],
    ),
    (
        "rates",
        &[
            "limits.pings_per_second",
            "limits.messages_per_second",
            "limits.messages_burst",
            "limits.bytes_per_second",
            "limits.refusals",
            "api.messages_per_second",
            "api.messages_burst",
            "assistant.openai.retries",
            "assistant.openai.retry_budget",
            "assistant.openai.breaker_failures",
            "assistant.webhook.retries",
            "assistant.webhook.retry_budget",
            "assistant.webhook.breaker_failures",
            "limits.user.handshakes_per_second",
            "limits.user.handshakes_burst",
            "limits.user.messages_per_second",
            "limits.user.messages_burst",
            "limits.user.bytes_per_second",
            "limits.user.bytes_burst",
            "limits.business.handshakes_per_second",
            "limits.business.handshakes_burst",
            "limits.business.messages_per_second",
            "limits.business.messages_burst",
            "limits.business.bytes_per_second",
            "limits.business.bytes_burst",
            "limits.room.handshakes_per_second",
            "limits.room.handshakes_burst",
            "limits.room.messages_per_second",
            "limits.room.messages_burst",
            "limits.room.bytes_per_second",
            "limits.room.bytes_burst",
            "limits.address.handshakes_per_second",
            "limits.address.handshakes_burst",
            "limits.address.messages_per_second",
            "limits.address.messages_burst",
            "limits.address.bytes_per_second",
            "limits.address.bytes_burst",
            "limits.node.handshakes_per_second",
            "limits.node.handshakes_burst",
            "limits.node.messages_per_second",
            "limits.node.messages_burst",
            "limits.node.bytes_per_second",
            "limits.node.bytes_burst",
        ],
    ),
    (
        "a share of what another key bounds",
        &[
            "limits.connections_per_ip",
            "limits.user.connections",
            "limits.business.connections",
            "limits.room.connections",
            "limits.handshakes_per_ip",
            "limits.headers",
            "limits.fragments",
            "limits.unsent_bytes",
            "auth.jwt.token_bytes",
            "auth.forward.concurrency_per_ip",
            "auth.django_session.concurrency_per_ip",
            "history.capacity",
            "assistant.prompts_per_room",
            "assistant.openai.answer_bytes",
            "assistant.openai.concurrency_per_business",
            "assistant.openai.prompts_per_business",
            "assistant.webhook.answer_bytes",
            "assistant.webhook.concurrency_per_business",
            "assistant.webhook.prompts_per_business",
            "retrieval.excerpts",
            "vet.concurrency_per_business",
        ],
    ),
    (
        "no memory, or another process' beyond our caps",
        &[
            "archive.bytes_max",
            "server.control_threads",
            "assistant.openai.max_tokens",
            "http.upstream_body_bytes",
            "http.upstream_requests_per_ip",
            "http.upstream_websockets_per_ip",
            "http.client_bytes_per_second",
            "broker.spread_above",
            "auth.django_session.version",
            "channels.capacity",
            "channels.random_prefix_length",
            "channels.receivers",
        ],
    ),
];

/// Everything that costs memory is on.
fn full() -> Config {
    let mut config = Config::default();
    config.assistant.kind = AssistantKind::OpenAi;
    config.chat.vet = crate::config::Vet::Webhook;
    config.bridge.mode = BridgeMode::Streams;
    config.bridge.urls = vec![RedisAddress::parse("redis://a").unwrap()];
    config.channels.enabled = true;
    config.channels.send_to = Some("worker".to_owned());
    config.http.upstream = Some("http://a".to_owned());
    config.archive.mode = ArchiveMode::Journal;
    config.auth.mode = vec![AuthMode::Jwt, AuthMode::DjangoSession];
    config.auth.django_session.engine = SessionEngine::Cache;
    let limits = &mut config.limits;
    limits.user.connections = 1;
    limits.business.connections = 1;
    limits.room.connections = 1;
    limits.address.messages_per_second = 1;
    limits.node.messages_per_second = 1;
    config.http.upstream = Some("http://a".to_owned());
    config.auth.forward.url = Some("http://site/".to_owned());
    config.api.listen = Some("127.0.0.1:0".parse().unwrap());
    config.retrieval.kind = RetrievalKind::Faiss;
    config.assistant.openai.context_url = Some("http://site/".to_owned());
    config
}

/// The sum of ten connections and two workers, with what Redis keeps, of each assistant that asks a server and of each
/// mode of the bridge.
fn sum(config: &Config) -> u64 {
    let of = |kind, mode| {
        let mut config = config.clone();
        config.assistant.kind = kind;
        config.bridge.mode = mode;
        let budget = worst_case_memory(&config, 10, 2).with_tasks(&config, 10);
        budget.total + budget.redis.map_or(0, |rooms| rooms.bytes())
    };
    of(AssistantKind::OpenAi, BridgeMode::Streams) + of(AssistantKind::Webhook, BridgeMode::Pubsub)
}

/// The configuration with one more of this key.
fn one_more(config: &Config, key: &Key) -> Config {
    let mut values = toml::Table::try_from(config).unwrap();
    let mut section = &mut values;
    for name in key.section().split('.') {
        section = section[name].as_table_mut().unwrap();
    }
    let toml::Value::Integer(number) = &mut section[key.name()] else {
        panic!("{} is no number", key.path);
    };
    *number += 1;
    toml::Value::Table(values).try_into().unwrap()
}

#[test]
fn every_bound_of_a_configuration_moves_the_sum() {
    let (config, mut seen) = (full(), 0);
    for key in keys::all().filter(|key| key.kind == KeyKind::Count) {
        let within = WITHIN_OTHERS
            .iter()
            .find(|(_, keys)| keys.contains(&key.path));
        let moves = sum(&one_more(&config, key)) > sum(&config);
        assert_eq!(moves, within.is_none(), "{}: {within:?}", key.path);
        seen += usize::from(within.is_some());
    }
    let listed: usize = WITHIN_OTHERS.iter().map(|(_, keys)| keys.len()).sum();
    assert_eq!(seen, listed);
    let change: [fn(&mut Config); 3] = [
        |config| {
            config
                .bridge
                .urls
                .push(RedisAddress::parse("redis://b").unwrap())
        },
        |config| config.channels.hosts.push(HostAddress::default()),
        |config| config.channels.send_to_group = Some("group".to_owned()),
    ];
    for change in change {
        let mut more = full();
        change(&mut more);
        assert!(sum(&more) > sum(&config));
    }
}

/// A number written into the sum in the place of a part's own would stand still when the part's bound changes.
#[test]
fn every_bound_of_a_part_is_in_the_sum() {
    let config = full();
    let (limits, bridge) = (&config.limits, &config.bridge);
    let budget = worst_case_memory(&config, 10, 2);
    let head = limits.header_bytes + limits.uri_bytes;
    let kernel = 2 * (limits.send_buffer_bytes + limits.receive_buffer_bytes) + SEGMENT_BYTES;
    let queue = config.queue.bytes_max + config.queue.capacity * DELIVERY_BYTES;
    let outbox = bridge.outbox_bytes + bridge.outbox_capacity * link::OUTGOING_BYTES;
    let page = link::PAGE_BYTES + 4 * limits.message_bytes;
    for (name, count, each) in [
        (
            "log lines waiting for standard error",
            1,
            telemetry::BUFFERS_BYTES,
        ),
        (
            "the operator's connections",
            2 * admin::CONNECTIONS_MAX,
            admin::CONNECTION_BYTES,
        ),
        ("workers: stack, buffers", 2, WORKER_BYTES),
        (
            "handshakes, with the kernel's buffers",
            limits.handshakes,
            head + REQUEST_BYTES + kernel,
        ),
        (
            "connections: slot and room",
            10,
            CONNECTION_BYTES + ROOM_BYTES,
        ),
        ("partial messages", 10, limits.message_bytes + PARTIAL_BYTES),
        (
            "input kept back while a mailbox is full (one read)",
            10,
            KEPT_BACK_BYTES,
        ),
        ("queues of slow readers", 10, queue),
        ("bridge: connections to Redis", 1, link::LINK_BYTES),
        (
            "API: ids that are remembered",
            config.api.idempotency_capacity,
            api::ID_BYTES,
        ),
        (
            "API: answers of other nodes",
            config.api.requests,
            ANSWERS_BYTES_MAX,
        ),
        ("bridge: outboxes", 1, outbox),
        (
            "bridge: arrivals",
            1,
            bridge.arrivals_capacity * link::ARRIVAL_BYTES,
        ),
        ("bridge: gaps being read", 1, link::GAPS * page),
        (
            "Django: hosts, and messages from them",
            1,
            channel_layer::HOST_BYTES + channel_layer::MESSAGES * config.channels.message_bytes,
        ),
    ] {
        let found = budget.addends.iter().find(|addend| addend.name == name);
        assert_eq!(found, Some(&addend(name, count, each)));
    }
    let kept = config.history.bytes_max + link::ROOM_BYTES;
    assert_eq!(budget.redis, Some(addend("rooms", 10, kept)));
}

/// The line of this name.
fn line(config: &Config, name: &str) -> Addend {
    let budget = worst_case_memory(config, 10, 2);
    let found = budget.addends.iter().find(|addend| addend.name == name);
    *found.expect(name)
}

/// What an answer holds at least: an event and its words, and the reply as it is read, passed on and remembered.
fn least_of_answer(event_bytes: usize) -> usize {
    6 * event_bytes + 9 * crate::assistant::REPLY_BYTES_MAX
}

#[test]
fn an_answer_of_the_archive_may_be_longer_by_the_longest_message_of_each_redis() {
    let mut config = full();
    let each = |config: &Config| line(config, "archive: readers and their answers").each;
    let before = each(&config);
    let more = 16 * 1024 * 1024;
    config.limits.message_bytes += more;
    assert_eq!(each(&config) - before, 8 * more as u64);
    let one = each(&config);
    config.archive.mode = ArchiveMode::Streams;
    assert_eq!(each(&config), one);
    config
        .bridge
        .urls
        .push(RedisAddress::parse("redis://b").unwrap());
    assert_eq!(each(&config) - one, 8 * config.limits.message_bytes as u64);
}

#[test]
fn a_model_costs_its_answers_and_what_is_remembered_for_its_questions() {
    let mut config = full();
    let openai = config.assistant.openai.clone();
    let rooms = line(&config, "model: rooms whose messages are remembered");
    assert_eq!(rooms.count, openai.rooms as u64);
    assert!(rooms.each > openai.context_bytes as u64);
    let answers = |config: &Config| line(config, "model: questions and their answers");
    let plain = answers(&config);
    assert_eq!(plain.count, config.assistant.concurrency as u64);
    // What was said, what is known and the question: as they are, and in JSON for two tries.
    let texts = 2 * openai.context_bytes + config.chat.text_bytes_max;
    let least = 13 * texts + least_of_answer(openai.event_bytes);
    assert!(plain.each > least as u64, "{} {least}", plain.each);
    // A prompt with what is known in it ten times.
    config.assistant.openai.prompt = Some("{context}".repeat(10));
    let more = answers(&config).each - plain.each;
    assert!(more > (9 * 13 * openai.context_bytes) as u64, "{more}");
    config.assistant.openai.prompt = None;
    // Short messages that become one long question.
    config.chat.text_bytes_max = 1024;
    let short = answers(&config).each;
    config.assistant.debounce = std::time::Duration::from_secs(1);
    let merged = answers(&config).each - short;
    assert!(merged > 13 * 31 * 1024, "{merged}");
    let before = line(&config, "model: what the site says of rooms");
    assert_eq!(before.count, config.assistant.concurrency as u64);
    assert!(before.each > 6 * openai.context_bytes as u64);
    let told = line(&config, "retrieval: pieces that are told");
    assert_eq!(told.each, openai.context_bytes as u64);
    config.assistant.openai.context_url = None;
    config.retrieval.kind = RetrievalKind::None;
    let budget = worst_case_memory(&config, 10, 2);
    let mut names = budget.addends.iter().map(|addend| addend.name);
    assert!(!names.any(|name| name.contains("site says") || name.starts_with("retrieval")));
}

#[test]
fn a_webhook_costs_its_answers_and_what_is_remembered_if_anything_is() {
    let mut config = full();
    config.assistant.kind = AssistantKind::Webhook;
    let webhook = config.assistant.webhook.clone();
    let answers = line(&config, "webhook: questions and their answers");
    let texts = webhook.context_bytes + config.chat.text_bytes_max;
    let least = 7 * texts + least_of_answer(webhook.event_bytes);
    assert!(answers.each > least as u64, "{} {least}", answers.each);
    let rooms = |config: &Config| line(config, "webhook: rooms whose messages are remembered");
    assert!(rooms(&config).each >= webhook.context_bytes as u64);
    assert_eq!(rooms(&config).count, webhook.rooms as u64);
    config.assistant.webhook.turns = 0;
    assert_eq!(rooms(&config).count, 0);
}

#[test]
fn a_partial_message_and_input_kept_back_are_held_at_once() {
    let config = Config::default();
    let budget = worst_case_memory(&config, 1, 1);
    let kernel = 2 * (config.limits.send_buffer_bytes + config.limits.receive_buffer_bytes);
    let without = config.queue.bytes_max + kernel + SEGMENT_BYTES;
    let input = budget.per_connection - without as u64;
    assert!(input >= (config.limits.message_bytes + KEPT_BACK_BYTES) as u64);
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
fn what_waits_for_tasks_is_in_the_sum_of_a_program_that_has_some() {
    let mut config = Config::default();
    config.consumers.inbox = 3;
    let without = worst_case_memory(&config, 10, 2);
    let with = without.clone().with_tasks(&config, 10);
    let each = (2 * 3 * (config.limits.message_bytes + RECEIVED_BYTES)) as u64;
    assert_eq!(with.total - without.total, 10 * each);
    assert_eq!(with.per_connection - without.per_connection, each);
    assert!(with.to_string().contains("wait for tasks"), "{with}");
}

#[test]
fn the_worst_route_is_in_the_sum() {
    let with = |entry: &str| -> u64 {
        let head = "[[routes]]\npath = \"/r/{id:int}/\"\nhandler = \"relay\"\n";
        let config: Config = toml::from_str(&format!("{head}{entry}")).unwrap();
        worst_case_memory(&config, 10, 2).total
    };
    let plain = with("");
    assert_eq!(
        with("queue.bytes_max = 300000"),
        plain + 10 * (300_000 - 256 * 1024)
    );
    assert_eq!(
        with("limits.message_bytes = 70000"),
        plain + 10 * (70_000 - 64 * 1024)
    );
    assert!(with("queue.capacity = 101") > plain);
    // The other routes keep what the node has.
    assert_eq!(with("queue.bytes_max = 100000"), plain);
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
fn tls_is_in_the_sum_where_it_is_spoken() {
    let plain = worst_case_memory(&Config::default(), 10, 2);
    let mut config = Config::default();
    config.tls.certificate = Some("chain.pem".into());
    let budget = worst_case_memory(&config, 10, 2);
    let each = tls::SESSION_BYTES + tls::HELD_BYTES;
    assert_eq!(budget.per_connection, plain.per_connection + each as u64);
    let (limits, threads) = (&config.limits, 2 + config.server.control_threads);
    let beside = limits.handshakes * tls::HANDSHAKE_BYTES
        + limits.kept_alive * each
        + threads * tls::SCRATCH_BYTES;
    assert_eq!(budget.total, plain.total + (beside + 10 * each) as u64);
}
