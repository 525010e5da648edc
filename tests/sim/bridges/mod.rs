//! Several nodes, each a real broker and a real bridge, over a model of Redis: one thread, paused time, every choice
//! from a seed.
//!
//! What must be true: each publisher's own order, and nothing twice; in mode `streams` one order everywhere; nothing
//! that has expired; the outbox within its bound; what is lost is counted; once everything is healed, every node hears
//! every other again and nothing waits; a node that ends does end, and has told what it could.

pub mod faults;
mod node;
mod record;
mod recovery;
pub mod way;

use crate::sim::redis::{ModelRedis, clock};
use crate::sim::seed::{Choices, knob};
use faults::{Fault, Faults};
use node::Node;
use parking_lot::Mutex;
use record::Record;
use std::sync::Arc;
use std::time::Duration;
use supportal::config::redis::RedisAddress;
use supportal::config::{BridgeMode, Config};
use supportal::internal::clock::Clock;

/// Simulations of each mode, if `SIM_SEEDS` does not say how many.
const SEEDS: u64 = 300;

/// Steps of one.
const STEPS: usize = 400;

/// Rooms that all nodes share.
const ROOMS: usize = 3;

/// Most that one node may have on its way to Redis; hellos and marks take no room of it.
const OUTBOX: usize = 48;

/// How long a node that ends is given.
const GRACE: Duration = Duration::from_secs(2);

/// After so long without a fault everything is as if there had been none.
pub const HEALED: Duration = Duration::from_secs(5);

/// How long everybody is heard again after that, at most.
pub const HEARD: Duration = Duration::from_secs(1);

fn config(mode: BridgeMode) -> Config {
    let mut config = Config::default();
    config.queue.expiry = Duration::from_secs(5);
    config.broker.mailbox_capacity = 64;
    over_redis(&mut config, mode);
    config
}

/// Short waits and a small outbox.
pub fn over_redis(config: &mut Config, mode: BridgeMode) {
    config.history.capacity = 40;
    let bridge = &mut config.bridge;
    bridge.mode = mode;
    bridge.urls = vec![RedisAddress::parse("redis://127.0.0.1:6379").expect("an address")];
    bridge.linger = Duration::from_secs(2);
    bridge.confirm_timeout = Duration::from_millis(500);
    bridge.outbox_capacity = OUTBOX;
    bridge.command_timeout = Duration::from_millis(500);
    bridge.reconnect_max = Duration::from_millis(100);
    bridge.order_timeout = Duration::from_millis(100);
}

/// One simulation.
struct Simulation {
    config: Config,
    choices: Choices,
    redis: ModelRedis,
    nodes: Vec<Option<Node>>,
    faults: Faults,
    record: Arc<Mutex<Record>>,
    clock: Clock,
}

impl Simulation {
    fn new(mode: BridgeMode, seed: u64) -> Self {
        let clock = clock();
        let mut choices = Choices::new(seed);
        let redis = ModelRedis::new(choices.part(), clock);
        tokio::spawn(redis.clone().run());
        let nodes = choices.between(2, 4) as usize;
        let may_lose_data = choices.percent(30);
        let mut simulation = Self {
            config: config(mode),
            choices,
            redis,
            nodes: (0..nodes).map(|_| None).collect(),
            faults: Faults::new(may_lose_data),
            record: Arc::default(),
            clock,
        };
        for place in 0..nodes {
            simulation.start(place);
        }
        simulation
    }

    fn is_streams(&self) -> bool {
        self.config.bridge.mode == BridgeMode::Streams
    }

    fn note(&self, line: &str) {
        self.record.lock().note(self.clock.now(), line);
    }

    fn fail(&self, text: String) {
        self.record.lock().fail(text);
    }

    fn start(&mut self, place: usize) {
        let seed = self.choices.bits();
        let at = (place, &self.config);
        let node = Node::start(at, &self.redis, &self.record, self.clock, seed);
        self.note(&format!("boot {} begins at place {place}", node.boot));
        self.nodes[place] = Some(node);
    }

