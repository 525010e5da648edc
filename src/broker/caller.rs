//! Who a connection is, as its consumer is told.

use crate::name::RoomName;

/// Who a client is. Nobody is asked yet, so every client is anonymous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name; `None` for somebody anonymous.
    pub user: Option<String>,
}

/// What a consumer is told of its connection.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
    /// The typed parts of its path by name, decoded.
    pub parameters: Vec<(String, String)>,
    /// The room it joins.
    pub room: Option<RoomName>,
}
