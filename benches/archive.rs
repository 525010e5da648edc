//! What the archive costs: CPU of its writer's thread for each message at 20,000/s, beside the store's own for the same
//! rows in the same transactions, what a publisher pays for a message to be kept, and what the process grows by meanwhile.
//!
//! `cargo bench --bench archive`: some seconds each. Not criterion: what counts is the time of another thread.
//! `cargo bench --bench archive -- --open`: how long a journal of a gigabyte takes to open whose writer was killed.

#![expect(clippy::print_stdout, reason = "a bench says what it found")]

use bytes::Bytes;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use supportal::RoomName;
use supportal::config::{ArchiveFull, ArchiveMode, ArchiveSettings, BrokerSettings};
use supportal::internal::archive::Archive;
use supportal::internal::broker::{Broker, Publication, Uplink};
use supportal::internal::clock::{Clock, Millis, wall};
use supportal::internal::metrics::Metrics;
use supportal::internal::protocol::{Event, Moment, Sender};

/// Ticks of 10 ms, and messages of each: 20,000/s for five seconds.
const TICKS: u32 = 500;
const TICK: Duration = Duration::from_millis(10);
const EACH: u32 = 200;
const MESSAGES: u32 = TICKS * EACH;
const ROOMS: u32 = 10_000;

const TABLE: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192;
    CREATE TABLE event (position INTEGER PRIMARY KEY, room TEXT NOT NULL, at INTEGER NOT NULL, message TEXT NOT NULL);
    CREATE INDEX event_of_room ON event (room);";

/// Nanoseconds of processor time of this process' thread in the folder `task`.
fn processor_time(task: &Path) -> u64 {
    let text = std::fs::read_to_string(task.join("schedstat")).expect("Linux");
    let first = text.split_whitespace().next().expect("a number");
    first.parse().expect("a number")
}

/// That of the thread with this name.
fn processor_time_of(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let mut tasks = tasks.map(|task| task.expect("a task").path());
    let is_it = |task: &PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    processor_time(&tasks.find(is_it).expect("the thread runs"))
}

fn own_time() -> u64 {
    processor_time(Path::new("/proc/thread-self"))
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0 / f64::from(MESSAGES)
}

fn room(number: u32) -> RoomName {
    let session = format!("session-{}", number.wrapping_mul(2_654_435_761) % ROOMS);
    RoomName::chat("1", &session).expect("a room")
}

