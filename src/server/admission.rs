//! Who may open one more connection: a cap in all, a cap per address.
//!
//! An IPv6 address counts as its /64, since one customer's line has at least that many addresses.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An address as admission counts it: IPv4 whole, IPv6 its /64.
#[must_use]
pub fn peer_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // No peer's IPv6 address begins with sixteen ones: ff00::/8 is multicast.
        IpAddr::V4(ip) => 0xffff_0000_0000_0000 | u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

/// What peers count as that speak for many: they share no cap per address. No peer's IPv6 address begins like that.
pub const PROXY: u64 = 0xfffe_0000_0000_0000;

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `limits.connections` is reached.
    Node,
    /// Memory is short (`limits.memory`).
    Memory,
    /// `limits.connections_per_ip` is reached.
    Address,
}

/// As many of those who hold most places are told.
const HEAVIEST: usize = 8;

/// One place of so many, and at least one, is kept from the public listener for those beside it.
const SPARE: usize = 16;

/// Which listener one comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// The public one.
    Public,
    /// One beside it, which cannot have those give way who wait in the public listener's workers: for it some places are kept.
    Beside,
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    by_peer: HashMap<u64, u32, RandomState>,
    /// The same by how many, where that is asked for.
    ranks: Option<BTreeSet<(u32, u64)>>,
}

impl OpenConnections {
    fn held_by(&self, peer: u64) -> usize {
        self.by_peer
            .get(&peer)
            .map_or(0, |&count| count.try_into().unwrap_or(usize::MAX))
    }

    fn add(&mut self, peer: u64) {
        let count = self.by_peer.entry(peer).or_default();
        *count += 1;
        if let Some(ranks) = &mut self.ranks {
            ranks.remove(&(*count - 1, peer));
            ranks.insert((*count, peer));
        }
    }

    fn remove(&mut self, peer: u64) {
        let Some(count) = self.by_peer.get_mut(&peer) else {
            return;
        };
        *count -= 1;
        let left = *count;
        if let Some(ranks) = &mut self.ranks {
            ranks.remove(&(left + 1, peer));
            if left > 0 {
                ranks.insert((left, peer));
            }
        }
        if left == 0 {
            self.by_peer.remove(&peer);
            // A flood of addresses must not leave its table behind.
            if self.by_peer.capacity() > 1024 && self.by_peer.len() * 4 < self.by_peer.capacity() {
                self.by_peer.shrink_to_fit();
            }
        }
    }
}

/// Counts open connections.
#[derive(Debug)]
pub struct Admission {
    open: Mutex<OpenConnections>,
    most: AtomicUsize,
    keeps_spare: bool,
    most_per_peer: AtomicUsize,
}

impl Admission {
    /// Caps; `most_per_peer` 0 = no cap per address.
    #[must_use]
    pub fn new(most: usize, most_per_peer: usize) -> Self {
        Self {
            open: Mutex::default(),
            most: AtomicUsize::new(most),
            keeps_spare: false,
            most_per_peer: AtomicUsize::new(most_per_peer),
        }
    }

    /// The same, and [`Admission::heaviest`] is known at any time.
    #[must_use]
    pub fn ranked(most: usize, most_per_peer: usize) -> Self {
        let admission = Self::new(most, most_per_peer);
        admission.open.lock().ranks = Some(BTreeSet::new());
        admission
    }

    /// The same, and there are listeners beside the public one if `keeps_spare`: a sixteenth of all places, at least one if
    /// there are two, is theirs alone.
    #[must_use]
    pub fn keeping_spare(self, keeps_spare: bool) -> Self {
        Self {
            keeps_spare,
            ..self
        }
    }

    /// Other caps from now on. Who is in stays.
    pub fn set_caps(&self, most: usize, most_per_peer: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.most_per_peer.store(most_per_peer, Ordering::Relaxed);
    }

    /// Counts one more connection of `peer`, which comes by the public listener, until the permit is dropped.
    ///
    /// # Errors
    /// Which cap is reached.
    pub fn enter(self: &Arc<Self>, peer: u64) -> Result<Permit, Full> {
        self.enter_by(ListenerKind::Public, peer)
    }

