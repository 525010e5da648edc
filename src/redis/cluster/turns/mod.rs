//! The order of the commands of one slot, kept although some of them are sent on to another server.
//!
//! Commands over one connection are answered in order. One that is sent on leaves that order: it waits until those
//! before it are answered, and those that come meanwhile wait for it. So does one that is to go over another connection
//! than those before it: they may be sent on, and then it was there first. So what a node says in a room stays in order
//! while the room's slot moves, and only that slot waits.
//!
//! Bound: the commands that their senders have under way.

#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// The commands of one slot that are under way.
#[derive(Debug, Default)]
struct SlotTurns {
    /// In order, each with the connection that it went over last.
    numbers: VecDeque<(u64, Option<u64>)>,
    /// Of these, those that are sent on, or wait for one that is.
    held: usize,
    /// One was answered; there once somebody waits.
    answered: Option<Arc<Notify>>,
}

impl SlotTurns {
    fn first(&self) -> Option<u64> {
        self.numbers.front().map(|(number, _)| *number)
    }
}

#[derive(Debug, Default)]
struct TurnTable {
    next: u64,
    slots: HashMap<u16, SlotTurns>,
}

/// The commands of all slots that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<TurnTable>>);

/// One command's place among those of its slot, until it is answered or nobody waits for it any more.
#[derive(Debug)]
pub(super) struct SlotTurn {
    turns: Turns,
    slot: u16,
    number: u64,
    /// The command is sent on, or waits for one that is: whoever comes behind waits, too.
    is_held: bool,
}

impl Turns {
    /// A command of this slot comes behind those that are there.
    pub(super) fn take(&self, slot: u16) -> SlotTurn {
        let mut table = self.0.lock();
        let number = table.next;
        table.next += 1;
        let turns = table.slots.entry(slot).or_default();
        turns.numbers.push_back((number, None));
        let is_held = turns.held > 0;
        turns.held += usize::from(is_held);
        SlotTurn {
            turns: self.clone(),
            slot,
            number,
            is_held,
        }
    }
}

impl SlotTurn {
    /// Done at once, unless one before it was sent on: then once that is answered.
    pub(super) async fn ready(&mut self) {
        if self.is_held {
            self.first().await;
            self.is_held = false;
            let mut table = self.turns.0.lock();
            if let Some(turns) = table.slots.get_mut(&self.slot) {
                turns.held -= 1;
            }
        }
    }

    /// May the command go over this connection now: went all before it there? If not, it is to be sent on: then it may.
    pub(super) fn may_take(&self, connection: u64) -> bool {
        let mut table = self.turns.0.lock();
        let Some(turns) = table.slots.get_mut(&self.slot) else {
            return true;
        };
        for (number, over) in &mut turns.numbers {
            if *number == self.number {
                *over = Some(connection);
                return true;
            }
            // The last one alone does not tell: one that was sent on is answered, and the next is still on the way
            // that it went before.
            if *over != Some(connection) {
                return false;
            }
        }
        true
    }

    /// The command is sent on. Done when all before it are answered; those behind it wait from now on.
    pub(super) async fn send_on(&mut self) {
        if !std::mem::replace(&mut self.is_held, true) {
            let mut table = self.turns.0.lock();
            if let Some(turns) = table.slots.get_mut(&self.slot) {
                turns.held += 1;
            }
        }
        self.first().await;
    }

    async fn first(&self) {
        loop {
            let answered = {
                let mut table = self.turns.0.lock();
                let Some(turns) = table.slots.get_mut(&self.slot) else {
                    return;
                };
                if turns.first() == Some(self.number) {
                    return;
                }
                Arc::clone(turns.answered.get_or_insert_default())
            };
            let notified = answered.notified();
            // The one before may have been answered in between.
            if self.is_first() {
                return;
            }
            notified.await;
        }
    }

    fn is_first(&self) -> bool {
        let table = self.turns.0.lock();
        let turns = table.slots.get(&self.slot);
        turns.is_none_or(|turns| turns.first() == Some(self.number))
    }
}

impl Drop for SlotTurn {
    fn drop(&mut self) {
        let mut table = self.turns.0.lock();
        let Some(turns) = table.slots.get_mut(&self.slot) else {
            return;
        };
        if let Ok(at) = turns
            .numbers
            .binary_search_by_key(&self.number, |(number, _)| *number)
        {
            turns.numbers.remove(at);
        }
        turns.held -= usize::from(self.is_held);
        let answered = turns.answered.clone();
        if turns.numbers.is_empty() {
            table.slots.remove(&self.slot);
        }
        drop(table);
        if let Some(answered) = answered {
            answered.notify_waiters();
        }
    }
}
