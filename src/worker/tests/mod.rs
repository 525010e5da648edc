//! Real workers over loopback sockets, without a control plane.

mod asides;
mod containment;
mod drain;
mod fairness;
mod handshakes;
mod order;
mod places;
mod quiet;
mod regressions;
mod rig;
mod shed;
mod spread;
mod stall;

use super::handle::Instruction;
use super::*;
use crate::assistant::{Assistant, Dispatcher};
use crate::broker::Broker;
use crate::broker::ledger::Ledger;
use crate::broker::{Publication, Wake};
use crate::chat;
use crate::clock::{Clock, Millis};
use crate::config;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::name::RoomName;
use crate::protocol::CloseReason;
use crate::transport::{Opcode, encoder};
use bytes::Bytes;
use socket2::SockRef;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(15);

/// An echo connection that says this panics.
const TRIP: &[u8] = b"panic in one connection's code";

/// The fail point in a connection's code.
pub(super) fn trip(payload: &[u8]) {
    assert!(payload != TRIP, "asked for by a test");
}

/// A publication that says this and a member's place panics when it is written to that member.
const TRIP_WRITING: &str = "panic while writing to ";

/// Somebody has set that trap.
static TRIPS: AtomicBool = AtomicBool::new(false);

/// A publication that says this panics when it is delivered.
const TRIP_DELIVERY: &[u8] = b"panic while delivering";

/// The fail point where members are written to.
pub(super) fn trip_writing(index: u32, bytes: &[u8]) {
    if !TRIPS.load(Ordering::Relaxed) {
        return;
    }
    let text = format!("{TRIP_WRITING}{index}.");
    let asked = bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes());
    assert!(!asked, "asked for by a test");
}

/// The fail point where parcels are delivered.
pub(super) fn trip_delivery(parcel: &crate::broker::Parcel) {
    let crate::broker::Parcel::Room { delivery, .. } = parcel else {
        return;
    };
    let asked = delivery.frame.ends_with(TRIP_DELIVERY);
    assert!(!asked, "asked for by a test");
}

