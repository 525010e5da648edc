//! The clients of a listener that have not spoken yet: by key, by age, and by whose place each has.

use super::port::Ready;
use crate::clock::Millis;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// A place among the handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPlace {
    /// The socket's peer.
    pub peer: SocketAddr,
    /// What the place counts as: an address, or all trusted proxies together until they have said whom they speak for.
    pub counted: u64,
}

/// A socket whose client has not spoken yet.
pub(super) struct Arrival<S> {
    pub(super) socket: S,
    pub(super) place: PeerPlace,
    pub(super) deadline: Millis,
    /// When its timer fires.
    pub(super) armed: Millis,
    /// What happened to it meanwhile, if it waits for a turn that has time for it.
    pub(super) deferred: Option<Ready>,
    /// How many came before it.
    number: u64,
}

/// All of them, bounded by the gate in number.
pub(super) struct WaitingArrivals<S> {
    /// By the key under which its socket is watched, and which its connection will have.
    by_key: HashMap<u64, Arrival<S>, RandomState>,
    /// The keys of all in order of arrival, the number of each beside.
    by_age: BTreeMap<u64, u64>,
    /// The same for each [`PeerPlace::counted`].
    by_peer: BTreeMap<(u64, u64), u64>,
    come: u64,
}

impl<S> WaitingArrivals<S> {
    pub(super) fn new() -> Self {
        Self {
            by_key: HashMap::default(),
            by_age: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            come: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// One more, the youngest; its timer fires at `armed`.
    pub(super) fn insert(
        &mut self,
        key: u64,
        (socket, place): (S, PeerPlace),
        deadline: Millis,
        armed: Millis,
    ) {
        let number = self.come;
        self.come += 1;
        self.by_age.insert(number, key);
        self.by_peer.insert((place.counted, number), key);
        let arrival = Arrival {
            socket,
            place,
            deadline,
            armed,
            deferred: None,
            number,
        };
        self.by_key.insert(key, arrival);
    }

    pub(super) fn get(&self, key: u64) -> Option<&Arrival<S>> {
        self.by_key.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Arrival<S>> {
        self.by_key.get_mut(&key)
    }

    /// The place turns out to be this one.
    pub(super) fn move_to(&mut self, key: u64, place: PeerPlace) {
        if let Some(arrival) = self.by_key.get_mut(&key) {
            self.by_peer
                .remove(&(arrival.place.counted, arrival.number));
            self.by_peer.insert((place.counted, arrival.number), key);
            arrival.place = place;
        }
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Arrival<S>> {
        let arrival = self.by_key.remove(&key)?;
        self.by_age.remove(&arrival.number);
        self.by_peer
            .remove(&(arrival.place.counted, arrival.number));
        Some(arrival)
    }

    /// Who came first, of those whose place counts as this or of all. One that waits for its worker is not slow: behind it
    /// nobody is looked for.
    pub(super) fn oldest(&self, of: Option<u64>) -> Option<(u64, &Arrival<S>)> {
        let key = match of {
            Some(counted) => {
                let mut of_peer = self.by_peer.range((counted, 0)..=(counted, u64::MAX));
                of_peer.next().map(|(_, key)| *key)
            }
            None => self.by_age.first_key_value().map(|(_, key)| *key),
        }?;
        let arrival = self.by_key.get(&key)?;
        arrival.deferred.is_none().then_some((key, arrival))
    }

    /// All of them, at the end.
    pub(super) fn drain(self) -> impl Iterator<Item = (u64, Arrival<S>)> {
        self.by_key.into_iter()
    }
}
