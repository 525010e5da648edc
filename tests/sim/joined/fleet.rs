//! Nodes over one modelled Redis, and one step of all.

use super::node::{Node, Shared};
use super::record::Record;
use crate::sim::bridges::faults::{Fault, Faults, Places};
use crate::sim::bridges::{HEALED, HEARD, over_redis};
use crate::sim::checks::{Manners, require};
use crate::sim::redis::{self, Data, ModelRedis};
use crate::sim::seed::Choices;
use crate::sim::settings;
use crate::sim::trace::Trace;
use crate::sim::world::World;
use parking_lot::Mutex;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use supportal::config::{BridgeMode, Config, Deliver};
use tokio::runtime::Runtime;

/// Steps until everything is healed and looked at.
const CALM_EVERY: u64 = 500;

/// How long the bridge of a node that ends is given.
const GRACE: Duration = Duration::from_secs(2);

/// How much time passes at once while everything heals.
const PAUSE: Duration = Duration::from_millis(100);

/// What a mark that tells of losses takes at most, with its way.
const TOLD: Duration = Duration::from_secs(5);

/// What a node does: no time passes for one alone.
const ACTS: [u64; 8] = [450, 400, 0, 30, 0, 2, 30, 8];

/// Before the lines of each node's.
const NAMES: [&str; 3] = ["node 0: ", "node 1: ", "node 2: "];

/// Which nodes stand still, but for their bridges.
struct Stuck(Vec<Cell<bool>>);

impl Places for Stuck {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn stick(&self, place: usize, is_stuck: bool) {
        self.0[place].set(is_stuck);
    }
}

/// Everything there is.
pub struct Fleet {
    shared: Shared,
    choices: Choices,
    nodes: Vec<Option<Node>>,
    stuck: Stuck,
    faults: Faults,
    /// What may happen: a node acts, tasks run, time passes, a fault, a node ends or begins.
    weights: [u64; 5],
    boots: usize,
    calms: u64,
    pub trace: Trace,
    /// Messages that were looked for where they had to be.
    pub looked_for: usize,
}

fn settings(choices: &mut Choices, mode: BridgeMode) -> (Config, bool) {
    let (mut config, is_roomy) = settings::draw(choices);
    over_redis(&mut config, mode);
    config.chat.deliver = Deliver::Room;
    config.chat.welcome = true;
    config.server.handshake_timeout = Duration::from_secs(1);
    config.limits.messages_per_second = 0;
    config.limits.bytes_per_second = 0;
    if is_roomy {
        config.broker.mailbox_capacity = 8_192;
    }
    (config, is_roomy)
}

impl Fleet {
    /// Nodes on a runtime that the caller has entered: whoever looks at the clock sees its time.
    pub fn new(runtime: Rc<Runtime>, mode: BridgeMode, seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let (mut config, mut is_roomy) = settings(&mut choices, mode);
        if !is_roomy && choices.percent(40) {
            (config, is_roomy) = settings(&mut choices, mode);
        }
        let redis_choices = choices.part();
        let (clock, redis) = runtime.block_on(async {
            let clock = redis::clock();
            let redis = ModelRedis::new(redis_choices, clock);
            tokio::spawn(redis.clone().run());
            (clock, redis)
        });
        let shared = Shared {
            config: Arc::new(config),
            is_roomy,
            rooms: choices.between(1, 3),
            redis,
            record: Arc::<Mutex<Record>>::default(),
            runtime,
            clock,
        };
        let nodes = choices.between(2, 3) as usize;
        let (faults, ends) = *choices.pick(&[(0, 0), (0, 1), (4, 1), (15, 2), (40, 3)]);
        let mut fleet = Self {
            shared,
            faults: Faults::new(choices.percent(20)),
            choices,
            nodes: (0..nodes).map(|_| None).collect(),
            stuck: Stuck((0..nodes).map(|_| Cell::new(false)).collect()),
            weights: [1_000, 60, 90, faults, ends],
            boots: 0,
            calms: 0,
            trace: Trace::default(),
            looked_for: 0,
        };
        for place in 0..nodes {
            fleet.start(place);
        }
        fleet
    }

