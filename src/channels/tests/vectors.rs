//! Byte for byte what `channels_redis` 4.3.0, `channels` 4.3.2, `msgpack` 1.2.4 and `cryptography` do.

use serde_json::Value as Json;

use super::super::codec::Poison;
use super::super::codec::crypto::Keyring;
use super::super::keys::{host_of, non_local};
use super::super::scripts::Commands;
use super::super::scripts::lua::{JOIN, SEND};
use super::super::{DjangoCodec, Map, Receivers, Score, To, Value};
use super::names::{is_channel_name, is_group_name};
use super::{NOW, RANDOM, channels, fill, hex, read};
use crate::config::Secret;
use crate::config::channels::{
    ChannelCapacity, ChannelsSettings, HostAddress, LayerKind, SerializerFormat,
};

fn vectors() -> Json {
    let text = include_str!("../../../tests/channels/vectors.json");
    serde_json::from_str(text).expect("vectors.json")
}

fn rows(of: &str) -> Vec<Json> {
    let rows = vectors()[of].as_array().expect("rows").clone();
    assert!(rows.len() > 1, "{of}");
    rows
}

fn text(value: &Json) -> &str {
    value.as_str().expect("text")
}

fn texts(value: &Json) -> Vec<&str> {
    value.as_array().expect("texts").iter().map(text).collect()
}

#[test]
fn every_recorded_message_is_written_and_read_byte_for_byte() {
    for row in rows("messages") {
        let json = text(&row["dumps"]);
        let event = read(SerializerFormat::Json, json.as_bytes()).expect("json.dumps");
        for (format, name) in [
            (SerializerFormat::Msgpack, "msgpack"),
            (SerializerFormat::Json, "json"),
        ] {
            let codec = DjangoCodec::new(&channels(LayerKind::Core, format));
            let recorded = hex(text(&row[name]));
            let written = codec.encode(&event, To::Nobody, NOW, &mut fill);
            assert_eq!(written.as_ref(), Ok(&recorded), "{name} of {json}");
            let mut scratch = Vec::new();
            let arrival = codec
                .decode(&recorded, NOW, &mut scratch)
                .expect("readable");
            assert_eq!(arrival.event, event, "{name} of {json}");

            let codec = DjangoCodec::new(&channels(LayerKind::Pubsub, format));
            let written = codec.encode(&event, To::One("ignored"), NOW, &mut fill);
            assert_eq!(written.as_deref(), Ok(&recorded[12..]), "{name} of {json}");
        }
    }
}

#[test]
fn json_that_only_python_reads_is_read_and_written_back() {
    for row in rows("lenient") {
        let (literal, dumped) = (text(&row[0]), text(&row[1]));
        let body = format!("{{\"v\": {literal}}}");
        let event = read(SerializerFormat::Json, body.as_bytes()).expect("json.loads");
        let codec = DjangoCodec::new(&channels(LayerKind::Pubsub, SerializerFormat::Json));
        let written = codec.encode(&event, To::Nobody, NOW, &mut fill);
        assert_eq!(written.as_deref(), Ok(dumped.as_bytes()), "{literal}");
    }
}

#[test]
fn names_are_legal_where_the_layer_says_so() {
    for row in rows("groups") {
        assert_eq!(is_group_name(text(&row[0])), row[1] == true, "{row}");
    }
    for row in rows("channels") {
        assert_eq!(is_channel_name(text(&row[0])), row[1] == true, "{row}");
    }
    for row in rows("non_local") {
        assert_eq!(non_local(text(&row[0])), text(&row[1]), "{row}");
    }
}

#[test]
fn every_name_is_on_the_recorded_host() {
    for row in rows("hosts") {
        for (index, host) in row[1].as_array().expect("hosts").iter().enumerate() {
            let chosen = host_of(text(&row[0]), index + 1);
            assert_eq!(
                chosen as u64,
                host.as_u64().expect("a number"),
                "{row} {index}"
            );
        }
    }
}

#[test]
fn every_pattern_fits_the_recorded_names() {
    let vectors = vectors();
    let names = texts(&vectors["names"]);
    type Make = fn(&str, usize) -> Result<ChannelCapacity, String>;
    for (kind, make) in [
        ("globs", ChannelCapacity::glob as Make),
        ("regexes", ChannelCapacity::regex),
    ] {
        for row in rows(kind) {
            let pattern = make(text(&row[0]), 1).expect("compiles");
            let fitting = names.iter().copied().filter(|name| pattern.matches(name));
            assert_eq!(
                fitting.collect::<Vec<_>>(),
                texts(&row[1]),
                "{kind} {}",
                row[0]
            );
        }
    }
}

