//! `history.mode = "journal"`: a room's newest messages, over the death of the server.

use super::*;
use crate::support::Signal;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::thread;

const JOURNAL: [&str; 2] = ["history.mode=journal", "archive.sync=always"];

/// A room's epoch, the offset of its last message, and what it says with its offset.
#[track_caller]
fn history(gateway: &Gateway, query: &str) -> (u64, u64, Vec<(u64, String)>) {
    let answer = gateway.admin(&format!("/history?room={query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let number = |value: &Value| value.as_u64().expect("a number");
    let messages = answer["messages"].as_array().expect("messages");
    let messages = messages.iter().map(|message| {
        assert_eq!(message["event"]["sender"], "user");
        let what = text(&message["event"], "message").to_owned();
        (number(&message["offset"]), what)
    });
    let messages = messages.collect();
    (
        number(&answer["epoch"]),
        number(&answer["offset"]),
        messages,
    )
}

#[test]
fn a_room_goes_on_where_it_was_after_a_restart() {
    let kept = Kept::new();
    let settings = [JOURNAL.as_slice(), &["history.capacity=5"]].concat();
    let mut gateway = kept.start(&settings);
    let mut ann = gateway.join("abc");
    for number in 1..=7 {
        say(&mut ann, &number.to_string());
    }
    wait_written(&gateway, 7);
    let newest = |from: u64, to: u64| -> Vec<_> {
        (from..=to)
            .map(|number| (number, number.to_string()))
            .collect()
    };
    let before = history(&gateway, "chat_1_abc&limit=100");
    assert_eq!((before.1, &before.2), (7, &newest(3, 7)));
    drop(ann);
    gateway.restart();
    assert_eq!(history(&gateway, "chat_1_abc&limit=100"), before);
    let mut ann = gateway.join("abc");
    say(&mut ann, "8");
    wait_written(&gateway, 1);
    assert_eq!(
        history(&gateway, "chat_1_abc&limit=2"),
        (before.0, 8, newest(7, 8))
    );
    assert_eq!(history(&gateway, "chat_1_nobody"), (0, 0, Vec::new()));
}

#[test]
fn what_is_older_than_it_is_kept_for_is_not_shown_and_not_forgotten_by_the_numbers() {
    let kept = Kept::new();
    let settings = [
        JOURNAL.as_slice(),
        &["history.expiry=1s", "queue.expiry=1s"],
    ]
    .concat();
    let gateway = kept.start(&settings);
    let mut ann = gateway.join("abc");
    say(&mut ann, "old");
    wait_written(&gateway, 1);
    let shown = || history(&gateway, "chat_1_abc");
    let epoch = shown().0;
    wait::until("the message is too old", PATIENCE, || {
        shown() == (epoch, 1, Vec::new())
    });
    say(&mut ann, "new");
    wait_written(&gateway, 2);
    assert_eq!(shown(), (epoch, 2, vec![(2, "new".to_owned())]));
}

#[test]
fn killed_in_a_flood_a_room_has_all_that_was_synced_and_its_numbers_go_on() {
    let kept = Kept::new();
    let free = [
        "limits.messages_per_second=100000",
        "limits.messages_burst=100000",
        "history.capacity=10000",
        "history.bytes_max=4000000",
    ];
    let settings = [JOURNAL.as_slice(), &free].concat();
    let mut gateway = kept.start(&settings);
    let mut epoch = None;
    for _round in 0..3 {
        let shown = thread::scope(|scope| {
            for _ in 0..3 {
                let client = gateway.join("abc");
                scope.spawn(|| speak_until_gone(client, (0..).map(|number| number.to_string())));
            }
            wait_written(&gateway, 300);
            let shown = history(&gateway, "chat_1_abc&limit=1");
            gateway.signal(Signal::Kill);
            gateway.wait_exit(PATIENCE);
            shown
        });
        gateway = kept.start(&settings);
        let found = history(&gateway, "chat_1_abc&limit=10000");
        // What anybody was shown is there; what died in the queue was given no number.
        assert!(found.1 >= shown.1, "{} behind {}", found.1, shown.1);
        assert!(found.2.contains(&shown.2[0]));
        assert_eq!(*epoch.get_or_insert(found.0), found.0);
        let archived = read_all(&gateway, 1000);
        let offsets = archived.iter().map(|line| line["offset"].as_u64());
        assert!(
            offsets.eq((1..=found.1).map(Some)),
            "no hole and no repetition"
        );
    }
}

/// The position of a cursor.
#[track_caller]
fn position(cursor: &str) -> u64 {
    let (_, digits) = cursor.split_at(16);
    u64::from_str_radix(digits, 16).expect("a position")
}

/// What is lost behind a cursor is told without a wait for somebody who speaks, and once: who has heard it waits for more.
#[track_caller]
fn expect_loss_once(gateway: &Gateway, (found, lost): (&str, u64), newest: &str) {
    let lines = page(gateway, &format!("?wait=30s&after={found}"));
    assert_eq!(
        (
            lines.len(),
            lines[0]["gap"].as_u64(),
            text(&lines[0], "cursor")
        ),
        (1, Some(lost), newest)
    );
    let mut ann = gateway.join("abc");
    let more = thread::scope(|scope| {
        let reader = scope.spawn(|| page(gateway, &format!("?wait=30s&after={newest}")));
        say(&mut ann, "behind");
        reader.join().expect("a page")
    });
    assert_eq!((more.len(), text(&more[0], "message")), (1, "behind"));
}

#[test]
fn a_torn_log_is_an_exact_gap_and_no_two_messages_are_called_the_same() {
    let kept = Kept::new();
    let mut gateway = kept.start(&JOURNAL);
    // What each place of the room was shown to hold.
    let mut called = HashMap::new();
    let mut last = 0;
    for round in 0..3_u64 {
        let mut ann = gateway.join("abc");
        for number in 0..20 {
            say(&mut ann, &format!("{round}.{number}"));
            wait_written(&gateway, number + usize::from(round > 0) + 1);
        }
        let lines = read_all(&gateway, 1000);
        for line in &lines {
            let place = (
                line["epoch"].clone().to_string(),
                line["offset"].clone().to_string(),
            );
            let said = line["message"].clone();
            if line["gap"].is_null() {
                assert_eq!(called.entry(place).or_insert_with(|| said.clone()), &said);
            }
        }
        last += 20;
        let newest = text(lines.last().expect("lines"), "cursor").to_owned();
        assert_eq!(position(&newest), last);
        gateway.signal(Signal::Kill);
        gateway.wait_exit(PATIENCE);
        let log = kept.path().with_extension("db-wal");
        let file = OpenOptions::new().write(true).open(log).expect("a log");
        let length = file.metadata().expect("a length").len();
        file.set_len(length - 10_000).expect("a shorter one");
        gateway = kept.start(&JOURNAL);
        gateway.wait_log("the archive's journal has lost its newest messages", 1);
        let left = read_all(&gateway, 1000);
        // The last page of the room is read again from a place that is lost, and from one in front of that.
        assert_eq!(
            page(&gateway, &format!("?after={newest}")),
            Vec::<Value>::new()
        );
        let found = left.iter().rfind(|line| line["gap"].is_null());
        let found = found.expect("an event");
        let place = position(text(found, "cursor"));
        assert!(place < last, "{place}");
        expect_loss_once(&gateway, (text(found, "cursor"), last - place), &newest);
        last += 1;
        let behind = page(&gateway, &format!("?after={}", text(found, "cursor")));
        assert_eq!(
            (behind.len(), behind[0]["gap"].as_u64()),
            (2, Some(last - 1 - place))
        );
        assert_eq!(page(&gateway, &format!("?after={newest}")), behind[1..]);
        assert_eq!(behind[1]["offset"], 1);
        assert!(text(&behind[1], "at") > text(found, "at"));
        let (epoch, offset, messages) = history(&gateway, "chat_1_abc");
        assert_eq!(messages, [(1, "behind".to_owned())]);
        assert_eq!((epoch, offset), (last, 1));
    }
}
