//! The consumers that a node comes with, and the place of a user's own among them: what a message
//! means.
//!
//! | Consumer | What it does |
//! |---|---|
//! | [`guide()`] | The chat contract of the guide, as a member of a room. |
//! | [`django()`] | The chat contract of `django_supportal`, which also takes in those who cannot join. |
//! | [`echo()`] | Every message goes back as it came. |
//! | [`relay()`] | Every message goes to all members of the room as it came. |
//! | [`own()`] | A consumer of the program that uses this library. |
//!
//! Workers are strangers: they call [`broker::Consumers`], which [`Set`] implements, and `node`
//! puts the two together. Not for sockets, timers, rates or queues (`worker`), and not for who may come in
//! (`server`).

mod calls;
mod codec;
mod django;
mod echo;
mod guide;
mod held;
mod own;
mod relay;
mod reply;
mod session;

pub(crate) use calls::Calls;
pub use django::DjangoPeer;
pub use own::OwnRoute;
pub(crate) use session::{Begin, RECEIVED_BYTES, TASKS_PER_CONNECTION, Tasks};
pub use session::{Received, Session};

use crate::assistant::Dispatcher;
use crate::auth::Attendance;
use crate::broker::room::Room;
use crate::broker::{self, Caller, Consumer, Context, Message, Role, Verdict};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::protocol::ErrorCode;
use crate::vetting::Vetting;
use codec::Codec;
use django::Django;
use echo::Echo;
use guide::Guide;
use own::Own;
use relay::Relay;
use std::sync::Arc;

/// The numbers of the consumers in [`Role`]s.
const GUIDE: u8 = 0;
const DJANGO: u8 = 1;
const ECHO: u8 = 2;
const RELAY: u8 = 3;
const OWN: u8 = 4;
/// The first two where what is said is vetted: from the opening of a connection on. Of their own, so that the others are called as on a
/// node without vetting.
const VETTED_GUIDE: u8 = 5;
const VETTED_DJANGO: u8 = 6;

/// A member of a chat, as the guide has it.
#[must_use]
pub fn guide() -> Role {
    Role::stateless(GUIDE)
}

/// Somebody who comes to a chat of dialect `django`.
#[must_use]
pub fn django(peer: DjangoPeer) -> Role {
    Role::with(DJANGO, peer)
}

/// Somebody who wants every message back as it came (conformance suites).
#[must_use]
pub fn echo() -> Role {
    Role::stateless(ECHO)
}

/// A member of a room whose members see each other's messages.
#[must_use]
pub fn relay() -> Role {
    Role::stateless(RELAY)
}

/// Somebody who comes to a route of the program's own.
#[must_use]
pub fn own(route: &OwnRoute, caller: Caller) -> Role {
    Role::with(OWN, Own::new(route, caller))
}

/// All consumers of a node, for one worker.
#[derive(Debug)]
pub struct Set {
    codec: Codec,
    attendance: Arc<Attendance>,
}

impl Set {
    /// The consumers of a configuration.
    #[must_use]
    pub fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        assistant: &Dispatcher,
        attendance: &Arc<Attendance>,
    ) -> Self {
        Self {
            codec: Codec::new(config, metrics, assistant),
            attendance: Arc::clone(attendance),
        }
    }

    /// The same, where what members of chats say is vetted there before it is published.
    #[must_use]
    pub fn with_vetting(mut self, vetting: &Vetting) -> Self {
        self.codec.set_vetting(vetting.clone());
        self
    }
}

/// Calls the consumer of a role. A `match`, so that each of those that a node comes with is called directly.
macro_rules! call {
    ($set:ident, $role:ident, $consumer:ident => $call:expr) => {
        match $role.kind {
            DJANGO => {
                let mut $consumer = Django::<false> {
                    codec: &mut $set.codec,
                    role: $role,
                };
                $call
            }
            VETTED_GUIDE => {
                let mut $consumer = Guide::<true> {
                    codec: &mut $set.codec,
                    role: $role,
                };
                $call
            }
            VETTED_DJANGO => {
                let mut $consumer = Django::<true> {
                    codec: &mut $set.codec,
                    role: $role,
                };
                $call
            }
            ECHO => {
                let mut $consumer = Echo;
                $call
            }
            OWN => match $role.state_mut::<Own>() {
                Some($consumer) => $call,
                // No role of this number is made without one.
                None => {
                    let mut $consumer = Echo;
                    $call
                }
            },
            RELAY => {
                let mut $consumer = Relay;
                $call
            }
            _ => {
                let mut $consumer = Guide::<false> {
                    codec: &mut $set.codec,
                    role: $role,
                };
                $call
            }
        }
    };
}

impl broker::Consumers for Set {
    fn begin_turn(&mut self, second: u64, micros: u32) {
        self.codec.begin_turn(second, micros);
    }

    fn end_turn(&mut self) {
        self.codec.end_turn();
    }

    fn open(&mut self, role: &mut Role, cx: &mut Context<'_>) -> Verdict {
        if let Some(identity) = role.identity() {
            self.attendance.enter(cx.author, Arc::clone(identity));
        }
        if self.codec.is_vetting() {
            role.kind = match role.kind {
                GUIDE => VETTED_GUIDE,
                DJANGO => VETTED_DJANGO,
                other => other,
            };
        }
        call!(self, role, consumer => consumer.open(cx))
    }

    fn joined(&mut self, role: &mut Role, cx: &mut Context<'_>) -> Verdict {
        call!(self, role, consumer => consumer.joined(cx))
    }

    fn message(&mut self, role: &mut Role, cx: &mut Context<'_>, message: Message<'_>) -> Verdict {
        call!(self, role, consumer => consumer.message(cx, message))
    }

    fn too_many(&mut self, role: &mut Role, cx: &mut Context<'_>) {
        self.codec.count_refused(ErrorCode::TooMany);
        call!(self, role, consumer => consumer.too_many(cx));
    }

    fn close(&mut self, role: &mut Role, cx: &mut Context<'_>) {
        if role.identity().is_some() {
            self.attendance.leave(cx.author);
        }
        call!(self, role, consumer => consumer.close(cx));
    }

    fn is_answering(&self, role: &Role, room: Option<&Room>) -> bool {
        let name = match (role.state::<DjangoPeer>(), room) {
            (Some(visit), _) => &visit.prompts,
            (None, Some(room)) => room.name(),
            (None, None) => return false,
        };
        self.codec.is_answering(name)
    }
}
