//! One node in a simulation: real workers over one real broker, with real consumers, and everybody around them.

use crate::sim::client::{Client, Pace};
use crate::sim::gate::SimGate;
use crate::sim::network::Network;
use crate::sim::oracle::{ANSWER, Judge, Oracle, Witness};
use crate::sim::port::{self, Found, Shared, SimListening, SimPort, SimWaker};
use crate::sim::seed::Choices;
use crate::sim::settings;
use crate::sim::trace::Trace;
use parking_lot::Mutex;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use supportal::config::{Config, Deliver, Dialect};
use supportal::internal::assistant::Dispatcher;
use supportal::internal::broker::{Broker, Uplink, Wake};
use supportal::internal::chat::Set;
use supportal::internal::clock::Clock;
use supportal::internal::metrics::Metrics;
use supportal::internal::worker::{
    Instruction, Listener, Port, Supplies, Worker, WorkerHandle, WorkerSlot,
};
use supportal::{Assistant, Failure, Piece, Question, Replies};
use tokio::runtime::{Handle, Runtime};

/// What the clock shows at first, in milliseconds.
const START: u64 = 1_000;

/// Most clients of one node.
const CLIENTS_MAX: usize = 24;

/// What may happen: a worker's turn, a client's act, time, the control plane, replies, a signal, somebody who comes, a
/// worker that is given no core.
const ACTS: [u64; 8] = [450, 400, 50, 30, 30, 2, 30, 8];

/// A worker, and when its sleep ends.
pub struct Thread {
    pub worker: Option<Worker<SimPort, Set>>,
    pub handle: Arc<WorkerHandle<SimPort>>,
    events: Found,
    /// When it began to sleep, and how long it may.
    asleep: (u64, Option<Duration>),
    /// It is not given the core before this step.
    frozen: u64,
}

impl Thread {
    /// When it wakes up by itself.
    pub fn due(&self) -> Option<u64> {
        let (since, timeout) = self.asleep;
        Some(since + timeout?.as_millis() as u64)
    }
}

/// Answers after a while that the question itself decides.
struct Slow;

impl Assistant for Slow {
    fn answer(&self, question: Question) -> Replies {
        let (pieces, replies) = Replies::channel();
        let number = super::wire::number(question.text.as_bytes()).unwrap_or(0);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(number * 37 % 600)).await;
            let answer = if number.is_multiple_of(7) {
                Err(Failure::Failed)
            } else {
                Ok(Piece::Text(format!("~{}~", number + ANSWER)))
            };
            // Nobody may be there any more.
            drop(pieces.send(answer).await);
            drop(pieces.send(Ok(Piece::End)).await);
        });
        replies
    }

    fn name(&self) -> &'static str {
        "slow"
    }
}

/// What a node is made with.
pub struct Basis {
    pub choices: Choices,
    pub config: Arc<Config>,
    /// Everything has room.
    pub is_roomy: bool,
    /// At least and at most.
    pub workers: (u64, u64),
    /// Somebody may answer.
    pub is_answered: bool,
    /// Of the control plane, whose time is paused.
    pub runtime: Rc<Runtime>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// What the clock shows.
    pub now: u64,
    pub uplink: Box<dyn Uplink>,
    pub oracle: Box<dyn Judge>,
}

/// A runtime whose time passes when a simulation says so.
pub fn runtime() -> Rc<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    Rc::new(runtime.expect("a runtime without I/O"))
}

