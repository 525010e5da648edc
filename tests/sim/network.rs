//! Sockets in memory: two bounded pipes each, and readiness as epoll promises it to who watches for edges.
//!
//! What is promised: after bytes, an end or a reset have come in there will be an event; after a write that took less
//! than all there will be one once much of the pipe is free again; and to watch is to be told what is so already.
//! An event says all that is so when it is fetched. No more than that: a socket that nothing happens to is
//! silent however much it holds. Now and then an event says more than is so, which epoll may do too.

use crate::sim::seed::Choices;
use crate::sim::wire::{Frame, Wire};
use std::collections::VecDeque;
use std::fmt;
use supportal::internal::worker::{LISTEN, Ready, WAKE};

/// A socket, from both its ends.
#[derive(Debug)]
pub struct Link {
    /// What the client has sent and the server has not read.
    pub inward: VecDeque<u8>,
    pub inward_ended: bool,
    /// What the server has written and the client has not read.
    pub outward: VecDeque<u8>,
    pub outward_ended: bool,
    pub outward_bytes: usize,
    /// The client has reset it, or closed it altogether.
    pub is_reset: bool,
    /// The server has reset it: it closed its end before it had read everything, or meant to.
    pub is_cut: bool,
    /// The server has dropped its end.
    pub is_dropped: bool,
    /// The server has ended its side before it dropped the socket.
    pub is_parted: bool,
    /// Bytes that were sent and never read.
    pub unread: usize,
    is_forsaken: bool,
    /// A write took less than all of it: the next free space is an edge.
    wants_space: bool,
    watch: Option<Watch>,
    /// What the server has written, frame by frame.
    pub wire: Wire,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    port: usize,
    key: u64,
    writes: bool,
    /// In its port's list.
    is_listed: bool,
}

impl Link {
    fn new(outward_bytes: usize) -> Self {
        Self {
            inward: VecDeque::new(),
            inward_ended: false,
            outward: VecDeque::new(),
            outward_ended: false,
            outward_bytes,
            is_reset: false,
            is_cut: false,
            is_dropped: false,
            is_parted: false,
            unread: 0,
            is_forsaken: false,
            wants_space: false,
            watch: None,
            wire: Wire::default(),
        }
    }

    /// May more be written? A kernel says so once a third of its buffer is free.
    fn is_writable(&self) -> bool {
        let space = self.outward_bytes - self.outward.len();
        self.is_reset || space >= self.outward_bytes.div_ceil(3)
    }

    fn ready(&self, watch: Watch) -> Option<Ready> {
        let is_read_closed = self.inward_ended || self.is_reset;
        let ready = Ready {
            key: watch.key,
            is_readable: !self.inward.is_empty() || is_read_closed,
            is_read_closed,
            is_writable: watch.writes && self.is_writable(),
            has_failed: self.is_reset,
        };
        (ready.is_readable || ready.is_writable).then_some(ready)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in, {} of {} out, ended {} and {}, reset {}, closed {:?}, wants space {}, {:?}",
            self.inward.len(),
            self.outward.len(),
            self.outward_bytes,
            self.inward_ended,
            self.outward_ended,
            self.is_reset,
            self.wire.closed,
            self.wants_space,
            self.watch,
        )
    }
}

/// What a worker's port knows.
#[derive(Debug, Default)]
struct PortState {
    listed: Vec<usize>,
    is_woken: bool,
    /// Somebody came since the port last said so.
    has_arrival: bool,
    listens: bool,
}

/// All sockets, the ports that watch them, and the clock.
#[derive(Debug)]
pub struct Network {
    pub choices: Choices,
    links: Vec<Link>,
    ports: Vec<PortState>,
    /// Who has connected and has not been accepted.
    arriving: VecDeque<usize>,
    pub now: u64,
    /// What the wall clock is ahead, in seconds: it jumps both ways.
    pub wall_offset: i64,
    /// How rude the kernel is, in percent of the calls.
    pub rudeness: u64,
    /// How many milliseconds a turn may take between two looks at the clock.
    pub turn_millis: u64,
    /// Events written so far, whole.
    pub events: u64,
    /// Sockets with frames that nobody has looked at.
    pub fresh: Vec<usize>,
    /// What broke a rule of the simulation.
    pub faults: Vec<String>,
}

/// What a call of the server's finds.
pub enum Outcome {
    Bytes(usize),
    Blocked,
    Interrupted,
    Reset,
}

