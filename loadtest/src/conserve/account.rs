//! The account: what was said, what was heard, what has a row.
//!
//! - A message is **accepted** if its speaker heard it. It must have one row.
//! - What a connection heard of its room is one run of the room's rows: none missing between its first and its last, none
//!   twice, in their order; of a connection that was there at the end up to the newest. Who comes back goes on behind what
//!   was heard before.
//! - A node that is killed takes with it what it had not written: those messages are the last that its connections heard,
//!   moments before. They have **died** and are counted apart; whatever else has no row is lost.
//! - A message that nobody heard, since its connection was cut, may have a row or none.

use super::strikes::NodeKill;
use crate::traffic::Sighting;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Offenders that are named.
const NAMED: usize = 10;

/// A message: room, speaker, number.
pub(super) type Said = (u32, u16, u32);

/// A row of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The session.
    pub(super) room: String,
    /// The whole text.
    pub(super) text: String,
}

impl Row {
    /// From a line of the site's `dump`.
    pub(super) fn read(line: &str) -> Self {
        let fields: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |at: usize| fields.get(at).and_then(Value::as_str).unwrap_or(line);
        Self {
            room: text(0).to_owned(),
            text: text(2).to_owned(),
        }
    }
}

/// What the account is made of.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// How many messages each speaker of each room has sent.
    pub(super) sent: Vec<Vec<u32>>,
    /// The rows in the order of their times; none for one that is not of this run.
    pub(super) rows: Vec<Option<Said>>,
    /// In the order in which they were made.
    pub(super) sightings: Vec<Sighting>,
    /// Connections that were there at the end.
    pub(super) present: HashSet<u32>,
    pub(super) kills: Vec<NodeKill>,
    /// What was heard so long before a kill, in nanoseconds, may have died.
    pub(super) unsynced: u64,
}

/// What came out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Account {
    pub(super) sent: u64,
    pub(super) accepted: u64,
    pub(super) rows_stored: u64,
    /// Rows of messages that nobody heard.
    pub(super) unheard: u64,
    /// Accepted, and dead with the memory of a node.
    pub(super) died: u64,
    /// How long before its node's kill the first of those was heard.
    pub(super) died_ms: f64,
    /// Deliveries, and the connections that had them.
    pub(super) heard: u64,
    pub(super) lives: u64,
    /// Messages that were heard and have no row.
    pub(super) lost: u64,
    /// Rows too many, and deliveries of what the same person had heard.
    pub(super) twice: u64,
    /// Rows or deliveries behind a later one.
    pub(super) disordered: u64,
    /// Deliveries that a connection should have had.
    pub(super) missed: u64,
    /// Rows of what nobody said.
    pub(super) strange: u64,
    /// The first of them.
    pub(super) offenders: Vec<String>,
}

/// The rows of each room in their order, and where each message is there.
struct Book {
    rooms: Vec<Vec<Said>>,
    places: HashMap<Said, usize>,
}

impl Account {
    /// What does not add up.
    pub(super) fn residue(&self) -> u64 {
        self.lost + self.twice + self.disordered + self.missed + self.strange
    }

