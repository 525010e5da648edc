//! Messages between being sent and being answered, and what the answers make of each.

use super::codec::Unwritable;
use super::codec::value::Map;
use super::unsettled::Went;
use crate::redis::RedisCommand;
use crate::redis::client::{HandedOver, RedisClient, hand_over};

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is nothing more to do.
    Settled(Went),
    /// Nobody has it: it may be sent again.
    Waits,
    /// Redis has not answered, and will have left a mark if it has done it.
    Unheard,
}

/// A message between being sent and being answered.
pub(super) enum UnderWay {
    /// Nothing was sent, and nothing will be.
    Dropped(&'static str),
    /// Nothing was sent: there is nobody to send to now.
    Waits,
    /// To so many destinations; with what was answered. Some destinations' hosts may be missing.
    Asked {
        destinations: u64,
        is_missing: bool,
        said: HostAnswers,
    },
}

/// Messages that one host was told of in one command.
pub(super) struct Dispatch {
    /// By their places.
    pub(super) messages: Vec<usize>,
    pub(super) answer: HandedOver,
}

/// Messages that go together, and what was told to the hosts.
#[derive(Default)]
pub(super) struct Dispatches {
    pub(super) under_way: Vec<UnderWay>,
    pub(super) dispatches: Vec<Dispatch>,
}

impl Dispatches {
    pub(super) fn all(events: &[Map<'_>], each: fn() -> UnderWay) -> Self {
        Self {
            under_way: events.iter().map(|_| each()).collect(),
            dispatches: Vec::new(),
        }
    }

    pub(super) fn asked(&mut self, destinations: usize) {
        self.under_way.push(UnderWay::Asked {
            destinations: destinations as u64,
            is_missing: false,
            said: HostAnswers::default(),
        });
    }

    pub(super) async fn dispatch(
        &mut self,
        client: &dyn RedisClient,
        messages: Vec<usize>,
        command: RedisCommand,
    ) {
        self.dispatches.push(Dispatch {
            messages,
            answer: hand_over(client.send(command)).await,
        });
    }
}

impl From<Unwritable> for UnderWay {
    fn from(_too_long_or_not_of_this_format: Unwritable) -> Self {
        Self::Dropped("unwritable")
    }
}

/// What the answers to one message say.
#[derive(Default)]
pub(super) struct HostAnswers {
    pub(super) full: u64,
    /// Destinations that are no queues of messages.
    pub(super) foreign: u64,
    /// A host has answered that it takes it.
    pub(super) is_taken: bool,
    /// A host has answered that it takes nothing for now.
    pub(super) is_put_off: bool,
    /// A host has not answered.
    pub(super) is_unheard: bool,
    /// Why a host has it not, or may not have it.
    pub(super) cause: Option<&'static str>,
}

/// What is known of those before one that Redis has, or may have: they are not sent behind it.
pub(super) fn in_order(fates: &mut [Fate]) {
    let sent = Fate::Settled(Went::Sent);
    let last_sent = fates.iter().rposition(|fate| *fate == sent);
    for fate in fates.iter_mut().take(last_sent.unwrap_or_default()) {
        if *fate == Fate::Unheard {
            *fate = Fate::Settled(Went::Dropped("lost"));
        }
    }
    let is_there = |fate: &Fate| [sent, Fate::Unheard].contains(fate);
    let last = fates.iter().rposition(is_there);
    for fate in fates.iter_mut().take(last.unwrap_or_default()) {
        if *fate == Fate::Waits {
            *fate = Fate::Settled(Went::Dropped("refused"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_again_behind_what_redis_may_have() {
        let settled = |cause| Fate::Settled(Went::Dropped(cause));
        let (sent, waits, unheard) = (Fate::Settled(Went::Sent), Fate::Waits, Fate::Unheard);
        for (mut fates, expected) in [
            (vec![sent, waits, waits], vec![sent, waits, waits]),
            (vec![waits, sent], vec![settled("refused"), sent]),
            (vec![waits, unheard], vec![settled("refused"), unheard]),
            (
                vec![unheard, sent, unheard],
                vec![settled("lost"), sent, unheard],
            ),
            (vec![sent, unheard, waits], vec![sent, unheard, waits]),
            (vec![], vec![]),
        ] {
            in_order(&mut fates);
            assert_eq!(fates, expected);
        }
    }
}
