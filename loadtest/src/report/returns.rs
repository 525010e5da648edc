//! What leaving and coming back cost, as one process counted it and as the report says it.

use crate::latency::{Latency, Times};
use crate::tally::sum_of;
use serde::{Deserialize, Serialize};

/// What is counted of people who leave and come back.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Comings {
    /// Connections we ended.
    pub(crate) left: u64,
    /// Connections that ended without us.
    pub(crate) lost: u64,
    /// Tries to come back.
    pub(crate) attempts: u64,
    pub(crate) failed: u64,
    /// Most tries within one second; those of several processes are added: of one moment they are the worst case.
    pub(crate) attempts_peak: u64,
    /// Messages of their rooms while people who came back were away.
    pub(crate) missed_while_away: u64,
    /// People whose client has given up.
    pub(crate) gave_up: usize,
    /// People without a connection at the end who have not given up.
    pub(crate) still_away: usize,
    /// Connections at the end beyond one for each person.
    pub(crate) extra_sockets: usize,
}

sum_of!(Comings: left lost attempts failed attempts_peak missed_while_away gave_up still_away extra_sockets);

/// What leaving and coming back cost.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Returns {
    #[serde(flatten)]
    pub(crate) counts: Comings,
    /// From the end of a connection to the next one being open.
    pub(crate) away: Latency,
    /// Seconds from the first loss until everybody who came back was back.
    pub(crate) all_back_seconds: f64,
    /// Giving up is what this client does, not a fault.
    pub(crate) may_give_up: bool,
}

/// The same as counted by one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Returned {
    pub(crate) counts: Comings,
    pub(crate) away: Times,
    /// 0 if nobody lost a connection.
    pub(crate) first_loss: u64,
    pub(crate) last_back: u64,
    pub(crate) may_give_up: bool,
}

impl Returned {
    /// Adds another process's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts += other.counts;
        self.away += &other.away;
        self.first_loss = match (self.first_loss, other.first_loss) {
            (0, loss) | (loss, 0) => loss,
            (ours, theirs) => ours.min(theirs),
        };
        self.last_back = self.last_back.max(other.last_back);
        self.may_give_up |= other.may_give_up;
    }

    /// For the report.
    pub(crate) fn figures(&self) -> Returns {
        Returns {
            counts: self.counts,
            away: Latency::of(&self.away),
            all_back_seconds: self.last_back.saturating_sub(self.first_loss) as f64 / 1e9,
            may_give_up: self.may_give_up,
        }
    }
}
