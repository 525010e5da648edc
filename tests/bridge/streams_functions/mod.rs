//! The two functions of mode `streams` by hand, against a real Redis: what is said in one call, what is not as it should
//! be, and beside those of the version before, which is still at work while nodes are replaced one by one.

mod by_hand;
mod poison;

use crate::support::redis::Reply;
use by_hand::{APPEND, At, Functions, HEAD, OLD_READ, READ, Said, at, key, list, number};

#[test]
fn rooms_share_a_call_and_the_fault_of_one_is_its_own() {
    let mut functions = Functions::new();
    for words in [
        ["SET", "supportal:stream:{typed}", "x"].as_slice(),
        &["SET", "supportal:origins:{beside}", "x"],
        &["SET", "supportal:ids:{ids}", "x"],
        &["XADD", "supportal:stream:{foreign}", "1-1", "x", "y"],
        // Beyond what Lua counts, and the last there can be.
        &[
            "XADD",
            "supportal:stream:{last}",
            "18446744073709551614-5",
            "e",
            "1",
            "h",
            "h",
            "m",
            "m",
        ],
    ] {
        functions.client.command(words);
    }
    let answers = list(functions.call(
        "one",
        &[
            Said::new("a", [1, 2]),
            Said::new("typed", [3]),
            Said::new("beside", [4]),
            Said::new("ids", [5]).ids(&["id"]),
            Said::new("foreign", [6]),
            Said::new("last", [7]),
            Said::new("b", [8]),
            // Another life of the room on its node.
            Said::new("a", [9]),
        ],
    ));
    for (place, word) in [
        (1, "WRONGTYPE"),
        (2, "WRONGTYPE"),
        (3, "WRONGTYPE"),
        (4, "FOREIGN"),
        (5, "FOREIGN"),
    ] {
        assert!(answers[place].text().contains(word), "{answers:?}");
    }
    let all: Vec<(u64, u64)> = [0, 6, 7]
        .map(|place| at(&answers[place]))
        .map(|at| (at.appended, at.offset))
        .to_vec();
    assert_eq!(all, [(2, 2), (1, 1), (1, 3)]);
    // What was appended before is not again, in whichever company.
    let again = list(functions.call("one", &[Said::new("b", [8, 10]), Said::new("a", [9])]));
    assert_eq!((at(&again[0]).appended, at(&again[1]).appended), (1, 0));
}

