//! A client: what it says, how it splits it, when it reads, and how it goes.

use crate::sim::network::Network;
use crate::sim::seed::Choices;
use crate::sim::wire::{CLOSE, PING, PONG, TEXT, Wire};

/// What a client came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Chat,
    Relay,
    Echo,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    All,
    Some(usize),
    Stopped,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    pub link: usize,
    pub purpose: Purpose,
    /// Its room, as the oracle names it; of one that is in none, its own.
    pub room: String,
    /// Room for what it sends and the server has not read.
    inward_bytes: usize,
    /// What it has said and not sent.
    outgoing: Vec<u8>,
    pub pace: Pace,
    /// It answers no pings.
    pub is_mute: bool,
    wire: Wire,
    /// The numbers of its messages, in order, each within the limits.
    pub said: Vec<u64>,
    /// How many of these a server must take if nothing else ends the connection.
    pub sure: usize,
    /// It says nothing any more.
    pub has_ended: bool,
    wants_end: bool,
    end_sent: bool,
    pub has_reset: bool,
}

const HEAD: &str = "HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Client {
    /// A client that connects, its handshake still unsent.
    pub fn connect(network: &mut Network, choices: &mut Choices, rooms: u64) -> Self {
        let link = network.connect(*choices.pick(&[96, 700, 4_096, 60_000]));
        let purpose = match choices.below(10) {
            0 => Purpose::Echo,
            1 | 2 => Purpose::Relay,
            _ => Purpose::Chat,
        };
        let number = choices.below(rooms);
        let (route, session) = match purpose {
            Purpose::Chat => ("chat", format!("c{number}")),
            Purpose::Relay => ("relay", format!("r{}", number % 2)),
            Purpose::Echo => ("echo", "e".to_owned()),
        };
        Self {
            link,
            purpose,
            inward_bytes: *choices.pick(&[64, 1_000, 70_000]),
            outgoing: format!("GET /{route}/{session}/ {HEAD}").into_bytes(),
            room: match purpose {
                Purpose::Echo => format!("own-{link}"),
                Purpose::Chat | Purpose::Relay => session,
            },
            pace: Pace::All,
            is_mute: choices.once_in(20),
            wire: Wire::default(),
            said: Vec::new(),
            sure: usize::MAX,
            has_ended: false,
            wants_end: false,
            end_sent: false,
            has_reset: false,
        }
    }

    /// May it still say something?
    pub fn may_speak(&self) -> bool {
        !self.has_ended && self.outgoing.len() < 20_000
    }

    /// Bytes that it has said and not sent.
    pub fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    fn frame(&mut self, choices: &mut Choices, first: u8, payload: &[u8]) {
        let out = &mut self.outgoing;
        out.push(first);
        match payload.len() {
            length @ 0..126 => out.push(0x80 | length as u8),
            length @ 126..65_536 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = (choices.bits() as u32).to_be_bytes();
        out.extend_from_slice(&mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        out.extend(masked.map(|(byte, mask)| byte ^ mask));
    }

    /// Says a message with this number, in one frame or a few.
    pub fn say(&mut self, choices: &mut Choices, number: u64, text_bytes: usize) {
        let most = *choices.pick(&[10, 100, 900]);
        let padding = choices.index(most).min(text_bytes.saturating_sub(24));
        let text = format!("~{number}~{}", "x".repeat(padding));
        let kind = *choices.pick(&["user", "user", "system"]);
        let payload = match self.purpose {
            Purpose::Chat => format!("{{\"message\": \"{text}\", \"type\": \"{kind}\"}}"),
            Purpose::Relay | Purpose::Echo => text,
        };
        let payload = payload.as_bytes();
        if choices.once_in(6) {
            let cut = choices.index(payload.len());
            self.frame(choices, TEXT, &payload[..cut]);
            if choices.once_in(3) {
                self.frame(choices, 0x80 | PING, b"within");
            }
            self.frame(choices, 0x80, &payload[cut..]);
        } else {
            self.frame(choices, 0x80 | TEXT, payload);
        }
        if !self.has_ended {
            self.said.push(number);
        }
    }

    pub fn ping(&mut self, choices: &mut Choices) {
        self.frame(choices, 0x80 | PING, b"ping");
    }

    /// Closes properly.
    pub fn close(&mut self, choices: &mut Choices) {
        if !self.has_ended {
            self.frame(choices, 0x80 | CLOSE, &1_000u16.to_be_bytes());
            self.has_ended = true;
        }
    }

    /// Ends its side without a word, and goes on reading.
    pub fn half_close(&mut self) {
        self.has_ended = true;
        self.wants_end = true;
    }

    /// Says something that no client may: what it says from here on is not heard.
    pub fn garble(&mut self, choices: &mut Choices) {
        self.sure = self.sure.min(self.said.len());
        match choices.below(4) {
            0 => self.frame(choices, 0x80 | TEXT, b"{\"message\": "), // An error, and it goes on.
            1 => self.frame(choices, 0xf3, b"reserved"),
            2 => self.frame(choices, 0x80 | TEXT, &[0xff, 0xfe]),
            _ => self.outgoing.extend((0..9).map(|_| choices.bits() as u8)),
        }
    }

    /// Resets its socket.
    pub fn reset(&mut self, network: &mut Network) {
        (self.has_reset, self.has_ended, self.sure) = (true, true, 0);
        self.outgoing.clear();
        network.reset(self.link);
    }

    /// Sends at most so many of its bytes.
    pub fn send(&mut self, network: &mut Network, most: usize) -> usize {
        if self.has_reset {
            return 0;
        }
        let most = most.min(self.outgoing.len());
        let sent = network.send(self.link, &self.outgoing[..most], self.inward_bytes);
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() && self.wants_end && !self.end_sent {
            self.end_sent = true;
            network.end_inward(self.link);
            return sent + 1;
        }
        sent
    }

    /// Reads at most so many bytes, and answers what is to be answered.
    pub fn read(&mut self, network: &mut Network, choices: &mut Choices, most: usize) -> usize {
        if self.has_reset {
            return 0;
        }
        let mut bytes = Vec::new();
        network.receive(self.link, most, &mut bytes);
        self.wire.take(&bytes, network.now);
        for frame in std::mem::take(&mut self.wire.frames) {
            match frame.opcode {
                PING if !self.is_mute && !self.has_ended => {
                    self.frame(choices, 0x80 | PONG, &frame.payload);
                }
                CLOSE => {
                    if !self.has_ended {
                        // The server's word: what was not read by then is lost.
                        self.close(choices);
                        self.sure = 0;
                    }
                    self.wants_end = true;
                }
                _ => {}
            }
        }
        let link = network.link(self.link);
        if link.outward_ended && link.outward.is_empty() && !self.wants_end {
            (self.wants_end, self.has_ended) = (true, true);
        }
        bytes.len()
    }
}
