//! What other rooms noticed of a storm of handshakes.

use super::Stated;
use crate::clock::seconds;
use crate::latency::Latency;
use crate::traffic::Beside;
use serde::Serialize;

/// p99 of other rooms during a storm, beside that before.
const RATIO_MAX: f64 = 2.0;

/// A storm in the report.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct StormPart {
    pub(crate) handshakes: usize,
    /// Until the last of them was over; none if some never were.
    pub(crate) seconds: Option<f64>,
    /// Latencies of the other rooms.
    pub(crate) before: Latency,
    pub(crate) during: Latency,
    pub(crate) p99_ratio: Option<f64>,
}

impl StormPart {
    /// Of so many handshakes.
    pub(crate) fn of(beside: &Beside, handshakes: usize) -> Self {
        let (before, during) = (Latency::of(&beside.before), Latency::of(&beside.during));
        let is_known = before.count > 0 && during.count > 0;
        let lasted = beside.begun.zip(beside.over);
        Self {
            handshakes,
            seconds: lasted.map(|(begun, over)| seconds(over - begun)),
            p99_ratio: is_known.then(|| during.p99_ms / before.p99_ms),
            before,
            during,
        }
    }

    /// What it is judged by.
    pub(crate) fn goal(&self) -> Stated {
        Stated {
            what: "p99 of other rooms during the storm / before".to_owned(),
            value: self.p99_ratio,
            at_most: RATIO_MAX,
            is_ratio: true,
        }
    }
}
