//! Which of a plan's connections one generator process makes. Rooms are numbered alike in every process, so a room that is
//! too large for one can be shared: whoever receives in it checks the sequences of publishers elsewhere all the same.

use crate::cli::PROCESSES_MAX;
use crate::plan::{Drive, Group, Plan};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Descriptors of a process besides its connections.
pub(crate) const DESCRIPTORS_SPARE: usize = 64;

/// One process's part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Of each group: the connections it makes, numbered room by room.
    pub(crate) members: Vec<Range<usize>>,
    /// Of the storm: its lanes.
    pub(crate) lanes: Range<usize>,
}

impl Share {
    /// Connections open at the same time.
    pub(crate) fn connections(&self) -> usize {
        self.members.iter().map(Range::len).sum::<usize>() + self.lanes.len()
    }
}

/// The shares of as many processes as asked for, or of as few as have the descriptors for the plan.
/// Errors: Text that says why that is impossible and what to do.
pub(crate) fn shares(
    plan: &Plan,
    asked: Option<u8>,
    descriptors: usize,
) -> Result<Vec<Share>, String> {
    let connections = plan.connections();
    let room = descriptors.saturating_sub(DESCRIPTORS_SPARE);
    let (fewest, most) = match asked {
        Some(asked) => {
            let processes = usize::from(asked).min(connections).max(1);
            (processes, processes)
        }
        None => (1, usize::from(PROCESSES_MAX)),
    };
    for processes in fewest..=most {
        let shares = split(plan, processes)?;
        if shares.iter().all(|share| share.connections() <= room) {
            return Ok(shares);
        }
    }
    let needed = connections.div_ceil(most) + DESCRIPTORS_SPARE;
    Err(format!(
        "{connections} connections need {needed} descriptors or more in each of {most} processes, \
         but the limit is {descriptors}; raise it (ulimit -n), allow more processes \
         (--processes, at most {PROCESSES_MAX}) or ask for fewer connections (--connections)"
    ))
}

/// Even shares by whole rooms; rooms larger than a fair share by members.
fn split(plan: &Plan, processes: usize) -> Result<Vec<Share>, String> {
    let fair = plan.connections().div_ceil(processes);
    let shared = |group: &Group| group.members > fair;
    if let Some(group) = plan
        .groups
        .iter()
        .find(|group| shared(group) && group.leaving.is_some())
    {
        return Err(format!(
            "rooms of {} members who leave and come back cannot be shared by {processes} processes (a publisher's \
             fate is known only where it is); take more and smaller rooms (--rooms, --members), \
             or raise the limit of descriptors (ulimit -n) and take fewer processes (--processes)",
            group.members
        ));
    }
    let part =
        |all: usize, process: usize| all * process / processes..all * (process + 1) / processes;
    let members = |group: &Group, process: usize| {
        if shared(group) {
            return part(group.rooms * group.members, process);
        }
        let rooms = part(group.rooms, process);
        rooms.start * group.members..rooms.end * group.members
    };
    let lanes = plan.storm.map_or(0, |storm| storm.lanes);
    let share = |process| Share {
        members: plan
            .groups
            .iter()
            .map(|group| members(group, process))
            .collect(),
        lanes: part(lanes, process),
    };
    Ok((0..processes).map(share).collect())
}

impl Group {
    /// The same group with the rates that these of its connections have of it.
    pub(crate) fn with_rates_of(mut self, part: &Range<usize>) -> Self {
        let all = 0..self.rooms * self.members;
        let ratio = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        let (publishing, publishers) = (self.publishers_in(part), self.publishers_in(&all));
        if let Drive::Open { rate } = &mut self.drive {
            *rate *= ratio(publishing, publishers);
        }
        if publishing == 0 {
            // An open loop without publishers would be due all the time; a closed one waits for what never comes.
            self.drive = Drive::Closed { window: 1 };
        }
        let leavers = |part: &Range<usize>, publishers: bool| {
            let staying = if publishers {
                0
            } else {
                self.publishers_in(part)
            };
            part.len() - staying
        };
        if let Some(mut leaving) = self.leaving {
            let who = leaving.publishers;
            leaving.rate *= ratio(leavers(part, who), leavers(&all, who));
            self.leaving = Some(leaving);
        }
        self
    }

    fn publishers_in(&self, part: &Range<usize>) -> usize {
        let members = self.members.max(1);
        let before =
            |at: usize| at / members * self.publishers + (at % members).min(self.publishers);
        before(part.end) - before(part.start)
    }