fn room(session: &str) -> RoomName {
    RoomName::chat("1", session).expect("a legal name")
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !condition() {
        assert!(clock.now().since(Millis(0)) < PATIENCE, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Workers and what they share.
struct Node {
    workers: Workers,
    handles: WorkerHandles,
    broker: Arc<Broker>,
    metrics: Arc<Metrics>,
    clock: Clock,
    gone: Arc<AtomicU64>,
    listener: TcpListener,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    fn start(workers: usize, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(workers, change, |handle, config, metrics| {
            Dispatcher::start(handle, config, metrics, None).expect("the knowledge inside")
        })
    }

    /// One worker, and this assistant.
    fn answered_by(assistant: Arc<dyn Assistant>) -> Self {
        Self::start_with(
            1,
            |_| {},
            |handle, config, metrics| {
                Dispatcher::with(handle, &config.assistant, &metrics.panics, assistant)
            },
        )
    }

    fn start_with(
        workers: usize,
        change: impl FnOnce(&mut Config),
        dispatcher: impl FnOnce(&Handle, &Config, &Arc<Metrics>) -> Dispatcher,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .expect("a runtime");
        let mut config = Config::default();
        config.server.workers = workers;
        config.chat.welcome = false;
        config.assistant.kind = config::AssistantKind::None;
        config.limits.messages_per_second = 0;
        config.limits.bytes_per_second = 0;
        config.queue.capacity = 10_000;
        config.queue.bytes_max = 64 << 20;
        change(&mut config);
        let metrics = Arc::new(Metrics::new());
        let assistant = dispatcher(runtime.handle(), &config, &metrics);
        let gone = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&gone);
        let clock = Clock::start();
        let slot = |_| WorkerSlot::over_tcp(clock).expect("descriptors");
        let slots = (0..config.server.workers).map(slot);
        let slots: Vec<WorkerSlot> = slots.collect();
        let wake = |slot: &WorkerSlot| {
            let handle = Arc::clone(&slot.handle);
            Box::new(move || handle.wake()) as Wake
        };
        let wakes = slots.iter().map(wake).collect();
        let supplies = Supplies {
            broker: Arc::new(Broker::new(&config.broker, wakes, None)),
            of_routes: config.of_routes().expect("legal").into(),
            config: Arc::new(config),
            clock,
            metrics,
            on_close: Arc::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }),
        };
        let (config, metrics) = (Arc::clone(&supplies.config), Arc::clone(&supplies.metrics));
        let consumers = move || chat::Set::new(&config, &metrics, &assistant, &Arc::default());
        Self {
            broker: Arc::clone(&supplies.broker),
            metrics: Arc::clone(&supplies.metrics),
            clock: supplies.clock,
            handles: WorkerHandles::of(&slots, Arc::clone(&supplies.on_close)),
            workers: Workers::start(slots, supplies, consumers).expect("threads"),
            gone,
            listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
            runtime,
        }
    }

    /// Both ends of a connection: ours, and the one a worker takes over.
    fn pair(&self) -> (Peer, TcpStream) {
        let address = self.listener.local_addr().expect("an address");
        let ours = TcpStream::connect(address).expect("a connection");
        let (theirs, _) = self.listener.accept().expect("a connection");
        theirs.set_nonblocking(true).expect("a socket option");
        theirs.set_nodelay(true).expect("a socket option");
        ours.set_nodelay(true).expect("a socket option");
        ours.set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        (Peer(ours), theirs)
    }

    /// A chat connection on its way to a worker.
    fn handoff(&self, socket: TcpStream, name: Option<&RoomName>) -> Handoff {
        Handoff {
            socket: mio::net::TcpStream::from_std(socket),
            answer: Vec::new(),
            leftover: Bytes::new(),
            role: chat::guide(),
            room: name.cloned(),
            passage: self.workers.place(name),
            counted: 0,
        }
    }

    /// A chat connection on this worker, whatever its room would prefer.
    fn join_on(&self, worker: usize, name: &RoomName) -> Peer {
        let before = self.members(name);
        let (peer, socket) = self.pair();
        assert!(
            self.handles
                .handle(worker)
                .send(Instruction::Open(Box::new(
                    self.handoff(socket, Some(name))
                )))
                .is_none()
        );
        until("the member to join", || self.members(name) > before);
        peer
    }

    /// A chat connection whose kernel buffers are small.
    fn join_slowly(&self, name: &RoomName) -> Peer {
        let before = self.members(name);
        let (peer, socket) = self.pair();
        let small = 4 * 1024;
        SockRef::from(&peer.0)
            .set_recv_buffer_size(small)
            .expect("a socket option");
        SockRef::from(&socket)
            .set_send_buffer_size(small)
            .expect("a socket option");
        self.handles.hand_over(self.handoff(socket, Some(name)));
        until("the member to join", || self.members(name) > before);
        peer
    }

    /// An echo connection with bytes that came with its handshake.
    fn echo(&self, leftover: Vec<u8>) -> Peer {
        let (peer, socket) = self.pair();
        self.handles.hand_over(Handoff {
            role: chat::echo(),
            leftover: Bytes::from(leftover),
            ..self.handoff(socket, None)
        });
        peer
    }

    fn members(&self, name: &RoomName) -> usize {
        self.broker.find(name).map_or(0, |room| room.members())
    }

    fn gone(&self) -> u64 {
        self.gone.load(Ordering::SeqCst)
    }

    fn audit(&self, name: Option<&RoomName>) -> Ledger {
        let mut whole = Ledger::default();
        for report in self.runtime.block_on(self.workers.audit(name)) {
            whole += report.ledger;
        }
        whole
    }

    /// The account once nothing is on its way; the residue must be 0 all along.
    #[track_caller]
    fn settled(&self, name: Option<&RoomName>) -> Ledger {
        let mut whole = Ledger::default();
        until("the account to settle", || {
            let mailboxes = self.broker.mailboxes();
            let idle = (0..self.workers.count()).all(|worker| mailboxes.is_empty(worker));
            whole = self.audit(name);
            assert_eq!(whole.unexplained(), 0, "{whole:?}");
            idle && whole.queued == 0
        });
        whole
    }

    /// Stops a worker until the returned sender is dropped.
    fn freeze(&self, worker: usize) -> mpsc::Sender<()> {
        let (thaw, thawed) = mpsc::channel::<()>();
        let (stopped, has_stopped) = mpsc::channel();
        let block = Box::new(move |_| {
            assert!(stopped.send(()).is_ok());
            // Ends when the test drops its end.
            assert!(thawed.recv().is_err());
        });
        assert!(
            self.handles
                .handle(worker)
                .send(Instruction::Audit(None, block))
                .is_none()
        );
        has_stopped.recv_timeout(PATIENCE).expect("a frozen worker");
        thaw
    }

    fn paused_by_mailbox(&self) -> u64 {
        self.metrics
            .reads_paused
            .get_or_create(&[("reason", "mailbox")])
            .get()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.workers.drain(CloseReason::GoingAway, Duration::ZERO);
        if !std::thread::panicking() {
            self.workers.join();
        }
    }
}

/// An event that fills small buffers at once.
fn large() -> Publication {
    Publication {
        frame: encoder::frame(Opcode::Binary, &[7; 60_000]),
        deadline: Millis::NEVER,
        event: None,
    }
}

/// The other end of a connection.
struct Peer(TcpStream);

fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode as u8];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..126) => frame.push(0x80 | short),
        _ => {
            let length = u16::try_from(payload.len()).expect("a short payload");
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn say(text: &str) -> Vec<u8> {
    masked(
        Opcode::Text,
        format!(r#"{{"message":"{text}"}}"#).as_bytes(),
    )
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("a socket that takes it");
    }

    /// The next frame; `None` at the end of the stream.
    fn receive(&mut self) -> Option<(Opcode, Vec<u8>)> {
        let mut head = [0; 2];
        match self.0.read(&mut head[..1]).expect("a frame in time") {
            0 => return None,
            _ => self.0.read_exact(&mut head[1..]).expect("a whole head"),
        }
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut long = [0; 2];
            self.0.read_exact(&mut long).expect("a whole head");
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).expect("a whole frame");
        let opcode = Opcode::from_bits(head[0] & 0x0f).expect("an opcode");
        Some((opcode, payload))
    }

    /// The text of the next chat event.
    fn hear(&mut self) -> String {
        let (opcode, payload) = self.receive().expect("an event");
        assert_eq!(opcode, Opcode::Text);
        let event: HashMap<String, String> =
            serde_json::from_slice(&payload).expect("an event in JSON");
        event.get("message").expect("a message").clone()
    }

    /// Reads up to the close frame; its code.
    fn hear_close(&mut self) -> u16 {
        loop {
            let (opcode, payload) = self.receive().expect("a close frame");
            if opcode == Opcode::Close {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}