#[test]
fn tokens_are_made_and_read_as_recorded() {
    for row in rows("tokens") {
        let ring = |keys: &Json| {
            let secrets: Vec<Secret> = texts(keys).into_iter().map(Secret::new).collect();
            Keyring::new(&secrets).expect("keys")
        };
        let body = hex(text(&row["body"]));
        let made = row["made"].as_u64().expect("a time");
        let initial = std::array::from_fn(|index| u8::try_from(index).unwrap_or_default());
        let mut token = Vec::new();
        ring(&row["keys"]).encrypt(&body, made, initial, &mut token);
        assert_eq!(token, text(&row["token"]).as_bytes());
        for case in row["reads"].as_array().expect("cases") {
            let now = case["now"].as_u64().expect("a time");
            let time = case["ttl"].as_u64().map(|ttl| (ttl, now));
            let mut scratch = Vec::new();
            let read = ring(&case["keys"]).decrypt(&token, time, &mut scratch);
            match case["body"].as_str() {
                Some(body) => assert_eq!(read, Ok(&*hex(body)), "{case}"),
                None => assert!(matches!(read, Err(Poison::Token | Poison::Stale)), "{case}"),
            }
        }
    }
}

#[test]
fn what_python_refuses_is_refused() {
    for row in rows("poison") {
        assert!(row[2].is_string(), "recorded as readable: {row}");
        assert!(
            read(SerializerFormat::Msgpack, &hex(text(&row[1]))).is_err(),
            "{row}"
        );
    }
    for row in rows("json_poison") {
        assert!(row[1].is_string(), "recorded as readable: {row}");
        assert!(
            read(SerializerFormat::Json, text(&row[0]).as_bytes()).is_err(),
            "{row}"
        );
    }
}

fn hosts(count: usize) -> ChannelsSettings {
    let capacity = |made: Result<_, String>| made.expect("compiles");
    ChannelsSettings {
        hosts: vec![HostAddress::default(); count],
        capacity: 7,
        expiry: std::time::Duration::from_secs(10),
        group_expiry: std::time::Duration::from_secs(3600),
        channel_capacity: vec![
            capacity(ChannelCapacity::glob("general", 3)),
            capacity(ChannelCapacity::regex("odd", 2)),
        ],
        ..ChannelsSettings::default()
    }
}

/// A recorded argument: what Python has as bytes is recorded in hexadecimal, and is long.
fn key(value: &Json) -> Vec<u8> {
    let text = text(value);
    let is_hex = text.len() > 12
        && text.len().is_multiple_of(2)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { hex(text) } else { text.into() }
}

fn recorded(log: &Json, name: &str) -> Vec<Vec<Json>> {
    let lines = log.as_array().expect("a log").iter();
    let lines = lines.map(|line| line.as_array().expect("a line").clone());
    lines.filter(|line| line[1] == name).collect()
}

/// `ZREMRANGEBYSCORE` as redis-py is called: key, `min=…`, `max=…`.
fn check_trim(line: &[Json], trim: [&[u8]; 2]) {
    let bound = |index: usize| &text(&line[index]).as_bytes()[4..];
    assert_eq!(trim[0], key(&line[2]));
    assert_eq!([bound(3), bound(4)], [b"0", trim[1]]);
}

/// `ZADD` as redis-py is called: key and a dictionary of one member and its score.
fn check_add(line: &[Json], add: &[Vec<u8>]) {
    let [key_of, score, member] = add else {
        panic!("{add:?}");
    };
    assert_eq!(*key_of, key(&line[2]));
    let mut entries = line[3].as_object().expect("a dictionary").iter();
    let (name, time) = entries.next().expect("an entry");
    assert_eq!(*member, key(&Json::from(name.as_str())));
    assert_eq!(seconds(score), seconds(text(time).as_bytes()));
}

fn seconds(score: &[u8]) -> f64 {
    let text = std::str::from_utf8(score).expect("ASCII");
    text.parse().expect("a number")
}

fn event() -> Map<'static> {
    let mut event = Map::new();
    event.push("type", "chat.message");
    event.push("message", "hi");
    event
}

fn now() -> Score {
    Score::new(NOW, 250_000)
}

