//! The server dies, and the disk is full.

use super::*;
use crate::support::{Signal, user};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::collections::HashMap;
use std::fs;
use std::thread;

/// The texts of each room, in the order of the journal.
fn by_room(lines: &[Value]) -> HashMap<String, Vec<String>> {
    let mut rooms = HashMap::<String, Vec<String>>::new();
    for line in lines {
        let room = rooms.entry(text(line, "room").to_owned()).or_default();
        room.push(text(line, "message").to_owned());
    }
    rooms
}

#[test]
fn killed_again_and_again_a_server_finds_everything_that_was_written_once_and_in_order() {
    const ROOMS: usize = 4;
    let kept = Kept::new();
    let settings = [
        "archive.sync=always",
        "limits.messages_per_second=100000",
        "limits.messages_burst=100000",
    ];
    let mut gateway = kept.start(&settings);
    let mut said = [0; ROOMS];
    for round in 0..5 {
        // Each speaks until the server dies under the writes; what was heard by then was accepted.
        let heard: Vec<usize> = thread::scope(|scope| {
            let speakers: Vec<_> = (0..ROOMS)
                .map(|number| {
                    let (client, first) = (gateway.join(&format!("room{number}")), said[number]);
                    let texts = (first..).map(|next| next.to_string());
                    scope.spawn(move || first + speak_until_gone(client, texts))
                })
                .collect();
            wait_written(&gateway, 200);
            gateway.signal(Signal::Kill);
            gateway.wait_exit(PATIENCE);
            speakers
                .into_iter()
                .map(|speaker| speaker.join().expect("no panic"))
                .collect()
        });
        gateway = kept.start(&settings);
        let lines = read_all(&gateway, 1000);
        let rooms = by_room(&lines);
        for number in 0..ROOMS {
            let room = &rooms[&format!("chat_1_room{number}")];
            // In order, each once, nothing in between missing. What was said last may have died in the queue.
            let expected: Vec<String> = (0..room.len()).map(|text| text.to_string()).collect();
            assert_eq!(room, &expected, "round {round}");
            assert!(room.len() <= heard[number] + 1, "round {round}");
            said[number] = room.len();
        }
    }
}

/// Lets the server write files of so many bytes and no larger ones, as a full disk would.
fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let pid = i32::try_from(gateway.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).expect("prlimit of our own child");
}

#[test]
fn on_a_disk_that_takes_nothing_chat_goes_on_and_what_waited_is_written_once_it_does() {
    let kept = Kept::new();
    let gateway = kept.start(&[]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "before");
    wait_written(&gateway, 1);
    limit_files(&gateway, Some(1));
    for number in 0..20 {
        say(&mut ann, &number.to_string());
    }
    wait::until("/ready says so", PATIENCE, || {
        let ready = gateway.admin("/ready");
        ready.status == 200
            && ready
                .text()
                .contains("degraded: the archive does not write: ")
    });
    assert_eq!(
        page(&gateway, "").len(),
        1,
        "what is not on the disk is not shown"
    );
    assert!(
        gateway
            .admin("/health")
            .text()
            .contains("the archive does not write")
    );
    assert!(gateway.metric_sum("supportal_archive_failures_total") >= 1.0);
    limit_files(&gateway, None);
    wait_written(&gateway, 21);
    wait::until("/ready says ready", PATIENCE, || {
        gateway.admin("/ready").text() == "ready\n"
    });
    let said: Vec<_> = read_all(&gateway, 1000)
        .iter()
        .map(|line| text(line, "message").to_owned())
        .collect();
    let expected = ["before".to_owned()]
        .into_iter()
        .chain((0..20).map(|number: i32| number.to_string()));
    assert_eq!(said, expected.collect::<Vec<_>>());
    assert_eq!(
        gateway.metric_sum("supportal_archive_dropped_total") as u64,
        0
    );
}

#[test]
fn what_finds_no_room_while_the_disk_takes_nothing_is_counted_exactly() {
    let kept = Kept::new();
    let gateway = kept.start(&[
        "archive.queue_bytes=300000",
        "limits.messages_per_second=100000",
        "limits.messages_burst=100000",
    ]);
    let mut ann = gateway.join("abc");
    limit_files(&gateway, Some(1));
    let long = "x".repeat(3000);
    for _ in 0..150 {
        say(&mut ann, &long);
    }
    let dropped = || gateway.metric("supportal_archive_dropped_total{cause=\"queue\"}") as usize;
    assert!(dropped() >= 50, "{}", dropped());
    limit_files(&gateway, None);
    wait_written(&gateway, 150 - dropped());
    assert_eq!(read_all(&gateway, 1000).len(), 150 - dropped());
}

#[test]
fn where_nothing_may_be_lost_messages_are_refused_while_the_disk_takes_nothing() {
    let kept = Kept::new();
    let gateway = kept.start(&["archive.full=refuse"]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "before");
    wait_written(&gateway, 1);
    limit_files(&gateway, Some(1));
    let mut accepted = 1;
    wait::until("a message is refused", PATIENCE, || {
        ann.send_text(&user("during"));
        let answer = ann.receive_json();
        accepted += usize::from(answer["message"] == "during");
        answer["error"] == "Too busy, please try again"
    });
    limit_files(&gateway, None);
    wait::until("messages are taken again", PATIENCE, || {
        ann.send_text(&user("behind"));
        let is_taken = ann.receive_json()["message"] == "behind";
        accepted += usize::from(is_taken);
        is_taken
    });
    wait_written(&gateway, accepted);
    assert_eq!(read_all(&gateway, 1000).len(), accepted);
    assert!(gateway.metric("supportal_commands_refused_total{reason=\"busy\"}") >= 1.0);
}