    fn is_streams(&self) -> bool {
        self.shared.config.bridge.mode == BridgeMode::Streams
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Something happened that is no calm.
    fn stir(&mut self) {
        self.faults.last = self.shared.clock.now();
        self.shared.record.lock().calm = None;
    }

    fn start(&mut self, place: usize) {
        self.stir();
        let choices = self.choices.part();
        let node = Node::start(place, self.boots, &self.shared, choices);
        self.trace
            .note(format_args!("boot {} begins at place {place}", self.boots));
        self.boots += 1;
        self.nodes[place] = Some(node);
    }

    /// What a node does is a line of the one trace.
    fn with<T>(&mut self, place: usize, act: impl FnOnce(&mut World) -> T) -> Option<T> {
        let node = self.nodes[place].as_mut()?;
        self.trace.of = NAMES[place];
        std::mem::swap(&mut self.trace, &mut node.world.trace);
        let done = act(&mut node.world);
        std::mem::swap(&mut self.trace, &mut node.world.trace);
        self.trace.of = "";
        Some(done)
    }

    fn each(
        &mut self,
        mut act: impl FnMut(&mut World) -> Result<(), String>,
    ) -> Result<(), String> {
        for place in 0..self.nodes.len() {
            self.with(place, &mut act).unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Time passes for everybody: for the bridges moment by moment.
    fn pass(&mut self, time: Duration) {
        self.shared.runtime.block_on(tokio::time::sleep(time));
        let now = self.shared.clock.now();
        for node in self.nodes.iter_mut().flatten() {
            node.look(now.0);
        }
        self.trace.note(format_args!("{} ms", now.0));
        for fault in self.faults.pass(now, &self.shared.redis, &self.stuck) {
            self.trace.note(format_args!("{fault:?} is over"));
            if matches!(fault, Fault::Down(Data::Saved | Data::Nothing, _)) {
                self.shared.record.lock().has_lost_data = true;
            }
        }
        let is_calm = self.faults.is_empty() && now.since(self.faults.last) >= HEALED;
        let mut record = self.shared.record.lock();
        if !is_calm {
            record.calm = None;
        } else if record.calm.is_none() {
            self.calms += 1;
            record.calm = Some(self.calms);
        }
    }

    /// The bridges' tasks run, and no time passes.
    fn tasks(&self) {
        self.shared.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// One choice.
    pub fn step(&mut self) -> Result<(), String> {
        self.trace.step += 1;
        if self.trace.step.is_multiple_of(CALM_EVERY) {
            return self.calm();
        }
        let place = self.choices.index(self.nodes.len());
        match self.choices.weighted(&self.weights) {
            0 if self.stuck.0[place].get() => Ok(()),
            0 => self.with(place, |world| world.act(&ACTS)).unwrap_or(Ok(())),
            1 => {
                self.tasks();
                Ok(())
            }
            2 => {
                let longest = *self.choices.pick(&[3, 3, 30, 30, 400, 1_500]);
                let millis = self.choices.below(longest);
                self.pass(Duration::from_millis(millis));
                Ok(())
            }
            3 => {
                self.stir();
                let now = self.shared.clock.now();
                let redis = &self.shared.redis;
                let what = (self.faults).happen(&mut self.choices, now, redis, &self.stuck);
                self.trace.note(format_args!("{what}"));
                Ok(())
            }
            _ if self.nodes[place].is_some() => self.end(place),
            _ => {
                self.start(place);
                Ok(())
            }
        }
    }

    fn settle(&mut self) -> Result<(), String> {
        self.tasks();
        self.each(World::settle)
    }

    /// So much time passes, and everybody does all there is to do.
    fn rest(&mut self, time: Duration) -> Result<(), String> {
        for _ in 0..time.div_duration_f64(PAUSE).ceil() as usize {
            self.pass(PAUSE);
            self.settle()?;
        }
        Ok(())
    }

    /// Everything is healed and quiet: nothing waits, what was lost is counted, everybody hears everybody.
    pub fn calm(&mut self) -> Result<(), String> {
        self.trace.note(format_args!("calm"));
        for place in 0..self.nodes.len() {
            if self.nodes[place].is_none() {
                self.start(place);
            }
        }
        let mut manners: Vec<Manners> = Vec::new();
        self.each(|world| {
            manners.push(world.behave());
            Ok(())
        })?;
        while self.shared.record.lock().calm.is_none() {
            self.rest(PAUSE)?;
        }
        self.each(|world| {
            world.connect();
            Ok(())
        })?;
        self.rest(HEARD)?;
        self.each(|world| {
            world.say_all();
            Ok(())
        })?;
        self.rest(TOLD)?;
        self.check_quiet()?;
        let from = self.shared.record.lock().len();
        self.each(|world| {
            world.say_all();
            Ok(())
        })?;
        self.settle()?;
        self.rest(HEARD)?;
        self.check_heard(from)?;
        let mut manners = manners.into_iter();
        self.each(|world| {
            manners
                .next()
                .into_iter()
                .for_each(|one| world.misbehave(one));
            Ok(())
        })
    }

    fn check_quiet(&mut self) -> Result<(), String> {
        for node in self.nodes.iter().flatten() {
            let standing = node.way.standing();
            require(standing.is_at_rest(), || {
                format!("boot {} is not at rest: {standing:?}", node.boot)
            })?;
        }
        self.each(|world| world.check_quiet())?;
        let is_streams = self.is_streams();
        let mut record = self.shared.record.lock();
        record.check_one_order(is_streams)?;
        let untold = |node: &Node| node.way.dropped(&["expired", "refused"]);
        let untold: u64 = self.nodes.iter().flatten().map(untold).sum();
        // In mode `pubsub` a mark tells of the end of a stay once: nobody hears it of a stay that is over who is cut off.
        let stays = self.nodes.iter().flatten().flat_map(Node::stays).collect();
        let stays = Some(&stays).filter(|_| !is_streams);
        for node in self.nodes.iter().flatten() {
            let (lost, counted) = (record.lost(node.boot, &node.open(), stays), node.counted());
            require(lost.len() as u64 <= counted + untold, || {
                let first: Vec<_> = lost.iter().take(8).collect();
                let (boot, count) = (node.boot, lost.len());
                format!("boot {boot} lost {count} and counted {counted} and {untold}: {first:?} …")
            })?;
        }
        Ok(())
    }

    fn check_heard(&mut self, from: usize) -> Result<(), String> {
        if !self.shared.is_roomy {
            return Ok(());
        }
        let record = self.shared.record.lock();
        for node in self.nodes.iter().flatten() {
            for link in node.open() {
                self.looked_for += record.check_heard(node.boot, link, from)?;
            }
        }
        Ok(())
    }

    /// A node goes down, as the real one does: nobody waits for the order any more, the workers drain, the bridge tells
    /// what it can. The others go on meanwhile.
    fn end(&mut self, place: usize) -> Result<(), String> {
        self.stuck.0[place].set(false);
        let is_calm = self.shared.record.lock().calm.is_some();
        let Some(node) = &self.nodes[place] else {
            return Ok(());
        };
        node.way.bridge.close(&node.world.broker);
        self.shared.record.lock().alone(node.boot);
        let deadline = self.with(place, World::begin_drain).unwrap_or_default();
        while self.nodes[place]
            .as_ref()
            .is_some_and(|node| !node.world.is_drained())
        {
            let now = self.shared.clock.now().0;
            require(now <= deadline + 2_000, || {
                "the drain does not end".to_owned()
            })?;
            let millis = self.choices.between(1, 300);
            self.settle()?;
            self.pass(Duration::from_millis(millis));
        }
        // The control plane gives everybody up whose time is over.
        let handshake = self.shared.config.server.handshake_timeout;
        for _ in 0..3 {
            self.pass(handshake + Duration::from_millis(1));
            self.with(place, |world| world.gate.serve_all());
        }
        let checked = self.with(place, |world| {
            world.check()?;
            world.check_empty()
        });
        checked.unwrap_or(Ok(()))?;
        self.leave(place, is_calm)
    }

    fn leave(&mut self, place: usize, is_calm: bool) -> Result<(), String> {
        let Some(Node {
            boot, way, world, ..
        }) = self.nodes[place].take()
        else {
            return Ok(());
        };
        let has_ended = self.shared.runtime.block_on(way.end(GRACE));
        require(has_ended, || format!("boot {boot} does not end"))?;
        let lost = (world.metrics.bridge_dropped).get_or_create(&[("cause", "shutdown")]);
        let (lost, is_calm) = (lost.get(), is_calm && self.faults.is_empty());
        require(!is_calm || lost == 0, || {
            format!("boot {boot} ended with {lost} untold")
        })?;
        self.trace.note(format_args!("boot {boot} has ended"));
        self.shared.record.lock().end(boot);
        self.stir();
        self.pass(Duration::ZERO);
        Ok(())
    }

    /// All nodes end, one after the other.
    pub fn drain(&mut self) -> Result<(), String> {
        (0..self.nodes.len()).try_for_each(|place| self.end(place))
    }
}