    /// Lays what was said, heard and stored side by side.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut account = Self::default();
        let sent = evidence.sent.iter().flatten();
        account.sent = sent.map(|number| u64::from(*number)).sum();
        let book = account.read_rows(evidence);
        let mut lives: BTreeMap<u32, Vec<&Sighting>> = BTreeMap::new();
        for sighting in &evidence.sightings {
            lives.entry(sighting.life).or_default().push(sighting);
        }
        account.heard = evidence.sightings.len() as u64;
        account.lives = lives.len() as u64;
        let (mut died, mut lost) = (HashSet::new(), HashSet::new());
        let mut ends = HashMap::new();
        for (life, heard) in &lives {
            let alive = account.read_end(heard, &book, evidence, &mut died, &mut lost);
            let is_present = evidence.present.contains(life);
            account.read_life(&alive, &book, is_present, &mut ends);
        }
        let own = |sighting: &&Sighting| sighting.reader == Some(sighting.slot);
        let accepted: HashSet<Said> = evidence.sightings.iter().filter(own).map(said).collect();
        account.accepted = accepted.len() as u64;
        account.died = died.difference(&lost).count() as u64;
        account.lost = lost.len() as u64;
        let heard: HashSet<Said> = evidence.sightings.iter().map(said).collect();
        account.unheard = book
            .places
            .keys()
            .filter(|row| !heard.contains(row))
            .count() as u64;
        account
    }

    fn name(&mut self, what: &str, (room, speaker, number): Said) {
        if self.offenders.len() < NAMED {
            let who = format!("room {room}, speaker {speaker}, message {number}: {what}");
            self.offenders.push(who);
        }
    }

    /// The rows by themselves: each once, those of a speaker in order.
    fn read_rows(&mut self, evidence: &Evidence) -> Book {
        let mut book = Book {
            rooms: vec![Vec::new(); evidence.sent.len()],
            places: HashMap::new(),
        };
        let mut newest: HashMap<(u32, u16), u32> = HashMap::new();
        for row in &evidence.rows {
            self.rows_stored += 1;
            let sent = row.and_then(|(room, speaker, _)| {
                let room = evidence.sent.get(room as usize)?;
                room.get(usize::from(speaker)).copied()
            });
            let Some(row) = row.filter(|row| sent.is_some_and(|sent| row.2 < sent)) else {
                self.strange += 1;
                continue;
            };
            if book.places.contains_key(&row) {
                self.twice += 1;
                self.name("a second row", row);
                continue;
            }
            let before = newest.insert((row.0, row.1), row.2);
            if before.is_some_and(|before| before > row.2) {
                self.disordered += 1;
                self.name("its row is behind that of a later one", row);
            }
            if let Some(room) = book.rooms.get_mut(row.0 as usize) {
                book.places.insert(row, room.len());
                room.push(row);
            }
        }
        book
    }

    /// What a connection heard without what has no row: at its end that may have died, anywhere else it is lost.
    fn read_end<'a>(
        &mut self,
        heard: &[&'a Sighting],
        book: &Book,
        evidence: &Evidence,
        died: &mut HashSet<Said>,
        lost: &mut HashSet<Said>,
    ) -> Vec<&'a Sighting> {
        let mut alive = Vec::with_capacity(heard.len());
        for sighting in heard.iter().rev() {
            let message = said(sighting);
            if book.places.contains_key(&message) {
                alive.push(*sighting);
                continue;
            }
            match nearest_kill(sighting.at, evidence).filter(|_| alive.is_empty()) {
                Some(before) => {
                    died.insert(message);
                    self.died_ms = self.died_ms.max(before as f64 / 1e6);
                }
                None if lost.insert(message) => self.name("heard, and no row", message),
                None => {}
            }
        }
        alive.reverse();
        alive
    }

    /// What a connection heard, beside the room's rows; `ends` has how far each person had come before.
    fn read_life(
        &mut self,
        heard: &[&Sighting],
        book: &Book,
        is_present: bool,
        ends: &mut HashMap<(u32, Option<u16>), usize>,
    ) {
        let Some(first) = heard.first() else {
            return;
        };
        let person = (first.room, first.reader);
        let (before, mut last) = (ends.get(&person).copied(), None);
        for sighting in heard {
            let message = said(sighting);
            let Some(&place) = book.places.get(&message) else {
                continue;
            };
            let behind: Option<usize> = last.or(before);
            if behind == Some(place) {
                self.twice += 1;
                self.name("heard twice by one person", message);
            } else if behind.is_some_and(|behind| behind > place) {
                self.disordered += 1;
                self.name("heard behind a later one, or twice", message);
            } else if let Some(last) = last {
                self.note_missed(first.room, last + 1..place, book);
            }
            last = Some(last.map_or(place, |last: usize| last.max(place)));
        }
        if let Some(last) = last {
            ends.insert(person, last);
            let newest = book.rooms.get(first.room as usize).map_or(0, Vec::len);
            if is_present {
                self.note_missed(first.room, last + 1..newest, book);
            }
        }
    }

    fn note_missed(&mut self, room: u32, places: std::ops::Range<usize>, book: &Book) {
        self.missed += places.len() as u64;
        let rows = book
            .rooms
            .get(room as usize)
            .and_then(|rows| rows.get(places));
        for row in rows.unwrap_or_default() {
            self.name("a member did not hear it", *row);
        }
    }
}

fn said(sighting: &Sighting) -> Said {
    (sighting.room, sighting.slot, sighting.sequence)
}

