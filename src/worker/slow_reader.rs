//! Why a slow reader is given up, and how many were: the reason of the close frame alone tells it from others in one of
//! three cases.

use crate::metrics::Metrics;

/// Why a slow reader is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlowReader {
    /// The reader's queue was full, where `queue.overflow` is `disconnect` (4008).
    Overflow,
    /// The reader took nothing of what waited for it, for too long (4010).
    Still,
    /// Memory was short, and this was among the slowest (1013).
    Memory,
}

impl SlowReader {
    pub(super) const ALL: [Self; 3] = [Self::Overflow, Self::Still, Self::Memory];

    /// The value of the metric label `cause`.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Still => "still",
            Self::Memory => "memory",
        }
    }
}

/// How many were given up since the metrics were told.
#[derive(Debug, Default)]
pub(super) struct SlowReaders([u32; SlowReader::ALL.len()]);

impl SlowReaders {
    /// One more.
    pub(super) fn count(&mut self, cause: SlowReader) {
        if let Some(count) = self.0.get_mut(cause as usize) {
            *count += 1;
        }
    }

    /// Adds them to the shared metrics.
    pub(super) fn publish(&mut self, metrics: &Metrics) {
        for (cause, count) in SlowReader::ALL.iter().zip(std::mem::take(&mut self.0)) {
            if count > 0 {
                let given_up = &metrics.slow_readers_closed;
                let label = [("cause", cause.label())];
                given_up.get_or_create(&label).inc_by(count.into());
            }
        }
    }
}
