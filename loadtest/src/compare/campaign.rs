//! The folder of a comparison: what earlier starts left there, what this one adds, and the files. A campaign can be measured in slices,
//! but a case always shows one slice: measured again, it replaces what was there, so that no table mixes rounds of different hours.

use super::cases::{self, Case};
use super::peers::Kind;
use super::table;
use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The file that holds everything.
const RAW: &str = "raw.json";

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The slice it belongs to.
    pub(crate) slice: usize,
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) round: usize,
    /// Tries; the quietest is kept.
    pub(crate) tries: usize,
    /// Figures by name.
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) failures: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Why there are no figures.
    pub(crate) error: Option<String>,
    /// The generator's whole report, without its series.
    pub(crate) report: Value,
}

/// A peer as tables know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    pub(crate) note: Option<String>,
}

/// One start of `compare`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) number: usize,
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) revision: String,
    pub(crate) machine: Machine,
    pub(crate) server_core: Option<usize>,
    pub(crate) generator_core: Option<usize>,
    pub(crate) rounds: usize,
    pub(crate) warmup_seconds: f64,
    /// Share of time without a core up to which a measurement counts as undisturbed.
    pub(crate) quiet: f64,
    pub(crate) peers: Vec<Compared>,
    pub(crate) cases: Vec<Case>,
}

/// All slices of one folder.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Campaign {
    pub(crate) slices: Vec<Slice>,
    pub(crate) measurements: Vec<Measurement>,
    /// Names of all peers in the order of the tables.
    #[serde(skip)]
    pub(crate) order: Vec<String>,
}

