//! What clients must have seen, worked out beside the server: the order of every room as it leaves the broker,
//! against the frames on every client's wire.

use crate::sim::client::{Client, Purpose};
use crate::sim::wire::Frame;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use supportal::RoomName;
use supportal::internal::broker::{Forwarded, Publication, Room, Uplink, Way};

/// An assistant's answer has the number of its question and this.
pub const ANSWER: u64 = 1 << 40;

/// One publication as it was numbered.
#[derive(Clone, Copy, Debug)]
struct Said {
    position: usize,
    deadline: u64,
}

/// The order of every room.
#[derive(Debug, Default)]
pub struct Orders {
    rooms: HashMap<String, Vec<u64>>,
    said: HashMap<u64, Said>,
    faults: Vec<String>,
}

impl Orders {
    fn add(&mut self, room: &str, number: u64, deadline: u64) {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.to_owned(), Vec::new());
        }
        let order = self.rooms.get_mut(room).expect("it is there");
        let position = order.len();
        order.push(number);
        if self
            .said
            .insert(number, Said { position, deadline })
            .is_some()
        {
            self.faults.push(format!("~{number}~ was published twice"));
        }
    }
}

/// Stands where a way off the node would, and so sees the order of each room as it is made.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Orders>>);

impl Uplink for Witness {
    fn way(&self) -> Option<Way> {
        Some(Way::Nodes)
    }

    fn forward(&self, room: &Arc<Room>, _number: u64, publication: &Publication) -> Forwarded {
        if let Some(number) = super::wire::number(&publication.frame) {
            let deadline = publication.deadline.0;
            self.0
                .lock()
                .add(room.name().session_id(), number, deadline);
        }
        Forwarded::Dropped
    }

    fn watch(&self, _name: &RoomName) -> bool {
        true
    }

    fn unwatch(&self, _name: &RoomName) {}
}

/// What one client was written.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    first: Option<usize>,
    last: Option<usize>,
    count: usize,
}

/// Judges what the clients of a node were written.
pub trait Judge {
    /// Takes in what was written to a client.
    fn look(&mut self, client: &Client, frames: &[Frame]) -> Result<(), String>;

    /// How many deliveries a client has missed: between the first and the last that it saw, and if it `is_open`, behind that.
    fn missed(&self, client: &Client, is_open: bool) -> usize;

    /// Every message that a client was heard with must be in its room, once and in the order said.
    fn heard(&self, client: &Client) -> Result<(), String>;

    /// What a client said is in its room in the order said, whether all of it is or not.
    fn in_order(&self, client: &Client) -> Result<(), String>;
}

/// Compares the wires with the orders.
#[derive(Debug)]
pub struct Oracle {
    orders: Arc<Mutex<Orders>>,
    seen: BTreeMap<usize, Seen>,
    /// Whether members see what is said in a room, or each client its own.
    is_shared: bool,
}

impl Oracle {
    pub fn new(witness: &Witness, is_shared: bool) -> Self {
        Self {
            orders: Arc::clone(&witness.0),
            seen: BTreeMap::new(),
            is_shared,
        }
    }

    fn sees_room(&self, client: &Client) -> bool {
        client.purpose == Purpose::Relay || self.is_shared && client.purpose == Purpose::Chat
    }
}

impl Judge for Oracle {
    fn look(&mut self, client: &Client, frames: &[Frame]) -> Result<(), String> {
        let orders = self.orders.lock();
        if let Some(fault) = orders.faults.first() {
            return Err(fault.clone());
        }
        let seen = self.seen.entry(client.link).or_default();
        for frame in frames.iter().filter(|frame| frame.is_event()) {
            let Some(number) = frame.number() else {
                continue;
            };
            let position = if self.is_shared && client.purpose != Purpose::Echo
                || client.purpose == Purpose::Relay
            {
                let said = orders.said.get(&number);
                let said = said.ok_or_else(|| format!("~{number}~ was never published"))?;
                if frame.begun >= said.deadline {
                    return Err(format!(
                        "~{number}~ was written to link {} at {}, after its expiry at {}",
                        client.link, frame.begun, said.deadline
                    ));
                }
                if orders.rooms[&client.room].get(said.position) != Some(&number) {
                    return Err(format!(
                        "~{number}~ reached link {} of room {}",
                        client.link, client.room
                    ));
                }
                said.position
            } else if number >= ANSWER {
                continue;
            } else {
                let own = client.said.binary_search(&number);
                own.map_err(|_place| format!("~{number}~ is not link {}'s", client.link))?
            };
            if seen.last.is_some_and(|last| position <= last) {
                return Err(format!(
                    "~{number}~ reached link {} behind what came after it",
                    client.link
                ));
            }
            seen.first = seen.first.or(Some(position));
            seen.last = Some(position);
            seen.count += 1;
        }
        Ok(())
    }

    fn missed(&self, client: &Client, is_open: bool) -> usize {
        let orders = self.orders.lock();
        let seen = self.seen.get(&client.link).copied().unwrap_or_default();
        let own = client
            .said
            .iter()
            .filter_map(|number| orders.said.get(number));
        let (first, end) = if self.sees_room(client) {
            let end = orders.rooms.get(&client.room).map_or(0, Vec::len);
            (own.map(|said| said.position).min(), end)
        } else {
            (Some(0), client.said.len())
        };
        let first = first.into_iter().chain(seen.first).min();
        let end = match (is_open, seen.last) {
            (true, _) => end,
            (false, Some(last)) => last + 1,
            (false, None) => return 0,
        };
        // Of one that is gone only what lies between is known to be owed.
        let first = if is_open { first } else { seen.first };
        first.map_or(0, |first| end - first - seen.count)
    }

    fn heard(&self, client: &Client) -> Result<(), String> {
        if !self.sees_room(client) {
            return Ok(());
        }
        let orders = self.orders.lock();
        let mut last = None;
        for number in client.said.iter().take(client.sure) {
            let said = orders.said.get(number);
            let said = said.ok_or_else(|| {
                format!("~{number}~ of link {} was sent and not heard", client.link)
            })?;
            if last.is_some_and(|last| said.position <= last) {
                return Err(format!("~{number}~ of link {} overtook", client.link));
            }
            last = Some(said.position);
        }
        Ok(())
    }

    fn in_order(&self, client: &Client) -> Result<(), String> {
        let orders = self.orders.lock();
        let own = client
            .said
            .iter()
            .filter_map(|number| orders.said.get(number));
        let own: Vec<_> = own.map(|said| said.position).collect();
        if own.is_sorted() {
            Ok(())
        } else {
            Err(format!("what link {} said was reordered", client.link))
        }
    }
}
