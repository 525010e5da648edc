//! One thread, one poll, a slab of connections. The scenario's driver calls [`Engine::turn`] and reads the notices.

use crate::client::{Client, End, Phase};
use crate::clock::MILLISECOND;
use crate::handshake;
use crate::speaker::Speaker;
use crate::stream::Stream;
use crate::target::Target;
use crate::traffic::{Ending, Notice, Receiver, Room, Traffic};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Connections in flight at most while opening: below the smallest usual listen backlog (128).
pub(crate) const CONNECT_WINDOW: usize = 100;
/// A poll wakes up to this much late (it counts in whole milliseconds), so closer deadlines are polled for without sleeping.
const POLL_STEP: u64 = 1_500_000;
/// Poll tokens from here on are not connections'.
const STRANGERS: usize = usize::MAX / 2;
/// Steps of handshakes in one turn beside a storm: one with TLS is a tenth of a millisecond, which open connections wait for.
const STORM_STEPS: usize = 1;
/// An answered poll longer than this was waiting, not work.
const POLL_WORK_MAX: u64 = 10_000;

/// A connection to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) room: u32,
    pub(crate) slot: Option<u16>,
    pub(crate) group: usize,
    pub(crate) slow: bool,
    pub(crate) notify: bool,
    /// The person of the group who comes back if the connection ends.
    pub(crate) person: Option<u32>,
    /// The node it goes to; 0 is the one of the first target.
    pub(crate) node: u16,
}

/// The loop.
#[derive(Debug)]
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    clients: Slab<Client>,
    target: Target,
    /// Of the nodes besides the first.
    others: Vec<Target>,
    wanted: VecDeque<Wanted>,
    in_flight: usize,
    /// Connections that are opened wait for those that are open: a storm is not to be noticed here.
    pub(crate) patient: bool,
    /// Events that wait: connection, writable, readable.
    postponed: VecDeque<(usize, bool, bool)>,
    attempts: u32,
    pub(crate) traffic: Traffic,
    /// Time spent working since the last reset.
    pub(crate) busy: u64,
    /// What the server ends or refuses is expected: it restarts.
    pub(crate) forgiving: bool,
    /// Kernel receive buffer of readers that stop.
    pub(crate) slow_buffer: Option<usize>,
    /// Sockets of somebody else's that became ready in the last turn, and when.
    pub(crate) strangers: Vec<(usize, u64)>,
    /// Who speaks where no member does.
    pub(crate) speaker: Option<Speaker>,
    /// Why that cannot go on.
    mute: Option<String>,
}