/// How long before a kill of the node this was, if that is no longer than what a node may hold. What it had written to a
/// socket is read a moment later, too.
fn nearest_kill(at: u64, evidence: &Evidence) -> Option<u64> {
    let near = |kill: &&NodeKill| at + evidence.unsynced >= kill.at && at <= kill.back;
    let kill = evidence.kills.iter().find(near)?;
    Some(kill.at.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MILLISECOND, SECOND};

    /// Room 0 with two speakers, each of whom said `0..3`, in turns; both heard all, and all has a row.
    fn whole() -> Evidence {
        let order: Vec<Said> = (0..3)
            .flat_map(|number| [(0, 0, number), (0, 1, number)])
            .collect();
        let sightings = (1..).zip(0..2).flat_map(|(life, reader)| {
            let order = order.clone().into_iter().zip(1..);
            order.map(move |((room, slot, sequence), second)| Sighting {
                life,
                room,
                reader: Some(reader),
                slot,
                sequence,
                at: second * SECOND,
            })
        });
        Evidence {
            sent: vec![vec![3, 3]],
            sightings: sightings.collect(),
            rows: order.into_iter().map(Some).collect(),
            present: [1, 2].into(),
            kills: Vec::new(),
            unsynced: SECOND,
        }
    }

    fn account(change: impl FnOnce(&mut Evidence)) -> Account {
        let mut evidence = whole();
        change(&mut evidence);
        Account::of(&evidence)
    }

    #[test]
    fn what_is_whole_leaves_no_residue() {
        let account = account(|_| {});
        assert_eq!(
            (account.sent, account.accepted, account.rows_stored),
            (6, 6, 6)
        );
        assert_eq!((account.heard, account.lives, account.unheard), (12, 2, 0));
        assert_eq!((account.residue(), account.offenders), (0, Vec::new()));
    }

    #[test]
    fn a_row_that_is_missing_twice_strange_or_behind_is_found() {
        let lost = account(|evidence| {
            evidence.rows.remove(2);
        });
        assert_eq!((lost.lost, lost.residue()), (1, 1));
        assert!(lost.offenders[0].contains("speaker 0, message 1: heard, and no row"));
        let twice = account(|evidence| evidence.rows.push(Some((0, 1, 2))));
        assert_eq!((twice.twice, twice.residue()), (1, 1));
        let strange = account(|evidence| {
            evidence
                .rows
                .extend([None, Some((0, 0, 3)), Some((1, 0, 0))])
        });
        assert_eq!((strange.strange, strange.residue()), (3, 3));
        let behind = account(|evidence| evidence.rows.swap(0, 2));
        assert!(behind.disordered > 0, "{behind:?}");
    }

    #[test]
    fn a_member_that_does_not_hear_a_row_hears_it_twice_or_late_is_found() {
        let hole = account(|evidence| {
            evidence.sightings.remove(2);
        });
        assert_eq!((hole.missed, hole.residue()), (1, 1));
        let tail = account(|evidence| {
            evidence.sightings.remove(5);
        });
        assert_eq!((tail.missed, tail.residue()), (1, 1));
        let twice = account(|evidence| evidence.sightings.insert(5, evidence.sightings[4]));
        assert_eq!((twice.twice, twice.residue()), (1, 1));
        let late = account(|evidence| evidence.sightings.swap(1, 2));
        assert!(late.disordered > 0, "{late:?}");
        // The same person in a new connection, which begins with what the old one had.
        let again = account(|evidence| {
            let mut again = evidence.sightings[5];
            again.life = 3;
            evidence.sightings.push(again);
        });
        assert_eq!((again.twice, again.residue()), (1, 1));
    }

    #[test]
    fn who_comes_back_need_not_have_heard_what_was_said_meanwhile() {
        let account = account(|evidence| {
            evidence
                .sightings
                .retain(|one| one.life == 1 || !(2..4).contains(&one.sequence));
            for sighting in &mut evidence.sightings[8..] {
                sighting.life = 3;
            }
            evidence.sightings.remove(8);
            evidence.present = [1].into();
        });
        assert_eq!(account.residue(), 0, "{account:?}");
        assert_eq!(account.accepted, 5);
    }

    #[test]
    fn only_the_last_words_before_a_kill_may_die_with_the_node() {
        let kill = NodeKill {
            at: 6 * SECOND + MILLISECOND,
            back: 7 * SECOND,
        };
        let died = account(|evidence| {
            evidence.rows.pop();
            evidence.kills.push(kill);
        });
        assert_eq!((died.died, died.lost, died.residue()), (1, 0, 0));
        assert!((died.died_ms - 1.0).abs() < 0.01);
        // Heard too long before, or in front of what has a row.
        let early = account(|evidence| {
            evidence.rows.truncate(4);
            evidence.kills.push(kill);
            evidence.unsynced = MILLISECOND;
        });
        assert_eq!((early.died, early.lost), (1, 1));
        let between = account(|evidence| {
            evidence.rows.remove(4);
            evidence.kills.push(kill);
            evidence.unsynced = 10 * SECOND;
        });
        assert_eq!((between.died, between.lost), (0, 1));
    }

    #[test]
    fn what_nobody_heard_may_have_a_row() {
        let account = account(|evidence| {
            evidence.sent = vec![vec![4, 3]];
            evidence.rows.push(Some((0, 0, 3)));
            evidence.present.clear();
        });
        assert_eq!((account.unheard, account.residue()), (1, 0));
    }

    #[test]
    fn a_row_is_read_from_the_sites_dump() {
        let row = Row::read(
            r#"["lt-0001-7", "USER", "a \"text\"", "2024-01-01T00:00:00.000001+00:00", {}]"#,
        );
        assert_eq!(
            (row.room.as_str(), row.text.as_str()),
            ("lt-0001-7", "a \"text\"")
        );
    }
}