/// Calls `tick` every [`TICK`]; the processor time that this thread took.
fn paced(mut tick: impl FnMut(u32)) -> u64 {
    let (clock, before) = (Clock::start(), own_time());
    for number in 0..TICKS {
        tick(number);
        let end = Millis(0) + TICK * (number + 1);
        loop {
            let left = end.since(clock.now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
    }
    own_time() - before
}

fn store_alone(path: &Path, text: &str) -> u64 {
    let mut connection = Connection::open(path).expect("a file");
    connection.execute_batch(TABLE).expect("tables");
    paced(|tick| {
        let transaction = connection.transaction().expect("no other");
        let mut insert = transaction
            .prepare("INSERT INTO event VALUES (?1, ?2, ?3, ?4)")
            .expect("SQL");
        for number in tick * EACH..(tick + 1) * EACH {
            let room = room(number);
            let row = params![number, room.as_str(), number, text];
            insert.execute(row).expect("a row");
        }
        drop(insert);
        transaction.commit().expect("room on the disk");
    })
}

/// What publishing costs this thread.
fn publish(uplink: Option<Box<dyn Uplink>>, text: &str) -> u64 {
    let broker = Broker::new(&BrokerSettings::default(), Vec::new(), uplink);
    paced(|tick| {
        for number in tick * EACH..(tick + 1) * EACH {
            let event = || Event::new(Sender::User, text, Moment::from(wall())).into_owned();
            let publication = Publication {
                frame: Bytes::new(),
                deadline: Millis::NEVER,
                event: broker.wants_events().then(|| Arc::new(event())),
            };
            broker.publish_by_name(&room(number), &publication);
        }
    })
}

/// Resident memory of this process in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes
        .and_then(|number| number.parse::<f64>().ok())
        .expect("a number")
        / 1024.0
}

fn settings(path: PathBuf) -> ArchiveSettings {
    ArchiveSettings {
        mode: ArchiveMode::Journal,
        path: Some(path),
        ..ArchiveSettings::default()
    }
}

/// Writes into the journal until this process is killed.
fn fill(path: PathBuf) {
    let settings = ArchiveSettings {
        bytes_max: 4 << 30,
        full: ArchiveFull::Refuse,
        ..settings(path)
    };
    let (metrics, clock) = (Arc::new(Metrics::new()), Clock::start());
    let archive = Archive::new(&settings, &metrics, clock).expect("a journal");
    let uplink = archive.as_ref().map(Archive::uplink);
    let broker = Broker::new(&BrokerSettings::default(), Vec::new(), uplink);
    let text = "x".repeat(1000);
    for number in 0.. {
        while broker.refuses() {
            thread::park_timeout(Duration::from_millis(1));
        }
        let event = Event::new(Sender::User, &text, Moment::from(wall())).into_owned();
        let publication = Publication {
            frame: Bytes::new(),
            deadline: Millis::NEVER,
            event: Some(Arc::new(event)),
        };
        broker.publish_by_name(&room(number), &publication);
    }
}

/// Opens a journal of a gigabyte whose writer was killed in the middle.
fn open_after_kill(path: PathBuf) {
    let program = std::env::current_exe().expect("this program");
    let mut writer = Command::new(program)
        .arg("--fill")
        .arg(&path)
        .spawn()
        .expect("a process");
    let bytes = || std::fs::metadata(&path).map_or(0, |file| file.len());
    while bytes() < 1 << 30 {
        thread::park_timeout(TICK);
    }
    writer.kill().expect("SIGKILL");
    writer.wait().expect("an end");
    let (metrics, clock) = (Arc::new(Metrics::new()), Clock::start());
    let settings = ArchiveSettings {
        bytes_max: 4 << 30,
        ..settings(path.clone())
    };
    let before = resident();
    let archive = Archive::new(&settings, &metrics, clock).expect("a journal");
    let took = clock.now().since(Millis(0));
    let events = archive.map(|archive| archive.span().borrow().events());
    let grown = resident() - before;
    println!("a journal of {} MiB whose writer was killed", bytes() >> 20);
    println!("  messages             {:6}", events.unwrap_or_default());
    println!("  opened in            {:6} ms", took.as_millis());
    println!("  the process grew by  {grown:6.1} MiB");
}

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [flag, path, ..] if flag == "--fill" => return fill(path.into()),
        [flag, ..] if flag == "--open" => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            return open_after_kill(folder.path().join("archive"));
        }
        _ => {}
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "x".repeat(120);
    let store = store_alone(&folder.path().join("store"), &text);
    let settings = settings(folder.path().join("archive"));
    let (metrics, clock) = (Arc::new(Metrics::new()), Clock::start());
    let off = publish(None, &text);
    let resident_before = resident();
    let archive = Archive::new(&settings, &metrics, clock).expect("a journal");
    let archive = archive.expect("an archive");
    let before = processor_time_of("archive");
    let on = publish(Some(archive.uplink()), &text);
    let writer = processor_time_of("archive") - before;
    archive.close(clock, clock.now() + Duration::from_secs(10));
    assert_eq!(archive.span().borrow().events(), u64::from(MESSAGES));
    println!("processor time of a message at 20,000/s, in microseconds");
    println!("  the store alone      {:6.2}", micros(store));
    println!("  the writer's thread  {:6.2}", micros(writer));
    println!("  publishing, off      {:6.2}", micros(off));
    println!("  publishing, kept     {:6.2}", micros(on));
    let grown = resident() - resident_before;
    println!("the process grew by {grown:.1} MiB");
}
