//! What a scenario consists of: groups of rooms with a way to publish, and a storm of short lives. The driver runs any mix.

use crate::clock::{MILLISECOND, SECOND, nanos};
use std::time::Duration;

/// How a group publishes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Drive {
    /// Not at all; once in the middle of the measurement everybody says one thing.
    #[default]
    Once,
    /// As soon as its own message is back, with this many under way.
    Closed {
        /// Messages under way per publisher.
        window: u32,
    },
    /// When all members of the room, on whichever node, have all of its publisher's messages but so many less one.
    Whole {
        /// Messages under way per room.
        window: u32,
    },
    /// At a rate over the whole group, whatever comes back.
    Open {
        /// Messages a second.
        rate: f64,
    },
    /// Each publisher after pauses of random length.
    Human {
        /// Mean pause.
        pause: Duration,
    },
}

/// How people come back. Times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Comeback {
    /// As the stock page does: after 3 s, five times, and twice at once after an error.
    #[default]
    Stock,
    /// Full jitter: anywhere from 0 to a bound that doubles with each failure.
    Jitter {
        /// First bound.
        base: u64,
        /// Last bound.
        most: u64,
    },
    /// When they feel like it.
    Pause {
        /// Mean time away.
        mean: u64,
    },
}

/// Our own client's pauses: full jitter from 0 to 500 ms, doubling up to 20 s.
pub(crate) const JITTER: Comeback = Comeback::Jitter {
    base: 500 * MILLISECOND,
    most: 20 * SECOND,
};

/// Connections that end and people who come back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Leaving {
    /// Connections we end, a second.
    pub(crate) rate: f64,
    /// Without a close frame.
    pub(crate) abrupt: bool,
    pub(crate) publishers: bool,
    pub(crate) comeback: Comeback,
}

/// Rooms of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) rooms: usize,
    /// Members of each.
    pub(crate) members: usize,
    /// Members that publish, the first of each room.
    pub(crate) publishers: usize,
    pub(crate) drive: Drive,
    /// Members that stop reading, the last of each room.
    pub(crate) stopped: usize,
    /// They stop and read in turns of this length; without it they stop for good.
    pub(crate) cycle: Option<Duration>,
    /// Kernel receive buffer of those that stop; the system's default without.
    pub(crate) receive_buffer: Option<usize>,
    /// The group is there for what it does to the others: its latencies are not recorded.
    pub(crate) background: bool,
    /// Its connections are opened in the middle of the measurement, as fast as the server takes them.
    pub(crate) late: bool,
    /// Nodes that its members take in turns, the first of each room on the first; 0 and 1 are the same.
    pub(crate) nodes: u16,
    /// A Python process speaks in its rooms: no member does, and none is on the speaker's node, which is number 0.
    pub(crate) spoken: bool,
    /// Its people leave and come back.
    pub(crate) leaving: Option<Leaving>,
}

impl Group {
    /// Rooms whose members all read.
    pub(crate) fn new(rooms: usize, members: usize, publishers: usize, drive: Drive) -> Self {
        let publishers = publishers.min(members);
        Self {
            rooms,
            members,
            publishers,
            drive,
            ..Self::default()
        }
    }

    /// The node of a room's member. Who listens to a Python process is on another node than the speaker, wherever it is.
    pub(crate) fn node_of(&self, member: usize) -> u16 {
        (member % usize::from(self.nodes.max(1))) as u16 + u16::from(self.spoken)
    }

    /// The nodes' numbers that are not the publisher's.
    pub(crate) fn far_nodes(&self) -> std::ops::Range<u16> {
        let here = u16::from(self.spoken);
        1..self.nodes.min(self.members as u16) + here
    }
}

/// Connections that come and go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storm {
    /// How many live at the same time.
    pub(crate) lanes: usize,
    /// They close after the handshake, without a message.
    pub(crate) silent: bool,
    /// Lives a second at most; 0 without a bound.
    pub(crate) rate: f64,
}

/// A scenario, ready to run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) storm: Option<Storm>,
    /// Bytes of a message's text.
    pub(crate) size: usize,
    /// Length of the measurement.
    pub(crate) duration: Duration,
    /// A line of status this often where there is no terminal.
    pub(crate) status_every: Duration,
    /// Memory is the figure: wait for the server to settle.
    pub(crate) memory: bool,
    /// The server restarts this long after the measurement began; what it ends and refuses is expected.
    pub(crate) restart: Option<Duration>,
}

impl Plan {
    /// Nanoseconds between two samples of the measurement.
    pub(crate) fn interval(&self) -> u64 {
        (nanos(self.duration) / 240).clamp(500 * MILLISECOND, 10 * SECOND)
    }

    /// Connections open at the same time.
    pub(crate) fn connections(&self) -> usize {
        self.members(false) + self.late() + self.storm.map_or(0, |storm| storm.lanes)
    }

    /// Connections that are opened in the middle.
    pub(crate) fn late(&self) -> usize {
        self.members(true)
    }

    fn members(&self, late: bool) -> usize {
        let groups = self.groups.iter().filter(|group| group.late == late);
        groups.map(|group| group.rooms * group.members).sum()
    }
}
