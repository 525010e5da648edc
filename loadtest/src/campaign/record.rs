//! What a campaign has measured. It can be measured in slices, but a case always shows one slice: measured again, it replaces what was
//! there, so that no table mixes rounds of different hours.

use super::case::{Baseline, Case};
use super::figures::{Values, figures, sentences};
use crate::machine::Machine;
use crate::report::Stated;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Series and curves of the report: large, and of no use to a table.
const SERIES: [&str; 2] = ["samples", "percentiles"];

/// One measurement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The slice it belongs to.
    pub(crate) slice: usize,
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) round: usize,
    /// Tries; the quietest is kept.
    pub(crate) tries: usize,
    pub(crate) values: Values,
    /// Goals that the run states itself.
    pub(crate) goals: Vec<Stated>,
    pub(crate) failures: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Why there are no figures.
    pub(crate) error: Option<String>,
    /// The generator's whole report, without its series.
    pub(crate) report: Value,
}

impl Measurement {
    /// No figures, because of this.
    fn none(why: String) -> Self {
        Self {
            error: Some(why),
            ..Self::default()
        }
    }

    /// Of one report; whose it is, the caller knows.
    pub(super) fn of(report: Result<Value, String>) -> Self {
        let mut report = match report {
            Ok(report) => report,
            Err(why) => return Self::none(why),
        };
        let goals = report.get("goals").cloned().unwrap_or_default();
        let measured = Self {
            values: figures(&report),
            goals: serde_json::from_value(goals).unwrap_or_default(),
            failures: sentences(&report, "/verdict/failures"),
            warnings: sentences(&report, "/verdict/warnings"),
            ..Self::default()
        };
        for place in ["", "/across"] {
            if let Some(part) = report.pointer_mut(place).and_then(Value::as_object_mut) {
                part.retain(|name, _| !SERIES.contains(&name.as_str()));
            }
        }
        Self { report, ..measured }
    }

    /// Share of the time that the generator or the server waited for a core.
    pub(super) fn waited(&self) -> Option<f64> {
        self.values.get("waited").copied()
    }
}

/// A peer as tables know it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) speaks: String,
    pub(crate) note: String,
    /// Its place in the tables.
    pub(crate) place: usize,
}

/// One start of the program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) number: usize,
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) revision: String,
    pub(crate) machine: Machine,
    /// Cores of the servers and of the generator.
    pub(crate) cores: (Option<usize>, Option<usize>),
    pub(crate) rounds: usize,
    pub(crate) warmup_seconds: f64,
    /// Share of time without a core up to which a measurement counts as undisturbed.
    pub(crate) quiet: f64,
    pub(crate) peers: Vec<Compared>,
    pub(crate) cases: Vec<Case>,
}

/// Median and extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) count: usize,
}

impl Spread {
    /// Of some values; `None` of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let (low, high) = (
            sorted.get(count.checked_sub(1)? / 2)?,
            sorted.get(count / 2)?,
        );
        Some(Self {
            median: f64::midpoint(*low, *high),
            least: *sorted.first()?,
            most: *sorted.last()?,
            count,
        })
    }
}

/// All slices of one folder.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Campaign {
    pub(crate) slices: Vec<Slice>,
    pub(crate) measurements: Vec<Measurement>,
}

impl Campaign {
    /// The number of the next slice.
    pub(super) fn next(&self) -> usize {
        let last = self.slices.iter().map(|slice| slice.number).max();
        last.map_or(0, |last| last + 1)
    }

    /// Adds a measurement of a slice; what other slices have of its case goes, and a slice of which nothing is left.
    pub(super) fn add(&mut self, slice: &Slice, new: Measurement) {
        if !self.slices.iter().any(|old| old.number == slice.number) {
            self.slices.push(slice.clone());
        }
        let (measurements, slices) = (&mut self.measurements, &mut self.slices);
        measurements.retain(|old| old.case != new.case || old.slice == new.slice);
        measurements.push(new);
        slices.retain(|slice| measurements.iter().any(|m| m.slice == slice.number));
    }

    /// The slice a measurement belongs to.
    pub(super) fn slice(&self, of: &Measurement) -> Option<&Slice> {
        self.slices.iter().find(|slice| slice.number == of.slice)
    }

    fn has(&self, is_one: impl Fn(&Measurement) -> bool) -> bool {
        self.measurements.iter().any(is_one)
    }

    /// Cases that were measured, as their slice did, in the order of the table.
    pub(super) fn cases(&self) -> Vec<&Case> {
        let cases = self.slices.iter().flat_map(|slice| {
            let is_of =
                |m: &Measurement, case: &Case| m.slice == slice.number && m.case == case.name;
            let cases = slice.cases.iter();
            cases.filter(move |case| self.has(|m| is_of(m, case)))
        });
        let mut cases: Vec<&Case> = cases.collect();
        cases.sort_by_key(|case| case.place);
        cases
    }

    /// Peers that were measured, each once, with the versions of all slices.
    pub(super) fn peers(&self) -> Vec<Compared> {
        let mut peers: Vec<Compared> = Vec::new();
        for slice in &self.slices {
            for peer in &slice.peers {
                if !self.has(|m| m.slice == slice.number && m.peer == peer.name) {
                    continue;
                }
                match peers.iter_mut().find(|other| other.name == peer.name) {
                    None => peers.push(peer.clone()),
                    Some(other) if !other.version.split(" / ").any(|v| v == peer.version) => {
                        other.version += &format!(" / {}", peer.version);
                    }
                    Some(_) => {}
                }
            }
        }
        peers.sort_by_key(|peer| peer.place);
        peers
    }

