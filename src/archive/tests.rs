//! The archive of a broker: what is published is found in the journal.

use super::*;
use crate::broker::{Broker, Publication};
use crate::config::{ArchiveFull, BrokerSettings};
use crate::name::RoomName;
use crate::protocol::{Event, Moment, Sender};
use bytes::Bytes;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

struct Rig {
    folder: TempDir,
    settings: ArchiveSettings,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Rig {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = ArchiveSettings {
            mode: ArchiveMode::Journal,
            path: Some(folder.path().join("journal")),
            interval: Duration::from_millis(1),
            ..ArchiveSettings::default()
        };
        Self {
            folder,
            settings,
            metrics: Arc::new(Metrics::new()),
            clock: Clock::start(),
        }
    }

    fn start(&self) -> (Archive, Broker) {
        let archive = Archive::new(&self.settings, &self.metrics, self.clock)
            .unwrap()
            .unwrap();
        let broker = Broker::new(&BrokerSettings::default(), Vec::new(), [archive.uplink()]);
        (archive, broker)
    }

    fn end(&self, archive: &Archive) {
        archive.close(self.clock, self.clock.now() + Duration::from_secs(60));
    }

    fn read(&self) -> Vec<String> {
        let path = self.settings.path.as_ref().unwrap();
        let page = JournalReader::open(path)
            .unwrap()
            .page(0, usize::MAX, usize::MAX);
        page.unwrap()
            .events
            .into_iter()
            .map(|event| event.message)
            .collect()
    }

    fn dropped(&self, cause: &'static str) -> u64 {
        self.metrics
            .archive_dropped
            .get_or_create(&[("cause", cause)])
            .get()
    }
}

fn publish(broker: &Broker, session: usize, text: &str) -> bool {
    publish_at(broker, session, text, crate::clock::wall())
}

fn publish_at(broker: &Broker, session: usize, text: &str, at: (u64, u32)) -> bool {
    let event = Event::new(Sender::User, text, Moment::from(at));
    let publication = Publication {
        frame: Bytes::new(),
        deadline: Millis::NEVER,
        event: Some(Arc::new(event.into_owned())),
    };
    let room = RoomName::chat("1", &session.to_string()).unwrap();
    broker.publish_by_name(&room, &publication).is_kept
}

#[test]
fn everything_that_is_published_until_the_end_is_kept_in_order() {
    for sync in [
        crate::config::ArchiveSync::Interval,
        crate::config::ArchiveSync::Always,
    ] {
        let mut rig = Rig::new();
        rig.settings.sync = sync;
        let (archive, broker) = rig.start();
        assert!(broker.wants_events() && !broker.refuses());
        let texts: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
        for (number, text) in texts.iter().enumerate() {
            assert!(publish(&broker, number % 7, text));
        }
        rig.end(&archive);
        assert_eq!(rig.read(), texts);
        assert_eq!(rig.metrics.archive_written.get(), 5000);
        assert_eq!((rig.dropped("queue"), rig.dropped("shutdown")), (0, 0));
        assert_eq!(archive.span().borrow().events(), 5000);
        assert!(archive.failure().is_none());
    }
}

#[test]
fn a_queue_that_is_full_drops_and_counts_or_has_messages_refused() {
    for full in [ArchiveFull::Drop, ArchiveFull::Refuse] {
        let mut rig = Rig::new();
        rig.settings.full = full;
        rig.settings.queue_bytes = 64 * 1024;
        // Nothing is written until the queue is half full, and then all of it at once.
        rig.settings.interval = Duration::from_secs(60);
        let (archive, broker) = rig.start();
        let text = "x".repeat(20 * 1024);
        let kept = (0..100)
            .filter(|_| !broker.refuses() && publish(&broker, 1, &text))
            .count();
        rig.end(&archive);
        assert_eq!(rig.read().len(), kept);
        let dropped = if full == ArchiveFull::Drop {
            100 - kept as u64
        } else {
            0
        };
        assert_eq!(rig.dropped("queue"), dropped);
    }
}

#[test]
fn a_damaged_journal_is_put_aside_at_start_and_a_new_one_begins() {
    let rig = Rig::new();
    let (archive, broker) = rig.start();
    assert!(publish(&broker, 1, "before"));
    let before = wait_for(&archive, 1);
    let path = rig.settings.path.clone().unwrap();
    rig.end(&archive);
    drop((archive, broker));
    fs::write(&path, "x".repeat(100_000)).unwrap();
    let (archive, broker) = rig.start();
    assert!(publish(&broker, 1, "behind"));
    let behind = wait_for(&archive, 1);
    assert_ne!(before.journal, behind.journal);
    rig.end(&archive);
    assert_eq!(rig.read(), ["behind"]);
    assert!(rig.folder.path().join("journal.damaged1").exists());
    let damaged = [("kind", "damaged")];
    assert_eq!(
        rig.metrics.archive_failures.get_or_create(&damaged).get(),
        1
    );
}

fn wait_for(archive: &Archive, events: u64) -> JournalSpan {
    wait_span(archive, |span| span.events() >= events)
}

