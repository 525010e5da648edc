//! The site behind this node (`http.upstream`): whatever is not this node's own goes there and back.

pub(crate) mod memory;