    /// The measurements of a case and peer.
    pub(super) fn of(&self, case: &str, peer: &str) -> impl Iterator<Item = &Measurement> {
        let all = self.measurements.iter();
        all.filter(move |m| m.case == case && m.peer == peer)
    }

    /// The value of each round, by slice and round: only neighbours in time are compared.
    fn rounds_of(&self, (case, peer): (&str, &str), metric: &str) -> BTreeMap<(usize, usize), f64> {
        let value = |m: &Measurement| Some(((m.slice, m.round), *m.values.get(metric)?));
        self.of(case, peer).filter_map(value).collect()
    }

    /// A figure of a peer in a case over all rounds.
    pub(super) fn spread(&self, of: (&str, &str), metric: &str) -> Option<Spread> {
        Spread::of(self.rounds_of(of, metric).into_values())
    }

    /// The same figure of two (case, peer), divided round by round.
    pub(super) fn paired(
        &self,
        ours: (&str, &str),
        theirs: (&str, &str),
        metric: &str,
    ) -> Option<Spread> {
        let theirs = self.rounds_of(theirs, metric);
        let ours = self.rounds_of(ours, metric).into_iter();
        Spread::of(ours.filter_map(|(round, value)| {
            let other = *theirs.get(&round)?;
            (other > 0.0).then_some(value / other)
        }))
    }

    /// The ratio to the case's baseline.
    pub(super) fn ratio(&self, case: &Case, peer: &str, metric: &str) -> Option<Spread> {
        let theirs = match &case.baseline {
            Baseline::None => return None,
            Baseline::Peer(other) => (case.name.as_str(), other.as_str()),
            Baseline::Case(other) => (other.as_str(), peer),
        };
        self.paired((&case.name, peer), theirs, metric)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::case::{Metric, OURS};
    use super::*;

    /// Case, peer, round, value of the metric `cpu`.
    pub(in crate::campaign) type Row = (&'static str, &'static str, usize, f64);

    /// One column.
    pub(in crate::campaign) fn cpu() -> Vec<Metric> {
        vec![Metric {
            key: "cpu".to_owned(),
            label: "CPU".to_owned(),
            digits: 2,
            ratio: true,
        }]
    }

    /// A campaign of these slices. Every case is judged and shown as `like` says.
    pub(in crate::campaign) fn campaign(like: &Case, slices: &[&[Row]]) -> Campaign {
        let mut campaign = Campaign::default();
        for (number, rows) in slices.iter().enumerate() {
            let mut cases: Vec<Case> = Vec::new();
            for (place, &(name, ..)) in rows.iter().enumerate() {
                if !cases.iter().any(|case| case.name == name) {
                    let (name, title) = (name.to_owned(), name.to_owned());
                    let case = like.clone();
                    cases.push(Case {
                        name,
                        title,
                        place,
                        ..case
                    });
                }
            }
            let peers = [OURS, "floor", "bun", "channels"].map(|name| Compared {
                name: name.to_owned(),
                version: format!("v{number}"),
                ..Compared::default()
            });
            let slice = Slice {
                number,
                date: "2024-01-01".to_owned(),
                command: format!("loadtest compare {number}"),
                revision: format!("rev{number}"),
                machine: Machine::here(),
                cores: (Some(0), Some(1)),
                rounds: 2,
                warmup_seconds: 1.0,
                quiet: 0.05,
                peers: peers.to_vec(),
                cases,
            };
            for &(case, peer, round, value) in *rows {
                let new = Measurement {
                    slice: number,
                    case: case.to_owned(),
                    peer: peer.to_owned(),
                    round,
                    values: [("cpu".to_owned(), value)].into(),
                    ..Measurement::default()
                };
                campaign.add(&slice, new);
            }
        }
        campaign
    }

    #[test]
    fn a_case_measured_again_replaces_all_of_it_and_leaves_the_others() {
        let first: &[Row] = &[
            ("echo", OURS, 0, 5.0),
            ("echo", "bun", 0, 9.0),
            ("fanout", OURS, 0, 4.0),
        ];
        let campaign = campaign(&Case::default(), &[first, &[("echo", OURS, 0, 6.0)]]);
        let left = campaign.measurements.iter();
        let left: Vec<(usize, &str, &str)> = left
            .map(|m| (m.slice, m.case.as_str(), m.peer.as_str()))
            .collect();
        assert_eq!(left, [(0, "fanout", OURS), (1, "echo", OURS)]);
        let names: Vec<&str> = campaign.cases().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["echo", "fanout"]);
        assert_eq!(campaign.peers().len(), 1);
        assert_eq!(campaign.peers()[0].version, "v0 / v1");
    }

    #[test]
    fn a_slice_nothing_is_left_of_is_forgotten() {
        let (first, again): (&[Row], &[Row]) = (&[("a", OURS, 0, 5.0)], &[("a", OURS, 0, 6.0)]);
        let campaign = campaign(&Case::default(), &[first, again]);
        assert_eq!((campaign.slices.len(), campaign.next()), (1, 2));
    }

    #[test]
    fn rounds_of_different_slices_are_never_paired() {
        let first: &[Row] = &[("none", OURS, 0, 1.0), ("slow", OURS, 0, 2.0)];
        let campaign = campaign(&Case::default(), &[first, &[("none", OURS, 0, 1.0)]]);
        assert_eq!(campaign.paired(("slow", OURS), ("none", OURS), "cpu"), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([7.0]).map(|s| s.median), Some(7.0));
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).map(|s| s.median), Some(2.0));
    }
}
