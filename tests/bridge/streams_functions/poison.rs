//! Keys that are ours by their names and not by what is in them: one call costs Redis little, and what comes next is
//! appended.

use super::by_hand::{APPEND, At, Functions, HEAD, Said, at, key, list};
use crate::support::redis::Reply;

const ARCHIVE: &str = "supportal:archive";

/// Milliseconds of a day that no clock has come to.
const FUTURE: u64 = 9_999_999_999_999;

/// What is said in a room, and kept in the archive too.
fn append_archived(functions: &mut Functions, room: &str, number: u64) -> At {
    let mut keys = ["stream", "origins"].map(|what| key(what, room)).to_vec();
    keys.push(ARCHIVE.to_owned());
    let number = number.to_string();
    let arguments = [
        "PUBLISH", "100", "262144", "7200000", "86400000", "one", "redis1", "", "16777216",
        "7200000", HEAD, "", "", "", "", "1", &number, "message", "{}",
    ];
    let answer = functions.evaluate(APPEND, &keys, &arguments.map(Into::into));
    at(&list(answer)[0])
}

/// The ids of the archive's entries, and the lives that they are of.
fn archived(functions: &mut Functions) -> Vec<(String, String)> {
    let entries = list(functions.client.command(&["XRANGE", ARCHIVE, "-", "+"]));
    let entry = |entry: Reply| {
        let parts = list(entry);
        let fields = list(parts[1].clone());
        (parts[0].text().to_owned(), fields[1].text().to_owned())
    };
    entries.into_iter().map(entry).collect()
}

/// How often Redis has been called by this name.
fn calls(functions: &mut Functions, name: &str) -> u64 {
    let info = functions.client.command(&["INFO", "commandstats"]);
    let start = format!("cmdstat_{name}:calls=");
    let line = info
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(&start));
    let calls = line.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a count"))
}

#[test]
fn an_archive_of_a_clock_ahead_that_somebody_emptied_is_begun_anew() {
    let mut functions = Functions::new();
    let ahead = format!("{FUTURE}-7");
    for room in ["a", "b"] {
        functions
            .client
            .command(&["XADD", ARCHIVE, &ahead, "a", "1", "b", "300"]);
        functions.client.command(&["XTRIM", ARCHIVE, "MAXLEN", "0"]);
        for number in 1..=3 {
            let said = append_archived(&mut functions, room, number);
            assert_eq!((said.appended, said.offset), (1, number));
        }
        let entries = archived(&mut functions);
        let numbers: Vec<&str> = entries
            .iter()
            .map(|entry| entry.0.split_once('-').unwrap().1)
            .collect();
        assert_eq!(numbers, ["1", "2", "3"]);
        assert_ne!(entries[0].1, "1", "a life of its own");
        functions.client.command(&["DEL", ARCHIVE]);
    }
}

#[test]
fn an_archive_of_a_clock_ahead_without_its_newest_entries_goes_on_behind_them() {
    let mut functions = Functions::new();
    for number in 1..=5 {
        let id = format!("{}-{number}", FUTURE + number);
        functions.client.command(&[
            "XADD",
            ARCHIVE,
            &id,
            "a",
            "1",
            "b",
            &(300 * number).to_string(),
        ]);
    }
    for number in 4..=5 {
        functions
            .client
            .command(&["XDEL", ARCHIVE, &format!("{}-{number}", FUTURE + number)]);
    }
    for number in 1..=2 {
        assert_eq!(append_archived(&mut functions, "a", number).offset, number);
    }
    let numbers: Vec<String> = archived(&mut functions)
        .into_iter()
        .map(|(id, life)| format!("{} of {life}", id.split_once('-').unwrap().1))
        .collect();
    // What was removed is a gap, as it is for whoever had not read it.
    assert_eq!(numbers, ["1 of 1", "2 of 1", "3 of 1", "6 of 1", "7 of 1"]);
}

