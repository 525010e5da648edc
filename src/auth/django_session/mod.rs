//! Mode `django_session`: whose session the cookie of a Django site is, read here and not by the site.
//!
//! | Engine | Sessions are | and count |
//! |---|---|---|
//! | `signed_cookies` | in the cookie itself: [`signed`] | until SESSION_COOKIE_AGE after they were signed |
//! | `cache` | in the Redis of the site's cache: [`store`] | until Redis forgets them |
//!
//! What either of them holds is read by [`session`]. A session names a user by `_auth_user_id`; `_auth_user_hash`, by
//! which Django ends sessions when a password changes, takes the user's row and is not looked at. A session without a
//! user is nobody's: the next mode is asked. A cookie that is no session lets nobody in.
//!
//! Who is connected by a session of the cache is looked for again ([`recheck`]).
//!
//! Limits: `auth.django_session.session_bytes`, `concurrency`, `cache_entries`; waits are at most `timeout`.

mod login;
mod pickle;
mod recheck;
mod session;
mod signed;
mod store;
#[cfg(test)]
mod tests;

pub use pickle::READ_FACTOR;
pub use recheck::{RECHECK_BYTES, SessionRechecks};
pub use store::{LOOKUP_BYTES, REMEMBERED_BYTES};

use super::answers::Judged;
use super::query::Carried;
use super::{AuthMode, AuthRefusal, Credentials, Judgement, JudgementLater, RefusalAnswer, cookie};
use crate::broker::{Identity, RoomScope, UserRole};
use crate::clock::Clock;
use crate::config::redis::RedisAddress;
use crate::config::{DjangoSessionSettings, RoleName, SessionEngine};
use crate::redis;
use session::{FoundSession, SessionFlaw, SessionUser};
use signed::SignedCookies;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use store::{SessionStore, StoreFailure};

/// A signature over so many bytes, for all keys together, is computed within a worker's turn.
const AT_ONCE_BYTES: usize = 4 * 1024;

/// The mode.
#[derive(Debug)]
pub(crate) struct DjangoSession {
    cookie: String,
    role: UserRole,
    engine: Engine,
    settings: DjangoSessionSettings,
    rechecks: Weak<SessionRechecks>,
    clock: Clock,
}

#[derive(Debug)]
enum Engine {
    SignedCookies(SignedCookies),
    Cache(Arc<SessionStore>),
}

impl DjangoSession {
    /// By the settings. Opens no connection. Who comes in by a session that can be looked for again is told to `rechecks`.
    ///
    /// # Errors
    /// When the certificates of an address cannot be read.
    pub(crate) fn new(
        settings: &DjangoSessionSettings,
        rechecks: &Arc<SessionRechecks>,
    ) -> Result<Self, redis::Error> {
        let engine = match settings.engine {
            SessionEngine::Cache => Engine::Cache(Arc::new(SessionStore::new(settings)?)),
            // Other engines are refused with the settings.
            SessionEngine::SignedCookies | SessionEngine::Db => {
                Engine::SignedCookies(SignedCookies::new(settings))
            }
        };
        Ok(Self {
            cookie: settings.cookie.clone(),
            role: role(settings.role),
            engine,
            settings: settings.clone(),
            rechecks: Arc::downgrade(rechecks),
            clock: Clock::start(),
        })
    }

    /// Is this mode what these settings make, and the sessions that it remembers theirs? Not where a certificate may have
    /// changed in its file.
    pub(crate) fn is_of(&self, settings: &DjangoSessionSettings) -> bool {
        self.settings == *settings && !settings.redis.iter().any(RedisAddress::is_tls)
    }

    /// The settings are taken: who is connected by a session is looked for where these say.
    pub(crate) fn begin(&self) {
        if let (Engine::Cache(store), Some(rechecks)) = (&self.engine, self.rechecks.upgrade()) {
            rechecks.look_in(store);
        }
    }

    /// What a session comes to.
    fn judged(&self, found: Result<FoundSession, SessionFlaw>) -> Judged {
        match found {
            Ok((SessionUser::Nobody, _)) => Judged::Nobody,
            Ok((SessionUser::Known(user), expires_at)) => Judged::In(Arc::new(Identity {
                user: Some(user),
                role: self.role,
                // A session says nothing of rooms.
                rooms: RoomScope::Any,
                expires_at,
            })),
            Err(flaw) => Judged::Out(AuthRefusal {
                answer: RefusalAnswer::Unauthorized,
                cause: flaw.label(),
            }),
        }
    }

    /// What a session in the site's Redis comes to.
    async fn look_up(&self, store: &SessionStore, key: &str, client: IpAddr) -> Judged {
        let now = self.clock.wall().0;
        match store.find(key, Some(client), now).await {
            Ok(found) => {
                let judged = self.judged(found);
                if let (Judged::In(identity), Some(rechecks)) = (&judged, self.rechecks.upgrade()) {
                    rechecks.add(identity, key, store.recheck());
                }
                store.remember(key, &judged, now);
                judged
            }
            Err(StoreFailure) => Judged::Out(AuthRefusal {
                answer: RefusalAnswer::Unavailable,
                cause: "session_store",
            }),
        }
    }
}

impl AuthMode for DjangoSession {
    fn at_once(&self, credentials: &Credentials<'_>) -> Judgement {
        let value = match cookie::value(credentials, &self.cookie) {
            Carried::Nothing | Carried::One("") => return Judgement::Absent,
            Carried::Unclear => return self.judged(Err(SessionFlaw::Unclear)).into(),
            Carried::One(value) => value,
        };
        match &self.engine {
            Engine::SignedCookies(signed) if signed.work_bytes(value) > AT_ONCE_BYTES => {
                Judgement::Later
            }
            Engine::SignedCookies(signed) => {
                self.judged(signed.read(value, self.clock.wall().0)).into()
            }
            Engine::Cache(_) if !store::is_key(value) => self.judged(Err(SessionFlaw::Form)).into(),
            Engine::Cache(store) => store
                .remembered(value)
                .map_or(Judgement::Later, Judgement::from),
        }
    }

    fn in_full<'a>(&'a self, credentials: &'a Credentials<'a>) -> JudgementLater<'a> {
        Box::pin(async {
            let value = match (
                self.at_once(credentials),
                cookie::value(credentials, &self.cookie),
            ) {
                (Judgement::Later, Carried::One(value)) => value,
                (judgement, _) => return judgement,
            };
            match &self.engine {
                Engine::SignedCookies(signed) => {
                    self.judged(signed.read(value, self.clock.wall().0)).into()
                }
                Engine::Cache(store) => self.look_up(store, value, credentials.client).await.into(),
            }
        })
    }
}

fn role(name: RoleName) -> UserRole {
    match name {
        RoleName::Customer => UserRole::Customer,
        RoleName::Agent => UserRole::Agent,
        RoleName::Backend => UserRole::Backend,
    }
}
