//! What happens to Redis, to the ways there and to workers in a simulation of bridges, and how long it lasts.

use crate::sim::redis::{Data, ModelRedis, Which};
use crate::sim::seed::Choices;
use std::time::Duration;
use supportal::internal::clock::Millis;

/// The places of the nodes that faults happen to.
pub trait Places {
    /// How many there are.
    fn count(&self) -> usize;

    /// The worker of the node at this place, if there is one, does nothing, or goes on.
    fn stick(&self, place: usize, is_stuck: bool);
}

/// One of them, under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between the node at this place and Redis.
    CutOff(usize),
    /// Redis stands still.
    StandsStill,
    /// The process is gone, and will find this.
    Down(Data, bool),
    /// It reads its data set.
    Loading,
    /// It follows another one.
    Replica,
    /// It has no memory.
    Full,
    /// The ways of a node are slow.
    Slow(usize),
    /// A worker does nothing.
    Stuck(usize),
}

/// Those that are under way, and when each ends.
#[derive(Debug, Default)]
pub struct Faults {
    under_way: Vec<(Millis, Fault)>,
    /// When the last one of any kind was.
    pub last: Millis,
    /// Redis may lose what it answered for.
    may_lose_data: bool,
}

impl Faults {
    /// None so far.
    pub fn new(may_lose_data: bool) -> Self {
        Self {
            may_lose_data,
            ..Self::default()
        }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn has(&self, fault: &Fault) -> bool {
        let is_same = |(_, known): &(Millis, Fault)| {
            std::mem::discriminant(known) == std::mem::discriminant(fault)
        };
        self.under_way.iter().any(is_same)
    }

    /// Lets something happen; what it was.
    pub fn happen(
        &mut self,
        choices: &mut Choices,
        now: Millis,
        redis: &ModelRedis,
        nodes: &dyn Places,
    ) -> String {
        self.last = now;
        let place = choices.index(nodes.count());
        let fault = match choices.weighted(&[10, 4, 4, 4, 6, 2, 2, 4, 3, 3, 3, 2]) {
            0 => return cut(choices, redis, nodes.count()),
            1 => {
                redis.lag(place, choices.between(1, 9));
                return format!("messages of node {place} are thrown away");
            }
            2 => {
                redis.forget_functions();
                return "Redis forgets its functions".to_owned();
            }
            3 => Fault::StandsStill,
            4 => Fault::CutOff(place),
            5 => Fault::Replica,
            6 => Fault::Full,
            7 => Fault::Slow(place),
            8 => Fault::Stuck(place),
            9 => {
                let data = match choices.below(3) {
                    _ if !self.may_lose_data => Data::All,
                    0 => Data::All,
                    1 => Data::Saved,
                    _ => Data::Nothing,
                };
                Fault::Down(data, choices.percent(50))
            }
            10 => {
                let messages = choices.between(1, 40);
                redis.poison(messages);
                return format!("somebody publishes {messages} messages that are nobody's");
            }
            _ => {
                redis.save();
                return "Redis saves".to_owned();
            }
        };
        if self.has(&fault) || self.has(&Fault::Down(Data::All, false)) {
            return "nothing".to_owned();
        }
        let lasts = Duration::from_millis(choices.between(20, 2_500));
        self.begin(&fault, choices, redis, nodes);
        let line = format!("{fault:?} for {lasts:?}");
        self.under_way.push((now + lasts, fault));
        line
    }

    fn begin(
        &mut self,
        fault: &Fault,
        choices: &mut Choices,
        redis: &ModelRedis,
        nodes: &dyn Places,
    ) {
        match *fault {
            Fault::CutOff(place) => redis.cut_off(place, true),
            Fault::StandsStill => redis.stand_still(true),
            Fault::Down(..) => {
                // Whatever it was, the process is gone.
                let is_of_redis = |fault: &Fault| {
                    let of_redis = [
                        Fault::StandsStill,
                        Fault::Loading,
                        Fault::Replica,
                        Fault::Full,
                    ];
                    of_redis.contains(fault)
                };
                self.under_way.retain(|(_, fault)| !is_of_redis(fault));
                redis.kill();
            }
            Fault::Loading => {}
            Fault::Replica => redis.follow(true),
            Fault::Full => redis.fill(true),
            Fault::Slow(place) => {
                let by = Duration::from_millis(*choices.pick(&[5, 50, 300]));
                redis.slow(place, by);
            }
            Fault::Stuck(place) => nodes.stick(place, true),
        }
    }

    /// Ends those that are over at `now`; what they were. True with a Redis that has lost data.
    pub fn pass(&mut self, now: Millis, redis: &ModelRedis, nodes: &dyn Places) -> Vec<Fault> {
        let mut over = Vec::new();
        self.under_way.retain(|(until, fault)| {
            let is_over = *until <= now;
            if is_over {
                over.push(fault.clone());
            }
            !is_over
        });
        for fault in &over {
            self.last = now;
            match *fault {
                Fault::CutOff(place) => redis.cut_off(place, false),
                Fault::StandsStill => redis.stand_still(false),
                Fault::Down(data, is_loading) => {
                    redis.begin(data, is_loading);
                    if is_loading {
                        let until = now + Duration::from_millis(300);
                        self.under_way.push((until, Fault::Loading));
                    }
                }
                Fault::Loading => redis.loaded(),
                Fault::Replica => redis.follow(false),
                Fault::Full => redis.fill(false),
                Fault::Slow(place) => redis.slow(place, Duration::ZERO),
                Fault::Stuck(place) => nodes.stick(place, false),
            }
        }
        over
    }
}

fn cut(choices: &mut Choices, redis: &ModelRedis, nodes: usize) -> String {
    let node = choices.percent(70).then(|| choices.index(nodes));
    let which = *choices.pick(&[Which::All, Which::Messages, Which::Commands]);
    redis.cut(node, which);
    format!("connections cut: node {node:?}, {which:?}")
}
