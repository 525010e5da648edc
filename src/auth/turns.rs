//! The share of one address among the questions under way.
//!
//! An IPv6 address counts as its /64, since one customer's line has at least that many addresses. Who has its share waits
//! for a turn of its own and leaves the others to whoever else comes. As many addresses are kept as have handshakes here.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Gives turns.
#[derive(Debug)]
pub(super) struct AddressTurns {
    /// How many one address may have.
    most: usize,
    by_address: Mutex<HashMap<IpAddr, AddressShare>>,
}

#[derive(Debug)]
struct AddressShare {
    turns: Arc<Semaphore>,
    /// How many have a turn, or wait for one.
    present: usize,
}

/// A turn, or a place among those who wait for one.
#[derive(Debug)]
pub(super) struct AddressTurn<'t> {
    all: &'t AddressTurns,
    address: IpAddr,
    permit: Option<OwnedSemaphorePermit>,
}

impl AddressTurns {
    /// So many for each address.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            by_address: Mutex::default(),
        }
    }

    /// A turn of this address, once it has one that is free.
    ///
    /// # Cancel safety
    /// Dropping it gives up the place among those who wait.
    pub(super) async fn take(&self, client: IpAddr) -> AddressTurn<'_> {
        let address = line_of(client);
        let turns = {
            let mut by_address = self.by_address.lock();
            let share = by_address.entry(address).or_insert_with(|| AddressShare {
                turns: Arc::new(Semaphore::new(self.most)),
                present: 0,
            });
            share.present += 1;
            Arc::clone(&share.turns)
        };
        let mut turn = AddressTurn {
            all: self,
            address,
            permit: None,
        };
        // The semaphore is never closed.
        turn.permit = turns.acquire_owned().await.ok();
        turn
    }
}

impl Drop for AddressTurn<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut by_address = self.all.by_address.lock();
        if let Some(share) = by_address.get_mut(&self.address) {
            share.present -= 1;
            if share.present == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address.
fn line_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn at_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        let mut context = Context::from_waker(Waker::noop());
        match std::pin::Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_address_has_its_share_and_leaves_the_rest() {
        let turns = AddressTurns::new(2);
        let take = |address: &str| {
            let address = address.parse().expect("an address");
            at_once(Box::pin(turns.take(address)))
        };
        let [first, second] = [take("2001:db8::1"), take("2001:db8::ffff:1")];
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8::2").is_none());
        for other in ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"] {
            assert!(take(other).is_some(), "{other}");
        }
        let [third, fourth] = [take("192.0.2.1"), take("::ffff:192.0.2.1")];
        assert!(third.is_some() && fourth.is_some() && take("192.0.2.1").is_none());
        drop(first);
        assert!(take("2001:db8::2").is_some());
        drop((second, third, fourth));
        assert!(turns.by_address.lock().is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_gets_the_next_one_and_who_goes_away_takes_none() {
        let turns = AddressTurns::new(1);
        let address = "192.0.2.1".parse().expect("an address");
        let held = turns.take(address).await;
        let mut gone = Box::pin(turns.take(address));
        let mut next = Box::pin(turns.take(address));
        assert!(at_once(&mut gone).is_none());
        assert!(at_once(&mut next).is_none());
        drop(gone);
        drop(held);
        let turn = next.await;
        assert!(turn.permit.is_some());
        drop(turn);
        assert!(turns.by_address.lock().is_empty());
    }
}
