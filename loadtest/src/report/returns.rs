//! What leaving and coming back cost.

use crate::latency::Latency;
use serde::Serialize;

/// What is counted of people who leave and come back.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Comings {
    /// Connections we ended.
    pub(crate) left: u64,
    /// Connections that ended without us.
    pub(crate) lost: u64,
    /// Tries to come back.
    pub(crate) attempts: u64,
    pub(crate) failed: u64,
    /// Most tries within one second.
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
