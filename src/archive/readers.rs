//! How far behind those are who read the archive, by the names that they give themselves.
//!
//! A reader that asks for what is behind a place has dealt with everything before it, so what lies behind the place is
//! what the reader lacks. Nothing else is remembered of a reader, and nothing over a restart: its cursor is its own.
//!
//! Limit: `archive.reader_names`; who has not asked for longest makes room for a new name.

use super::state::JournalSpan;
use crate::clock::{Clock, Millis};
use crate::metrics::{Metrics, set};
use crate::protocol::Moment;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What a name costs: itself, its place, and its series in the metrics.
pub(super) const READER_NAME_BYTES: usize = 1024;

/// Longest name, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// One of them.
#[derive(Debug)]
struct NamedReader {
    name: String,
    /// The journal and the place there from which it asked last.
    journal: u64,
    position: u64,
    /// When the oldest event behind that was accepted, in microseconds since the Unix epoch; `None` while there is none.
    oldest: Option<u64>,
    asked: Millis,
}

/// Those who have given their names.
#[derive(Debug)]
pub struct NamedReaders {
    names_max: usize,
    metrics: Arc<Metrics>,
    readers: Mutex<Vec<NamedReader>>,
}

impl NamedReaders {
    /// None yet, and no more than `names_max` of them.
    #[must_use]
    pub fn new(names_max: usize, metrics: &Arc<Metrics>) -> Self {
        Self {
            names_max,
            metrics: Arc::clone(metrics),
            readers: Mutex::default(),
        }
    }

    /// A reader asks for what is behind `position` of `journal`.
    pub(super) fn asked(&self, name: &str, journal: u64, position: u64, now: Millis) {
        let mut readers = self.readers.lock();
        if let Some(reader) = readers.iter_mut().find(|reader| reader.name == name) {
            if (reader.journal, reader.position) != (journal, position) {
                (reader.journal, reader.position) = (journal, position);
                reader.oldest = None;
            }
            reader.asked = now;
            return;
        }
        if readers.len() >= self.names_max {
            let silent = readers.iter().enumerate().min_by_key(|(_, one)| one.asked);
            if let Some(place) = silent.map(|(place, _)| place) {
                self.forget(&readers.swap_remove(place).name);
            }
        }
        readers.push(NamedReader {
            name: name.to_owned(),
            journal,
            position,
            oldest: None,
            asked: now,
        });
    }

    /// The oldest event behind the place of this reader was accepted at `at`.
    pub(super) fn found(&self, name: &str, at: u64) {
        let mut readers = self.readers.lock();
        if let Some(reader) = readers.iter_mut().find(|reader| reader.name == name) {
            reader.oldest = Some(at);
        }
    }

    /// Events were written behind `position`, the first of them accepted at `at`.
    pub(super) fn written(&self, position: u64, at: u64) {
        for reader in &mut *self.readers.lock() {
            // Of who is further behind it is known, or being read just now.
            if reader.position >= position && reader.oldest.is_none() {
                reader.oldest = Some(at);
            }
        }
    }

    /// A reader asks, and is behind by so many events, the oldest of them accepted at `oldest`: sets its gauges.
    pub fn note(&self, name: &str, lag: u64, oldest: Option<u64>, clock: Clock) {
        self.asked(name, 0, 0, clock.now());
        let now = Moment::from(clock.wall()).total_micros();
        self.set(name, lag, oldest.map_or(0, |at| now.saturating_sub(at)));
    }

    /// Sets the gauges, with what the journal holds, at this many microseconds since the Unix epoch.
    pub(super) fn measure(&self, span: JournalSpan, now: u64) {
        for reader in &*self.readers.lock() {
            let place = if reader.journal == span.journal {
                reader.position
            } else {
                span.trimmed
            };
            let age = reader.oldest.map_or(0, |at| now.saturating_sub(at));
            self.set(&reader.name, span.last.saturating_sub(place), age);
        }
    }

