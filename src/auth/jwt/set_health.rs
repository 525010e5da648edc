//! How the set of an address is: fetched and when, or why not.

use std::time::Duration;
use tokio::time::Instant;

/// Why a fetch brought no set, in a sentence.
#[derive(Clone, Debug)]
pub(super) enum SetFault {
    /// Nobody answered, or with a status that says no.
    NoAnswer(String),
    /// What came is none, or has no key that can be used.
    NoSet(String),
}

/// How the set of an address is.
#[derive(Debug, Default)]
pub(super) struct SetHealth {
    /// When the last set came that counts still.
    good_since: Option<Instant>,
    /// Why the last fetch brought none.
    fault: Option<SetFault>,
    /// Has the last set that came been given up?
    is_too_old: bool,
}

impl SetHealth {
    /// Why the last fetch brought no set, if it did not.
    pub(super) fn fault(&self) -> Option<&SetFault> {
        self.fault.as_ref()
    }

    /// A set came. Is that news?
    pub(super) fn take_good(&mut self) -> bool {
        let is_first = self.good_since.replace(Instant::now()).is_none();
        self.is_too_old = false;
        self.fault.take().is_some() || is_first
    }

    /// None came. Is that news, or of another kind than the last time?
    pub(super) fn take_fault(&mut self, fault: SetFault) -> bool {
        let is_same =
            |last: &SetFault| std::mem::discriminant(last) == std::mem::discriminant(&fault);
        let is_news = !self.fault.as_ref().is_some_and(is_same);
        self.fault = Some(fault);
        is_news
    }

    /// How long the set counts still; `None` without one.
    pub(super) fn left(&self, max_age: Duration) -> Option<Duration> {
        let age = self.good_since?.elapsed();
        Some(max_age.saturating_sub(age))
    }

    /// Is the set just now too old? Then there is none any more.
    pub(super) fn grow_old(&mut self, max_age: Duration) -> bool {
        let is_old = self.left(max_age).is_some_and(|left| left.is_zero());
        if is_old {
            self.good_since = None;
            self.is_too_old = true;
        }
        is_old
    }

    /// What the operator is told: nothing if the last fetch brought a set.
    pub(super) fn shown(&self) -> Option<String> {
        let (what, is_there) = match (&self.fault, self.good_since) {
            (None, Some(_)) => return None,
            (None, None) if self.is_too_old => return Some("the JWK set is too old".to_owned()),
            (None, None) => return Some("the JWK set was not fetched yet".to_owned()),
            (Some(SetFault::NoAnswer(what)), since) => (what, since.is_some()),
            (Some(SetFault::NoSet(what)), since) => (what, since.is_some()),
        };
        let state = match (is_there, self.is_too_old) {
            (true, _) => "cannot be fetched again",
            (false, true) => "is too old and cannot be fetched again",
            (false, false) => "was never fetched",
        };
        Some(format!("the JWK set {state}: {what}"))
    }
}
