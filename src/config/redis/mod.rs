//! Where a Redis is: every form of address that users of redis-py, channels_redis and redis-cli
//! have, read by one reader; secret in every output.
//!
//! ```text
//! redis://[[user]:password@][host][:port][/db][?option=value&…]      rediss:// for TLS
//! unix://[[user]:password@]/path/of/socket[?db=…]
//! redis-sentinel://[…@]host[:26379][/db]?sentinelServiceName=name[&node=host:port…]
//! redis-cluster://[…@]host[:port][?node=host:port…]
//! ```
//!
//! Source of the first two: `parse_url` of redis-py 5 to 8, whose answers the tests hold; what is
//! refused here and taken there is listed with them. User, password, path and options are
//! percent-decoded. `hosts` of a `settings.py` may also be pairs and tables, see
//! [`HostAddress`](super::channels::HostAddress).
//!
//! No sentence about a mistake repeats any part of the text: a broken address may hold its password
//! anywhere.

mod address;
mod draft;
mod endpoint;
mod url;

#[cfg(test)]
mod tests;

pub use address::{Login, RedisAddress, Tls, Topology};
pub(in crate::config) use draft::{Draft, OptionRefusal, login, unknown};
pub use endpoint::Endpoint;
pub(in crate::config) use endpoint::{DEFAULT_PORT, host as host_name};
pub(in crate::config) use url::{is_option_name, read as read_url};