    /// A node goes down.
    async fn end(&mut self, place: usize) {
        let Some(node) = self.nodes[place].take() else {
            return;
        };
        let is_calm = self.is_calm() && node.way.standing().is_up;
        let (boot, metrics) = (node.boot, Arc::clone(&node.metrics));
        if !node.end(GRACE).await {
            self.fail(format!("boot {boot} does not end"));
        }
        let lost = metrics
            .bridge_dropped
            .get_or_create(&[("cause", "shutdown")]);
        if is_calm && lost.get() > 0 {
            self.fail(format!("boot {boot} ended with {} untold", lost.get()));
        }
    }

    fn is_calm(&self) -> bool {
        self.faults.is_empty() && self.clock.now().since(self.faults.last) >= HEALED
    }

    async fn step(&mut self) {
        let place = self.choices.index(self.nodes.len());
        let room = self.choices.index(ROOMS);
        let expiry = Duration::from_millis(*self.choices.pick(&[200, 5_000, 5_000]));
        match self.choices.weighted(&[60, 6, 10, 6, 5, 2, 30]) {
            0 => self.say(place, room, 1, expiry),
            1 => {
                let burst = self.choices.between(2, 40);
                self.say(place, room, burst, expiry);
            }
            2 => self.join(place, room),
            3 => {
                if let Some(node) = &mut self.nodes[place] {
                    node.leave(room);
                }
            }
            4 => {
                let (now, nodes) = (self.clock.now(), &self.nodes[..]);
                let what = self
                    .faults
                    .happen(&mut self.choices, now, &self.redis, &nodes);
                self.note(&what);
            }
            5 if self.nodes[place].is_some() => self.end(place).await,
            5 => self.start(place),
            _ => {
                let longest = *self.choices.pick(&[3, 30, 30, 400, 1_500]);
                let millis = self.choices.below(longest);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
        }
        if self.choices.percent(60) {
            let millis = self.choices.below(8);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        } else {
            tokio::task::yield_now().await;
        }
        self.pass();
        self.check_bounds();
    }

    fn join(&mut self, place: usize, room: usize) {
        if let Some(node) = &mut self.nodes[place]
            && !node.rooms.contains_key(&room)
        {
            node.join(room);
        }
    }

    fn say(&self, place: usize, room: usize, count: u64, expiry: Duration) {
        if let Some(node) = &self.nodes[place] {
            for _ in 0..count {
                node.say(room, expiry);
            }
        }
    }

    /// Faults that are over end.
    fn pass(&mut self) {
        for fault in self
            .faults
            .pass(self.clock.now(), &self.redis, &&self.nodes[..])
        {
            self.note(&format!("{fault:?} is over"));
            if let Fault::Down(data, _) = fault
                && data != crate::sim::redis::Data::All
            {
                self.record.lock().has_lost_data = true;
            }
        }
    }

    fn check_bounds(&self) {
        for node in self.nodes.iter().flatten() {
            let standing = node.way.standing();
            let panics = node.metrics.panics.get();
            if panics > 0 {
                self.fail(format!("boot {}: {panics} panics", node.boot));
            }
            if standing.outbox > OUTBOX as i64 || standing.awaited > OUTBOX as i64 {
                self.fail(format!("boot {} holds too much: {standing:?}", node.boot));
            }
        }
    }

    /// Nothing happens until everything is as if nothing had.
    async fn heal(&mut self) {
        for _ in 0..100 {
            tokio::time::sleep(HEALED / 50).await;
            self.pass();
        }
    }

    /// Everything is healed and quiet: nothing waits, and everybody hears everybody.
    async fn settle(&mut self) {
        self.note("quiet");
        for place in 0..self.nodes.len() {
            if self.nodes[place].is_none() {
                self.start(place);
            }
            self.join(place, 0);
        }
        self.heal().await;
        // The last thing said is thrown away by a client that stays connected: only a mark tells.
        for place in 0..self.nodes.len() {
            self.redis.lag(place, self.choices.below(4));
            self.say(place, 0, 1, HEALED);
        }
        self.heal().await;
        let nodes: Vec<&Node> = self.nodes.iter().flatten().collect();
        for node in &nodes {
            let standing = node.way.standing();
            if !standing.is_at_rest() {
                self.fail(format!("boot {} is not at rest: {standing:?}", node.boot));
            }
        }
        // Marks have said what was lost at the end; in a stream, what is said next does.
        if !self.is_streams() {
            self.check_losses(&nodes);
        }
        let mut said = Vec::new();
        for node in &nodes {
            for &room in node.rooms.keys() {
                said.extend(node.say(room, HEALED).map(|number| (room, number)));
            }
        }
        tokio::time::sleep(HEARD).await;
        for node in &nodes {
            for (room, number) in &said {
                let is_heard = self.record.lock().has_heard(node.boot, *number);
                if node.rooms.contains_key(room) && !is_heard {
                    self.fail(format!("boot {} does not hear {number}", node.boot));
                }
            }
        }
        if self.is_streams() {
            self.check_losses(&nodes);
        }
        if self.is_streams() && !self.record.lock().has_lost_data {
            self.record.lock().check_one_order();
        }
    }

    /// What was lost between nodes is counted.
    fn check_losses(&self, nodes: &[&Node]) {
        let mut record = self.record.lock();
        let untold = nodes
            .iter()
            .map(|node| node.way.dropped(&["expired", "refused"]));
        let untold: u64 = untold.sum();
        for node in nodes {
            let counted =
                node.metrics.bridge_gaps.get() + node.way.dropped(&["late", "mailbox", "poison"]);
            // What its sender dropped leaves a hole in the numbers of its room's life, while that lasts.
            for (of_standing, counted) in [(true, counted), (false, counted + untold)] {
                let lost = record.lost(node.boot, of_standing);
                let (boot, count) = (node.boot, lost.len());
                if count as u64 > counted {
                    let first: Vec<_> = lost.iter().take(8).collect();
                    record.fail(format!(
                        "boot {boot} lost {count} and counted {counted}: {first:?} …"
                    ));
                }
            }
        }
    }

    async fn run(mut self, steps: usize) -> Record {
        for step in 0..steps {
            self.step().await;
            let mut record = self.record.lock();
            if let Some(failure) = record.failure() {
                record.note(self.clock.now(), &format!("step {step}"));
                record.at = Some((step, failure));
                break;
            }
        }
        if self.record.lock().at.is_none() {
            self.settle().await;
            let mut record = self.record.lock();
            record.at = record.failure().map(|failure| (steps, failure));
        }
        for place in 0..self.nodes.len() {
            self.end(place).await;
        }
        std::mem::take(&mut *self.record.lock())
    }
}

fn simulate(mode: BridgeMode, seed: u64) -> Record {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async { Box::pin(Simulation::new(mode, seed).run(STEPS)).await })
}

