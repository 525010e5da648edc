//! A whole worker without a thread, with a clock of its own.

use crate::assistant::Dispatcher;
use crate::broker::ledger::Ledger;
use crate::broker::{Broker, Wake};
use crate::chat;
use crate::clock::{Clock, Millis};
use crate::config::{AssistantKind, Config};
use crate::metrics::Metrics;
use crate::name::RoomName;
use crate::transport::{Opcode, encoder};
use crate::worker::handle::Instruction;
use crate::worker::port::{Port, TcpPort};
use crate::worker::turn::Worker;
use crate::worker::{Handoff, Supplies, WorkerHandle, WorkerSlot};
use bytes::Bytes;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A worker without a thread.
pub(in crate::worker) struct Rig {
    pub(in crate::worker) worker: Worker<TcpPort, chat::Set>,
    pub(in crate::worker) handle: Arc<WorkerHandle>,
    pub(in crate::worker) broker: Arc<Broker>,
    pub(in crate::worker) left: Arc<AtomicU64>,
    listener: TcpListener,
    pub(in crate::worker) now: Millis,
}

impl Rig {
    pub(in crate::worker) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.assistant.kind = AssistantKind::None;
        config.chat.welcome = false;
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let metrics = Arc::new(Metrics::new());
        let assistant = Dispatcher::start(runtime.handle(), &config, &metrics, None).unwrap();
        let wake: Wake = Box::new(|| {});
        let broker = Arc::new(Broker::new(&config.broker, vec![wake], None));
        let left = Arc::new(AtomicU64::new(0));
        let leaving = Arc::clone(&left);
        let supplies = Supplies {
            of_routes: config.of_routes().expect("legal").into(),
            config: Arc::new(config),
            clock: Clock::start(),
            broker: Arc::clone(&broker),
            metrics,
            on_close: Arc::new(move |_peer| {
                leaving.fetch_add(1, Ordering::Relaxed);
            }),
        };
        let consumers = chat::Set::new(
            &supplies.config,
            &supplies.metrics,
            &assistant,
            &Arc::default(),
        );
        let slot = WorkerSlot::over_tcp(supplies.clock).unwrap();
        Self {
            handle: Arc::clone(&slot.handle),
            worker: Worker::new(0, slot, &supplies, consumers),
            broker,
            left,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            now: Millis(0),
        }
    }

    /// A connection on its way to the worker, and its peer.
    pub(in crate::worker) fn handoff(&self, room: Option<&str>) -> (TcpStream, Handoff) {
        let peer = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let handoff = Handoff {
            socket: mio::net::TcpStream::from_std(socket),
            answer: Vec::new(),
            leftover: Bytes::new(),
            role: if room.is_some() {
                chat::guide()
            } else {
                chat::echo()
            },
            room: room.map(|name| RoomName::chat("1", name).unwrap()),
            passage: self.broker.place(None, self.now),
            counted: 7,
        };
        (peer, handoff)
    }

    pub(in crate::worker) fn open(&mut self, room: Option<&str>) -> TcpStream {
        let (peer, handoff) = self.handoff(room);
        assert!(
            self.handle
                .send(Instruction::Open(Box::new(handoff)))
                .is_none()
        );
        self.turn_at(self.now.0);
        peer
    }

    /// The worker's account of this room.
    pub(in crate::worker) fn room_ledger(&mut self, name: &RoomName) -> Ledger {
        let room = self.broker.find(name);
        let slot = room.and_then(|room| room.slot_on(0));
        self.worker.members.ledger_of(slot)
    }

    /// One turn at this moment, with whatever the sockets say within 20 ms.
    pub(in crate::worker) fn turn_at(&mut self, millis: u64) {
        self.now = Millis(millis);
        let mut events = TcpPort::events(64);
        let patience = Some(Duration::from_millis(20));
        self.worker
            .connections
            .port
            .wait(&mut events, patience)
            .unwrap();
        let begun = self.worker.connections.port.now();
        self.worker.turn(self.now, begun, &events);
    }

    /// Some turns at the same moment.
    pub(in crate::worker) fn settle_at(&mut self, millis: u64) {
        for _ in 0..5 {
            self.turn_at(millis);
        }
    }
}

/// What the peer can read now.
pub(in crate::worker) fn read(peer: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

/// A frame as a client sends it, with a mask of zeros.
pub(in crate::worker) fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder::put_header(&mut out, opcode, payload.len());
    out[1] |= 0x80;
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

/// What one peer hears: texts as they are, `pong:…`, `close:…`.
#[derive(Default)]
pub(in crate::worker) struct Ear {
    bytes: Vec<u8>,
    pub(in crate::worker) heard: Vec<String>,
    /// The stream has ended.
    pub(in crate::worker) ended: bool,
}

impl Ear {
    /// Reads what is there.
    pub(in crate::worker) fn listen(&mut self, peer: &mut TcpStream) {
        peer.set_nonblocking(true).unwrap();
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count) = peer.read(&mut bytes) {
            self.bytes.extend_from_slice(&bytes[..count]);
            if count == 0 {
                self.ended = true;
                break;
            }
        }
        peer.set_nonblocking(false).unwrap();
        while let Some(length) = self.frame() {
            self.bytes.drain(..length);
        }
    }

    /// Notes the frame in front, if it is whole; its length.
    fn frame(&mut self) -> Option<usize> {
        let (head, length) = match self.bytes.as_slice() {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            [_, 126, ..] | [] | [_] => return None,
            [_, length, ..] => (2, usize::from(*length)),
        };
        let payload = self.bytes.get(head..head + length)?;
        let text = String::from_utf8_lossy(payload).into_owned();
        self.heard.push(match self.bytes[0] {
            0x81 | 0x82 => text,
            0x8a => format!("pong:{text}"),
            0x88 => format!("close:{}", u16::from_be_bytes([payload[0], payload[1]])),
            other => format!("{other:x}"),
        });
        Some(head + length)
    }
}