/// One node and everybody around it.
pub struct World {
    pub choices: Choices,
    pub config: Arc<Config>,
    /// Everything has room: nothing may be dropped while its client is there.
    pub is_roomy: bool,
    pub network: Shared,
    pub gate: Arc<SimGate>,
    pub broker: Arc<Broker>,
    pub metrics: Arc<Metrics>,
    pub threads: Vec<Thread>,
    pub clients: Vec<Client>,
    pub oracle: Box<dyn Judge>,
    pub assistant: Dispatcher,
    pub runtime: Rc<Runtime>,
    pub trace: Trace,
    /// How many rooms there are.
    pub rooms: u64,
    /// Of the last message said.
    pub number: u64,
    pub clients_max: usize,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let (config, is_roomy) = settings::draw(&mut choices);
        let witness = Witness::default();
        let oracle = Oracle::new(&witness, config.chat.deliver == Deliver::Room);
        Self::over(Basis {
            choices,
            config: Arc::new(config),
            is_roomy,
            workers: (2, 3),
            is_answered: true,
            runtime: runtime(),
            clock: port::clock(),
            metrics: Arc::new(Metrics::new()),
            now: START,
            uplink: Box::new(witness),
            oracle: Box::new(oracle),
        })
    }

    /// A node of these parts.
    pub fn over(basis: Basis) -> Self {
        let Basis {
            mut choices,
            config,
            runtime,
            metrics,
            ..
        } = basis;
        let workers = choices.between(basis.workers.0, basis.workers.1) as usize;
        let network = Arc::new(Mutex::new(Network::new(choices.part(), workers)));
        port::set_time(&mut network.lock(), basis.now);
        network.lock().rudeness = *choices.pick(&[0, 2, 10]);
        network.lock().turn_millis = *choices.pick(&[0, 0, 1, 40]);
        let is_answered = basis.is_answered && choices.once_in(3);
        let assistant = assistant(is_answered, &config, runtime.handle(), &metrics);
        let slots: Vec<_> = (0..workers).map(|id| slot(&network, id)).collect();
        let wakes = slots.iter().map(|slot| wake(&slot.handle)).collect();
        let broker = Arc::new(Broker::new(&config.broker, wakes, [basis.uplink]));
        let is_django = config.chat.dialect == Dialect::Django;
        let gate = SimGate::new(&network, &broker, is_django);
        let closing = Arc::clone(&gate);
        let supplies = Supplies {
            config: Arc::clone(&config),
            of_routes: Arc::new([]),
            clock: basis.clock,
            broker: Arc::clone(&broker),
            metrics: Arc::clone(&metrics),
            on_close: Arc::new(move |peer| closing.closed(peer)),
        };
        let handles: Vec<_> = slots.iter().map(|slot| Arc::clone(&slot.handle)).collect();
        gate.know(handles);
        let listener = Listener::new(
            SimListening(Arc::clone(&network)),
            Arc::clone(&gate) as _,
            config.server.handshake_timeout,
        );
        let listen = Instruction::Listen(Box::new(listener));
        assert!(slots[0].handle.send(listen).is_none(), "it has not ended");
        Self {
            threads: threads(slots, &supplies, &assistant, basis.now),
            rooms: choices.between(1, 4),
            choices,
            config,
            is_roomy: basis.is_roomy,
            network,
            gate,
            broker,
            metrics,
            clients: Vec::new(),
            oracle: basis.oracle,
            assistant,
            runtime,
            trace: Trace::default(),
            number: 0,
            clients_max: CLIENTS_MAX,
        }
    }

    pub fn now(&self) -> u64 {
        self.network.lock().now
    }

    /// Would this worker's sleep be over?
    pub fn is_runnable(&self, id: usize) -> bool {
        let thread = &self.threads[id];
        let is_due = thread.due().is_some_and(|due| due <= self.now());
        thread.worker.is_some() && (is_due || self.network.lock().is_ready(id))
    }

    /// One turn of a worker.
    pub fn run(&mut self, id: usize) -> Result<(), String> {
        let thread = &mut self.threads[id];
        let Some(worker) = &mut thread.worker else {
            return Ok(());
        };
        worker
            .wait(&mut thread.events, thread.asleep.1)
            .map_err(|error| format!("worker {id}: {error}"))?;
        let next = worker.next_wait();
        let now = self.network.lock().now;
        match next {
            Some(timeout) => thread.asleep = (now, timeout),
            None => thread.worker = None,
        }
        let events = self.network.lock().events;
        let queued = self.metrics.deliveries_queued.get();
        self.trace.note(format_args!(
            "worker {id} at {now}: {events} written, {queued} queued, sleeps {next:?}"
        ));
        self.check()
    }

    /// Time passes for everybody.
    pub fn pass(&mut self, millis: u64) {
        let mut network = self.network.lock();
        let now = network.now + millis;
        port::set_time(&mut network, now);
        drop(network);
        self.trace.note(format_args!("{millis} ms pass"));
        if self.assistant.enabled() {
            let passed = tokio::time::advance(Duration::from_millis(millis));
            self.runtime.block_on(passed);
            self.reply();
        }
    }

    /// The control plane's tasks run.
    pub fn reply(&self) {
        if self.assistant.enabled() {
            self.runtime.block_on(async {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// One choice.
    pub fn step(&mut self) -> Result<(), String> {
        self.trace.step += 1;
        if self.trace.step.is_multiple_of(600) {
            return self.calm();
        }
        self.act(&ACTS)
    }

    /// One of the [`ACTS`], by these weights.
    pub fn act(&mut self, weights: &[u64; 8]) -> Result<(), String> {
        match self.choices.weighted(weights) {
            0 => self.some_worker(),
            1 => {
                self.some_client();
                Ok(())
            }
            2 => {
                self.some_time();
                Ok(())
            }
            3 => {
                self.gate.serve_all();
                Ok(())
            }
            4 => {
                self.reply();
                Ok(())
            }
            5 => {
                // A signal wakes it.
                let id = self.choices.index(self.threads.len());
                self.run(id)
            }
            6 => {
                self.connect();
                Ok(())
            }
            _ => {
                let id = self.choices.index(self.threads.len());
                self.threads[id].frozen = self.trace.step + self.choices.below(200);
                Ok(())
            }
        }
    }

    fn some_worker(&mut self) -> Result<(), String> {
        let from = self.choices.index(self.threads.len());
        for offset in 0..self.threads.len() {
            let id = (from + offset) % self.threads.len();
            if self.threads[id].frozen < self.trace.step && self.is_runnable(id) {
                return self.run(id);
            }
        }
        self.some_client();
        Ok(())
    }

    pub fn connect(&mut self) {
        if self.clients.len() < self.clients_max {
            let mut network = self.network.lock();
            let client = Client::connect(&mut network, &mut self.choices, self.rooms);
            let room = &client.room;
            self.trace
                .note(format_args!("link {} comes to {room}", client.link));
            self.clients.push(client);
        }
    }

    fn some_time(&mut self) {
        let millis = match self.choices.below(40) {
            0 if self.is_roomy => 1_000,
            0 => *self.choices.pick(&[5_000, 30_000, 100_000]),
            1..=3 => 1_000,
            4..=12 => self.choices.below(100),
            _ => self.choices.below(5),
        };
        self.pass(millis);
        if self.choices.once_in(20) {
            self.network.lock().wall_offset =
                self.choices.below(2_000_000).cast_signed() - 1_000_000;
        }
    }

    /// Says one more message.
    pub fn say(&mut self, at: usize) {
        self.number += 1;
        let text_bytes = self.config.chat.text_bytes_max;
        let client = &mut self.clients[at];
        client.say(&mut self.choices, self.number, text_bytes);
        self.trace
            .note(format_args!("link {} says ~{}~", client.link, self.number));
    }

    fn some_client(&mut self) {
        if self.clients.is_empty() {
            return self.connect();
        }
        let at = self.choices.index(self.clients.len());
        let act = self.choices.weighted(&[250, 330, 300, 20, 8, 8, 4, 4, 30]);
        if act == 0 && self.clients[at].may_speak() {
            return self.say(at);
        }
        let mut network = self.network.lock();
        let (client, choices) = (&mut self.clients[at], &mut self.choices);
        let (what, count) = match act {
            0 | 1 => {
                let most = *choices.pick(&[1, 40, 300, 100_000]);
                ("sends", client.send(&mut network, most))
            }
            2 => {
                let most = match client.pace {
                    Pace::All => usize::MAX,
                    Pace::Some(most) => choices.index(most),
                    Pace::Stopped => 0,
                };
                ("reads", client.read(&mut network, choices, most))
            }
            3 if client.may_speak() => {
                client.ping(choices);
                ("pings", 0)
            }
            4 if client.may_speak() => {
                client.close(choices);
                ("closes", 0)
            }
            5 if client.may_speak() => {
                client.half_close();
                ("ends its side", 0)
            }
            6 if client.may_speak() => {
                client.garble(choices);
                ("says something wrong", 0)
            }
            7 if !client.has_reset => {
                client.reset(&mut network);
                ("resets", 0)
            }
            8 => {
                client.pace = *choices.pick(&[Pace::All, Pace::Some(200), Pace::Stopped]);
                ("changes its pace", 0)
            }
            _ => return,
        };
        self.trace
            .note(format_args!("link {} {what} {count}", client.link));
    }
}

fn assistant(
    is_answered: bool,
    config: &Config,
    handle: &Handle,
    metrics: &Arc<Metrics>,
) -> Dispatcher {
    if is_answered {
        let settings = &config.assistant;
        Dispatcher::with(handle, settings, &metrics.panics, Arc::new(Slow))
    } else {
        Dispatcher::start(handle, config, metrics, None).expect("nobody answers")
    }
}

fn threads(
    slots: Vec<WorkerSlot<SimPort>>,
    supplies: &Supplies,
    assistant: &Dispatcher,
    now: u64,
) -> Vec<Thread> {
    let threads = slots.into_iter().enumerate().map(|(id, slot)| {
        let consumers = Set::new(
            &supplies.config,
            &supplies.metrics,
            assistant,
            &Arc::default(),
        );
        let handle = Arc::clone(&slot.handle);
        let mut worker = Worker::new(id, slot, supplies, consumers);
        Thread {
            asleep: (now, worker.next_wait().expect("it has not ended")),
            worker: Some(worker),
            handle,
            events: SimPort::events(64),
            frozen: 0,
        }
    });
    threads.collect()
}

fn slot(network: &Shared, id: usize) -> WorkerSlot<SimPort> {
    let port = SimPort {
        network: Arc::clone(network),
        id,
    };
    let waker = SimWaker {
        network: Arc::clone(network),
        id,
    };
    WorkerSlot::new(port, waker)
}

fn wake(handle: &Arc<WorkerHandle<SimPort>>) -> Wake {
    let handle = Arc::clone(handle);
    Box::new(move || handle.wake())
}
