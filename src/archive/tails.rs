//! How each room's events are numbered: an epoch, an offset in it, and a time that rises.

use crate::name::RoomName;
use std::collections::HashMap;

/// Rooms whose last event is remembered in each half of the memory; of any other the journal is asked.
const ROOMS_EACH: usize = 8192;

/// Bytes of both halves: an entry, a name that lies elsewhere, and the table's free places.
pub(super) const TAILS_BYTES: usize =
    2 * ROOMS_EACH * (128 + 2 * (size_of::<RoomName>() + size_of::<Tail>()));

/// A room's last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The position of the first event of this numbering: no two of one journal are the same.
    pub(super) epoch: u64,
    /// Counts the events of an epoch, from 1.
    pub(super) offset: u64,
    /// Microseconds since the Unix epoch.
    pub(super) at: u64,
}

impl Tail {
    /// Of a room's first event in a numbering, at `position`.
    const fn begin(position: u64, at: u64) -> Self {
        Self {
            epoch: position,
            offset: 1,
            at,
        }
    }

    /// Of the event behind, accepted at `at`. Each is later than the event before it, if only by a microsecond: what is
    /// ordered by time has the room's order, whatever the clock does.
    const fn next(self, at: u64) -> Self {
        Self {
            epoch: self.epoch,
            offset: self.offset + 1,
            at: later(self.at, at),
        }
    }
}

/// `at`, but behind `last`.
const fn later(last: u64, at: u64) -> u64 {
    if at > last { at } else { last + 1 }
}

/// What a journal knows of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    /// The room's last event.
    GoesOn(Tail),
    /// The room's last event that is left was accepted then; those behind it may be lost, so nothing is numbered behind it.
    Ended {
        /// Microseconds since the Unix epoch.
        at: u64,
    },
}

/// The last events of the rooms that spoke lately: at most twice [`ROOMS_EACH`], those that are silent for longest
/// forgotten first.
#[derive(Debug, Default)]
pub(super) struct Tails {
    recent: HashMap<RoomName, Tail>,
    older: HashMap<RoomName, Tail>,
}

impl Tails {
    /// Numbers the event at `position`. Of a room that is not remembered `find` says what is known, if anything is.
    pub(super) fn number<E>(
        &mut self,
        room: &RoomName,
        position: u64,
        at: u64,
        find: impl FnOnce(&RoomName) -> Result<Option<Numbering>, E>,
    ) -> Result<Tail, E> {
        if let Some(last) = self.recent.get_mut(room) {
            *last = last.next(at);
            return Ok(*last);
        }
        let known = match self.older.remove(room) {
            Some(last) => Some(Numbering::GoesOn(last)),
            None => find(room)?,
        };
        let tail = match known {
            Some(Numbering::GoesOn(last)) => last.next(at),
            Some(Numbering::Ended { at: last }) => Tail::begin(position, later(last, at)),
            None => Tail::begin(position, at),
        };
        if self.recent.len() >= ROOMS_EACH {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(room.clone(), tail);
        Ok(tail)
    }

    /// Forgets all: what was numbered last was not written.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.older.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn room(number: usize) -> RoomName {
        RoomName::chat("1", &format!("s{number}")).unwrap()
    }

    proptest! {
        #[test]
        fn a_room_counts_from_one_in_one_epoch_and_its_time_rises(
            said in proptest::collection::vec((0..5_usize, 0..50_u64, any::<bool>()), 1..200)
        ) {
            let (mut tails, mut model) = (Tails::default(), HashMap::<usize, Vec<Tail>>::new());
            for (position, (number, at, forgets)) in said.into_iter().enumerate() {
                if forgets {
                    tails.clear();
                }
                let position = position as u64 + 1;
                let known = model.entry(number).or_default();
                let find = |_: &RoomName| Ok::<_, Infallible>(known.last().copied().map(Numbering::GoesOn));
                let Ok(tail) = tails.number(&room(number), position, at, find);
                match known.last() {
                    None => prop_assert_eq!(tail, Tail { epoch: position, offset: 1, at }),
                    Some(last) => {
                        prop_assert_eq!((tail.epoch, tail.offset), (last.epoch, last.offset + 1));
                        prop_assert_eq!(tail.at, at.max(last.at + 1));
                    }
                }
                known.push(tail);
            }
        }
    }

    #[test]
    fn who_spoke_lately_is_remembered_and_memory_is_bounded() {
        let mut tails = Tails::default();
        let mut asked = 0;
        for number in 0..5 * ROOMS_EACH {
            let mut find = |_: &RoomName| {
                asked += 1;
                Ok::<_, Infallible>(None)
            };
            // Room 0 speaks all the time.
            let Ok(_) = tails.number(&room(0), 1, 0, &mut find);
            let Ok(_) = tails.number(&room(number), 1, 0, &mut find);
            assert!(tails.recent.len() <= ROOMS_EACH && tails.older.len() <= ROOMS_EACH);
        }
        assert_eq!(asked, 5 * ROOMS_EACH, "each room once");
    }
}
