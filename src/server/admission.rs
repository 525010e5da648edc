//! Who may open one more connection: a cap in all, a cap per address.
//!
//! An IPv6 address counts as its /64, since one customer's line has at least that many addresses.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
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

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    by_peer: HashMap<u64, u32, RandomState>,
}

/// Counts open connections.
#[derive(Debug)]
pub struct Admission {
    open: Mutex<OpenConnections>,
    most: AtomicUsize,
    most_per_peer: AtomicUsize,
}

impl Admission {
    /// Caps; `most_per_peer` 0 = no cap per address.
    #[must_use]
    pub fn new(most: usize, most_per_peer: usize) -> Self {
        Self {
            open: Mutex::default(),
            most: AtomicUsize::new(most),
            most_per_peer: AtomicUsize::new(most_per_peer),
        }
    }

    /// Other caps from now on. Who is in stays.
    pub fn set_caps(&self, most: usize, most_per_peer: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.most_per_peer.store(most_per_peer, Ordering::Relaxed);
    }

    /// Counts one more connection of `peer`, until the permit is dropped.
    ///
    /// # Errors
    /// Which cap is reached.
    pub fn enter(self: &Arc<Self>, peer: u64) -> Result<Permit, Full> {
        let mut open = self.open.lock();
        if open.total >= self.most.load(Ordering::Relaxed) {
            return Err(Full::Node);
        }
        // Counted also without a cap: there may be one tomorrow.
        let most_per_peer = self.most_per_peer.load(Ordering::Relaxed);
        let count = open.by_peer.entry(peer).or_default();
        let is_capped = most_per_peer > 0 && peer != PROXY;
        if is_capped && *count as usize >= most_per_peer {
            return Err(Full::Address);
        }
        *count += 1;
        open.total += 1;
        Ok(Permit {
            admission: Arc::clone(self),
            peer,
            handed_over: false,
        })
    }

    /// Is the cap in all reached?
    pub fn is_full(&self) -> bool {
        self.open.lock().total >= self.most.load(Ordering::Relaxed)
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
        if let Some(count) = open.by_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                open.by_peer.remove(&peer);
                // A flood of addresses must not leave its table behind.
                if open.by_peer.capacity() > 1024
                    && open.by_peer.len() * 4 < open.by_peer.capacity()
                {
                    open.by_peer.shrink_to_fit();
                }
            }
        }
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