    fn set(&self, name: &str, lag: u64, age: u64) {
        let label = [("reader", name.to_owned())];
        let lag = usize::try_from(lag).unwrap_or(usize::MAX);
        set(&self.metrics.archive_lag.get_or_create(&label), lag);
        let seconds = self.metrics.archive_lag_time.get_or_create(&label);
        seconds.set(Duration::from_micros(age).as_secs_f64());
    }

    fn forget(&self, name: &str) {
        let label = [("reader", name.to_owned())];
        self.metrics.archive_lag.remove(&label);
        self.metrics.archive_lag_time.remove(&label);
    }
}

/// May a reader be called so? 1 to 64 letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn is_reader_name(name: &str) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.as_bytes().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: JournalSpan = JournalSpan {
        journal: 7,
        trimmed: 2,
        last: 12,
    };

    fn shown(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let lines = text.lines().filter(|line| line.contains("reader=\""));
        let mut lines: Vec<_> = lines
            .map(|line| line.replace("supportal_archive_", ""))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn who_has_all_lags_by_nothing_until_something_is_written_behind() {
        let metrics = Arc::new(Metrics::new());
        let readers = NamedReaders::new(2, &metrics);
        readers.asked("rows", 7, 12, Millis(1));
        readers.measure(SPAN, 5_000_000);
        assert_eq!(
            shown(&metrics),
            ["lag_seconds{reader=\"rows\"} 0.0", "lag{reader=\"rows\"} 0"]
        );
        readers.written(12, 3_000_000);
        readers.written(13, 4_000_000);
        let span = JournalSpan { last: 14, ..SPAN };
        readers.measure(span, 5_000_000);
        assert_eq!(
            shown(&metrics),
            ["lag_seconds{reader=\"rows\"} 2.0", "lag{reader=\"rows\"} 2"]
        );
        // The same place again is no progress; the next one is.
        readers.asked("rows", 7, 12, Millis(2));
        readers.measure(span, 6_000_000);
        assert_eq!(
            shown(&metrics),
            ["lag_seconds{reader=\"rows\"} 3.0", "lag{reader=\"rows\"} 2"]
        );
        readers.asked("rows", 7, 13, Millis(3));
        readers.found("rows", 4_000_000);
        readers.measure(span, 6_000_000);
        assert_eq!(
            shown(&metrics),
            ["lag_seconds{reader=\"rows\"} 2.0", "lag{reader=\"rows\"} 1"]
        );
    }

    #[test]
    fn a_name_too_many_takes_the_place_of_who_is_silent_for_longest() {
        let metrics = Arc::new(Metrics::new());
        let readers = NamedReaders::new(2, &metrics);
        for (second, name) in ["a", "b", "a", "c"].into_iter().enumerate() {
            readers.asked(name, 7, 2, Millis(second as u64));
            readers.measure(SPAN, 0);
        }
        let names: Vec<_> = shown(&metrics)
            .into_iter()
            .filter(|line| line.starts_with("lag{"))
            .collect();
        assert_eq!(names, ["lag{reader=\"a\"} 10", "lag{reader=\"c\"} 10"]);
    }

    #[test]
    fn of_another_journal_a_reader_has_read_nothing() {
        let metrics = Arc::new(Metrics::new());
        let readers = NamedReaders::new(2, &metrics);
        readers.asked("rows", 6, 1000, Millis(1));
        readers.measure(SPAN, 0);
        assert_eq!(shown(&metrics)[1], "lag{reader=\"rows\"} 10");
    }

    #[test]
    fn a_name_has_few_letters_of_a_small_set() {
        for name in ["a", "rows.shop_2-b", &"x".repeat(64)] {
            assert!(is_reader_name(name), "{name}");
        }
        for name in ["", "a b", "é", "a\"", "a\n", &"x".repeat(65)] {
            assert!(!is_reader_name(name), "{name}");
        }
    }
}
