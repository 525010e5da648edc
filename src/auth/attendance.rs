//! Who is connected, of those of whom something is known.

use crate::broker::uplink::Author;
use crate::broker::{Broker, ConnectionKey, Identity};
use crate::clock::Clock;
use crate::protocol::CloseReason;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Longest from the end of an identity to the close of its connection, beside what its worker needs.
const PAUSE: Duration = Duration::from_millis(500);

/// Less than every other connection.
const FIRST: Author = Author {
    worker: 0,
    connection: ConnectionKey(0),
};

/// Who is connected with an identity, and when that ends. A connection of whom nothing is known is not here, and costs
/// nothing. Bounded by `limits.connections`.
#[derive(Debug, Default)]
pub struct Attendance(Mutex<Attendants>);

#[derive(Debug, Default)]
struct Attendants {
    by_connection: HashMap<Author, Attendant>,
    /// By the address of their identity, which none of another has as long as one of them is here.
    by_identity: BTreeSet<(usize, Author)>,
    /// When connections end, in seconds since the Unix epoch.
    ends: BTreeSet<(u64, Author)>,
}

#[derive(Debug)]
struct Attendant {
    identity: Arc<Identity>,
    /// As the identity says, or whoever was asked since.
    ends_at: Option<u64>,
}

/// What is found by an identity itself, and not by what it says.
fn address(identity: &Arc<Identity>) -> usize {
    Arc::as_ptr(identity).addr()
}

impl Attendance {
    /// Notes who is connected.
    pub fn enter(&self, author: Author, identity: Arc<Identity>) {
        let mut all = self.0.lock();
        let ends_at = identity.expires_at;
        if let Some(end) = ends_at {
            all.ends.insert((end, author));
        }
        all.by_identity.insert((address(&identity), author));
        let attendant = Attendant { identity, ends_at };
        all.by_connection.insert(author, attendant);
    }

    /// Forgets a connection.
    pub fn leave(&self, author: Author) {
        let mut all = self.0.lock();
        let Some(Attendant { identity, ends_at }) = all.by_connection.remove(&author) else {
            return;
        };
        all.by_identity.remove(&(address(&identity), author));
        if let Some(end) = ends_at {
            all.ends.remove(&(end, author));
        }
        // A crowd that has gone must not leave its table behind.
        if all.by_connection.capacity() > 1024
            && all.by_connection.len() * 4 < all.by_connection.capacity()
        {
            all.by_connection.shrink_to_fit();
        }
    }

    /// The connections of an identity, which is found by itself and not by what it says.
    pub(super) fn holders(&self, identity: &Arc<Identity>) -> Vec<Author> {
        self.0.lock().holders(identity)
    }

    /// Has the connections of an identity end then, in seconds since the Unix epoch, whatever it says itself.
    pub(super) fn end_at(&self, identity: &Arc<Identity>, ends_at: Option<u64>) {
        let all = &mut *self.0.lock();
        for author in all.holders(identity) {
            let Some(attendant) = all.by_connection.get_mut(&author) else {
                continue;
            };
            if let Some(end) = std::mem::replace(&mut attendant.ends_at, ends_at) {
                all.ends.remove(&(end, author));
            }
            if let Some(end) = ends_at {
                all.ends.insert((end, author));
            }
        }
    }

    /// Who a connection is, if something is known of it.
    #[must_use]
    pub fn identity(&self, author: Author) -> Option<Arc<Identity>> {
        let all = self.0.lock();
        let attendant = all.by_connection.get(&author)?;
        Some(Arc::clone(&attendant.identity))
    }

    /// The connections of a user. Looks at every connection that is here: for what is asked seldom.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> Vec<Author> {
        let all = self.0.lock();
        let is_theirs = |identity: &Identity| identity.user.as_deref() == Some(user);
        let found = all.by_connection.iter();
        let found = found.filter(|(_, attendant)| is_theirs(&attendant.identity));
        found.map(|(author, _)| *author).collect()
    }

    /// The connections whose identity has ended by this second since the Unix epoch; each is said once.
    fn take_ended(&self, second: u64) -> Vec<Author> {
        let mut all = self.0.lock();
        let later = all.ends.split_off(&(second.saturating_add(1), FIRST));
        let ended = std::mem::replace(&mut all.ends, later);
        ended.into_iter().map(|(_, author)| author).collect()
    }

    /// Closes each connection with 4501 within a second of the end of its identity, for as long as the node lives, also
    /// while it drains.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub async fn close_ended(&self, broker: &Broker, clock: Clock) {
        loop {
            tokio::time::sleep(PAUSE).await;
            for author in self.take_ended(clock.wall().0) {
                broker.end(author, CloseReason::Expired, None);
            }
        }
    }
}

