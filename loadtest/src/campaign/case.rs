//! What is measured, what of it is shown, and what it must reach.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The peer whose goals are judged.
pub(crate) const OURS: &str = "supportal";

/// All there are, and their columns.
const CASES: &str = concat!(include_str!("cases.toml"), include_str!("entrance.toml"));

/// A figure of one measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Metric {
    /// Key in the raw data.
    pub(crate) key: String,
    /// Head of the column.
    pub(crate) label: String,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// A column with the ratio to the baseline follows.
    #[serde(default)]
    pub(crate) ratio: bool,
}

/// What ratios are taken to: always the measurement of the same round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Baseline {
    #[default]
    None,
    /// The same case of this peer.
    Peer(String),
    /// This case of the same peer.
    Case(String),
}

/// What a figure of ours must reach; the median of the rounds is judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) metric: String,
    pub(crate) against: Against,
    /// At most this, or for [`Against::Over`] at least.
    pub(crate) limit: f64,
}

/// What the limit of a goal counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Against {
    /// Ours divided by this peer's.
    Peer(String),
    /// Ours divided by our own of this case.
    Case(String),
    /// This peer's divided by ours: the more, the better.
    Over(String),
    /// Ours itself.
    Value,
}

/// One row of flags, measured against every peer that meets it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Case {
    /// Name for `--only`.
    pub(crate) name: String,
    pub(crate) title: String,
    /// As they are typed.
    pub(crate) flags: String,
    /// Seconds measured; 0 where the flags say.
    pub(crate) seconds: f64,
    /// Name of the list of its columns.
    pub(crate) columns: String,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) baseline: Baseline,
    pub(crate) goals: Vec<Goal>,
    /// Heading of the table it shares with others; only this server is measured, and each row is compared with the first.
    pub(crate) table: Option<String>,
    /// This server's settings besides those of every comparison (`entrance`).
    pub(crate) set: String,
    /// Flags of a second generator beside the one that is measured (`entrance`).
    pub(crate) beside: String,
    /// Who stands before the same site (`entrance`); none is this server alone, without one.
    pub(crate) before_site: Vec<String>,
    /// The servers speak TLS. Not in the file: what is in the list of these cases is.
    pub(crate) tls: bool,
    /// Worker threads of this server; 0 is 1.
    pub(crate) workers: usize,
    /// Too long to be measured more than once, or again because of a busy moment.
    pub(crate) once: bool,
    /// Its place in the tables.
    pub(crate) place: usize,
}

/// The file of all cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cases {
    columns: BTreeMap<String, Vec<Metric>>,
    figures: BTreeMap<String, String>,
    /// Those of `compare --all`.
    #[serde(deserialize_with = "cases")]
    all: Vec<Case>,
    /// Those of `compare --growth`, which share a [`Case::table`].
    #[serde(deserialize_with = "cases")]
    growth: Vec<Case>,
    /// Those of `compare --tls`.
    #[serde(deserialize_with = "cases")]
    tls: Vec<Case>,
    /// Those of `xnode --all`.
    #[serde(deserialize_with = "cases")]
    bridge: Vec<Case>,
    /// Those of `entrance --all`.
    #[serde(deserialize_with = "cases")]
    entrance: Vec<Case>,
}

/// What stands beside `rows` is each row's, unless the row says otherwise.
fn cases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Case>, D::Error> {
    let mut cases = Vec::new();
    for mut shared in Vec::<toml::Table>::deserialize(deserializer)? {
        let rows = match shared.remove("rows") {
            Some(rows) => rows.try_into().map_err(D::Error::custom)?,
            None => vec![toml::Table::new()],
        };
        for row in rows {
            let mut case = shared.clone();
            case.extend(row);
            cases.push(case.try_into().map_err(D::Error::custom)?);
        }
    }
    Ok(cases)
}

impl Cases {
    fn load() -> Self {
        toml::from_str(CASES).expect("invariant: the file of this program is what its tests read")
    }

    /// Those of `compare`, in the order of the tables.
    pub(crate) fn of_compare() -> Vec<Case> {
        let mut all = Self::load();
        all.all.append(&mut all.growth);
        let tls = all.tls.into_iter();
        all.all.extend(tls.map(|case| Case { tls: true, ..case }));
        placed(&all.columns, all.all)
    }

    /// Those of `xnode`, in the order of the tables.
    pub(crate) fn of_bridge() -> Vec<Case> {
        let all = Self::load();
        placed(&all.columns, all.bridge)
    }

    /// Those of `entrance`, in the order of the tables.
    pub(crate) fn of_entrance() -> Vec<Case> {
        let all = Self::load();
        placed(&all.columns, all.entrance)
    }

    /// A list of columns by its name; nothing under any other.
    pub(crate) fn columns(name: &str) -> Vec<Metric> {
        Self::load().columns.remove(name).unwrap_or_default()
    }

    /// Where the report has a figure, by the figure's name.
    pub(super) fn figures() -> BTreeMap<String, String> {
        Self::load().figures
    }
}

fn placed(columns: &BTreeMap<String, Vec<Metric>>, cases: Vec<Case>) -> Vec<Case> {
    let place = |(place, case): (usize, Case)| Case {
        metrics: columns.get(&case.columns).cloned().unwrap_or_default(),
        place,
        ..case
    };
    cases.into_iter().enumerate().map(place).collect()
}

/// Those wanted, and those they are compared with.
pub(crate) fn with_baselines(known: Vec<Case>, is_wanted: impl Fn(&Case) -> bool) -> Vec<Case> {
    let wanted = known.iter().filter(|case| is_wanted(case));
    let beside: Vec<Baseline> = wanted.map(|case| case.baseline.clone()).collect();
    let is_beside = |case: &Case| beside.contains(&Baseline::Case(case.name.clone()));
    let cases = known.into_iter();
    cases
        .filter(|case| is_wanted(case) || is_beside(case))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn every_case_is_a_run_the_command_line_understands_and_every_goal_is_of_a_column() {
        let cases = [
            Cases::of_compare(),
            Cases::of_bridge(),
            Cases::of_entrance(),
        ]
        .concat();
        for case in &cases {
            for flags in [&case.flags, &case.beside] {
                let flags = flags.split_whitespace();
                if flags.clone().next().is_some() {
                    Cli::try_parse_from(["loadtest"].into_iter().chain(flags)).unwrap();
                }
            }
            assert!(!case.metrics.is_empty(), "{}", case.name);
            for goal in &case.goals {
                let is_of = |metric: &Metric| metric.key == goal.metric;
                assert!(case.metrics.iter().any(is_of), "{goal:?}");
            }
            if let Baseline::Case(other) = &case.baseline {
                assert!(cases.iter().any(|case| case.name == *other), "{other}");
            }
        }
        let names: BTreeMap<&str, &Case> = cases.iter().map(|c| (c.name.as_str(), c)).collect();
        assert_eq!(names.len(), cases.len());
        let slow = names["slow"];
        assert_eq!(slow.baseline, Baseline::Case("slow-none".to_owned()));
        let [one, two] = ["grow-workers-1", "grow-workers-2"].map(|name| names[name]);
        assert_eq!((one.workers, two.workers), (0, 2));
        assert_eq!((&one.flags, one.seconds), (&two.flags, 2.0));
    }
}