    /// Rooms of the group, counted from 0, that these connections share with others.
    pub(crate) fn rooms_shared(&self, part: &Range<usize>) -> Vec<usize> {
        let members = self.members.max(1);
        let mut rooms: Vec<usize> = [part.start, part.end]
            .into_iter()
            .filter(|at| !part.is_empty() && at % members != 0)
            .map(|at| at / members)
            .collect();
        rooms.dedup();
        rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{JITTER, Leaving, Storm};

    fn plan(groups: Vec<Group>, lanes: usize) -> Plan {
        Plan {
            groups,
            storm: (lanes > 0).then_some(Storm {
                lanes,
                silent: false,
                rate: 0.0,
            }),
            ..Plan::default()
        }
    }

    const OPEN: Drive = Drive::Open { rate: 90.0 };

    fn leaving(mut group: Group) -> Group {
        group.leaving = Some(Leaving {
            rate: 60.0,
            abrupt: false,
            publishers: false,
            comeback: JITTER,
        });
        group
    }

    #[test]
    fn every_connection_is_in_exactly_one_share_and_whole_rooms_stay_whole() {
        let groups = vec![Group::new(7, 10, 2, OPEN), Group::new(31, 1, 1, OPEN)];
        let plan = plan(groups, 5);
        for processes in 1..=usize::from(PROCESSES_MAX) {
            let shares = split(&plan, processes).unwrap();
            for (number, group) in plan.groups.iter().enumerate() {
                let mut next = 0;
                for share in &shares {
                    let part = &share.members[number];
                    assert_eq!(part.start, next);
                    if 10 <= plan.connections().div_ceil(processes) {
                        assert!(group.rooms_shared(part).is_empty(), "{part:?}");
                    }
                    next = part.end;
                }
                assert_eq!(next, group.rooms * group.members);
            }
            let all: usize = shares.iter().map(Share::connections).sum();
            assert_eq!(all, plan.connections());
        }
    }

    #[test]
    fn a_room_larger_than_a_fair_share_is_shared_by_its_members() {
        let plan = plan(vec![Group::new(1, 1000, 3, OPEN)], 0);
        let shares = split(&plan, 3).unwrap();
        let parts: Vec<_> = shares
            .iter()
            .map(|share| share.members[0].clone())
            .collect();
        assert_eq!(parts, [0..333, 333..666, 666..1000]);
        for part in &parts {
            assert_eq!(plan.groups[0].rooms_shared(part), [0]);
        }
    }

    #[test]
    fn as_few_processes_as_the_descriptors_allow() {
        let echo = plan(vec![Group::new(1000, 1, 1, OPEN)], 0);
        assert_eq!(shares(&echo, None, 20_000).unwrap().len(), 1);
        assert_eq!(shares(&echo, None, 600).unwrap().len(), 2);
        assert_eq!(shares(&echo, Some(5), 600).unwrap().len(), 5);
        let why = shares(&echo, None, 100).unwrap_err();
        assert!(why.contains("ulimit -n"), "{why}");
        let why = shares(&echo, Some(1), 600).unwrap_err();
        assert!(why.contains("1064 descriptors"), "{why}");
        // Rooms of 300: three in one of two processes would not fit, so it takes three.
        let rooms = plan(vec![Group::new(5, 300, 1, OPEN)], 0);
        assert_eq!(shares(&rooms, None, 900).unwrap().len(), 3);
        let two = plan(vec![Group::new(2, 1, 1, OPEN)], 0);
        assert_eq!(shares(&two, Some(9), 600).unwrap().len(), 2);
    }

    #[test]
    fn people_who_come_back_are_not_shared() {
        let why = shares(
            &plan(vec![leaving(Group::new(1, 900, 1, OPEN))], 0),
            None,
            600,
        );
        assert!(why.unwrap_err().contains("--rooms"));
    }

    #[test]
    fn rates_go_by_who_publishes_and_who_leaves() {
        let group = leaving(Group::new(3, 10, 1, OPEN));
        let part = group.clone().with_rates_of(&(10..30));
        assert_eq!(part.drive, Drive::Open { rate: 60.0 });
        assert!((part.leaving.unwrap().rate - 40.0).abs() < 1e-9);
        let whole = group.clone().with_rates_of(&(0..30));
        assert_eq!(whole.drive, OPEN);
        // Nobody publishes behind the first member.
        let silent = Group::new(1, 30, 1, OPEN).with_rates_of(&(15..30));
        assert_eq!(silent.drive, Drive::Closed { window: 1 });
    }
}