impl Network {
    pub fn new(choices: Choices, ports: usize) -> Self {
        Self {
            choices,
            links: Vec::new(),
            ports: (0..ports).map(|_| PortState::default()).collect(),
            arriving: VecDeque::new(),
            now: 1_000,
            wall_offset: 0,
            rudeness: 5,
            turn_millis: 0,
            events: 0,
            fresh: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub fn link(&self, link: usize) -> &Link {
        &self.links[link]
    }

    /// The frames written to a socket since this was asked last.
    pub fn frames(&mut self, link: usize) -> Vec<Frame> {
        std::mem::take(&mut self.links[link].wire.frames)
    }

    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }

    fn is_rude(&mut self) -> bool {
        let rudeness = self.rudeness;
        rudeness > 0 && self.choices.percent(rudeness)
    }

    /// Something happened to a socket: whoever watches it is to be told.
    fn edge(&mut self, link: usize) {
        if let Some(watch) = &mut self.links[link].watch
            && !watch.is_listed
        {
            watch.is_listed = true;
            self.ports[watch.port].listed.push(link);
        }
    }

    // The client's side.

    /// A client connects.
    pub fn connect(&mut self, outward_bytes: usize) -> usize {
        self.links.push(Link::new(outward_bytes));
        let link = self.links.len() - 1;
        self.arriving.push_back(link);
        for port in self.ports.iter_mut().filter(|port| port.listens) {
            port.has_arrival = true;
        }
        link
    }

    /// A client's bytes come in, as many as there is room for.
    pub fn send(&mut self, link: usize, bytes: &[u8], inward_bytes: usize) -> usize {
        let pipe = &mut self.links[link];
        let count = bytes
            .len()
            .min(inward_bytes - pipe.inward.len().min(inward_bytes));
        if pipe.is_dropped || pipe.is_reset {
            pipe.unread += bytes.len();
            return bytes.len(); // Nobody reads them.
        }
        if count > 0 {
            pipe.inward.extend(&bytes[..count]);
            self.edge(link);
        }
        count
    }

    /// A client has sent its last byte.
    pub fn end_inward(&mut self, link: usize) {
        self.links[link].inward_ended = true;
        self.edge(link);
    }

    /// A client resets its socket: what is under way in either direction is lost, some of it or all.
    pub fn reset(&mut self, link: usize) {
        let lost = self.choices.percent(50);
        let pipe = &mut self.links[link];
        if lost {
            pipe.inward.clear();
        }
        pipe.is_reset = true;
        self.edge(link);
    }

    /// A client reads at most so many bytes.
    pub fn receive(&mut self, link: usize, most: usize, into: &mut Vec<u8>) {
        let pipe = &mut self.links[link];
        let count = most.min(pipe.outward.len());
        into.extend(pipe.outward.drain(..count));
        if pipe.wants_space && pipe.is_writable() {
            pipe.wants_space = false;
            self.edge(link);
        }
    }

    // The server's side.

    /// Would the wait of this port end?
    pub fn is_ready(&self, port: usize) -> bool {
        let port = &self.ports[port];
        port.is_woken || port.has_arrival || !port.listed.is_empty()
    }

    pub fn wake(&mut self, port: usize) {
        self.ports[port].is_woken = true;
    }

    pub fn listen(&mut self, port: usize) {
        self.ports[port].listens = true;
        self.ports[port].has_arrival = !self.arriving.is_empty();
    }

    /// The listening socket is closed: who waits there is reset.
    pub fn stop_listening(&mut self) {
        for port in &mut self.ports {
            (port.listens, port.has_arrival) = (false, false);
        }
        for link in std::mem::take(&mut self.arriving) {
            self.links[link].is_cut = true;
            self.links[link].is_dropped = true;
        }
    }

    pub fn accept(&mut self) -> Option<usize> {
        self.arriving.pop_front()
    }

    pub fn watch(&mut self, link: usize, port: usize, key: u64) {
        if self.links[link].watch.is_some() {
            self.faults.push(format!("link {link} is watched twice"));
        }
        self.links[link].watch = Some(Watch {
            port,
            key,
            writes: false,
            is_listed: false,
        });
        self.watched(link);
    }

    pub fn watch_writes(&mut self, link: usize, key: u64) {
        match &mut self.links[link].watch {
            Some(watch) if watch.key == key => watch.writes = true,
            other => {
                let fault = format!("link {link} is watched as {other:?}, not {key}");
                self.faults.push(fault);
            }
        }
        self.watched(link);
    }

    fn watched(&mut self, link: usize) {
        let pipe = &self.links[link];
        if pipe.watch.and_then(|watch| pipe.ready(watch)).is_some() {
            self.edge(link);
        }
    }

    pub fn unwatch(&mut self, link: usize) {
        if let Some(watch) = self.links[link].watch.take() {
            self.ports[watch.port]
                .listed
                .retain(|&listed| listed != link);
        }
    }

    /// What a wait of this port finds: at most `capacity` events, in any order.
    pub fn wait(&mut self, port: usize, capacity: usize, events: &mut Vec<Ready>) -> bool {
        events.clear();
        if self.is_rude() {
            return false;
        }
        let blank = Ready {
            key: WAKE,
            is_readable: true,
            is_read_closed: false,
            is_writable: false,
            has_failed: false,
        };
        let state = &mut self.ports[port];
        if std::mem::take(&mut state.is_woken) {
            events.push(blank);
        }
        if std::mem::take(&mut state.has_arrival) {
            events.push(Ready {
                key: LISTEN,
                ..blank
            });
        }
        while events.len() < capacity && !self.ports[port].listed.is_empty() {
            let at = self.choices.index(self.ports[port].listed.len());
            let link = self.ports[port].listed.swap_remove(at);
            let pipe = &mut self.links[link];
            let Some(watch) = &mut pipe.watch else {
                continue;
            };
            watch.is_listed = false;
            let watch = *watch;
            events.extend(pipe.ready(watch));
        }
        if events.len() < capacity && self.is_rude() && !self.links.is_empty() {
            let link = self.choices.index(self.links.len());
            let watch = self.links[link].watch.filter(|watch| watch.port == port);
            events.extend(watch.map(|watch| Ready {
                key: watch.key,
                is_writable: watch.writes,
                ..blank
            }));
        }
        true
    }

    pub fn read(&mut self, link: usize, into: &mut [u8]) -> Outcome {
        if self.is_rude() {
            return Outcome::Interrupted;
        }
        let pipe = &mut self.links[link];
        if pipe.is_reset {
            return Outcome::Reset;
        }
        if pipe.inward.is_empty() {
            return match pipe.inward_ended {
                true => Outcome::Bytes(0),
                false => Outcome::Blocked,
            };
        }
        let count = into.len().min(pipe.inward.len());
        for (place, byte) in into.iter_mut().zip(pipe.inward.drain(..count)) {
            *place = byte;
        }
        Outcome::Bytes(count)
    }

    pub fn write(&mut self, link: usize, slices: &[&[u8]]) -> Outcome {
        if self.is_rude() {
            return Outcome::Interrupted;
        }
        let (is_short, now) = (self.is_rude(), self.now);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let pipe = &mut self.links[link];
        if pipe.is_reset || pipe.outward_ended {
            return Outcome::Reset;
        }
        let space = pipe.outward_bytes - pipe.outward.len();
        let mut count = offered.min(space);
        if is_short && count > 1 {
            count = self.choices.between(1, count as u64) as usize;
        }
        let mut left = count;
        for slice in slices {
            let part = &slice[..left.min(slice.len())];
            pipe.outward.extend(part);
            self.events += pipe.wire.take(part, now);
            left -= part.len();
        }
        if count > 0 {
            self.fresh.push(link);
        }
        if count < offered {
            pipe.wants_space = true;
            if pipe.is_writable() {
                // As if the client had read in the same moment.
                pipe.wants_space = false;
                self.edge(link);
            }
        }
        if count == 0 && offered > 0 {
            return Outcome::Blocked;
        }
        Outcome::Bytes(count)
    }

    pub fn end(&mut self, link: usize) -> bool {
        let pipe = &mut self.links[link];
        (pipe.outward_ended, pipe.is_parted) = (true, true);
        !pipe.is_reset
    }

    pub fn forsake(&mut self, link: usize) {
        self.links[link].is_forsaken = true;
    }

    /// The server closes its end. What it has not read becomes a reset, as Linux has it.
    pub fn drop_server(&mut self, link: usize) {
        self.unwatch(link);
        let pipe = &mut self.links[link];
        if pipe.is_dropped {
            let fault = format!("link {link} is dropped twice");
            self.faults.push(fault);
            return;
        }
        pipe.is_dropped = true;
        pipe.outward_ended = true;
        pipe.unread += pipe.inward.len();
        if pipe.is_forsaken || !pipe.inward.is_empty() {
            pipe.is_cut = true;
            let kept = self.choices.index(pipe.outward.len() + 1);
            self.links[link].outward.truncate(kept);
        }
    }
}