impl Engine {
    /// An empty engine.
    pub(crate) fn new(target: Target, traffic: Traffic) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            clients: Slab::new(),
            target,
            others: Vec::new(),
            wanted: VecDeque::new(),
            in_flight: 0,
            patient: false,
            postponed: VecDeque::new(),
            attempts: 0,
            traffic,
            busy: 0,
            forgiving: false,
            slow_buffer: None,
            strangers: Vec::new(),
            speaker: None,
            mute: None,
        })
    }

    /// One more node of the same chat.
    pub(crate) fn add_node(&mut self, target: Target) {
        self.others.push(target);
    }

    /// Polls a socket that is no connection of a chat, too; it shows in `strangers` under this number.
    /// Errors: The poll does not take it.
    pub(crate) fn watch(&self, socket: &mut mio::net::TcpStream, number: usize) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(socket, Token(STRANGERS + number), Interest::READABLE)
    }

    /// The Python process says the room's next message; if it cannot, the next turn fails.
    pub(crate) fn speak(&mut self, room: u32, intended: u64) {
        let group = format!("chat_{}_{}", self.target.business, self.room_name(room));
        let traffic = &mut self.traffic;
        if let Some(speaker) = &mut self.speaker
            && let Some(marker) = traffic.next_marker(room, 0, intended)
            && let Err(why) = speaker.say(&group, traffic.message.command(&marker))
        {
            self.mute = Some(why);
        }
    }

    /// The room's name in the path of a connection.
    pub(crate) fn room_name(&self, room: u32) -> String {
        format!("lt-{:04x}-{room}", self.target.run)
    }

    /// A room with this many publishers.
    pub(crate) fn add_room(&mut self, publishers: usize) -> u32 {
        self.traffic.rooms.push(Room {
            sent: vec![0; publishers],
            ..Room::default()
        });
        (self.traffic.rooms.len() - 1) as u32
    }

    /// Opens a connection when its turn comes.
    pub(crate) fn want(&mut self, wanted: Wanted) {
        self.wanted.push_back(wanted);
    }

    /// Connections still to be opened or being opened.
    pub(crate) fn opening(&self) -> usize {
        self.wanted.len() + self.in_flight
    }

    /// Forgets the connections not begun.
    pub(crate) fn give_up_opening(&mut self) {
        self.wanted.clear();
    }

    /// Handshakes that brought a token which an earlier one had brought.
    pub(crate) fn tokens_again(&self) -> usize {
        let tokens = self.target.tokens.len();
        (self.attempts as usize).saturating_sub(tokens) * usize::from(tokens > 0)
    }

    /// Connections that exist.
    pub(crate) fn connections(&self) -> usize {
        self.clients.len()
    }

    /// Connections that are open.
    pub(crate) fn clients_open(&self) -> usize {
        self.connections() - self.in_flight
    }

    /// The connection with this number.
    pub(crate) fn client(&self, id: usize) -> Option<&Client> {
        self.clients.get(id)
    }

    /// All open connections' numbers.
    pub(crate) fn ids(&self) -> Vec<usize> {
        self.clients.iter().map(|(id, _)| id).collect()
    }

    /// Does something with a connection and removes it if it ended.
    pub(crate) fn with(
        &mut self,
        id: usize,
        act: impl FnOnce(&mut Client, &mut Traffic) -> Result<(), End>,
    ) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if let Err(end) = act(client, &mut self.traffic) {
            self.remove(id, &end);
        }
    }

    /// Polls until something is due at the latest, and handles what is ready.
    pub(crate) fn turn_until(&mut self, due: u64, now: u64) -> io::Result<()> {
        let wait = due.saturating_sub(now);
        let wait = if wait < POLL_STEP {
            0
        } else {
            wait - MILLISECOND
        };
        self.turn(Duration::from_nanos(wait))
    }

    /// Polls at most this long and handles what is ready. Notices of this turn are in `traffic.notices`.
    pub(crate) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        if let Some(why) = self.mute.take() {
            return Err(io::Error::other(why));
        }
        let clock = self.traffic.clock;
        let before = clock.now();
        self.strangers.clear();
        self.open_wanted();
        let is_behind = !self.postponed.is_empty() || self.may_open();
        let wait = if self.traffic.notices.is_empty() && !is_behind {
            wait
        } else {
            Duration::ZERO
        };
        let polled = clock.now();
        match self.poll.poll(&mut self.events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let after = clock.now();
        self.busy += polled - before;
        if self.events.is_empty() && !is_behind {
            return Ok(());
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let id = event.token().0;
            if let Some(number) = id.checked_sub(STRANGERS) {
                self.strangers.push((number, clock.now()));
                continue;
            }
            let is_readable = event.is_readable() || event.is_error();
            let client = self.clients.get(id);
            if self.patient && client.is_some_and(|client| client.phase < Phase::Open) {
                let postponed = (id, event.is_writable(), is_readable);
                self.postponed.push_back(postponed);
            } else {
                self.ready(id, event.is_writable(), is_readable);
            }
        }
        self.events = events;
        for _ in 0..STORM_STEPS {
            if let Some((id, is_writable, is_readable)) = self.postponed.pop_front() {
                self.ready(id, is_writable, is_readable);
            }
        }
        self.busy += clock.now() - after + (after - polled).min(POLL_WORK_MAX);
        Ok(())
    }

    /// Opens what may be opened in this turn.
    fn open_wanted(&mut self) {
        let mut most = if self.patient {
            STORM_STEPS
        } else {
            CONNECT_WINDOW
        };
        while most > 0
            && self.may_open()
            && let Some(wanted) = self.wanted.pop_front()
        {
            self.connect(wanted);
            most -= 1;
        }
    }

    fn may_open(&self) -> bool {
        self.in_flight < CONNECT_WINDOW && !self.wanted.is_empty()
    }

    /// Something can be done with a connection.
    fn ready(&mut self, id: usize, is_writable: bool, is_readable: bool) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let was = client.phase;
        let mut end = Ok(());
        if is_writable {
            end = client.writable(&mut self.traffic);
        }
        if end.is_ok() && is_readable {
            end = client.readable(id, &mut self.traffic);
        }
        if was < Phase::Open && client.phase >= Phase::Open {
            self.in_flight -= 1;
        }
        if let Err(end) = end {
            self.remove(id, &end);
        }
    }

    fn connect(&mut self, wanted: Wanted) {
        self.attempts += 1;
        let key = handshake::key(&mut self.traffic.random);
        let target = self.target(wanted.node);
        let path = target
            .path
            .replace("{business}", &target.business)
            .replace("{room}", &self.room_name(wanted.room));
        let mut request = Vec::new();
        let lines = target.lines(self.attempts);
        handshake::request(&mut request, &target.host, &path, &key, &lines);
        let started = self.traffic.clock.now();
        let id = self.clients.vacant_key();
        match self.socket(wanted.node, id, wanted.slow) {
            Ok(stream) => {
                let sent = self.traffic.rooms.get(wanted.room as usize);
                let place = self
                    .traffic
                    .verify
                    .join(sent.map_or(&[], |room| &room.sent), wanted.person.is_some());
                let receiver = Receiver {
                    room: wanted.room,
                    slot: wanted.slot,
                    place,
                    slow: wanted.slow,
                    node: wanted.node,
                    life: self.attempts,
                };
                let mut client = Client::new(stream, receiver, wanted.group, key, request, started);
                (client.notify, client.person) = (wanted.notify, wanted.person);
                self.clients.insert(client);
                self.in_flight += 1;
            }
            Err(error) => {
                let why = format!("no socket: {error}");
                self.traffic.totals.refused.count(why);
                let (group, room, person) = (wanted.group, wanted.room, wanted.person);
                let ending = Ending {
                    id: usize::MAX,
                    person,
                    clean: false,
                    opened: false,
                };
                self.traffic.notices.push(Notice::Gone {
                    group,
                    room,
                    ending,
                });
            }
        }
    }

    fn target(&self, node: u16) -> &Target {
        let other = usize::from(node).checked_sub(1);
        let target = other.and_then(|other| self.others.get(other));
        target.unwrap_or(&self.target)
    }

    fn socket(&self, node: u16, id: usize, slow: bool) -> io::Result<Stream> {
        let buffer = self.slow_buffer.filter(|_| slow);
        let target = self.target(node);
        let socket = target.connect(self.attempts, buffer)?;
        let mut socket = mio::net::TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, Token(id), interest)?;
        match &target.tls {
            Some(tls) => Stream::client(socket, tls),
            None => Ok(Stream::plain(socket)),
        }
    }

    /// Sends a close frame.
    pub(crate) fn close(&mut self, id: usize) {
        self.with(id, |client, traffic| client.close(traffic));
    }

    /// Ends a connection at once, without a close frame.
    pub(crate) fn drop_connection(&mut self, id: usize) {
        self.remove(id, &End::Ours);
    }

    /// Ends a connection as a broken network does: at once, by a reset or by a bare end of the stream.
    pub(crate) fn cut(&mut self, id: usize, reset: bool) {
        if let Some(client) = self.client(id).filter(|_| reset) {
            // Without it this is a bare end of the stream, which is a cut as well.
            socket2::SockRef::from(&client.stream.socket)
                .set_linger(Some(Duration::ZERO))
                .ok();
        }
        self.remove(id, &End::Ours);
    }

    fn remove(&mut self, id: usize, end: &End) {
        let Some(client) = self.clients.try_remove(id) else {
            return;
        };
        if client.phase < Phase::Open {
            self.in_flight -= 1;
        }
        let opened = client.phase >= Phase::Open;
        let totals = &mut self.traffic.totals;
        match end {
            End::Ours => {}
            End::Refused(why) | End::Theirs(why) if self.forgiving => {
                totals.expected_ends.count(why);
            }
            End::Refused(why) => totals.refused.count(why),
            End::Theirs(why) if client.receiver.slow => {
                totals.slow_closed.count(why);
            }
            End::Theirs(why) => totals.closed.count(why),
        }
        if client.person.is_some() && opened {
            self.traffic.parted(&client.receiver, client.outstanding);
        }
        self.traffic.verify.leave(client.receiver.place);
        self.traffic.outgoing.clear();
        let (group, room) = (client.group, client.receiver.room);
        let (person, clean) = (client.person, client.closed_cleanly());
        let ending = Ending {
            id,
            person,
            clean,
            opened,
        };
        self.traffic.notices.push(Notice::Gone {
            group,
            room,
            ending,
        });
    }
}
