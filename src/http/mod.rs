//! HTTP/1.1 on the control plane, for both listeners: what hyper leaves to its user.
//!
//! [`serve`] runs hyper on one connection and gives every request deadlines of its own ([`Pace`]); [`Host`],
//! [`parameter`] and [`is_bearer`] read whom and what a request asks for, and who may; `with_fix` says why an address cannot be had. Not for paths, statuses or places: those are the
//! listeners' own ([`crate::server`], [`crate::admin`]).

mod authority;
mod bearer;
mod connection;
mod lines;
mod listening;
mod minimum_rate;
mod pace;
mod query;

pub use authority::Host;
pub use bearer::is_bearer;
pub(crate) use connection::REQUEST_BYTES;
pub use connection::{Served, ServiceEnd, builder, linger, linger_after, serve};
pub(crate) use listening::with_fix;
pub use minimum_rate::MinimumRate;
pub use pace::{Pace, PaceHandle, Phase, Timeouts};
pub use query::{parameter, parameters};
