//! Who is connected, of those of whom something is known.

use crate::broker::uplink::Author;
use crate::broker::{Broker, ConnectionKey, Identity};
use crate::clock::Clock;
use crate::protocol::CloseReason;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
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
    by_connection: HashMap<Author, Arc<Identity>>,
    /// When identities end, in seconds since the Unix epoch.
    ends: BTreeSet<(u64, Author)>,
}

impl Attendance {
    /// Notes who is connected.
    pub fn enter(&self, author: Author, identity: Arc<Identity>) {
        let mut all = self.0.lock();
        if let Some(end) = identity.expires_at {
            all.ends.insert((end, author));
        }
        all.by_connection.insert(author, identity);
    }

    /// Forgets a connection.
    pub fn leave(&self, author: Author) {
        let mut all = self.0.lock();
        let Some(identity) = all.by_connection.remove(&author) else {
            return;
        };
        if let Some(end) = identity.expires_at {
            all.ends.remove(&(end, author));
        }
        // A crowd that has gone must not leave its table behind.
        if all.by_connection.capacity() > 1024
            && all.by_connection.len() * 4 < all.by_connection.capacity()
        {
            all.by_connection.shrink_to_fit();
        }
    }

    /// The connections of these identities, each found by itself and not by what it says.
    pub(super) fn holders(&self, identities: &[Arc<Identity>]) -> Vec<Author> {
        if identities.is_empty() {
            return Vec::new();
        }
        let these: HashSet<_> = identities.iter().map(Arc::as_ptr).collect();
        let all = self.0.lock();
        let held = all.by_connection.iter();
        held.filter(|(_, identity)| these.contains(&Arc::as_ptr(identity)))
            .map(|(author, _)| *author)
            .collect()
    }

    /// Who a connection is, if something is known of it.
    #[must_use]
    pub fn identity(&self, author: Author) -> Option<Arc<Identity>> {
        self.0.lock().by_connection.get(&author).cloned()
    }

    /// The connections of a user. Looks at every connection that is here: for what is asked seldom.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> Vec<Author> {
        let all = self.0.lock();
        let is_theirs = |identity: &Identity| identity.user.as_deref() == Some(user);
        let found = all.by_connection.iter();
        let found = found.filter(|(_, identity)| is_theirs(identity));
        found.map(|(author, _)| *author).collect()
    }

    /// The connections whose identity has ended by this second since the Unix epoch; each is said once.
    fn take_ended(&self, second: u64) -> Vec<Author> {
        let mut all = self.0.lock();
        let later = all.ends.split_off(&(second.saturating_add(1), FIRST));
        let ended = std::mem::replace(&mut all.ends, later);
        ended.into_iter().map(|(_, author)| author).collect()
    }

    /// Closes each connection with 4501 within a second of the end of its identity, for as long as the node lives.
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
        let mut holders = attendance.holders(&[Arc::clone(&one)]);
        holders.sort_unstable();
        assert_eq!(holders, [author(1), author(3)]);
        assert_eq!(attendance.holders(&[]), []);
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
