//! What is given up, and in which order, when memory is short: [`SheddingStep`] is the table.
//!
//! The control plane reads how much memory is used ([`MemorySource`]), once a second, and notes it here; whoever
//! decides about something new asks [`Shedding::refuses_handshakes`], which is one relaxed load. A step that has been
//! entered is left only some way below the mark at which it was, so that nothing flutters.

mod source;

pub use source::{MemorySource, available, resident};

use crate::config::units::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

/// What `limits.memory = "auto"` leaves to others and to what is not measured, such as the kernel's buffers of sockets
/// where only the process is: a quarter.
pub const AUTO_SHARE: (u64, u64) = (3, 4);

/// What is given up when memory is short: one step after the other, each on top of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SheddingStep {
    /// Nobody new is let in.
    Handshakes,
    /// What waits for slow readers is cut down, the largest queues first.
    Queues,
    /// The slowest readers are closed.
    Readers,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct SheddingRow {
    /// Hundredths of `limits.memory` at which the step is entered, and below which it is left.
    marks: (u64, u64),
    label: &'static str,
    meaning: &'static str,
}

impl SheddingStep {
    /// Every step, in order.
    pub const ALL: [Self; 3] = [Self::Handshakes, Self::Queues, Self::Readers];

    #[rustfmt::skip]
    const fn row(self) -> SheddingRow {
        match self {
            Self::Handshakes => SheddingRow { marks: (80, 75), label: "handshakes", meaning: "new handshakes get 503" },
            Self::Queues => SheddingRow { marks: (90, 85), label: "queues", meaning: "slow readers keep a quarter of what their queues may hold" },
            Self::Readers => SheddingRow { marks: (95, 90), label: "readers", meaning: "the slowest readers are closed with 1013, an eighth of them at a time" },
        }
    }

    /// The value of the metric label `step`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// What is given up.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Bytes at which the step is entered where `limit` are to be stayed under.
    #[must_use]
    pub const fn entered_at(self, limit: u64) -> u64 {
        share(limit, self.row().marks.0)
    }

    const fn left_below(self, limit: u64) -> u64 {
        share(limit, self.row().marks.1)
    }
}

const fn share(limit: u64, hundredths: u64) -> u64 {
    limit / 100 * hundredths
}

/// How much memory is used, and of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes in use.
    pub used: u64,
    /// Bytes to stay under; 0 = no limit.
    pub limit: u64,
}

/// How short memory is.
#[derive(Debug, Default)]
pub struct Shedding {
    /// How many steps have been entered.
    entered: AtomicU8,
    noted: Mutex<MemoryUse>,
}

impl Shedding {
    /// Notes how much memory is used: the steps before, and from now on.
    pub fn note(&self, memory: MemoryUse) -> (&'static [SheddingStep], &'static [SheddingStep]) {
        let before = self.steps();
        let mut entered = before.len();
        let MemoryUse { used, limit } = memory;
        let is_next = |step: &SheddingStep| limit > 0 && used >= step.entered_at(limit);
        while SheddingStep::ALL.get(entered).is_some_and(is_next) {
            entered += 1;
        }
        let is_over = |step: &SheddingStep| limit == 0 || used < step.left_below(limit);
        while SheddingStep::ALL
            .get(..entered)
            .and_then(<[_]>::last)
            .is_some_and(is_over)
        {
            entered -= 1;
        }
        *self.noted.lock() = memory;
        self.entered.store(entered as u8, Ordering::Relaxed);
        (before, self.steps())
    }

    /// The steps that have been entered, in order.
    #[must_use]
    pub fn steps(&self) -> &'static [SheddingStep] {
        let entered = usize::from(self.entered.load(Ordering::Relaxed));
        SheddingStep::ALL.get(..entered).unwrap_or_default()
    }

    /// Is nobody new to be let in?
    #[must_use]
    pub fn refuses_handshakes(&self) -> bool {
        self.entered.load(Ordering::Relaxed) > 0
    }

    /// How much was used when this was noted last.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        *self.noted.lock()
    }

    /// Why this node is degraded, if memory is short.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let last = self.steps().last()?;
        let MemoryUse { used, limit } = self.memory();
        let (used, limit, meaning) = (Bytes(used), Bytes(limit), last.meaning());
        Some(format!(
            "memory is short, {used} of {limit} (limits.memory): {meaning}"
        ))
    }
}

/// The steps with their marks, for `supportal check`.
#[must_use]
pub fn describe(limit: u64) -> String {
    let lines = SheddingStep::ALL.iter().map(|step| {
        let mark = Bytes(step.entered_at(limit)).to_string();
        format!("  {mark:>12}  {}\n", step.meaning())
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