fn seeds() -> Vec<u64> {
    let first = knob("SIM_FIRST").unwrap_or(0);
    match knob("SIM_SEED") {
        Some(seed) => vec![seed],
        None => (first..first + knob("SIM_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

#[track_caller]
fn check(mode: BridgeMode, name: &str) {
    for seed in seeds() {
        if let Some((step, failure)) = simulate(mode, seed).at {
            panic!(
                "seed {seed}, step {step}: {failure}\nalone: SIM_SEED={seed} cargo test --test sim {name}"
            );
        }
    }
}

#[test]
fn nodes_in_mode_pubsub_keep_their_promises_whatever_happens_to_redis() {
    check(
        BridgeMode::Pubsub,
        "nodes_in_mode_pubsub_keep_their_promises_whatever_happens_to_redis",
    );
}

#[test]
fn nodes_in_mode_streams_keep_their_promises_whatever_happens_to_redis() {
    check(
        BridgeMode::Streams,
        "nodes_in_mode_streams_keep_their_promises_whatever_happens_to_redis",
    );
}

#[test]
fn one_seed_of_the_bridges_gives_one_trace() {
    for mode in [BridgeMode::Pubsub, BridgeMode::Streams] {
        for seed in 0..4 {
            let [one, other] = [0; 2].map(|_| simulate(mode, seed).into_trace());
            let differs = one.iter().zip(&other).position(|(one, other)| one != other);
            let at = differs.map(|at| (&one[at], &other[at]));
            assert_eq!(at, None, "{mode:?}, seed {seed}");
            assert_eq!(one.len(), other.len(), "{mode:?}, seed {seed}");
            assert!(one.len() > STEPS, "{mode:?}, seed {seed}: {}", one.len());
        }
    }
}
