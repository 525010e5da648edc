//! The journal against a model, its bounds, and files that are not what they should be.

use super::*;
use crate::protocol::{EventDetails, Moment, Sender};
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;

fn room(number: usize) -> RoomName {
    RoomName::chat("42", &format!("session-of-a-customer-{number}")).unwrap()
}

fn event(text: &str, micros: u64) -> Event<'static> {
    let moment = Moment::from((micros / 1_000_000, (micros % 1_000_000) as u32));
    Event::new(Sender::User, text, moment).into_owned()
}

fn append(journal: &mut Journal, number: usize, text: &str, at: u64) -> Result<(), JournalFault> {
    journal.append([(&room(number), &event(text, at))])
}

fn all(path: &Path) -> JournalPage {
    let page = JournalReader::open(path)
        .unwrap()
        .page(0, usize::MAX, usize::MAX);
    page.unwrap()
}

fn texts(page: &JournalPage) -> Vec<&str> {
    page.events
        .iter()
        .map(|event| event.message.as_str())
        .collect()
}

#[test]
fn everything_that_is_known_of_an_event_is_read_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path, 7, MIB).unwrap();
    let mut said = event("{'a': 1}", 1_700_000_000_000_001);
    said.json = Some(r#"{"a":1}"#.into());
    said.author = Some("ann".into());
    let said = said.with(EventDetails {
        id: Some("order-17".into()),
        meta: Some(r#"{"order":17}"#.into()),
        origin: EventOrigin::Django,
    });
    journal
        .append([(&room(0), &said), (&room(1), &event("é\0\u{1f600}", 5))])
        .unwrap();
    let page = all(&path);
    let first = ArchivedEvent {
        position: 1,
        room: "chat_42_session-of-a-customer-0".to_owned(),
        epoch: 1,
        offset: 1,
        at: 1_700_000_000_000_001,
        sender: "user".to_owned(),
        message: "{'a': 1}".to_owned(),
        json: Some(r#"{"a":1}"#.to_owned()),
        origin: "django".to_owned(),
        id: Some("order-17".to_owned()),
        author: Some("ann".to_owned()),
        meta: Some(r#"{"order":17}"#.to_owned()),
    };
    assert_eq!((page.journal, page.missed), (7, 0));
    assert_eq!(page.events[0], first);
    let second = &page.events[1];
    assert_eq!((second.epoch, second.offset, second.at), (2, 1, 5));
    assert_eq!(
        (second.message.as_str(), second.origin.as_str()),
        ("é\0\u{1f600}", "gateway")
    );
    let shown = format!("{:?}", page.events);
    assert!(
        !shown.contains("ann") && !shown.contains("customer"),
        "{shown}"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, u64)>),
    Reopen,
    Trim(u64),
    Read(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let said = proptest::collection::vec((0..4_usize, 0..1000_u64), 1..20);
    prop_oneof![
        4 => said.prop_map(Step::Append),
        1 => Just(Step::Reopen),
        1 => (0..200_u64).prop_map(Step::Trim),
        2 => (0..200_u64, 1..30_usize).prop_map(|(after, limit)| Step::Read(after, limit)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_reads_as_the_model_says(steps in proptest::collection::vec(step(), 1..25)) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, 1, 64 * MIB).unwrap();
        // Room and text of each event, by position less one.
        let (mut model, mut trimmed) = (Vec::<(usize, String)>::new(), 0);
        for step in steps {
            match step {
                Step::Append(said) => {
                    let said: Vec<_> = said.into_iter().enumerate().map(|(at, (number, micros))| {
                        let text = format!("{}", model.len() + at);
                        (room(number), number, event(&text, micros), text)
                    }).collect();
                    journal.append(said.iter().map(|(name, _, event, _)| (name, event))).unwrap();
                    model.extend(said.into_iter().map(|(_, number, _, text)| (number, text)));
                }
                Step::Reopen => {
                    drop(journal);
                    journal = Journal::open(&path, 1, 64 * MIB).unwrap();
                }
                Step::Trim(through) => {
                    journal.remove_through(through).unwrap();
                    trimmed = trimmed.max(through.min(model.len() as u64));
                }
                Step::Read(after, limit) => {
                    let page = JournalReader::open(&path).unwrap();
                    let page = { let mut reader = page; reader.page(after, limit, usize::MAX).unwrap() };
                    let begin = after.max(trimmed) as usize;
                    let expected: Vec<_> = model.iter().skip(begin).take(limit).map(|(_, text)| text.as_str()).collect();
                    prop_assert_eq!(texts(&page), expected);
                    prop_assert_eq!(page.missed, trimmed.saturating_sub(after));
                }
            }
            prop_assert_eq!((journal.last(), journal.trimmed()), (model.len() as u64, trimmed));
        }
        // In each room offsets have no hole within an epoch, no epoch comes back, and the time rises.
        let mut tails = std::collections::HashMap::<String, (u64, u64, u64)>::new();
        for event in all(&path).events {
            let tail = (event.epoch, event.offset, event.at);
            if let Some((epoch, offset, at)) = tails.insert(event.room, tail) {
                prop_assert!(event.at > at);
                prop_assert!((epoch, offset + 1) == (tail.0, tail.1) || (tail.0 > epoch && tail.1 == 1));
            }
        }
    }
}

#[test]
fn the_file_stays_within_its_bytes_whatever_is_said() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path, 1, MIB).unwrap();
    let text = "x".repeat(200);
    let (mut displaced, mut number) = (0, 0);
    for _batch in 0..300 {
        let said: Vec<_> = (0..50)
            .map(|_| {
                number += 7;
                (room(number % 997), event(&text, number as u64))
            })
            .collect();
        loop {
            displaced += journal.trim(0, true).unwrap().displaced;
            match journal.append(said.iter().map(|(room, event)| (room, event))) {
                Ok(()) => break,
                Err(JournalFault::Full) => {}
                Err(fault) => panic!("{fault}"),
            }
        }
        assert!(fs::metadata(&path).unwrap().len() <= MIB as u64);
    }
    assert_eq!(journal.last(), 15_000);
    assert_eq!(displaced, journal.trimmed());
    let page = all(&path);
    assert_eq!(
        (page.missed, page.events.len() as u64),
        (displaced, 15_000 - displaced)
    );
    assert!(page.events.len() > 1000, "{}", page.events.len());
}

#[test]
fn a_full_journal_says_so_and_keeps_what_it_has() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path, 1, MIB).unwrap();
    let text = "x".repeat(10_000);
    let fault = loop {
        if let Err(fault) = append(&mut journal, 1, &text, 1) {
            break fault;
        }
    };
    assert!(matches!(fault, JournalFault::Full), "{fault}");
    let (last, count) = (journal.last(), all(&path).events.len() as u64);
    assert_eq!(count, last);
    // Not to be trimmed unless that is asked for.
    assert_eq!(journal.trim(1, false).unwrap(), Trimmed::default());
    assert_eq!(
        journal.trim(1000, false).unwrap(),
        Trimmed {
            expired: last,
            displaced: 0
        }
    );
    append(&mut journal, 1, "again", 1).unwrap();
    assert_eq!(texts(&all(&path)), ["again"]);
    assert_eq!(journal.last(), last + 1);
    // The room begins anew, and no position comes back.
    let tail = &all(&path).events[0];
    assert_eq!(
        (tail.epoch, tail.offset, tail.position),
        (last + 1, 1, last + 1)
    );
    journal.trim(u64::MAX >> 1, false).unwrap();
    drop(journal);
    let mut journal = Journal::open(&path, 1, MIB).unwrap();
    append(&mut journal, 1, "anew", 1).unwrap();
    let tail = &all(&path).events[0];
    assert_eq!(
        (tail.epoch, tail.offset, tail.position),
        (last + 2, 1, last + 2)
    );
}