#[test]
fn what_redis_as_a_whole_refuses_is_of_no_room_and_nothing_is_written() {
    let mut functions = Functions::new();
    functions.append("one", Said::new("a", [1]));
    for (key, value, reset, code) in [
        ("maxmemory", "1", "0", "OOM"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ] {
        functions.client.command(&["CONFIG", "SET", key, value]);
        let answer = functions.call("one", &[Said::new("a", [2]), Said::new("b", [3])]);
        assert!(answer.text().contains(code), "{answer:?}");
        functions.client.command(&["CONFIG", "SET", key, reset]);
        assert_eq!(functions.offsets("a").len(), 1);
    }
    functions.client.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let answer = functions.call("one", &[Said::new("a", [2])]);
    assert!(answer.text().contains("READONLY"), "{answer:?}");
    functions.client.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(functions.append("one", Said::new("a", [2])).offset, 2);
}

#[test]
fn what_follows_messages_that_redis_refused_is_not_appended_before_them() {
    let mut functions = Functions::new();
    let mut second = Said::new("a", [3]);
    second.behind = Some(2);
    // The first call, of 1 and 2, was refused.
    let answer = functions.call("one", &[second.clone(), Said::new("b", [4])]);
    let answers = list(answer);
    assert!(answers[0].text().contains("BEHIND"), "{answers:?}");
    assert_eq!(at(&answers[1]).appended, 1);
    assert_eq!(functions.append("one", Said::new("a", [1, 2])).appended, 2);
    assert_eq!(functions.append("one", second).offset, 3);
}

#[test]
fn a_tail_behind_what_was_seen_begins_an_epoch_and_tells_how_far_the_one_before_went() {
    let mut functions = Functions::new();
    let first = functions.append("one", Said::new("a", 1..=5));
    let mut hearer = functions.redis.connect();
    hearer.command(&["SUBSCRIBE", "supportal:stream:{a}"]);
    let second = functions.append("two", Said::new("a", [1]).seen(first.epoch, 8));
    assert!(second.epoch > first.epoch);
    assert_eq!(second.offset, 1);
    // In front of the message stands one without any, with the epoch before.
    let place = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let notice = hearer.published();
    assert_eq!((place(&notice, 0), place(&notice, 16)), (first.epoch, 8));
    assert_eq!(notice.len(), 24 + HEAD.len());
    let message = hearer.published();
    assert_eq!((place(&message, 0), place(&message, 16)), (second.epoch, 1));
    let head = |seen: &str| {
        let (epoch, before) = (second.epoch.to_string(), first.epoch.to_string());
        [epoch, before, seen.to_owned(), "5".to_owned()]
    };
    let known = |head: &[String]| [0, 2, 3, 4].map(|place| head[place].clone());
    assert_eq!(known(&functions.read("a", &["0", "0", "0"]).0), head("8"));
    // Who knows less says nothing new; who knows more is believed, without a word to say.
    functions.append("three", Said::new("a", [1]).seen(first.epoch, 7));
    let told = functions.append("four", Said::new("a", []).seen(first.epoch, 9));
    assert_eq!(
        (told.appended, told.epoch, told.offset),
        (0, second.epoch, 2)
    );
    assert_eq!(known(&functions.read("a", &["0", "0", "0"]).0), head("9"));
    hearer.published();
    assert_eq!(place(&hearer.published(), 16), 9);
    // A page over both epochs: each entry with its own, and from the lost one on.
    let (from, epoch) = (first.epoch / 1_000, first.epoch.to_string());
    let page = functions.read("a", &[&epoch, &from.to_string(), "3"]).1;
    let expected = [(&first, 4), (&first, 5), (&second, 1), (&second, 2)];
    let expected = expected.map(|(at, offset)| format!("{}-{offset}", at.epoch));
    let places: Vec<&str> = page
        .iter()
        .map(|entry| entry.split(' ').next().unwrap())
        .collect();
    assert_eq!(places, expected);
    assert!(
        functions
            .read("a", &[&second.epoch.to_string(), "9999999999999", "0"])
            .1
            .is_empty()
    );
}

#[test]
fn another_redis_begins_an_epoch_and_one_that_lost_all_too() {
    let mut functions = Functions::new();
    let first = functions.append("one", Said::new("a", 1..=5));
    functions.life = "redis2";
    let second = functions.append("two", Said::new("a", [1]).seen(first.epoch, 3));
    assert!(second.epoch > first.epoch && second.offset == 1);
    let head = functions.read("a", &["0", "0", "0"]).0;
    assert_eq!(head[2..], [first.epoch.to_string(), "5".into(), "5".into()]);
    assert_eq!(
        functions.append("two", Said::new("a", [2])).epoch,
        second.epoch
    );
    // Nobody may ask which it is.
    functions.life = "-";
    assert_eq!(functions.append("two", Said::new("a", [3])).offset, 3);
    functions.client.command(&["FLUSHALL"]);
    let third = functions.append("two", Said::new("a", [4]).seen(second.epoch, 3));
    assert!(third.epoch > second.epoch && third.offset == 1);
    let head = functions.read("a", &["0", "0", "0"]).0;
    assert_eq!(
        head[2..],
        [second.epoch.to_string(), "3".into(), "0".into()]
    );
}

#[test]
fn whoever_is_epochs_behind_is_told_of_eight_and_of_none_that_does_not_follow() {
    let mut functions = Functions::new();
    let lives = (0..12).map(|life| format!("redis {life}"));
    let places: Vec<At> = lives
        .enumerate()
        .map(|(place, life)| {
            functions.life = life.leak();
            let numbers = 1..=place as u64 + 1;
            functions.append(&format!("origin {place}"), Said::new("a", numbers))
        })
        .collect();
    let told = |functions: &mut Functions, epoch: u64| {
        let head = functions.read("a", &[&epoch.to_string(), "0", "0"]).0;
        head[2..].to_vec()
    };
    let list = |of: &dyn Fn(&At) -> u64, range: std::ops::Range<usize>| {
        let numbers: Vec<String> = places[range]
            .iter()
            .rev()
            .map(|at| of(at).to_string())
            .collect();
        numbers.join(" ")
    };
    let epoch = |range| list(&|at| at.epoch, range);
    let offset = |range| list(&|at| at.offset, range);
    // At the last one, or at the one before, there is no more to know.
    for place in [10, 11] {
        let before = told(&mut functions, places[place].epoch);
        assert_eq!(before, [epoch(10..11), offset(10..11), offset(10..11)]);
    }
    let before = told(&mut functions, places[5].epoch);
    assert_eq!(before, [epoch(3..11), offset(3..11), offset(3..11)]);
    // Whatever version wrote another one in between: what does not follow is not said.
    let room = key("origins", "a");
    let third = functions.client.command(&["HGET", &room, "before4"]);
    functions
        .client
        .command(&["HSET", &room, "before3", third.text()]);
    let before = told(&mut functions, places[5].epoch);
    assert_eq!(before, [epoch(9..11), offset(9..11), offset(9..11)]);
    // They stay compact, and are none of the room's origins.
    let encoding = functions.client.command(&["OBJECT", "ENCODING", &room]);
    assert_eq!(encoding.text(), "listpack");
}

#[test]
fn numbering_goes_on_when_the_stream_of_an_idle_room_has_expired() {
    let mut functions = Functions::new();
    let first = functions.append("one", Said::new("a", 1..=5));
    for what in ["stream", "origins"] {
        let Reply::Number(left) = functions.client.command(&["PTTL", &key(what, "a")]) else {
            panic!("a time")
        };
        let least = if what == "stream" {
            7_190_000
        } else {
            86_390_000
        };
        assert!(left > least, "{what}: {left}");
    }
    functions.client.command(&["DEL", "supportal:stream:{a}"]);
    let (head, entries) = functions.read("a", &["0", "0", "0"]);
    assert!(head[1].ends_with("-5") && entries.is_empty(), "{head:?}");
    let next = functions.append("two", Said::new("a", [1]));
    assert_eq!((next.epoch, next.offset), (first.epoch, 6));
    assert_eq!(functions.append("one", Said::new("a", [5])).appended, 0);
}

#[test]
fn an_id_is_appended_once_and_answered_with_its_place_also_in_another_epoch() {
    let mut functions = Functions::new();
    let answer = functions.call("one", &[Said::new("a", 1..=4).ids(&["x", "", "x", "y"])]);
    let values = list(list(answer)[0].clone());
    assert_eq!(number(&values[0]), 3);
    let first = at(&Reply::Array(values[..3].to_vec()));
    let places = |values: &[Reply]| -> Vec<String> {
        values[3..]
            .iter()
            .map(|place| place.text().to_owned())
            .collect()
    };
    let of = |at: At, offset: u64| format!("{}-{offset}", at.epoch);
    assert_eq!(
        places(&values),
        [of(first, 1), String::new(), of(first, 1), of(first, 3)]
    );
    functions.life = "redis2";
    let answer = functions.call("two", &[Said::new("a", 1..=2).ids(&["y", "z"])]);
    let values = list(list(answer)[0].clone());
    let second = at(&Reply::Array(values[..3].to_vec()));
    assert_eq!((second.appended, second.offset), (1, 1));
    assert_eq!(places(&values), [of(first, 3), of(second, 1)]);
    // They go with their entries.
    let many: Vec<String> = (0..150).map(|number| format!("id {number}")).collect();
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    functions.call("three", &[Said::new("a", 1..=150).ids(&ids)]);
    assert_eq!(
        functions.client.command(&["ZCARD", "supportal:ids:{a}"]),
        Reply::Number(100)
    );
    // Poison is no number of anything.
    for score in ["inf", "-inf", "1e300"] {
        functions
            .client
            .command(&["ZADD", "supportal:ids:{a}", score, "bad"]);
        let answer = functions.call("four", &[Said::new("a", [1]).ids(&["bad"])]);
        assert_eq!(at(&list(answer)[0]).appended, 0, "{score}");
    }
}

#[test]
fn nodes_of_this_version_and_the_one_before_append_to_one_stream() {
    let mut functions = Functions::new();
    assert_eq!(functions.append_old("old", "a", &[1, 2]), 2);
    let first = functions.append("new", Said::new("a", [1, 2]));
    assert_eq!(functions.append_old("old", "a", &[2, 3]), 1);
    // Each knows what either version appended.
    assert_eq!(functions.append("old", Said::new("a", [3, 4])).appended, 1);
    assert_eq!(functions.append_old("new", "a", &[2, 3]), 1);
    let last = functions.append("new", Said::new("a", [3, 4]).seen(first.epoch, 7));
    assert_eq!(
        (last.appended, last.epoch, last.offset),
        (1, first.epoch, 8)
    );
    let places: Vec<String> = (1..=8)
        .map(|offset| format!("{}-{offset}", first.epoch))
        .collect();
    let mut read = functions.offsets("a");
    read.iter_mut()
        .for_each(|entry| entry.truncate(places[0].len()));
    assert_eq!(read, places);
    // The old one reads what the new one wrote.
    let keys = [key("stream", "a")];
    let page = ["100", "262144", &first.epoch.to_string(), "0", "0"].map(Into::into);
    assert_eq!(
        list(functions.evaluate(OLD_READ, &keys, &page)).len(),
        2 + 3 * 8
    );
    // It makes room for its origins, and leaves where numbering stands.
    functions.life = "redis2";
    let second = functions.append("new", Said::new("a", [5]));
    for origin in 0..100 {
        functions.append_old(&format!("origin {origin}"), "a", &[1]);
    }
    let head = functions.read("a", &["0", "0", "0"]).0;
    assert_eq!(
        head[..4],
        [
            second.epoch.to_string(),
            head[1].clone(),
            first.epoch.to_string(),
            "8".into()
        ]
    );
    assert_eq!(functions.append("new", Said::new("a", [6])).offset, 102);
    // An old one that finds no stream begins an epoch, and the new one goes on there.
    functions.client.command(&["DEL", "supportal:stream:{a}"]);
    functions.append_old("old", "a", &[9]);
    let third = functions.append("new", Said::new("a", [7]));
    assert!(third.epoch > second.epoch && third.offset == 2);
    let head = functions.read("a", &["0", "0", "0"]).0;
    let before = format!("{} {}", second.epoch, first.epoch);
    assert_eq!(head[2..4], [before, "102 8".into()]);
}

#[test]
fn hundreds_of_speakers_stay_known_and_those_that_are_silent_for_long_are_forgotten() {
    let mut functions = Functions::new();
    for origin in 0..300 {
        functions.append(&format!("origin {origin}"), Said::new("a", [1]));
    }
    for origin in 0..300 {
        let again = functions.append(&format!("origin {origin}"), Said::new("a", [1]));
        assert_eq!(again.appended, 0, "{origin}");
    }
    let (room, Reply::Array(time)) = (key("origins", "b"), functions.client.command(&["TIME"]))
    else {
        panic!("a time")
    };
    let now = number(&time[0]) * 1_000;
    for origin in 0..100 {
        let spoke = if origin % 2 == 0 {
            now - 700_000
        } else {
            now - 500_000
        };
        let (name, value) = (format!("origin {origin}"), format!("1 {spoke}"));
        functions.client.command(&["HSET", &room, &name, &value]);
    }
    functions.append("new", Said::new("b", [1]));
    // Those fifty, the new one, and what is said of the room.
    assert_eq!(
        functions.client.command(&["HLEN", &room]),
        Reply::Number(53)
    );
    for origin in 0..1_100 {
        functions.client.command(&[
            "HSET",
            &room,
            &format!("many {origin}"),
            &format!("1 {now}"),
        ]);
    }
    functions.append("another", Said::new("b", [1]));
    let Reply::Number(left) = functions.client.command(&["HLEN", &room]) else {
        panic!("a count")
    };
    assert!(left <= 1_024, "{left}");
}

#[test]
fn poison_beside_a_room_is_read_over() {
    let mut functions = Functions::new();
    for (room, tail) in [
        "junk",
        "",
        "5 5 x",
        "nan 1 x 9",
        "-1 1 x 9",
        "1 1 x 9999999999999999",
        "9999999999999999 1 x 9",
        "8999999999999999 1 x 9",
        "1 1 x 99999999999999999999999",
        "1 9000000000000001 x 7",
        // As long as one is, of another life of Redis, and beyond what is counted.
        &"\u{1}".repeat(64),
        &"~".repeat(64),
    ]
    .into_iter()
    .enumerate()
    {
        let room = format!("room {room}");
        for (field, value) in [
            ("tail", tail),
            ("before", tail),
            ("before2", tail),
            ("sweep", tail),
            ("said", tail),
            ("one", tail),
        ] {
            functions
                .client
                .command(&["HSET", &key("origins", &room), field, value]);
        }
        // Of another origin, of whom nothing is known.
        for number in 1..4 {
            let at = functions.append("two", Said::new(&room, [number]));
            assert_eq!((at.appended, at.offset), (1, number), "{tail}");
        }
        assert_eq!(functions.offsets(&room).len(), 3, "{tail}");
    }
    for seen in [(u64::MAX, 1), (1, u64::MAX), (9_000_000_000_000_000, 9)] {
        let at = functions.append("three", Said::new("room 0", []).seen(seen.0, seen.1));
        assert_eq!(at.appended, 0, "{seen:?}");
    }
    assert_eq!(
        functions.append("two", Said::new("room 0", [4])).appended,
        1
    );
}

#[test]
fn a_page_is_within_its_bytes_however_large_the_history_is() {
    let mut functions = Functions::new();
    let large = "x".repeat(60_000);
    for number in 1..=50 {
        let mut said = Said::new("a", [number]);
        said.messages[0].1.clone_from(&large);
        let keys = ["stream", "origins"].map(|what| key(what, "a"));
        let mut arguments: Vec<String> = [
            "PUBLISH", "1000", "10000000", "7200000", "86400000", "one", "-", "", "", "",
        ]
        .map(Into::into)
        .into();
        arguments.extend([HEAD, "", "", "", "", "1"].map(Into::into));
        arguments.extend([number.to_string(), large.clone()]);
        functions.evaluate(APPEND, &keys, &arguments);
    }
    // Forwards and backwards, each entry once.
    let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
    let mut from: Vec<String> = vec!["0".into(), "0".into(), "0".into()];
    let keys = ["stream", "origins"].map(|what| key(what, "a"));
    for is_forwards in [true, false] {
        let mut place = if is_forwards {
            std::mem::take(&mut from)
        } else {
            Vec::new()
        };
        loop {
            let mut arguments = vec!["128".to_owned(), "262144".to_owned()];
            arguments.extend(place.iter().cloned());
            let answer = list(functions.evaluate(READ, &keys, &arguments));
            let texts: Vec<String> = answer.iter().map(|value| value.text().to_owned()).collect();
            let entries = texts[5..].as_chunks::<4>().0;
            assert!(entries.len() <= 5, "{}", entries.len());
            let Some([epoch, id, ..]) = entries.last() else {
                break;
            };
            let (millis, offset) = id.split_once('-').expect("an id");
            let found = entries
                .iter()
                .map(|entry| entry[1].split_once('-').unwrap().1.to_owned());
            if is_forwards {
                forwards.extend(found);
                place = vec![epoch.clone(), millis.into(), offset.into()];
            } else {
                backwards.extend(found);
                place = vec!["before".into(), id.clone()];
            }
        }
    }
    let all: Vec<String> = (1..=50).map(|offset| offset.to_string()).collect();
    assert_eq!(forwards, all);
    backwards.reverse();
    assert_eq!(backwards, all);
}
