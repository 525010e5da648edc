//! What must be so: after every turn, when everything is quiet, and at the end.

use crate::sim::client::{Client, Pace};
use crate::sim::world::World;
use std::time::Duration;
use supportal::config::Overflow;
use supportal::internal::clock::Millis;
use supportal::internal::protocol::CloseReason;
use supportal::internal::worker::Instruction;

/// Rounds until everything must be quiet.
const ROUNDS: usize = 20_000;

/// Waits of 50 ms for what only time brings: tokens, and answers one after the other.
const PATIENCE: usize = 4_000;

/// How the kernel and the clients were.
pub struct Manners {
    rudeness: u64,
    turn_millis: u64,
    paces: Vec<Pace>,
}

pub fn require(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

impl World {
    pub fn dropped(&self, causes: &[&'static str]) -> u64 {
        let dropped = &self.metrics.deliveries_dropped;
        let count = |cause: &&'static str| dropped.get_or_create(&[("cause", *cause)]).get();
        causes.iter().map(count).sum()
    }

    /// After every turn: the account adds up and agrees with the wires, every wire is right, bounds hold.
    pub fn check(&mut self) -> Result<(), String> {
        let (fresh, events) = {
            let mut network = self.network.lock();
            if let Some(fault) = network.faults.first() {
                return Err(fault.clone());
            }
            let mut fresh = std::mem::take(&mut network.fresh);
            fresh.sort_unstable();
            fresh.dedup();
            let fresh: Vec<_> = fresh
                .into_iter()
                .map(|link| {
                    (
                        link,
                        network.frames(link),
                        network.link(link).wire.fault.clone(),
                    )
                })
                .collect();
            (fresh, network.events)
        };
        for (link, frames, fault) in fresh {
            if let Some(fault) = fault {
                return Err(format!("link {link}: {fault}"));
            }
            self.oracle.look(&self.clients[link], &frames)?;
        }
        let metrics = &self.metrics;
        require(metrics.panics.get() == 0, || "a panic".to_owned())?;
        let (expected, delivered) = (
            metrics.deliveries_expected.get(),
            metrics.deliveries_delivered.get(),
        );
        let queued = metrics.deliveries_queued.get();
        let dropped = self.dropped(&["capacity", "expired", "closed", "shutdown"]);
        let account = format!(
            "{expected} expected, {delivered} delivered, {dropped} dropped, {queued} queued"
        );
        let residue = expected.cast_signed() - (delivered + dropped).cast_signed() - queued;
        require(residue == 0 && metrics.unexplained.get() == 0, || {
            format!("residue {residue}: {account}")
        })?;
        let is_empty = self.network.lock().links().all(|link| link.is_dropped);
        require(queued == 0 || !is_empty, || {
            format!("nobody is there: {account}")
        })?;
        require(delivered == events, || {
            format!("{events} events are on the wires: {account}")
        })?;
        let most = self.clients.len() as u64 * (self.config.queue.capacity as u64 + 1);
        require(queued >= 0 && queued.cast_unsigned() <= most, || {
            format!("more than {most} queued: {account}")
        })?;
        // Each publisher may be past its look at the mailbox, with a message and what answers its frame.
        let most = self.config.broker.mailbox_capacity + 8 * self.clients.len() + 64;
        for id in 0..self.threads.len() {
            let length = self.broker.mailboxes().len(id);
            require(length <= most, || {
                format!("{length} parcels wait for worker {id}")
            })?;
        }
        self.gate.fault().map_or(Ok(()), Err)
    }

    /// Runs everybody who has something to do, at this moment, until nobody has.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            if self.round()? == 0 {
                return Ok(());
            }
        }
        Err("it does not become quiet".to_owned())
    }

    /// Runs everybody once who has something to do; how much was done.
    fn round(&mut self) -> Result<usize, String> {
        let mut moved = 0;
        let from = self.choices.index(self.threads.len());
        for offset in 0..self.threads.len() {
            let id = (from + offset) % self.threads.len();
            if self.is_runnable(id) {
                self.run(id)?;
                moved += 1;
            }
        }
        moved += self.gate.serve_all();
        self.reply();
        let mut network = self.network.lock();
        for client in &mut self.clients {
            let most = match client.pace {
                Pace::All => usize::MAX,
                Pace::Some(_) | Pace::Stopped => 0,
            };
            moved += client.send(&mut network, most);
            moved += client.read(&mut network, &mut self.choices, most);
        }
        Ok(moved)
    }

    /// When the next worker wakes up by itself.
    pub fn next_due(&self) -> Option<u64> {
        let running = self.threads.iter().filter(|thread| thread.worker.is_some());
        running.filter_map(|thread| thread.due()).min()
    }

    /// Something waits for time to pass, not for an event.
    fn waits_for_time(&self) -> bool {
        let network = self.network.lock();
        let is_slowed = self.config.limits.bytes_per_second > 0
            && network
                .links()
                .any(|link| !link.is_dropped && !link.inward.is_empty());
        is_slowed || self.assistant.counts().open > 0
    }

    /// Everybody reads and nobody is rude any more: then nothing may stay undone.
    pub fn calm(&mut self) -> Result<(), String> {
        self.trace.note(format_args!("calm"));
        let manners = self.behave();
        self.settle()?;
        self.say_all();
        self.settle()?;
        for _ in 0..PATIENCE {
            if !self.waits_for_time() {
                break;
            }
            self.pass(50);
            self.settle()?;
        }
        self.check_quiet()?;
        self.misbehave(manners);
        Ok(())
    }

    /// From here on the kernel is not rude, and everybody reads; how it was.
    pub fn behave(&mut self) -> Manners {
        let mut network = self.network.lock();
        let pace = |client: &mut Client| std::mem::replace(&mut client.pace, Pace::All);
        Manners {
            rudeness: std::mem::take(&mut network.rudeness),
            turn_millis: std::mem::take(&mut network.turn_millis),
            paces: self.clients.iter_mut().map(pace).collect(),
        }
    }

    /// As it was.
    pub fn misbehave(&mut self, manners: Manners) {
        let mut network = self.network.lock();
        network.rudeness = manners.rudeness;
        network.turn_millis = manners.turn_millis;
        for (client, pace) in self.clients.iter_mut().zip(manners.paces) {
            client.pace = pace;
        }
    }

    /// Everybody who may says one more message.
    pub fn say_all(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].may_speak() {
                self.say(at);
            }
        }
    }

    /// Nothing is undone, and what was missed was counted.
    pub fn check_quiet(&self) -> Result<(), String> {
        let network = self.network.lock();
        let queued = self.metrics.deliveries_queued.get();
        require(queued == 0, || {
            let open = network
                .links()
                .enumerate()
                .filter(|(_, link)| !link.is_dropped);
            let open: Vec<_> = open.map(|(id, link)| format!("\n{id}: {link}")).collect();
            format!("{queued} stay unwritten:{}", open.concat())
        })?;
        let (mut missed, mut taken) = (0, 0);
        for client in &self.clients {
            let link = network.link(client.link);
            let is_open = !link.is_dropped
                && link.wire.closed.is_none()
                && !link.outward_ended
                && !client.has_reset;
            if is_open {
                require(link.inward.is_empty() && client.unsent() == 0, || {
                    format!(
                        "link {}: {} bytes stay unread",
                        client.link,
                        link.inward.len()
                    )
                })?;
            }
            // Who went by itself was heard to the end, unless the server had a reason of its own.
            let was_heard = link.unread == 0 && link.is_parted;
            let is_own = link.wire.closed.is_none_or(|code| code == 1_000);
            let went = client.has_ended && client.unsent() == 0 && was_heard && is_own;
            if (is_open || went) && self.config.limits.messages_per_second == 0 {
                self.oracle.heard(client)?;
            }
            self.oracle.in_order(client)?;
            missed += self
                .oracle
                .missed(client, is_open && client.sure == usize::MAX);
            taken += usize::from(is_open);
        }
        drop(network);
        for id in 0..self.threads.len() {
            require(self.broker.mailboxes().is_empty(id), || {
                format!("parcels stay with worker {id}")
            })?;
        }
        // Messages refused for their rate are not deliveries; all others are accounted for.
        let dropped = self.dropped(&["capacity", "expired"]);
        // A slow reader's queue is given up, and it may be told what comes until it has left.
        let given_up = match self.config.queue.overflow {
            Overflow::Disconnect => self.dropped(&["closed"]),
            Overflow::DropNewest | Overflow::DropOldest => 0,
        };
        let refused = self.config.limits.messages_per_second > 0;
        require(missed as u64 <= dropped + given_up || refused, || {
            format!("{missed} deliveries were missed, {dropped} dropped, by {taken} clients")
        })?;
        require(!self.is_roomy || dropped == 0, || {
            format!("{dropped} were dropped although there was room")
        })
    }

    /// The node drains: everybody is gone within the grace, and nothing is left of anybody.
    pub fn drain(&mut self) -> Result<(), String> {
        let deadline = self.begin_drain();
        while !self.is_drained() {
            self.settle()?;
            let now = self.now();
            require(now <= deadline + 2_000, || {
                "the drain does not end".to_owned()
            })?;
            let step = self.choices.between(1, 300);
            let due = self.next_due().unwrap_or(now + step);
            self.pass(due.saturating_sub(now).clamp(1, step));
        }
        // The control plane gives everybody up whose time is over.
        for _ in 0..3 {
            self.pass(self.config.server.handshake_timeout.as_millis() as u64 + 1);
            self.gate.serve_all();
        }
        self.runtime
            .block_on(self.assistant.shutdown(Duration::from_secs(1)));
        self.check()?;
        self.check_empty()
    }

    /// The workers are told to drain; by when.
    pub fn begin_drain(&mut self) -> u64 {
        let grace = *self.choices.pick(&[0, 500, 5_000]);
        let deadline = self.now() + grace;
        self.trace.note(format_args!("drain until {deadline}"));
        for thread in &self.threads {
            let drain = Instruction::Drain {
                reason: CloseReason::Restart,
                deadline: Millis(deadline),
            };
            // Who has ended needs no drain.
            drop(thread.handle.send(drain));
        }
        deadline
    }

    /// Have all workers ended?
    pub fn is_drained(&self) -> bool {
        self.threads.iter().all(|thread| thread.worker.is_none())
    }

    /// Nothing is left of anybody.
    pub fn check_empty(&self) -> Result<(), String> {
        let held = self.gate.held();
        require(held == [0; 3], || {
            format!("places are not given back: {held:?}")
        })?;
        let network = self.network.lock();
        let open = network.links().filter(|link| !link.is_dropped).count();
        require(open == 0, || format!("{open} sockets stay open"))?;
        let rooms = self.broker.rooms();
        require(rooms == 0, || format!("{rooms} rooms stay"))?;
        let connections = self.metrics.connections.get();
        require(connections == 0, || {
            format!("{connections} connections stay counted")
        })?;
        let queued = self.metrics.deliveries_queued.get();
        require(queued == 0, || format!("{queued} stay queued"))?;
        for id in 0..self.threads.len() {
            let placed = self.broker.placement().connections(id);
            require(placed == 0, || {
                format!("{placed} stay placed with worker {id}")
            })?;
        }
        Ok(())
    }
}
