//! One node: real workers, broker and consumers, and the real bridge.

use super::record::{Record, Spoken};
use crate::sim::bridges::way::WayOut;
use crate::sim::client::Client;
use crate::sim::oracle::Judge;
use crate::sim::redis::ModelRedis;
use crate::sim::seed::Choices;
use crate::sim::wire::{Frame, number};
use crate::sim::world::{Basis, World};
use parking_lot::Mutex;
use std::rc::Rc;
use std::sync::Arc;
use supportal::RoomName;
use supportal::config::Config;
use supportal::internal::broker::{Forwarded, Publication, Room, Uplink, Way};
use supportal::internal::clock::Clock;
use supportal::internal::metrics::Metrics;
use tokio::runtime::Runtime;

/// What all nodes of a simulation are made with.
pub struct Shared {
    pub config: Arc<Config>,
    /// Everything has room.
    pub is_roomy: bool,
    pub rooms: u64,
    pub redis: ModelRedis,
    pub record: Arc<Mutex<Record>>,
    pub runtime: Rc<Runtime>,
    pub clock: Clock,
}

/// The bridge's uplink, and who writes down what it did.
#[derive(Debug)]
struct Witness {
    uplink: Box<dyn Uplink>,
    boot: usize,
    record: Arc<Mutex<Record>>,
    metrics: Arc<Metrics>,
}

impl Witness {
    /// How many found no room in the outbox.
    fn full(&self) -> u64 {
        let dropped = &self.metrics.bridge_dropped;
        dropped.get_or_create(&[("cause", "full")]).get()
    }
}

impl Uplink for Witness {
    fn way(&self) -> Option<Way> {
        self.uplink.way()
    }

    fn forward(&self, room: &Arc<Room>, place: u64, publication: &Publication) -> Forwarded {
        let untold = self.full();
        let forwarded = self.uplink.forward(room, place, publication);
        let mut record = self.record.lock();
        if matches!(forwarded, Forwarded::Recalled(_)) {
            record.alone(self.boot);
        }
        if let Some(number) = number(&publication.frame) {
            record.say(&Spoken {
                boot: self.boot,
                room: room.name().session_id(),
                stay: room.incarnation(),
                number,
                deadline: publication.deadline.0,
                is_alone: !matches!(forwarded, Forwarded::Returns),
                is_untold: self.full() > untold,
            });
        }
        forwarded
    }

    fn watch(&self, name: &RoomName) -> bool {
        self.uplink.watch(name)
    }

    fn unwatch(&self, name: &RoomName) {
        self.uplink.unwatch(name);
    }
}

/// Judges one node's wires by the record of all.
struct Hearing {
    boot: usize,
    record: Arc<Mutex<Record>>,
}

impl Judge for Hearing {
    fn look(&mut self, client: &Client, frames: &[Frame]) -> Result<(), String> {
        self.record.lock().look(self.boot, client, frames)
    }

    fn missed(&self, client: &Client, is_open: bool) -> usize {
        self.record.lock().missed(self.boot, client, is_open)
    }

    fn heard(&self, client: &Client) -> Result<(), String> {
        self.record.lock().in_order(client, true)
    }

    fn in_order(&self, client: &Client) -> Result<(), String> {
        self.record.lock().in_order(client, false)
    }
}

/// One node.
pub struct Node {
    pub boot: usize,
    pub world: World,
    pub way: WayOut,
    record: Arc<Mutex<Record>>,
    recalled: u64,
}

/// Clients of one node, at most.
const CLIENTS_MAX: usize = 10;

impl Node {
    /// A node at this place begins.
    pub fn start(place: usize, boot: usize, shared: &Shared, mut choices: Choices) -> Self {
        let metrics = Arc::new(Metrics::new());
        let at = (place, &*shared.config);
        let seed = choices.bits();
        let mut way = WayOut::new(at, &shared.redis, &metrics, shared.clock, seed);
        let witness = Witness {
            uplink: way.bridge.uplink(),
            boot,
            record: Arc::clone(&shared.record),
            metrics: Arc::clone(&metrics),
        };
        let oracle = Hearing {
            boot,
            record: Arc::clone(&shared.record),
        };
        let mut world = World::over(Basis {
            choices,
            config: Arc::clone(&shared.config),
            is_roomy: shared.is_roomy,
            workers: (1, 2),
            is_answered: false,
            runtime: Rc::clone(&shared.runtime),
            clock: shared.clock,
            metrics,
            now: shared.clock.now().0,
            uplink: Box::new(witness),
            oracle: Box::new(oracle),
        });
        // One clock is everybody's.
        world.network.lock().turn_millis = 0;
        world.number = boot as u64 * 1_000_000;
        world.rooms = shared.rooms;
        world.clients_max = CLIENTS_MAX;
        shared.runtime.block_on(async { way.run(&world.broker) });
        Self {
            boot,
            world,
            way,
            record: Arc::clone(&shared.record),
            recalled: 0,
        }
    }

    /// It is so late now; and what was no longer waited for is written down.
    pub fn look(&mut self, now: u64) {
        self.world.network.lock().now = now;
        let recalled = self.world.metrics.bridge_recalled.get();
        if recalled != self.recalled {
            self.recalled = recalled;
            self.record.lock().alone(self.boot);
        }
    }

    /// Clients that are there and have done nothing wrong.
    pub fn open(&self) -> Vec<usize> {
        let network = self.world.network.lock();
        let is_open = |client: &&Client| {
            let link = network.link(client.link);
            let is_there = !link.is_dropped && link.wire.closed.is_none() && !link.outward_ended;
            is_there && !client.has_reset && !client.has_ended && client.sure == usize::MAX
        };
        let open = self.world.clients.iter().filter(is_open);
        open.map(|client| client.link).collect()
    }

    /// Its rooms with members.
    pub fn stays(&self) -> impl Iterator<Item = (usize, u64)> {
        let chats = (0..self.world.rooms).map(|room| format!("c{room}"));
        let sessions = chats.chain(["r0".to_owned(), "r1".to_owned()]);
        let rooms = sessions.filter_map(|session| {
            let name = RoomName::chat("7", &session)?;
            self.world.broker.find(&name)
        });
        rooms.map(|room| (self.boot, room.incarnation()))
    }

    /// What its members and it have lost, as far as it is counted.
    pub fn counted(&self) -> u64 {
        let between = self.way.dropped(&["late", "mailbox", "poison"]);
        let deliveries = self.world.dropped(&["capacity", "expired"]);
        self.world.metrics.bridge_gaps.get() + between + deliveries
    }
}