    /// The same by any listener.
    ///
    /// # Errors
    /// Which cap is reached.
    pub fn enter_by(self: &Arc<Self>, listener: ListenerKind, peer: u64) -> Result<Permit, Full> {
        let mut open = self.open.lock();
        if open.total >= self.most_by(listener) {
            return Err(Full::Node);
        }
        self.check(&open, peer)?;
        // Counted also without a cap: there may be one tomorrow.
        open.add(peer);
        open.total += 1;
        Ok(Permit {
            admission: Arc::clone(self),
            peer,
            handed_over: false,
        })
    }

    /// Has this peer less than the cap?
    fn check(&self, open: &OpenConnections, peer: u64) -> Result<(), Full> {
        let most = self.most_per_peer.load(Ordering::Relaxed);
        let is_capped = most > 0 && peer != PROXY;
        if is_capped && open.held_by(peer) >= most {
            return Err(Full::Address);
        }
        Ok(())
    }

    /// Counts a place that one peer has as another's from now on: it turns out whose it is.
    ///
    /// # Errors
    /// The other has reached its cap; the place stays where it is.
    pub fn move_place(&self, from: u64, to: u64) -> Result<(), Full> {
        if from == to {
            return Ok(());
        }
        let mut open = self.open.lock();
        self.check(&open, to)?;
        open.remove(from);
        open.add(to);
        Ok(())
    }

    /// The peers that hold most places, at most [`HEAVIEST`] of them, who has most first: each at least two and the square root
    /// of all, so that who has a place under each of many addresses does not have others go first who have a few; nobody
    /// unless this was made with [`Admission::ranked`].
    pub fn heaviest(&self) -> Vec<u64> {
        let many = self.most.load(Ordering::Relaxed).isqrt().max(2);
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        let open = self.open.lock();
        let ranks = open.ranks.iter().flat_map(|ranks| ranks.iter().rev());
        let heavy = ranks.take(HEAVIEST).take_while(|(count, _)| *count >= many);
        heavy.map(|&(_, peer)| peer).collect()
    }

    /// Is there no place left for who comes by this listener?
    pub fn is_full_for(&self, listener: ListenerKind) -> bool {
        self.open.lock().total >= self.most_by(listener)
    }

    /// The cap in all of who comes by this listener.
    fn most_by(&self, listener: ListenerKind) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        if self.keeps_spare && listener == ListenerKind::Public && most > 1 {
            most - (most / SPARE).max(1)
        } else {
            most
        }
    }

    /// The permit of a place that [`Permit::hand_over`] left counted.
    pub fn take_back(self: &Arc<Self>, peer: u64) -> Permit {
        Permit {
            admission: Arc::clone(self),
            peer,
            handed_over: false,
        }
    }

    /// Gives a place back that [`Permit::hand_over`] left counted.
    pub fn leave(&self, peer: u64) {
        let mut open = self.open.lock();
        open.total = open.total.saturating_sub(1);
        open.remove(peer);
    }
}

/// A counted place; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    peer: u64,
    handed_over: bool,
}

impl Permit {
    /// Whose place it is.
    #[must_use]
    pub fn peer(&self) -> u64 {
        self.peer
    }

    /// The place is this peer's from now on.
    ///
    /// # Errors
    /// That peer has reached its cap; the place stays whose it was.
    pub fn move_to(&mut self, peer: u64) -> Result<(), Full> {
        self.admission.move_place(self.peer, peer)?;
        self.peer = peer;
        Ok(())
    }