#[test]
fn a_torn_log_costs_its_last_writes_and_no_more() {
    for cut in [1, 100, 5000] {
        let folder = TempDir::new().unwrap();
        let (path, copy) = (folder.path().join("journal"), folder.path().join("copy"));
        let mut journal = Journal::open(&path, 1, MIB).unwrap();
        for number in 0..50 {
            append(&mut journal, number % 3, &number.to_string(), 1).unwrap();
        }
        // What a machine leaves that loses its power: the files as they are, without the last bytes.
        let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
        fs::copy(&path, &copy).unwrap();
        fs::copy(wal(&path), wal(&copy)).unwrap();
        let file = OpenOptions::new().write(true).open(wal(&copy)).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - cut).unwrap();
        let mut torn = Journal::open(&copy, 1, MIB).unwrap();
        let last = torn.last();
        assert!((45..50).contains(&last), "{last}");
        append(&mut torn, 0, "behind", 1).unwrap();
        let page = all(&copy);
        let expected: Vec<_> = (0..last)
            .map(|number| number.to_string())
            .chain(["behind".to_owned()])
            .collect();
        assert_eq!(texts(&page), expected);
    }
}

#[test]
fn a_damaged_journal_is_named_put_aside_and_not_lost() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    for number in 1..=3 {
        let mut journal = Journal::open(&path, number, MIB).unwrap();
        append(&mut journal, 1, "said", 1).unwrap();
        drop(journal);
        fs::write(
            &path,
            format!(
                "no database, but {number} hundred bytes {}",
                "x".repeat(4096)
            ),
        )
        .unwrap();
        let fault = Journal::open(&path, 9, MIB).unwrap_err();
        assert!(matches!(fault, JournalFault::Damaged), "{fault}");
        let (journal, aside) = Journal::renew(&path, 8 + number, MIB).unwrap();
        assert_eq!((journal.id(), journal.last()), (8 + number, 0));
        assert!(
            fs::read_to_string(&aside)
                .unwrap()
                .contains(&number.to_string())
        );
        drop(journal);
        fs::remove_file(&path).unwrap();
    }
    let lying = fs::read_dir(folder.path()).unwrap().filter(|file| {
        file.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("damaged")
    });
    assert_eq!(lying.count(), 3);
}

