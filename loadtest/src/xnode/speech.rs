//! Who speaks, and when: the first member of each room over its socket, or a Python process over the channel layer.

use crate::client::Client;
use crate::clock::SECOND;
use crate::engine::Engine;
use crate::traffic::Traffic;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A room in which nothing arrives for so long has lost something: its loop begins anew.
const STALL: u64 = 5 * SECOND;

/// When the next message is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// So many a second in all rooms, whatever arrives.
    Open(f64),
    /// When all members of the room, on whichever node, have all but so many less one.
    Closed(u32),
}

/// A Python process that reads lines of room and text, and calls `group_send` for each.
#[derive(Debug)]
pub(super) struct Speaker {
    process: Child,
    input: Option<ChildStdin>,
}

impl Speaker {
    /// Starts it.
    /// Errors: It cannot be started.
    pub(super) fn start(mut command: Command) -> Result<Self, String> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("the speaker: {error}"))?;
        let input = process.stdin.take();
        Ok(Self { process, input })
    }

    fn say(&mut self, group: &str, command: &[u8]) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("the speaker has ended")?;
        let line = [group.as_bytes(), b"\t", command, b"\n"].concat();
        input
            .write_all(&line)
            .map_err(|error| format!("the speaker: {error}"))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        self.process.wait().ok();
    }
}

/// Whose messages these are.
#[derive(Debug)]
pub(super) enum Mouth {
    /// The first member's of each room.
    Sockets,
    /// The Python process's.
    Process(Speaker),
}

#[derive(Debug, Clone, Copy, Default)]
struct Voice {
    room: u32,
    connection: usize,
    /// Deliveries given up as lost.
    given_up: u64,
    delivered: u64,
    progress: u64,
}

/// All that is said in a run.
#[derive(Debug)]
pub(super) struct Speech {
    mouth: Mouth,
    pace: Pace,
    members: u64,
    business: String,
    voices: Vec<Voice>,
    speaking: bool,
    next: u64,
    turn: usize,
}

impl Speech {
    pub(super) fn new(mouth: Mouth, pace: Pace, members: usize, business: &str) -> Self {
        Self {
            mouth,
            pace,
            members: members as u64,
            business: business.to_owned(),
            voices: Vec::new(),
            speaking: false,
            next: u64::MAX,
            turn: 0,
        }
    }

    /// Of each room the connection that speaks in it, if it is not the Python process.
    pub(super) fn start(&mut self, voices: impl Iterator<Item = (u32, usize)>, now: u64) {
        let voice = |(room, connection)| Voice {
            room,
            connection,
            progress: now,
            ..Voice::default()
        };
        self.voices = voices.map(voice).collect();
        (self.speaking, self.next) = (true, now);
    }

    /// Says no more.
    pub(super) fn stop(&mut self) {
        (self.speaking, self.next) = (false, u64::MAX);
    }

    /// When something is due next; the closed loop waits for deliveries, not for a time.
    pub(super) fn due(&self) -> u64 {
        match self.pace {
            Pace::Open(_) => self.next,
            Pace::Closed(_) => u64::MAX,
        }
    }

    /// Says what is due.
    /// Errors: The Python process has ended.
    pub(super) fn tick(&mut self, engine: &mut Engine, now: u64) -> Result<(), String> {
        if !self.speaking || self.voices.is_empty() {
            return Ok(());
        }
        match self.pace {
            Pace::Open(rate) => self.tick_open(engine, now, rate),
            Pace::Closed(window) => self.tick_closed(engine, now, u64::from(window.max(1))),
        }
    }

    fn tick_open(&mut self, engine: &mut Engine, now: u64, rate: f64) -> Result<(), String> {
        let interval = ((SECOND as f64 / rate.max(0.001)) as u64).max(1);
        while self.next <= now {
            let voice = self.voices.get(self.turn % self.voices.len()).copied();
            self.turn += 1;
            let late = engine.traffic.clock.now().saturating_sub(self.next);
            engine.traffic.lag.saturating_record(late);
            if let Some(voice) = voice {
                self.say(engine, voice, self.next)?;
            }
            self.next += interval;
        }
        Ok(())
    }

    fn tick_closed(&mut self, engine: &mut Engine, now: u64, window: u64) -> Result<(), String> {
        for place in 0..self.voices.len() {
            loop {
                let members = self.members;
                let Some(voice) = self.voices.get_mut(place) else {
                    break;
                };
                let Some(room) = engine.traffic.rooms.get(voice.room as usize) else {
                    break;
                };
                let sent = room.sent.first().copied().map_or(0, u64::from);
                if room.delivered != voice.delivered {
                    (voice.delivered, voice.progress) = (room.delivered, now);
                }
                let owed = (sent * members).saturating_sub(room.delivered + voice.given_up);
                if owed > (window - 1) * members {
                    if now.saturating_sub(voice.progress) > STALL {
                        voice.given_up += owed;
                        voice.progress = now;
                        engine.traffic.totals.stalls += 1;
                        continue;
                    }
                    break;
                }
                let voice = *voice;
                let at = engine.traffic.clock.now();
                self.say(engine, voice, at)?;
            }
        }
        Ok(())
    }

    fn say(&mut self, engine: &mut Engine, voice: Voice, intended: u64) -> Result<(), String> {
        match &mut self.mouth {
            Mouth::Sockets => {
                let publish =
                    |client: &mut Client, traffic: &mut Traffic| client.publish(traffic, intended);
                engine.with(voice.connection, publish);
                Ok(())
            }
            Mouth::Process(speaker) => {
                let room = engine.room_name(voice.room);
                let group = format!("chat_{}_{room}", self.business);
                let traffic = &mut engine.traffic;
                let Some(marker) = traffic.next_marker(voice.room, 0, intended) else {
                    return Ok(());
                };
                speaker.say(&group, traffic.message.command(&marker))
            }
        }
    }
}
