//! What leaving and coming back cost, as one process counted it and as the report says it.

use crate::latency::{Latency, recorded};
use hdrhistogram::Histogram;

/// What leaving and coming back cost.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Returns {
    /// Connections we ended.
    pub(crate) left: u64,
    /// Connections that ended without us.
    pub(crate) lost: u64,
    /// Tries to come back.
    pub(crate) attempts: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Most tries within one second.
    pub(crate) attempts_peak: u64,
    /// From the end of a connection to the next one being open.
    pub(crate) away: Latency,
    /// Seconds from the first loss until everybody who came back was back.
    pub(crate) all_back_seconds: f64,
    /// Messages of their rooms while people who came back were away.
    pub(crate) missed_while_away: u64,
    /// People whose client has given up.
    pub(crate) gave_up: usize,
    /// People without a connection at the end who have not given up.
    pub(crate) still_away: usize,
    /// Connections at the end beyond one for each person.
    pub(crate) extra_sockets: usize,
    /// Giving up is what this client does, not a fault.
    pub(crate) may_give_up: bool,
}

/// The same as counted by one process.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Returned {
    pub(crate) left: u64,
    pub(crate) lost: u64,
    pub(crate) attempts: u64,
    pub(crate) failed: u64,
    pub(crate) attempts_peak: u64,
    #[serde(with = "recorded")]
    pub(crate) away: Histogram<u64>,
    /// 0 if nobody lost a connection.
    pub(crate) first_loss: u64,
    pub(crate) last_back: u64,
    pub(crate) missed: u64,
    pub(crate) gave_up: usize,
    pub(crate) still_away: usize,
    pub(crate) extra_sockets: usize,
    pub(crate) may_give_up: bool,
}

impl Returned {
    /// Adds another process's. Peaks are added, too: those of one moment are the worst case.
    pub(crate) fn add(&mut self, other: &Self) {
        self.left += other.left;
        self.lost += other.lost;
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.attempts_peak += other.attempts_peak;
        recorded::add(&mut self.away, &other.away);
        self.first_loss = match (self.first_loss, other.first_loss) {
            (0, loss) | (loss, 0) => loss,
            (ours, theirs) => ours.min(theirs),
        };
        self.last_back = self.last_back.max(other.last_back);
        self.missed += other.missed;
        self.gave_up += other.gave_up;
        self.still_away += other.still_away;
        self.extra_sockets += other.extra_sockets;
        self.may_give_up |= other.may_give_up;
    }

    /// For the report.
    pub(crate) fn figures(&self) -> Returns {
        Returns {
            left: self.left,
            lost: self.lost,
            attempts: self.attempts,
            failed: self.failed,
            attempts_peak: self.attempts_peak,
            away: Latency::of(&self.away),
            all_back_seconds: self.last_back.saturating_sub(self.first_loss) as f64 / 1e9,
            missed_while_away: self.missed,
            gave_up: self.gave_up,
            still_away: self.still_away,
            extra_sockets: self.extra_sockets,
            may_give_up: self.may_give_up,
        }
    }
}
