//! The people of the run: all speak and listen, and come back when their node does.

use super::account::{Evidence, Row, Said};
use crate::cli::{Conserve, Options};
use crate::client::Phase;
use crate::clock::{Clock, MILLISECOND, SECOND, nanos};
use crate::engine::Engine;
use crate::load::Crowd;
use crate::plan::{Comeback, Drive, Group, Leaving};
use crate::target::target;
use crate::traffic::Traffic;
use std::sync::atomic::{AtomicBool, Ordering};

/// Text of a message where the flags do not say.
const TEXT_BYTES: usize = 64;
/// How people come back: soon, since the node does.
const COMEBACK: Comeback = Comeback::Jitter {
    base: 100 * MILLISECOND,
    most: SECOND,
};
/// The loop wakes at least this often.
const TICK: u64 = 5 * MILLISECOND;
/// Everybody is there, or there again, after this long or never.
const OPEN_MAX: u64 = 60 * SECOND;
/// Without a delivery for this long, nothing more will come.
const QUIET: u64 = 2 * SECOND;

/// The people, and what they hear.
#[derive(Debug)]
pub(super) struct Talk {
    engine: Engine,
    crowd: Crowd,
    clients: usize,
}

impl Talk {
    /// Nobody has come yet.
    /// Errors: No poll.
    pub(super) fn new(
        args: &Conserve,
        options: &Options,
        port: u16,
        clock: Clock,
    ) -> Result<Self, String> {
        let options = Options {
            url: format!("ws://127.0.0.1:{port}"),
            ..options.clone()
        };
        let members = args.members.clamp(1, args.clients.max(1));
        let rooms = (args.clients / members).max(1);
        let clients = rooms * members;
        let rate = options.rate.unwrap_or(clients as f64 / 2.0);
        let group = Group {
            leaving: Some(Leaving {
                comeback: COMEBACK,
                publishers: true,
                ..Leaving::default()
            }),
            ..Group::new(rooms, members, members, Drive::Open { rate })
        };
        let (target, size) = (
            target(&options, clients)?,
            options.size.unwrap_or(TEXT_BYTES),
        );
        let expiry = nanos(options.expiry);
        let mut traffic = Traffic::new(clock, target.run, size, options.seed, expiry);
        traffic.sightings = Some(Vec::new());
        let engine = Engine::new(target, traffic);
        let mut engine = engine.map_err(|error| error.to_string())?;
        engine.forgiving = true;
        let crowd = Crowd::open(group, 0, &mut engine);
        Ok(Self {
            engine,
            crowd,
            clients,
        })
    }

    /// What the rooms are called, as sessions of the site.
    pub(super) fn rooms(&self) -> Vec<String> {
        let rooms = 0..self.engine.traffic.rooms.len() as u32;
        rooms.map(|room| self.engine.room_name(room)).collect()
    }

    /// Begins to talk.
    pub(super) fn start(&mut self) {
        self.crowd.start(&mut self.engine);
    }

    /// Stops talking; who is away comes back all the same.
    pub(super) fn stop(&mut self) {
        self.crowd.stop(&mut self.engine);
    }

    fn heard(&self) -> usize {
        let sightings = self.engine.traffic.sightings.as_ref();
        sightings.map_or(0, Vec::len)
    }

    /// One turn of the loop; the time after it.
    /// Errors: The poll failed.
    pub(super) fn turn(&mut self) -> Result<u64, String> {
        let now = self.engine.traffic.clock.now();
        let due = self.crowd.due().min(now + TICK);
        let turned = self.engine.turn_until(due, now);
        turned.map_err(|error| error.to_string())?;
        for notice in std::mem::take(&mut self.engine.traffic.notices) {
            self.crowd.notice(&mut self.engine, notice);
        }
        let now = self.engine.traffic.clock.now();
        self.crowd.tick(&mut self.engine, now, false);
        Ok(now)
    }

    /// Goes on for so many nanoseconds.
    /// Errors: The poll failed.
    pub(super) fn go_on(&mut self, length: u64) -> Result<(), String> {
        let end = self.engine.traffic.clock.now() + length;
        while self.turn()? < end {}
        Ok(())
    }

    /// Waits until everybody is connected.
    /// Errors: They are not, after a minute.
    pub(super) fn until_all_there(&mut self, stop: &AtomicBool) -> Result<(), String> {
        let begun = self.engine.traffic.clock.now();
        while self.engine.clients_open() < self.clients && !stop.load(Ordering::Relaxed) {
            if self.turn()? - begun > OPEN_MAX {
                let there = self.engine.clients_open();
                return Err(format!(
                    "only {there} of {} clients are connected",
                    self.clients
                ));
            }
        }
        Ok(())
    }

    /// Waits until nothing more is heard.
    /// Errors: The poll failed.
    pub(super) fn until_quiet(&mut self) -> Result<(), String> {
        let (mut heard, mut since) = (self.heard(), self.engine.traffic.clock.now());
        loop {
            let now = self.turn()?;
            if self.heard() > heard {
                (heard, since) = (self.heard(), now);
            } else if now - since > QUIET {
                return Ok(());
            }
        }
    }

    /// What was said and heard; everybody leaves.
    pub(super) fn evidence(&mut self) -> Evidence {
        let ids = self.engine.ids();
        let clients = ids.iter().filter_map(|&id| self.engine.client(id));
        let open = clients.filter(|client| client.phase == Phase::Open);
        let present = open.map(|client| client.receiver.life).collect();
        for id in ids {
            self.engine.drop_connection(id);
        }
        let traffic = &mut self.engine.traffic;
        Evidence {
            sent: traffic.rooms.iter().map(|room| room.sent.clone()).collect(),
            sightings: traffic.sightings.take().unwrap_or_default(),
            present,
            ..Evidence::default()
        }
    }

    /// Frames whose text was not the one that was sent, or that were another room's.
    pub(super) fn changed(&self) -> u64 {
        let counts = &self.engine.traffic.verify.counts;
        counts.corrupted + counts.misrouted
    }

    /// The message whose row that is, to the letter and in its room.
    pub(super) fn said(&self, row: &Row) -> Option<Said> {
        let frame = format!("{{\"message\":\"{}\"", row.text);
        let marker = self.engine.traffic.message.find(frame.as_bytes())?.ok()?;
        let is_its_room = row.room == self.engine.room_name(marker.room);
        is_its_room.then_some((marker.room, marker.slot, marker.sequence))
    }
}