impl Campaign {
    /// What is in the folder; nothing where there is nothing yet.
    ///
    /// # Errors
    /// The file cannot be read, or is of another kind.
    pub(super) fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join(RAW);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let mut campaign: Self = serde_json::from_str(&text).map_err(|error| {
            format!(
                "{}: {error}; say --fresh to replace it, or another --name",
                path.display()
            )
        })?;
        let known = cases::known();
        for slice in &mut campaign.slices {
            for case in &mut slice.cases {
                // Columns and baselines are the program's, not the file's.
                let like = known.iter().find(|other| other.name == case.name);
                let like = like.cloned();
                let like = like.unwrap_or_else(|| cases::custom(&case.title, case.seconds));
                (case.metrics, case.baseline) = (like.metrics, like.baseline);
                (case.table, case.workers) = (like.table, like.workers);
            }
        }
        Ok(campaign)
    }

    /// The number of the next slice.
    pub(super) fn next(&self) -> usize {
        let last = self.slices.iter().map(|slice| slice.number).max();
        last.map_or(0, |last| last + 1)
    }

    /// Adds a measurement; what other slices have of its case goes.
    pub(super) fn add(&mut self, new: Measurement) {
        self.measurements
            .retain(|old| old.case != new.case || old.slice == new.slice);
        self.measurements.push(new);
        let used = |slice: &Slice| self.measurements.iter().any(|m| m.slice == slice.number);
        let kept = self.slices.iter().map(used).collect::<Vec<_>>();
        let mut kept = kept.into_iter();
        self.slices.retain(|_| kept.next().unwrap_or(false));
    }

    /// The slice a measurement belongs to.
    pub(super) fn slice(&self, measurement: &Measurement) -> Option<&Slice> {
        self.slices
            .iter()
            .find(|slice| slice.number == measurement.slice)
    }

    /// Cases that were measured, as their slice did, in the order of the table; the user's own last.
    pub(super) fn cases(&self) -> Vec<&Case> {
        let measured = |slice: &Slice, case: &Case| {
            self.measurements
                .iter()
                .any(|m| m.slice == slice.number && m.case == case.name)
        };
        let mut cases: Vec<&Case> = self
            .slices
            .iter()
            .flat_map(|slice| slice.cases.iter().filter(move |case| measured(slice, case)))
            .collect();
        let known = cases::known();
        let place = |case: &&Case| known.iter().position(|other| other.name == case.name);
        cases.sort_by_key(|case| place(case).unwrap_or(usize::MAX));
        cases
    }

    /// Peers that were measured, each once, with the versions of all slices.
    pub(super) fn peers(&self) -> Vec<Compared> {
        let mut peers: Vec<Compared> = Vec::new();
        for slice in &self.slices {
            for peer in &slice.peers {
                let measured = |m: &Measurement| m.slice == slice.number && m.peer == peer.name;
                if !self.measurements.iter().any(measured) {
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
        let place = |name: &str| self.order.iter().position(|other| other == name);
        peers.sort_by_key(|peer| place(&peer.name).unwrap_or(usize::MAX));
        peers
    }

    /// Writes the folder's files, each whole or not at all.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let write = |name: &str, text: String| {
            let (path, half) = (folder.join(name), folder.join(format!(".{name}.half")));
            std::fs::write(&half, text)
                .and_then(|()| std::fs::rename(&half, &path))
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let raw = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        write(RAW, raw + "\n")?;
        write("summary.md", table::summary(self))?;
        write("README.md", table::readme(self))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A campaign of one slice with these values of CPU per delivery, by (case, peer, round).
    pub(in crate::compare) fn slice(
        number: usize,
        values: &[(&str, &str, usize, f64)],
    ) -> (Slice, Vec<Measurement>) {
        let measurement = |&(case, peer, round, value): &(&str, &str, usize, f64)| Measurement {
            slice: number,
            case: case.to_owned(),
            peer: peer.to_owned(),
            round,
            tries: 1,
            values: [
                ("cpu_micros_per_delivery", value),
                ("deliveries_per_second", 1.0),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
            failures: Vec::new(),
            warnings: Vec::new(),
            error: None,
            report: Value::Null,
        };
        let known = cases::known().into_iter();
        let peers = ["supportal", "floor", "bun", "channels-uvicorn"];
        let slice = Slice {
            number,
            date: "2024-01-01".to_owned(),
            command: format!("loadtest compare {number}"),
            revision: format!("rev{number}"),
            machine: Machine::here(),
            server_core: Some(0),
            generator_core: Some(1),
            rounds: 2,
            warmup_seconds: 1.0,
            quiet: 0.05,
            peers: peers
                .map(|name| Compared {
                    name: name.to_owned(),
                    version: format!("v{number}"),
                    kind: Kind::Contract,
                    note: None,
                })
                .into(),
            cases: known
                .filter(|case| values.iter().any(|value| value.0 == case.name))
                .collect(),
        };
        (slice, values.iter().map(measurement).collect())
    }

    pub(in crate::compare) fn campaign(slices: &[&[(&str, &str, usize, f64)]]) -> Campaign {
        let mut campaign = Campaign::default();
        for (number, values) in slices.iter().enumerate() {
            let (slice, measurements) = slice(number, values);
            campaign.slices.push(slice);
            for measurement in measurements {
                campaign.add(measurement);
            }
        }
        campaign
    }

    #[test]
    fn a_case_measured_again_replaces_all_of_it_and_leaves_the_others() {
        let campaign = campaign(&[
            &[
                ("echo-200", "supportal", 0, 5.0),
                ("echo-200", "bun", 0, 9.0),
                ("fanout-1x1000", "supportal", 0, 4.0),
            ],
            &[("echo-200", "supportal", 0, 6.0)],
        ]);
        let left: Vec<(usize, &str, &str)> = campaign
            .measurements
            .iter()
            .map(|m| (m.slice, m.case.as_str(), m.peer.as_str()))
            .collect();
        assert_eq!(
            left,
            [
                (0, "fanout-1x1000", "supportal"),
                (1, "echo-200", "supportal")
            ]
        );
        let names: Vec<&str> = campaign.cases().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["echo-200", "fanout-1x1000"]);
        assert_eq!(campaign.peers().len(), 1);
        assert_eq!(campaign.peers()[0].version, "v0 / v1");
    }

    #[test]
    fn a_slice_nothing_is_left_of_is_forgotten() {
        let campaign = campaign(&[
            &[("echo-200", "supportal", 0, 5.0)],
            &[("echo-200", "supportal", 0, 6.0)],
        ]);
        assert_eq!(campaign.slices.len(), 1);
        assert_eq!(campaign.next(), 2);
    }

    #[test]
    fn a_folder_is_read_back_as_it_was_written() {
        let folder = std::env::temp_dir().join(format!("loadtest-campaign-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(Campaign::load(&folder).unwrap().slices.is_empty());
        let before = campaign(&[&[
            ("grow-size-64", "supportal", 0, 5.0),
            ("grow-size-16k", "supportal", 0, 15.0),
        ]]);
        before.write(&folder).unwrap();
        let mut after = Campaign::load(&folder).unwrap();
        after.order.clone_from(&before.order);
        assert_eq!(table::summary(&after), table::summary(&before));
        std::fs::write(folder.join(RAW), "{\"rounds\": 3}").unwrap();
        assert!(Campaign::load(&folder).unwrap_err().contains("--fresh"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