#[test]
fn a_room_of_a_clock_ahead_that_somebody_emptied_is_begun_anew() {
    let mut functions = Functions::new();
    let (stream, origins) = (key("stream", "a"), key("origins", "a"));
    functions.client.command(&[
        "XADD",
        &stream,
        &format!("{FUTURE}-7"),
        "e",
        "1",
        "h",
        "h",
        "m",
        "m",
    ]);
    functions.client.command(&["XTRIM", &stream, "MAXLEN", "0"]);
    functions.client.command(&["DEL", &origins]);
    for number in 1..=2 {
        let said = functions.append("one", Said::new("a", [number]));
        assert_eq!((said.appended, said.offset), (1, number));
    }
}

#[test]
fn an_epoch_of_which_there_can_be_none_behind_was_seen_by_nobody() {
    let mut functions = Functions::new();
    let first = functions.append("one", Said::new("a", [1]));
    for (number, epoch) in (2..).zip([
        8_999_999_999_999_999,
        8_999_999_999_999_998,
        8_000_000_000_000_001,
    ]) {
        let said = functions.append("one", Said::new("a", [number]).seen(epoch, 1));
        assert_eq!((said.epoch, said.offset), (first.epoch, number), "{epoch}");
    }
    // What a clock may have been set to is believed.
    let said = functions.append("one", Said::new("a", [5]).seen(7_000_000_000_000_000, 1));
    assert_eq!((said.epoch, said.offset), (7_000_000_000_000_001, 1));
}

#[test]
fn origins_of_somebody_else_are_not_looked_through() {
    let mut functions = Functions::new();
    let fill = "for i = 1, 20000 do redis.call('HSET', KEYS[1], 'origin number ' .. i, '1 1700000000000') end";
    functions.evaluate(fill, &[key("origins", "a")], &[]);
    for number in 1..=3 {
        let origin = format!("origin {number}");
        assert_eq!(
            functions.append(&origin, Said::new("a", [number])).offset,
            number
        );
    }
    assert_eq!(calls(&mut functions, "hgetall"), 0);
    assert_eq!(calls(&mut functions, "hdel"), 0);
}

#[test]
fn a_stream_longer_than_any_of_ours_is_not_looked_through() {
    let mut functions = Functions::new();
    let fill = "for i = 1, 30000 do redis.call('XADD', KEYS[1], '1700000000000-' .. i, 'x', 'y') end
        redis.call('XADD', KEYS[1], '1700000000000-30001', 'e', '1600000000000000', 'h', 'h', 'm', 'm')";
    functions.evaluate(fill, &[key("stream", "a")], &[]);
    let keys = ["stream", "origins"].map(|what| key(what, "a"));
    let arguments = ["128", "262144", "1600000000000000", "1", "1"].map(Into::into);
    let answer = functions.evaluate(super::by_hand::READ, &keys, &arguments);
    assert!(answer.text().contains("FOREIGN"), "{answer:?}");
    assert_eq!(calls(&mut functions, "xrange"), 0);
    // The next append cuts it to what is kept.
    let said = functions.append("one", Said::new("a", [1]));
    assert_eq!(said.appended, 1);
    let answer = functions.evaluate(super::by_hand::READ, &keys, &arguments);
    assert!(matches!(answer, Reply::Array(_)), "{answer:?}");
}

#[test]
fn an_epoch_of_a_redis_whose_clock_is_hours_behind_is_read_from_its_beginning() {
    let mut functions = Functions::new();
    // As a Redis whose clock was ahead had it, and all of it is lost.
    let (epoch, millis) = (1_700_000_000_000_000_u64, FUTURE);
    for number in 1..=3 {
        functions.append("one", Said::new("a", [number]).seen(epoch, 5));
    }
    let page = functions.read("a", &[&epoch.to_string(), &millis.to_string(), "5"]);
    let offsets: Vec<&str> = page
        .1
        .iter()
        .map(|entry| entry.split_once('-').unwrap().1)
        .collect();
    assert_eq!(offsets, ["1 m1", "2 m2", "3 m3"]);
}
