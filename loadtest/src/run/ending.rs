//! The end of a run: wait for what is under way, check what never came, read the ledger, close.

use super::driver::{COMPANION_QUIET, DRAIN_MAX, QUIET, Run};
use super::observer::LOOK;
use crate::client::Phase;
use crate::clock::SECOND;
use crate::load::{Crowd, Lives};
use crate::people::People;
use std::io;

impl Run {
    pub(super) fn drain(&mut self) -> io::Result<()> {
        for crowd in &mut self.crowds {
            crowd.stop(&mut self.engine);
        }
        if let Some(lives) = &mut self.lives {
            lives.stop();
        }
        let start = self.engine.traffic.clock.now();
        let (mut last, mut delivered) = (start, 0);
        let quiet = self.companion.as_ref().map_or(QUIET, |_| COMPANION_QUIET);
        loop {
            let now = self.turn(true)?;
            if self.engine.traffic.verify.counts.delivered != delivered {
                (delivered, last) = (self.engine.traffic.verify.counts.delivered, now);
            }
            let living = self.lives.as_ref().map_or(0, Lives::living);
            let returning = self
                .crowds
                .iter()
                .any(|crowd| crowd.people().is_some_and(People::returning));
            let opening = self.engine.opening() > 0;
            if (now - last > quiet && living == 0 && !returning && !opening)
                || now - start > DRAIN_MAX
            {
                return Ok(());
            }
        }
    }

    /// Lets the loop go on until the companion has found everything.
    pub(super) fn agree_with_companion(&mut self) -> io::Result<()> {
        while let Some(companion) = &mut self.companion
            && !companion.agrees(&self.engine)?
            && !self.stopped()
        {
            let asked = self.engine.traffic.clock.now();
            while self.turn(true)? - asked < LOOK {}
        }
        Ok(())
    }

    /// Adds what never came to the counts; returns how many of the lost deliveries the server refused openly.
    pub(super) fn check(&mut self) -> u64 {
        let mut explained = 0;
        for id in self.engine.ids() {
            let Some(client) = self
                .engine
                .client(id)
                .filter(|client| client.phase == Phase::Open)
            else {
                continue;
            };
            let receiver = client.receiver;
            let Some(room) = self.engine.traffic.rooms.get(receiver.room as usize) else {
                continue;
            };
            if !room.unsure.is_empty() && !receiver.slow {
                let tails = self.engine.traffic.verify.tails(receiver.place, &room.sent);
                let unsure: u64 = tails
                    .map(|(slot, from, to)| room.unsure_of(slot, from, to))
                    .sum();
                self.engine.traffic.totals.parted_holes += unsure;
            }
            explained += if receiver.slow {
                0
            } else {
                u64::from(room.refused)
            };
            self.engine
                .traffic
                .verify
                .finish(receiver.place, &room.sent, receiver.slow);
        }
        explained += self.engine.traffic.totals.parted_holes;
        explained.min(self.engine.traffic.verify.counts.lost)
    }

    /// The last look at the server before the connections close.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        while !self.observer.settled()? {
            let asked = self.engine.traffic.clock.now();
            while self.turn(true)? - asked < LOOK {}
        }
        Ok(())
    }

    pub(super) fn close_all(&mut self) -> io::Result<()> {
        self.crowds.iter_mut().for_each(Crowd::over);
        for id in self.engine.ids() {
            self.engine.close(id);
            if id % 256 == 0 {
                self.turn(true)?;
            }
        }
        let start = self.engine.traffic.clock.now();
        while self.engine.connections() > 0 {
            if self.turn(true)? - start > 5 * SECOND {
                self.notes.push(format!(
                    "{} connections were not closed by the server",
                    self.engine.connections()
                ));
                break;
            }
        }
        let closed = self.engine.traffic.clock.now();
        while self.turn(true)? - closed < SECOND {}
        Ok(())
    }
}