    /// Leaves the place counted; whoever takes over calls [`Admission::leave`] with this peer.
    #[must_use]
    pub fn hand_over(mut self) -> u64 {
        self.handed_over = true;
        self.peer
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.handed_over {
            self.admission.leave(self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> u64 {
        peer_of(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_line_count_together() {
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::9"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }

    #[test]
    fn who_speaks_for_many_is_bounded_by_the_cap_in_all() {
        let admission = Arc::new(Admission::new(3, 1));
        let held: Vec<_> = (0..3).map(|_| admission.enter(PROXY)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(admission.enter(PROXY).unwrap_err(), Full::Node);
        drop(held);
        assert!(admission.enter(1).is_ok());
        assert!(admission.open.lock().by_peer.is_empty());
    }

    #[test]
    fn a_place_moves_to_whose_it_turns_out_to_be_unless_that_has_enough() {
        let admission = Arc::new(Admission::ranked(8, 2));
        let mut places: Vec<_> = (0..3).map(|_| admission.enter(PROXY).unwrap()).collect();
        assert_eq!(places[0].move_to(7), Ok(()));
        assert_eq!(places[0].move_to(7), Ok(()), "moved already");
        assert_eq!(places[1].move_to(7), Ok(()));
        assert_eq!(places[2].move_to(7), Err(Full::Address));
        assert_eq!(places[2].peer(), PROXY, "where it was");
        assert_eq!(admission.enter(7).unwrap_err(), Full::Address);
        assert_eq!(admission.heaviest(), [7], "one place is nobody's many");
        assert_eq!(places[0].move_to(PROXY), Ok(()));
        assert_eq!(admission.heaviest(), [PROXY]);
        let _fourth = admission.enter(PROXY).unwrap();
        let _fifth = admission.enter(7).unwrap();
        assert_eq!(admission.heaviest(), [PROXY, 7], "who has most comes first");
        assert_eq!(admission.open.lock().total, 5);
        drop((places, _fourth, _fifth));
        let open = admission.open.lock();
        assert!(open.by_peer.is_empty() && open.ranks.as_ref().unwrap().is_empty());
    }

    #[test]
    fn who_has_a_few_places_is_not_heavy_and_who_has_the_square_root_of_all_is() {
        let admission = Arc::new(Admission::ranked(4096, 0));
        let enter = |peer| admission.enter(peer).expect("a place");
        let _many_addresses: Vec<_> = (1000..4000).map(enter).collect();
        let mut office: Vec<_> = [7; 63].map(enter).into();
        assert_eq!(admission.heaviest(), [0; 0]);
        office.push(enter(7));
        assert_eq!(admission.heaviest(), [7]);
        admission.set_caps(1 << 16, 0);
        assert_eq!(admission.heaviest(), [0; 0], "a few of so many");
    }

    #[test]
    fn a_few_places_are_kept_for_the_listeners_beside_the_public_one() {
        for (most, public) in [(1, 1), (2, 1), (4, 3), (4096, 3840)] {
            let admission = Arc::new(Admission::new(most, 0).keeping_spare(true));
            let enter = |listener| admission.enter_by(listener, 1).ok();
            let mut places: Vec<_> = (0..public).map(|_| enter(ListenerKind::Public)).collect();
            assert!(places.iter().all(Option::is_some), "{most}");
            assert!(
                admission.is_full_for(ListenerKind::Public)
                    && enter(ListenerKind::Public).is_none()
            );
            places.extend((public..most).map(|_| enter(ListenerKind::Beside)));
            assert!(places.iter().all(Option::is_some), "{most}");
            assert!(
                admission.is_full_for(ListenerKind::Beside)
                    && enter(ListenerKind::Beside).is_none()
            );
        }
        let alone = Arc::new(Admission::new(2, 0));
        let _both = [alone.enter(1).unwrap(), alone.enter(1).unwrap()];
    }

    #[test]
    fn both_caps_hold_and_places_come_back() {
        let admission = Arc::new(Admission::new(3, 2));
        let first = admission.enter(1).unwrap();
        let second = admission.enter(1).unwrap();
        assert_eq!(admission.enter(1).unwrap_err(), Full::Address);
        let _third = admission.enter(2).unwrap();
        assert_eq!(admission.enter(3).unwrap_err(), Full::Node);
        drop(first);
        assert_eq!(second.hand_over(), 1);
        assert!(admission.enter(3).is_ok());
        assert!(
            admission.enter(1).is_ok(),
            "one place of the address is free"
        );
        admission.leave(1);
        assert_eq!(admission.open.lock().by_peer.get(&1), None);
    }
}