/// What may befall the files of a journal under the node, by the names of those files.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The first, the log, its index, the lock: all that begin so are removed.
    Removed(&'static [&'static str]),
    /// A copy, made before, is moved over the first.
    Replaced,
    /// Moved elsewhere.
    Moved,
}

#[test]
fn a_journal_whose_files_are_removed_or_replaced_is_missed_and_what_is_said_from_there_on_is_found()
{
    let losses = [
        Loss::Removed(&[""]),
        Loss::Removed(&["", "-wal", "-shm"]),
        Loss::Removed(&["", "-wal", "-shm", ".lock"]),
        Loss::Removed(&["-wal"]),
        Loss::Removed(&["-shm"]),
        Loss::Removed(&[".lock"]),
        Loss::Replaced,
        Loss::Moved,
    ];
    for loss in losses {
        let kept = Kept::new();
        let mut gateway = kept.start(&[]);
        let mut ann = gateway.join("abc");
        say(&mut ann, "first");
        wait_written(&gateway, 1);
        let beside = |ending: &str| PathBuf::from(format!("{}{ending}", kept.path().display()));
        let (copy, elsewhere) = (beside(".copy"), beside(".elsewhere"));
        // A copy that is whole: the node's end moves the log into it.
        drop(ann);
        gateway.restart();
        fs::copy(kept.path(), &copy).expect("a copy");
        let mut ann = gateway.join("abc");
        say(&mut ann, "second");
        wait_written(&gateway, 1);
        match loss {
            Loss::Removed(endings) => endings
                .iter()
                .for_each(|ending| fs::remove_file(beside(ending)).expect("a file")),
            Loss::Replaced => fs::rename(&copy, kept.path()).expect("another file"),
            Loss::Moved => fs::rename(kept.path(), &elsewhere).expect("another name"),
        }
        // Found out without anybody's help, and without anything that is said.
        let replaced = "supportal_archive_failures_total{kind=\"replaced\"}";
        wait::until("the loss is noticed", PATIENCE, || {
            gateway.metric(replaced) >= 1.0
        });
        gateway.wait_log("were removed or replaced under the node", 1);
        gateway.wait_log("the archive writes again", 1);
        say(&mut ann, "third");
        wait::until("what is said behind is found", PATIENCE, || {
            let lines = read_all(&gateway, 1000);
            lines.last().is_some_and(|line| line["message"] == "third")
        });
        wait::until("/ready says ready", PATIENCE, || {
            gateway.admin("/ready").text() == "ready\n"
        });
        let lines = read_all(&gateway, 1000);
        let said: Vec<_> = lines.iter().map(|line| text(line, "message")).collect();
        let expected: &[&str] = match loss {
            Loss::Removed(["", ..]) | Loss::Moved => &["third"],
            Loss::Removed(_) => &["first", "second", "third"],
            // What was said since the copy is a gap of one.
            Loss::Replaced => &["first", "", "third"],
        };
        assert_eq!(said, expected, "{loss:?}");
        if let Loss::Moved = loss {
            // The file that was moved has all that was said to it.
            fs::copy(&elsewhere, &copy).expect("a copy");
            let path = format!("archive.path={}", copy.display());
            let other =
                Gateway::start(&["archive.mode=journal", &path, &format!("api.token={TOKEN}")]);
            let lines = read_all(&other, 1000);
            let said: Vec<_> = lines.iter().map(|line| text(line, "message")).collect();
            assert_eq!(said, ["first", "second"]);
        }
    }
}

#[test]
fn what_is_said_at_once_behind_a_removal_is_written_where_it_is_found() {
    let kept = Kept::new();
    let gateway = kept.start(&["archive.sync=always"]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "before");
    wait_written(&gateway, 1);
    fs::remove_file(kept.path()).expect("a file");
    for number in 0..5 {
        say(&mut ann, &number.to_string());
    }
    wait_written(&gateway, 6);
    let lines = read_all(&gateway, 1000);
    let said: Vec<_> = lines.iter().map(|line| text(line, "message")).collect();
    assert_eq!(said, ["0", "1", "2", "3", "4"]);
}

#[test]
fn what_was_accepted_before_sigterm_is_in_the_journal() {
    let kept = Kept::new();
    // Nothing is written by itself before the end.
    let mut gateway = kept.start(&["archive.interval=60s"]);
    let mut ann = gateway.join("abc");
    for number in 0..50 {
        say(&mut ann, &number.to_string());
    }
    drop(ann);
    gateway.restart();
    let said = by_room(&read_all(&gateway, 1000));
    assert_eq!(
        said["chat_1_abc"],
        (0..50)
            .map(|number: i32| number.to_string())
            .collect::<Vec<_>>()
    );
}
