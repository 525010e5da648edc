//! Who is connected by a session in the site's Redis is looked for there again, so that a logout ends what a login began.
//!
//! Where is looked, and how often, is what the settings say by now: a site that has moved its sessions has moved them for
//! everybody. A session in a signed cookie has nothing but its end, and is not here.

use super::session::{SessionFlaw, SessionUser};
use super::store::{SessionStore, StoreFailure};
use crate::auth::Attendance;
use crate::auth::recheck::{Recheck, Rechecked, Rechecks, ask_due};
use crate::broker::{Broker, Identity};
use crate::clock::Clock;
use crate::protocol::CloseReason;
use crate::redis::Randomness;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a session that is to be looked for again: its key, and its place in the order.
pub const RECHECK_BYTES: usize = 256;

/// What the cookie holds, which is not shown.
pub(in crate::auth) struct SessionKey(Box<str>);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey").finish_non_exhaustive()
    }
}

/// Whose sessions are looked for again, for as long as the node lives. As many as connections came in by them.
#[derive(Debug)]
pub struct SessionRechecks {
    due: Rechecks<SessionKey>,
    /// Where they are looked for: as the settings say that were taken last, or that named such a place last.
    store: Mutex<Option<Arc<SessionStore>>>,
    clock: Clock,
}

impl Default for SessionRechecks {
    fn default() -> Self {
        Self {
            due: Rechecks::new(Randomness::default()),
            store: Mutex::default(),
            clock: Clock::start(),
        }
    }
}

impl SessionRechecks {
    /// Has sessions looked for there from now on.
    pub(super) fn look_in(&self, store: &Arc<SessionStore>) {
        *self.store.lock() = Some(Arc::clone(store));
    }

    /// Has a session looked for again that let this identity in; an interval of zero is never.
    pub(super) fn add(&self, identity: &Arc<Identity>, key: &str, interval: Duration) {
        self.add_key(identity, SessionKey(key.into()), interval);
    }

    fn add_key(&self, identity: &Arc<Identity>, key: SessionKey, interval: Duration) {
        if !interval.is_zero() {
            let identity = Arc::downgrade(identity);
            self.due.add(identity, key, interval, self.clock.now());
        }
    }

    /// Looks again for the sessions of those who are connected, for as long as the node lives, also while it drains.
    /// Closed with 4503 are those whose session is gone, or is nobody's or somebody else's by now; the end of the others is
    /// that of their session. A Redis that cannot be asked, and a session that cannot be read, close nobody.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub async fn run(self: Arc<Self>, attendance: Arc<Attendance>, broker: Arc<Broker>) {
        ask_due(self, attendance, broker).await;
    }
}

impl Recheck for SessionRechecks {
    type Question = SessionKey;

    fn together(&self) -> usize {
        let store = self.store.lock();
        // Handshakes have the larger part of the turns.
        store.as_ref().map_or(1, |store| store.turns_of_rechecks())
    }

    fn take_due(&self) -> Option<(Arc<Identity>, SessionKey)> {
        self.due.take_due(self.clock.now())
    }

    fn put_off(&self, identity: &Arc<Identity>, key: SessionKey) {
        let store = self.store.lock().clone();
        if let Some(store) = store {
            self.add_key(identity, key, store.recheck());
        }
    }

    async fn ask_again(
        self: Arc<Self>,
        identity: Arc<Identity>,
        key: SessionKey,
    ) -> Option<(Arc<Identity>, Rechecked)> {
        let store = self.store.lock().clone()?;
        if store.recheck().is_zero() {
            return None;
        }
        let rechecked = match store.find(&key.0, None, self.clock.wall().0).await {
            Ok(Ok((user, end))) if is_same(&user, &identity) => Some(Rechecked::Stays(end)),
            // Whoever logs in anew has another key, and another user's session is not this one's.
            Ok(Ok(_) | Err(SessionFlaw::Unknown)) => {
                store.forget(&key.0);
                Some(Rechecked::Ends(CloseReason::NotAllowed))
            }
            // What cannot be read does not say that anybody has gone.
            Ok(Err(_)) | Err(StoreFailure) => None,
        };
        // Also a session that is gone: a connection that was just being let in is found the next time.
        self.add_key(&identity, key, store.recheck());
        rechecked.map(|rechecked| (identity, rechecked))
    }
}

fn is_same(user: &SessionUser, identity: &Identity) -> bool {
    match user {
        SessionUser::Known(user) => identity.user.as_deref() == Some(user),
        SessionUser::Nobody => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DjangoSessionSettings;

    #[tokio::test]
    async fn a_session_that_is_put_off_is_due_again_and_not_at_once() {
        let address = "redis://127.0.0.1:1/1".to_owned();
        let settings = DjangoSessionSettings {
            redis: vec![address.try_into().expect("an address")],
            ..DjangoSessionSettings::default()
        };
        let store = Arc::new(SessionStore::new(&settings).expect("a store"));
        let rechecks = SessionRechecks::default();
        rechecks.look_in(&store);
        let identity = Arc::new(Identity::default());
        rechecks.put_off(&identity, SessionKey("key".into()));
        let now = rechecks.clock.now();
        assert!(rechecks.due.take_due(now).is_none());
        let found = rechecks.due.take_due(now + store.recheck() * 2);
        assert!(found.is_some_and(|(found, _)| Arc::ptr_eq(&found, &identity)));
    }
}
