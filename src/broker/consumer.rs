//! What is above the data plane: a route names a [`Consumer`], which gives the messages of its
//! connections their meaning.
//!
//! The broker owns the traits, a higher floor implements them, and a worker calls them. Whoever
//! writes a consumer implements [`Consumer`]; a worker sees all consumers of the node as one value of
//! type [`Consumers`], so that those the node comes with are called without a table of functions.

use super::caller::Identity;
use super::context::Context;
use super::message::{Message, Verdict};
use super::quota::QuotaHolds;
use super::room::Room;
use crate::clock::Millis;
use crate::panics::caught;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What serves a route. Each connection has a consumer of its own, so `self` is what it remembers of
/// that connection.
///
/// Every method is called on the thread of the connection's worker, which serves thousands of others:
/// it must not wait, and should return within microseconds. What has to wait belongs into a task
/// (`Server::builder().route_async`).
///
/// # Panics
/// A panic in here closes this one connection with 1011, is counted (`supportal_panics_total`) and
/// logged; nothing else notices.
pub trait Consumer: Send {
    /// The connection begins: its 101 is about to be written, and it is a member of its room. What is
    /// sent here first, before anything is published, leaves in one write with the 101. Called once, before everything
    /// else.
    fn open(&mut self, _cx: &mut Context<'_>) -> Verdict {
        Verdict::Done
    }

    /// From here on the connection hears what other nodes publish into its room: right after
    /// [`Consumer::open`] on a node without a bridge, within a second or so with one. Called at most once;
    /// messages may come before.
    fn joined(&mut self, _cx: &mut Context<'_>) -> Verdict {
        Verdict::Done
    }

    /// A message of the client, within its rates and limits.
    fn message(&mut self, cx: &mut Context<'_>, message: Message<'_>) -> Verdict;

    /// A message of the client was refused, unread, for its rate (`limits.messages_per_second`): the place to tell the
    /// client so. After `limits.refusals` of them in a row the connection ends with 4429.
    fn too_many(&mut self, _cx: &mut Context<'_>) {}

    /// The connection is gone, however it ended, and has left its room: what is sent to it now is dropped, what is
    /// published reaches who is in the room by now. Called once, last of all, unless the worker's thread itself has
    /// ended.
    fn close(&mut self, _cx: &mut Context<'_>) {}
}

/// What a connection is for: chosen with its handshake, kept by its worker to the end.
pub struct Role {
    /// Which of the node's consumers; the numbers are the [`Consumers`]' own.
    pub(crate) kind: u8,
    /// Whose settings hold for it: the node's (0), or those of the route with this number.
    pub(crate) settings: u8,
    /// What is kept of this connection. In a box, so that a connection of which nothing is kept has 8 bytes for it.
    kept: Option<Box<ConnectionState>>,
}

/// What is kept of a connection beside its socket.
#[derive(Default)]
struct ConnectionState {
    /// Who it is, if somebody known.
    identity: Option<Arc<Identity>>,
    /// What its consumer keeps.
    state: Option<Box<dyn Any + Send>>,
    /// What it uses a share of.
    holds: Option<QuotaHolds>,
}

impl Role {
    /// The role of a consumer that keeps nothing of a connection.
    pub(crate) fn stateless(kind: u8) -> Self {
        Self {
            kind,
            settings: 0,
            kept: None,
        }
    }

    /// The role of a consumer that keeps this of a connection.
    pub(crate) fn with(kind: u8, state: impl Any + Send) -> Self {
        let kept = ConnectionState {
            state: Some(Box::new(state)),
            ..ConnectionState::default()
        };
        Self {
            kind,
            settings: 0,
            kept: Some(Box::new(kept)),
        }
    }

    /// The same role, taken by this somebody.
    pub(crate) fn taken_by(mut self, identity: Arc<Identity>) -> Self {
        self.kept.get_or_insert_default().identity = Some(identity);
        self
    }

    /// The same role, of a connection that uses these shares.
    pub(crate) fn with_holds(mut self, holds: QuotaHolds) -> Self {
        self.kept.get_or_insert_default().holds = Some(holds);
        self
    }

    /// Spends what a message of so many bytes takes of what its connection shares with others; false if there is no more.
    #[inline]
    pub(crate) fn spend(&self, now: Millis, bytes: usize) -> bool {
        match &self.kept {
            None => true,
            Some(kept) => {
                let holds = kept.holds.as_ref();
                holds.is_none_or(|holds| holds.spend(now, bytes))
            }
        }
    }

    /// Drops what the consumer keeps: it is not called again.
    pub(crate) fn end(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.state = None;
        }
    }

    /// Who takes it; `None` for anybody, of whom nothing is known.
    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.kept.as_ref()?.identity.as_ref()
    }

    /// What the consumer keeps, if it is of this type.
    pub(crate) fn state<T: Any>(&self) -> Option<&T> {
        self.kept.as_ref()?.state.as_ref()?.downcast_ref()
    }

    /// As [`Role::state`].
    pub(crate) fn state_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.kept.as_mut()?.state.as_mut()?.downcast_mut()
    }
}

impl Drop for Role {
    /// A role may go wherever its connection ends; what a program keeps in it may panic as it is dropped.
    fn drop(&mut self) {
        if self.kept.is_some() && caught(|| self.end()).is_none() {
            tracing::error!("a consumer panicked as it was dropped");
        }
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// All consumers of a node, as one worker calls them; each worker has a value of its own. The methods
/// of a connection are [`Consumer`]'s, with the role that says whose they are.
pub trait Consumers: Send + 'static {
    /// A turn of the worker begins, at this second and microsecond of wall time.
    fn begin_turn(&mut self, second: u64, micros: u32);

    /// A turn of the worker ends: what was counted in it goes to the metrics.
    fn end_turn(&mut self);

    /// As [`Consumer::open`].
    fn open(&mut self, role: &mut Role, cx: &mut Context<'_>) -> Verdict;

    /// As [`Consumer::joined`].
    fn joined(&mut self, role: &mut Role, cx: &mut Context<'_>) -> Verdict;

    /// As [`Consumer::message`].
    fn message(&mut self, role: &mut Role, cx: &mut Context<'_>, message: Message<'_>) -> Verdict;

    /// As [`Consumer::too_many`], which is counted here.
    fn too_many(&mut self, role: &mut Role, cx: &mut Context<'_>);

    /// As [`Consumer::close`].
    fn close(&mut self, role: &mut Role, cx: &mut Context<'_>);

    /// Is somebody being answered where a connection of this role, a member of `room`, hears it?
    fn is_answering(&self, role: &Role, room: Option<&Room>) -> bool;
}
