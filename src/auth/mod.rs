//! Who comes: from what a handshake brings to an [`Identity`], or a refusal.
//!
//! The server asks ([`Authenticator`]) after the path, the handshake's own rules and the origin, and before the caps. The
//! modes of `auth.mode` are asked in their order, and the first that finds credentials of its kind answers; without any
//! mode everybody is anonymous. A mode answers at once if it can, on the thread of a worker; what has to wait or to
//! compute for longer it answers [`Later`](Judgement::Later), on the control plane.
//!
//! Not for origins or addresses (`server`), and not for what somebody may say (`chat`).

mod answers;
mod attendance;
mod cookie;
mod credentials;
pub(crate) mod django_session;
pub(crate) mod forward;
pub mod jwt;
pub mod link;
mod modes;
mod query;
mod recheck;
mod turns;
mod user_hash;

pub use attendance::Attendance;
pub use credentials::Credentials;
pub use forward::{Error, Forward};
pub use modes::{Learnt, Modes, check};
pub use user_hash::user_hash;

use crate::broker::Identity;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a mode makes of credentials.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// None of its kind: the next mode is asked.
    Absent,
    /// Whose they are.
    Known(Arc<Identity>),
    /// These let nobody in.
    Refused(AuthRefusal),
    /// That takes a wait, or longer than a worker's turn can spare: [`AuthMode::in_full`].
    Later,
}

/// Why nobody comes in with these credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthRefusal {
    /// What the client is told.
    pub answer: RefusalAnswer,
    /// Why, for the counter `supportal_auth_refused_total` and a line of level debug: a constant, and no part of what
    /// was brought.
    pub cause: &'static str,
}

/// What a client is told that does not come in. One text for each, whatever the cause: who guesses learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalAnswer {
    /// 401: no credentials that count.
    Unauthorized,
    /// 403: known, and not allowed in this room.
    Forbidden,
    /// 503: who would have to say cannot be asked.
    Unavailable,
}

/// Who it is; `None` for anybody, of whom nothing is known.
pub type Known = Option<Arc<Identity>>;

/// The wait for a mode.
pub type JudgementLater<'a> = Pin<Box<dyn Future<Output = Judgement> + Send + 'a>>;

/// One way to prove who somebody is.
pub trait AuthMode: fmt::Debug + Send + Sync {
    /// What it makes of them without waiting, in 20 µs or less.
    fn at_once(&self, credentials: &Credentials<'_>) -> Judgement;

    /// What it makes of them, however long that takes; never [`Judgement::Later`]. Whatever [`AuthMode::at_once`] can say
    /// this says likewise, so that nobody calls both.
    ///
    /// # Cancel safety
    /// Dropped when the client goes away.
    fn in_full<'a>(&'a self, credentials: &'a Credentials<'a>) -> JudgementLater<'a>;
}

/// Finds out who somebody is.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// In the order of `auth.mode`; without any, everybody is anonymous.
    modes: Vec<Arc<dyn AuthMode>>,
    /// Who comes without credentials of any mode is anonymous: `"none"` is among `auth.mode`.
    admits_anybody: bool,
}

impl Authenticator {
    /// Asks these modes in their order; who brings credentials of none of them is anonymous, or with `admits_anybody`
    /// false refused.
    #[must_use]
    pub fn new(modes: Vec<Arc<dyn AuthMode>>, admits_anybody: bool) -> Self {
        Self {
            modes,
            admits_anybody,
        }
    }

    /// Who it is; `None` if to say so takes a wait ([`Authenticator::verify`]).
    ///
    /// # Errors
    /// Nobody comes in with these credentials.
    pub fn verify_at_once(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Known>, AuthRefusal> {
        for mode in &self.modes {
            match mode.at_once(credentials) {
                Judgement::Absent => {}
                Judgement::Known(identity) => return admitted(identity, credentials).map(Some),
                Judgement::Refused(refusal) => return Err(refusal),
                Judgement::Later => return Ok(None),
            }
        }
        self.without_credentials().map(Some)
    }

    /// Who it is.
    ///
    /// # Errors
    /// Nobody comes in with these credentials.
    pub async fn verify(&self, credentials: &Credentials<'_>) -> Result<Known, AuthRefusal> {
        for mode in &self.modes {
            match mode.in_full(credentials).await {
                Judgement::Absent | Judgement::Later => {}
                Judgement::Known(identity) => return admitted(identity, credentials),
                Judgement::Refused(refusal) => return Err(refusal),
            }
        }
        self.without_credentials()
    }

    fn without_credentials(&self) -> Result<Known, AuthRefusal> {
        if self.modes.is_empty() || self.admits_anybody {
            Ok(None)
        } else {
            Err(AuthRefusal {
                answer: RefusalAnswer::Unauthorized,
                cause: "none",
            })
        }
    }
}

/// Somebody known, if allowed where the path leads.
fn admitted(identity: Arc<Identity>, credentials: &Credentials<'_>) -> Result<Known, AuthRefusal> {
    let (business_id, session_id) = (credentials.business_id, credentials.session_id);
    if identity.rooms.admits(business_id, session_id) {
        Ok(Some(identity))
    } else {
        Err(AuthRefusal {
            answer: RefusalAnswer::Forbidden,
            cause: "room",
        })
    }
}

#[cfg(test)]
mod tests;