#[test]
fn memberships_and_direct_messages_are_told_as_recorded() {
    let vectors = vectors();
    let core = &vectors["core"];
    let (log, member) = (&core["hosts_1"], text(&core["members"][0]));
    let commands = Commands::new(&hosts(1));
    let groups = [("chat_1_a", member.to_owned(), now())];
    let join = commands.join(b"fence".to_vec(), groups).arguments;
    let [script, _two, _fence, group, expiry, score, name] = &*join else {
        panic!("{join:?}");
    };
    assert_eq!(**script, *JOIN.as_bytes());
    let adds = recorded(log, "zadd");
    check_add(&adds[0], &[group.clone(), score.clone(), name.clone()]);
    let expires = recorded(log, "expire");
    let expire = [group.clone(), expiry.clone()];
    assert_eq!(expire, [key(&expires[0][2]), key(&expires[0][3])]);
    let leave = commands.leave(b"fence".to_vec(), [("chat_1_a", member.to_owned())]);
    let removed = &recorded(log, "zrem")[0];
    let left = [key(&removed[2]), key(&removed[3])];
    assert_eq!(leave.arguments[3..], left);
    let [trim, range] = commands.members("chat_1_a", now());
    let [group, _zero, last] = &*trim.arguments else {
        panic!("{trim:?}");
    };
    check_trim(&recorded(log, "zremrangebyscore")[2], [group, last]);
    assert_eq!(range.arguments[0], key(&recorded(log, "zrange")[0][2]));

    for (index, (channel, capacity)) in [(member, "7"), ("general", "3")].into_iter().enumerate() {
        let to = commands.to_channel(channel);
        let message = commands.write(&to, &event(), 0, now(), &mut fill);
        let send = commands.send(&to, vec![message.expect("writable")], None);
        let [
            script,
            one,
            to,
            _one,
            expiry,
            expired,
            most,
            _number,
            time,
            message,
        ] = &*send.arguments
        else {
            panic!("{send:?}");
        };
        let trim = &recorded(log, "zremrangebyscore")[index];
        check_trim(trim, [to, expired]);
        assert_eq!((&**script, &**one), (SEND.as_bytes(), &b"1"[..]));
        check_add(
            &adds[index + 1],
            &[to.clone(), time.clone(), message.clone()],
        );
        assert_eq!(most, capacity.as_bytes());
        assert_eq!(*expiry, key(&expires[index + 1][3]));
    }
}

#[test]
fn a_message_to_a_group_is_told_as_recorded_on_one_host_and_on_three() {
    let vectors = vectors();
    let core = &vectors["core"];
    let members = texts(&core["members"]);
    let own = Receivers::new(1, &mut |bytes| bytes.fill(RANDOM));
    for (count, log) in [(1, &core["hosts_1"]), (3, &core["hosts_3"])] {
        let commands = Commands::new(&hosts(count));
        let batches = commands
            .send_to_group(members.iter().copied(), &own, &event(), now(), &mut fill)
            .expect("writable");
        let lines: Vec<_> = recorded(log, "eval")
            .into_iter()
            .filter(|line| line[3] != "0")
            .collect();
        assert_eq!(batches.len(), lines.len());
        for (batch, line) in batches.iter().zip(lines) {
            assert_eq!(batch.host as u64, line[0].as_u64().expect("a host"));
            // Theirs: keys, messages, capacities, the time, the expiry. Ours of one message: keys, that it is one, the
            // expiry, what has expired, capacities, the message's number, the time, messages.
            let (ours, keys) = (&batch.send.arguments[2..], batch.destinations);
            assert_eq!(line[3], keys.to_string());
            assert_eq!(ours.len(), 3 * keys + 5);
            let theirs = |from: usize, count: usize| -> Vec<Vec<u8>> {
                line[4 + from..][..count].iter().map(key).collect()
            };
            assert_eq!(ours[..keys], theirs(0, keys));
            assert_eq!(ours[2 * keys + 5..], theirs(keys, keys));
            assert_eq!(ours[keys + 3..][..keys], theirs(2 * keys, keys));
            let time = text(&line[4 + 3 * keys]).as_bytes();
            assert_eq!(seconds(&ours[2 * keys + 4]), seconds(time));
            assert_eq!(ours[keys + 1], theirs(3 * keys + 1, 1)[0]);
        }
    }
    // With several hosts the layer trims on the wrong one, so the trims of one host are compared.
    let commands = Commands::new(&hosts(1));
    let batches = commands.send_to_group(members, &own, &event(), now(), &mut fill);
    let lines = recorded(&core["hosts_1"], "zremrangebyscore");
    let batch = &batches.expect("writable")[0];
    let ours = &batch.send.arguments[2..];
    let expired = &ours[batch.destinations + 2];
    for (to, line) in ours[..batch.destinations].iter().zip(&lines[3..]) {
        check_trim(line, [to, expired]);
    }
}

#[test]
fn a_published_message_is_told_as_recorded() {
    let channels = ChannelsSettings {
        layer: LayerKind::Pubsub,
        prefix: "site".to_owned(),
        ..hosts(3)
    };
    let commands = Commands::new(&channels);
    let mut event = Map::new();
    event.push("type", Value::from("x"));
    let group = commands.publish_to_group("chat_1_a", &event, now(), &mut fill);
    let direct = commands.publish("general", &event, now(), &mut fill);
    for (row, sent) in rows("pubsub").iter().zip([group, direct]) {
        let (host, publish) = sent.expect("writable");
        assert_eq!(host as u64, row[0].as_u64().expect("a host"));
        assert_eq!(publish.name, "PUBLISH");
        assert_eq!(
            publish.arguments,
            [text(&row[1]).as_bytes().to_vec(), hex(text(&row[2]))]
        );
    }
}
