//! Who comes in: the server's part in a simulation, with the real checks of a handshake; and the control plane,
//! which reads what takes longer than one read.

use crate::sim::port::{Shared, SimPort, SimSocket};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use supportal::RoomName;
use supportal::internal::broker::{Broker, Role};
use supportal::internal::chat::{self, DjangoPeer};
use supportal::internal::clock::Millis;
use supportal::internal::transport::handshake::{RequestHead, answer, check};
use supportal::internal::worker::{Accepted, Gate, Handoff, Instruction, PeerPlace, WorkerHandle};

/// A socket on the control plane, whose head is not whole.
struct Waiting {
    socket: SimSocket,
    read: Vec<u8>,
    peer: SocketAddr,
    deadline: u64,
}

/// Who is where.
#[derive(Default)]
struct Peers {
    /// Handshakes begun and not over, with the workers.
    shaking: BTreeSet<u64>,
    /// Connections.
    open: BTreeSet<u64>,
    waiting: Vec<Waiting>,
    faults: Vec<String>,
}

/// The way in.
pub struct SimGate {
    network: Shared,
    broker: Arc<Broker>,
    is_django: bool,
    handles: OnceLock<Vec<Arc<WorkerHandle<SimPort>>>>,
    peers: Mutex<Peers>,
}

impl SimGate {
    pub fn new(network: &Shared, broker: &Arc<Broker>, is_django: bool) -> Arc<Self> {
        Arc::new(Self {
            network: Arc::clone(network),
            broker: Arc::clone(broker),
            is_django,
            handles: OnceLock::new(),
            peers: Mutex::default(),
        })
    }

    pub fn know(&self, handles: Vec<Arc<WorkerHandle<SimPort>>>) {
        assert!(self.handles.set(handles).is_ok(), "told once");
    }

    /// A connection is gone.
    pub fn closed(&self, peer: u64) {
        let mut peers = self.peers.lock();
        if !peers.open.remove(&peer) {
            let fault = format!("peer {peer} was given back and is no connection");
            peers.faults.push(fault);
        }
    }

    pub fn fault(&self) -> Option<String> {
        self.peers.lock().faults.first().cloned()
    }

    /// Places that are not given back: of handshakes with workers, on the control plane, of connections.
    pub fn held(&self) -> [usize; 3] {
        let peers = self.peers.lock();
        [peers.shaking.len(), peers.waiting.len(), peers.open.len()]
    }

    /// The control plane looks at everybody once; how many it is done with.
    pub fn serve_all(&self) -> usize {
        let waiting = std::mem::take(&mut self.peers.lock().waiting);
        let count = waiting.len();
        let kept: Vec<_> = waiting
            .into_iter()
            .filter_map(|one| self.serve_one(one))
            .collect();
        let mut peers = self.peers.lock();
        let done = count - kept.len();
        peers.waiting.extend(kept);
        done
    }

    fn serve_one(&self, mut waiting: Waiting) -> Option<Waiting> {
        let mut bytes = [0; 512];
        loop {
            match waiting.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => waiting.read.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let now = self.network.lock().now;
                    return (now < waiting.deadline).then_some(waiting);
                }
                Err(_) => return None,
            }
            let peer = waiting.peer;
            if let Some(accepted) = Gate::accept(self, &waiting.read, peer) {
                self.hand_over(Handoff {
                    socket: waiting.socket,
                    answer: accepted.answer,
                    leftover: Bytes::copy_from_slice(&waiting.read[accepted.length..]),
                    role: accepted.role,
                    room: accepted.room,
                    passage: accepted.passage,
                    counted: accepted.counted,
                });
                return None;
            }
        }
    }

    fn role(&self, kind: &str, room: &RoomName) -> Role {
        match kind {
            "echo" => chat::echo(),
            "relay" => chat::relay(),
            _ if self.is_django => chat::django(DjangoPeer {
                business_id: room.business_id().to_owned(),
                session_id: room.session_id().to_owned(),
                error: None,
                answers: true,
                prompts: room.clone(),
            }),
            _ => chat::guide(),
        }
    }
}

/// A head as far as this simulation's clients write one: its target, and what is checked.
fn parse(bytes: &[u8]) -> Option<(&str, RequestHead<'_>, usize)> {
    let length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let mut lines = std::str::from_utf8(&bytes[..length]).ok()?.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?, first.next()?);
    let fields = lines.filter_map(|line| line.split_once(": "));
    let head = RequestHead {
        method,
        is_http_11: true,
        fields: fields
            .map(|(name, value)| (name, value.as_bytes()))
            .collect(),
    };
    Some((target, head, length))
}

/// Who is at this address.
fn number(peer: SocketAddr) -> u64 {
    match peer.ip() {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(_) => 0,
    }
}

impl Gate<SimSocket> for SimGate {
    fn admit(&self, socket: SimSocket, peer: SocketAddr) -> Option<(SimSocket, PeerPlace)> {
        let counted = number(peer);
        self.peers.lock().shaking.insert(counted);
        Some((socket, PeerPlace { peer, counted }))
    }

    fn accept(&self, bytes: &[u8], peer: SocketAddr) -> Option<Accepted> {
        let (target, head, length) = parse(bytes)?;
        let offer = check(&head).ok()?;
        let mut parts = target.trim_matches('/').split('/');
        let (kind, session) = (parts.next()?, parts.next()?);
        let name = RoomName::chat("7", session)?;
        let role = self.role(kind, &name);
        let room = (kind != "echo").then_some(name);
        let now = Millis(self.network.lock().now);
        let counted = number(peer);
        self.peers.lock().open.insert(counted);
        Some(Accepted {
            length,
            answer: answer(&offer),
            role,
            passage: self.broker.place(room.as_ref(), now),
            room,
            counted,
        })
    }

    fn leave(&self, place: PeerPlace) {
        let mut peers = self.peers.lock();
        if !peers.shaking.remove(&place.counted) {
            let fault = format!("peer {} leaves a handshake that it is not in", place.peer);
            peers.faults.push(fault);
        }
    }

    fn serve(&self, socket: SimSocket, read: Bytes, place: PeerPlace, left: Duration) {
        self.leave(place);
        let deadline = self.network.lock().now + left.as_millis() as u64;
        self.peers.lock().waiting.push(Waiting {
            socket,
            read: read.to_vec(),
            peer: place.peer,
            deadline,
        });
    }

    fn hand_over(&self, handoff: Handoff<SimSocket>) {
        let handles = self.handles.get().expect("told before anybody comes");
        let handle = &handles[handoff.passage.worker()];
        let given_back = handle.send(Instruction::Open(Box::new(handoff)));
        if let Some(Instruction::Open(handoff)) = given_back {
            self.closed(handoff.counted);
        }
    }
}
