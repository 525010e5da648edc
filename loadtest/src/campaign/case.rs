//! What is measured, what of it is shown, and what it must reach.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The peer whose goals are judged.
pub(crate) const OURS: &str = "supportal";

/// Of a table of this program's, or read back from a folder.
pub(crate) type Text = Cow<'static, str>;

/// A figure of one measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Metric {
    /// Key in the raw data.
    pub(crate) key: Text,
    /// Head of the column.
    pub(crate) label: Text,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// A column with the ratio to the baseline follows.
    pub(crate) ratio: bool,
}

/// One [`Metric`].
pub(crate) const fn metric(
    key: &'static str,
    label: &'static str,
    digits: usize,
    ratio: bool,
) -> Metric {
    let (key, label) = (Cow::Borrowed(key), Cow::Borrowed(label));
    Metric {
        key,
        label,
        digits,
        ratio,
    }
}

/// What ratios are taken to: always the measurement of the same round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Baseline {
    #[default]
    None,
    /// The same case of this peer.
    Peer(Text),
    /// This case of the same peer.
    Case(Text),
}

/// What a figure of ours must reach; the median of the rounds is judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) metric: Text,
    pub(crate) against: Against,
    /// At most this, or for [`Against::Over`] at least.
    pub(crate) limit: f64,
}

impl Goal {
    pub(crate) const fn of(metric: &'static str, against: Against, limit: f64) -> Self {
        let metric = Cow::Borrowed(metric);
        Self {
            metric,
            against,
            limit,
        }
    }
}

/// What the limit of a goal counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Against {
    /// Ours divided by this peer's.
    Peer(Text),
    /// Ours divided by our own of this case.
    Case(Text),
    /// This peer's divided by ours: the more, the better.
    Over(Text),
    /// Ours itself.
    Value,
}

/// One row of flags, measured against every peer that meets it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Name for `--only`.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) flags: Vec<String>,
    /// Seconds measured; 0 where the flags say.
    pub(crate) seconds: f64,
    pub(crate) metrics: Cow<'static, [Metric]>,
    pub(crate) baseline: Baseline,
    pub(crate) goals: Cow<'static, [Goal]>,
    /// Heading of the table it shares with others; only this server is measured, and each row is compared with the first.
    pub(crate) table: Option<String>,
    /// Worker threads of this server.
    pub(crate) workers: usize,
    /// Too long to be measured more than once, or again because of a busy moment.
    pub(crate) once: bool,
    /// Its place in the tables.
    pub(crate) place: usize,
}

impl Case {
    /// Flags as they are typed.
    pub(crate) fn words(flags: &str) -> Vec<String> {
        flags.split_whitespace().map(str::to_owned).collect()
    }
}

/// Refuses what is no case's name.
/// Errors: The first such name, and all there are.
pub(crate) fn check_names(known: &[Case], only: &[String]) -> Result<(), String> {
    let names: Vec<&str> = known.iter().map(|case| case.name.as_str()).collect();
    let is_known = |name: &&String| names.contains(&name.as_str());
    match only.iter().find(|name| !is_known(name)) {
        Some(wrong) => Err(format!("--only {wrong}: there are {}", names.join(", "))),
        None => Ok(()),
    }
}