/// Waits until the journal holds that.
fn wait_span(archive: &Archive, is_there: impl FnMut(&JournalSpan) -> bool) -> JournalSpan {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut spans = archive.span();
        let there = spans.wait_for(is_there);
        *tokio::time::timeout(Duration::from_secs(60), there)
            .await
            .unwrap()
            .unwrap()
    })
}

#[test]
fn what_is_too_old_is_removed_without_anything_being_said() {
    let mut rig = Rig::new();
    rig.settings.expiry = Duration::from_secs(1);
    let (archive, broker) = rig.start();
    assert!(publish(&broker, 1, "old"));
    wait_for(&archive, 1);
    wait_span(&archive, |span| span.events() == 0);
    let expired = [("cause", "expiry")];
    assert_eq!(rig.metrics.archive_trimmed.get_or_create(&expired).get(), 1);
    rig.end(&archive);
    assert_eq!(rig.read(), [""; 0]);
}

#[test]
fn a_clock_that_is_ahead_by_a_year_removes_the_oldest_hour_and_not_all() {
    const DAYS: u64 = 365;
    let mut rig = Rig::new();
    rig.settings.expiry = Duration::from_secs(2 * DAYS * 24 * 3600);
    let now = crate::clock::wall().0;
    let (archive, broker) = rig.start();
    // As if a year had been the last hour: said on each of its days, and all of it too old by the clock of the next start.
    for day in 0..DAYS {
        let at = (now - (DAYS - day) * 24 * 3600, 0);
        assert!(publish_at(&broker, 1, &day.to_string(), at));
    }
    rig.end(&archive);
    rig.settings.expiry = Duration::from_secs(3600);
    let (archive, _broker) = rig.start();
    wait_span(&archive, |span| span.last == DAYS && span.trimmed > 0);
    rig.end(&archive);
    let expected: Vec<_> = (1..DAYS).map(|day| day.to_string()).collect();
    assert_eq!(rig.read(), expected);
}

#[test]
fn what_comes_behind_the_end_is_not_taken_and_is_counted() {
    let rig = Rig::new();
    let (archive, broker) = rig.start();
    assert!(publish(&broker, 1, "in time"));
    rig.end(&archive);
    assert!(!publish(&broker, 1, "late"));
    assert_eq!((rig.dropped("queue"), rig.dropped("shutdown")), (0, 1));
    assert_eq!(rig.read(), ["in time"]);
}

#[test]
fn a_full_journal_drops_its_oldest_and_keeps_the_newest() {
    let mut rig = Rig::new();
    rig.settings.bytes_max = 8 * 1024 * 1024;
    let (archive, broker) = rig.start();
    let text = |number: usize| format!("{number:0200}");
    for number in 0..60_000 {
        assert!(publish(&broker, number % 997, &text(number)));
        if number % 1000 == 999 {
            wait_written(&rig, number as u64 + 1);
        }
    }
    rig.end(&archive);
    let kept = rig.read();
    let expected: Vec<_> = (60_000 - kept.len()..60_000).map(text).collect();
    assert_eq!(kept, expected);
    let trimmed = rig
        .metrics
        .archive_trimmed
        .get_or_create(&[("cause", "bytes")])
        .get();
    assert_eq!(kept.len() as u64 + trimmed, 60_000);
    assert!(kept.len() > 10_000, "{}", kept.len());
    // That the oldest make room is no fault.
    let full = rig
        .metrics
        .archive_failures
        .get_or_create(&[("kind", "full")])
        .get();
    assert_eq!(full, 0);
    assert_eq!((rig.dropped("queue"), rig.dropped("shutdown")), (0, 0));
    let length = fs::metadata(archive.path()).unwrap().len();
    assert!(length <= 8 * 1024 * 1024, "{length}");
}

#[test]
fn a_full_journal_that_drops_nothing_has_messages_refused_and_loses_none_that_was_written() {
    let mut rig = Rig::new();
    rig.settings.bytes_max = 1024 * 1024;
    rig.settings.full = ArchiveFull::Refuse;
    let (archive, broker) = rig.start();
    let text = "x".repeat(1000);
    let (mut taken, deadline) = (0, rig.clock.now() + Duration::from_secs(60));
    // What comes at once may be too much for all that there is room for.
    while taken < 100 {
        taken += u64::from(publish(&broker, 1, &text));
    }
    wait_written(&rig, taken);
    let is_full = || {
        let failure = archive.failure();
        failure.is_some_and(|failure| failure.contains("full"))
    };
    while !is_full() {
        assert!(rig.clock.now() < deadline);
        if broker.refuses() {
            thread::park_timeout(Duration::from_millis(1));
        } else {
            taken += u64::from(publish(&broker, 1, &text));
        }
    }
    assert!(broker.refuses());
    rig.end(&archive);
    let written = rig.metrics.archive_written.get();
    assert_eq!(rig.read().len() as u64, written);
    assert_eq!(written + rig.dropped("shutdown"), taken);
    assert!(written >= 100, "{written}");
}

fn wait_written(rig: &Rig, events: u64) {
    let deadline = rig.clock.now() + Duration::from_secs(60);
    while rig.metrics.archive_written.get() < events {
        assert!(rig.clock.now() < deadline);
        thread::park_timeout(Duration::from_millis(1));
    }
}
