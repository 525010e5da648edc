//! Who a connection is, as its consumer is told.

use crate::name::RoomName;
use std::fmt;

/// Who a client is. Nobody is asked yet, so every client is anonymous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name; `None` for somebody anonymous.
    pub user: Option<String>,
}

/// What a consumer is told of its connection.
#[derive(Clone, Default)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
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