#[test]
fn what_is_no_journal_of_ours_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("theirs");
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (a)").unwrap();
    let fault = Journal::open(&path, 1, MIB).unwrap_err();
    assert!(matches!(fault, JournalFault::Strange), "{fault}");
    drop(Journal::open(&folder.path().join("later"), 1, MIB).unwrap());
    let later = Connection::open(folder.path().join("later")).unwrap();
    later.pragma_update(None, "user_version", 2).unwrap();
    let fault = Journal::open(&folder.path().join("later"), 1, MIB).unwrap_err();
    assert!(matches!(fault, JournalFault::Later(2)), "{fault}");
    let fault = Journal::open(folder.path(), 1, MIB).unwrap_err();
    assert!(matches!(fault, JournalFault::Unopened(_)), "{fault}");
    let fault = Journal::open(&folder.path().join("no/such/folder"), 1, MIB).unwrap_err();
    assert!(matches!(fault, JournalFault::Unopened(_)), "{fault}");
}

#[test]
fn one_writer_has_a_journal_at_a_time() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path, 1, MIB).unwrap();
    let fault = Journal::open(&path, 1, MIB).unwrap_err();
    assert!(matches!(fault, JournalFault::InUse), "{fault}");
    drop(journal);
    Journal::open(&path, 1, MIB).unwrap();
}

#[test]
fn a_journal_behind_a_link_is_the_one_that_lies_there() {
    use std::os::unix::fs::symlink;
    let folder = TempDir::new().unwrap();
    let [path, link, other] = ["journal", "link", "other"].map(|name| folder.path().join(name));
    // A link to nothing yet, too.
    symlink(&path, &link).unwrap();
    let mut journal = Journal::open(&link, 1, MIB).unwrap();
    append(&mut journal, 1, "said", 1).unwrap();
    assert!(matches!(
        Journal::open(&path, 2, MIB),
        Err(JournalFault::InUse)
    ));
    assert_eq!(texts(&all(&link)), ["said"]);
    // The link leads elsewhere from now on, and the store's log has to go with the journal.
    Journal::open(&other, 3, MIB).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    let replaced = append(&mut journal, 1, "unseen", 2);
    assert!(matches!(replaced, Err(JournalFault::Replaced)));
    assert_eq!(journal.path(), link);
    journal.leave().unwrap();
    assert_eq!(texts(&all(&path)), ["said", "unseen"]);
    let mut journal = Journal::open(&link, 4, MIB).unwrap();
    assert_eq!(journal.id(), 3);
    let log = folder.path().join("other-wal");
    fs::remove_file(&log).unwrap();
    let replaced = append(&mut journal, 1, "unseen", 3);
    assert!(matches!(replaced, Err(JournalFault::Replaced)));
}

#[test]
fn a_page_ends_with_its_bytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path, 1, MIB).unwrap();
    for _ in 0..10 {
        append(&mut journal, 1, &"x".repeat(1000), 1).unwrap();
    }
    let mut reader = JournalReader::open(&path).unwrap();
    let mut page = |bytes| reader.page(0, 100, bytes).unwrap().events.len();
    assert_eq!((page(1), page(2500), page(usize::MAX)), (1, 3, 10));
}

#[test]
fn a_copy_without_what_was_noted_beside_it_is_another_journal_with_all_that_is_in_it() {
    let folder = TempDir::new().unwrap();
    let (path, copy) = (folder.path().join("journal"), folder.path().join("copy"));
    let beside = |path: &Path| PathBuf::from(format!("{}.lock", path.display()));
    let mut journal = Journal::open(&path, 1, MIB).unwrap();
    append(&mut journal, 1, "before", 1).unwrap();
    drop(journal);
    fs::copy(&path, &copy).unwrap();
    // With the note, whole as it is after a power cut too, it stays what it is.
    let journal = Journal::open(&path, 2, MIB).unwrap();
    assert_eq!((journal.id(), journal.last()), (1, 1));
    drop(journal);
    for (id, note) in [
        (3, None),
        (4, Some("")),
        (5, Some("00000000000000ff0000000000000009")),
    ] {
        fs::remove_file(beside(&copy)).unwrap_or_default();
        if let Some(note) = note {
            fs::write(beside(&copy), note).unwrap();
        }
        let mut journal = Journal::open(&copy, id, MIB).unwrap();
        assert_eq!((journal.id(), journal.lost()), (id, 0));
        append(&mut journal, 1, "behind", 1).unwrap();
        drop(journal);
        let journal = Journal::open(&copy, 9, MIB).unwrap();
        assert_eq!(journal.id(), id);
        let page = all(&copy);
        assert_eq!(page.journal, id);
        let [.., last, behind] = page.events.as_slice() else {
            panic!("{page:?}")
        };
        // What is numbered anew is not called as what the original said meanwhile.
        assert!(behind.epoch > last.epoch, "{page:?}");
    }
}

#[test]
fn only_the_owner_reads_what_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal"), 1, MIB).unwrap();
    append(&mut journal, 1, "said", 1).unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        names.push(file.file_name().into_string().unwrap());
        assert_eq!(mode, 0o600, "{names:?}");
    }
    names.sort();
    assert_eq!(
        names,
        ["journal", "journal-shm", "journal-wal", "journal.lock"]
    );
}
