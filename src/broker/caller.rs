//! Who a connection is, as its consumer is told.

use crate::name::RoomName;
use std::fmt;
use std::sync::Arc;

/// Who a client is, as the handshake has found out ([`auth`](crate::auth)). Fixed for the connection.
///
/// [`Identity::default`] is anybody: anonymous, a customer, in any room, for as long as it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name; `None` for somebody anonymous.
    pub user: Option<Arc<str>>,
    /// What the user is to the business.
    pub role: UserRole,
    /// The rooms it may enter.
    pub rooms: RoomScope,
    /// When the connection ends with 4501: in seconds since the Unix epoch.
    pub expires_at: Option<u64>,
}

/// What a user is to the business whose room it enters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UserRole {
    /// Who asks.
    #[default]
    Customer,
    /// Who answers, for the business.
    Agent,
    /// The business's own software.
    Backend,
}

impl UserRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Agent, Self::Backend];

    /// The word for it in tokens, headers and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Agent => "agent",
            Self::Backend => "backend",
        }
    }

    /// The reverse of [`UserRole::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// The rooms that somebody may enter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RoomScope {
    /// All.
    #[default]
    Any,
    /// Those that one of these names; none if there is none.
    Of(Box<[RoomPattern]>),
}

/// Some rooms of a chat.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomPattern {
    /// The business; `None` for any.
    pub business_id: Option<Box<str>>,
    /// The session, or with a `*` at its end those that begin so; `None` for any.
    pub session_id: Option<Box<str>>,
}

/// Whoever knows a session may enter it: its id does not show.
impl fmt::Debug for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomPattern")
            .field("business_id", &self.business_id)
            .field("session_id", &self.session_id.as_ref().map(|_| "(hidden)"))
            .finish()
    }
}

impl RoomPattern {
    fn admits(&self, business_id: Option<&str>, session_id: Option<&str>) -> bool {
        let is_business =
            |own: &str| business_id.is_some_and(|business_id| own == "*" || own == business_id);
        let is_session = |own: &str| {
            session_id.is_some_and(|session_id| match own.strip_suffix('*') {
                Some(beginning) => session_id.starts_with(beginning),
                None => own == session_id,
            })
        };
        self.business_id.as_deref().is_none_or(is_business)
            && self.session_id.as_deref().is_none_or(is_session)
    }
}

impl RoomScope {
    /// May somebody of this scope enter where the path names this business and this session? A path that does not name
    /// what the scope limits is not entered.
    #[must_use]
    pub fn admits(&self, business_id: Option<&str>, session_id: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Of(patterns) => {
                let mut patterns = patterns.iter();
                patterns.any(|pattern| pattern.admits(business_id, session_id))
            }
        }
    }
}

/// What a consumer is told of its connection.
#[derive(Clone, Default)]
pub struct Caller {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The typed parts of its path by name, decoded.
    pub parameters: Vec<(String, String)>,
    /// The room it joins.
    pub room: Option<RoomName>,
}

/// The parts of a path go by their names alone: with what they hold, whoever reads a log could enter the room.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("identity", &self.identity)
            .field("parameters", &names(&self.parameters))
            .field("room", &self.room)
            .finish()
    }
}

/// The names of a path's parts, without what they hold.
pub(crate) fn names(parameters: &[(String, String)]) -> Vec<&str> {
    parameters.iter().map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(business_id: Option<&str>, session_id: Option<&str>) -> RoomScope {
        RoomScope::Of(Box::new([RoomPattern {
            business_id: business_id.map(Into::into),
            session_id: session_id.map(Into::into),
        }]))
    }

    #[test]
    fn a_scope_admits_the_rooms_it_names_and_no_others() {
        let one = scope(Some("1"), Some("abc"));
        let business = scope(Some("1"), None);
        let beginning = scope(Some("1"), Some("ab*"));
        let everywhere = scope(Some("*"), Some("*"));
        for (scope, business_id, session_id, expected) in [
            (&RoomScope::Any, None, None, true),
            (
                &RoomScope::Of(Box::default()),
                Some("1"),
                Some("abc"),
                false,
            ),
            (&one, Some("1"), Some("abc"), true),
            (&one, Some("1"), Some("abcd"), false),
            (&one, Some("11"), Some("abc"), false),
            (&one, Some("1"), None, false),
            (&one, None, None, false),
            (&business, Some("1"), Some("xyz"), true),
            (&business, Some("2"), Some("xyz"), false),
            (&business, Some("1"), None, true),
            (&business, None, None, false),
            (&beginning, Some("1"), Some("ab"), true),
            (&beginning, Some("1"), Some("abc"), true),
            (&beginning, Some("1"), Some("a"), false),
            (&everywhere, Some("7"), Some("x"), true),
            (&everywhere, None, None, false),
        ] {
            let admitted = scope.admits(business_id, session_id);
            assert_eq!(
                admitted, expected,
                "{scope:?} {business_id:?} {session_id:?}"
            );
        }
    }

    #[test]
    fn a_role_is_its_word_and_nothing_else() {
        for role in UserRole::ALL {
            assert_eq!(UserRole::parse(role.as_str()), Some(role));
        }
        for word in ["", "Agent", "agent ", "admin", "*"] {
            assert_eq!(UserRole::parse(word), None);
        }
    }
}