impl Attendants {
    fn holders(&self, identity: &Arc<Identity>) -> Vec<Author> {
        let address = address(identity);
        let held = self.by_identity.range((address, FIRST)..);
        let held = held.take_while(|(other, _)| *other == address);
        held.map(|(_, author)| *author).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(connection: u64) -> Author {
        Author {
            worker: 1,
            connection: ConnectionKey(connection),
        }
    }

    fn until(expires_at: Option<u64>) -> Arc<Identity> {
        Arc::new(Identity {
            expires_at,
            ..Identity::default()
        })
    }

    #[test]
    fn the_holders_of_an_identity_are_not_those_of_an_equal_one() {
        let attendance = Attendance::default();
        let (one, other) = (until(None), until(None));
        for (connection, identity) in [(1, &one), (2, &other), (3, &one)] {
            attendance.enter(author(connection), Arc::clone(identity));
        }
        assert_eq!(attendance.holders(&one), [author(1), author(3)]);
        assert_eq!(attendance.holders(&until(None)), []);
        attendance.leave(author(1));
        assert_eq!(attendance.holders(&one), [author(3)]);
    }

    #[test]
    fn an_end_that_moves_is_that_of_all_who_hold_the_identity() {
        let attendance = Attendance::default();
        let (one, other) = (until(Some(10)), until(Some(10)));
        for (connection, identity) in [(1, &one), (2, &other), (3, &one)] {
            attendance.enter(author(connection), Arc::clone(identity));
        }
        attendance.end_at(&one, Some(20));
        assert_eq!(attendance.take_ended(10), [author(2)]);
        assert_eq!(attendance.take_ended(19), []);
        attendance.end_at(&one, Some(12));
        attendance.end_at(&one, None);
        assert_eq!(attendance.take_ended(100), []);
        attendance.end_at(&one, Some(15));
        attendance.leave(author(1));
        assert_eq!(attendance.take_ended(15), [author(3)]);
        for connection in [2, 3] {
            attendance.leave(author(connection));
        }
        let all = attendance.0.lock();
        assert!(all.by_connection.is_empty() && all.by_identity.is_empty());
        assert!(all.ends.is_empty());
    }

    #[test]
    fn the_connections_of_a_user_are_found_and_others_are_not() {
        let attendance = Attendance::default();
        for (connection, user) in [
            (1, Some("ann")),
            (2, Some("bob")),
            (3, Some("ann")),
            (4, None),
        ] {
            let user = user.map(Arc::from);
            let identity = Identity {
                user,
                ..Identity::default()
            };
            attendance.enter(author(connection), Arc::new(identity));
        }
        let mut found = attendance.connections_of("ann");
        found.sort();
        assert_eq!(found, [author(1), author(3)]);
        assert_eq!(attendance.connections_of(""), []);
        let user = |connection| Some(attendance.identity(author(connection))?.user.clone());
        assert_eq!((user(2), user(4)), (Some(Some("bob".into())), Some(None)));
        attendance.leave(author(3));
        assert_eq!(attendance.connections_of("ann"), [author(1)]);
        assert_eq!(user(3), None);
    }

    #[test]
    fn an_identity_that_has_ended_is_said_once_and_who_has_left_is_not() {
        let attendance = Attendance::default();
        let ends = [Some(10), Some(11), None, Some(10), Some(u64::MAX - 1)];
        for (connection, end) in (0..).zip(ends) {
            attendance.enter(author(connection), until(end));
        }
        attendance.leave(author(3));
        assert_eq!(attendance.take_ended(9), []);
        assert_eq!(attendance.take_ended(10), [author(0)]);
        assert_eq!(attendance.take_ended(11), [author(1)]);
        assert_eq!(attendance.take_ended(12), []);
        for connection in 0..5 {
            attendance.leave(author(connection));
        }
        let all = attendance.0.lock();
        assert!(all.by_connection.is_empty() && all.ends.is_empty());
    }
}
