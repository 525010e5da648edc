//! Redis: what the bridge and Django's channel layer both stand on. The only user of fred.
//!
//! Not for: what is said there (`bridge`, `channels`).
//!
//! | Module | |
//! |---|---|
//! | `client` `value` | the port: what a connected Redis does for us, and what it answers |
//! | `fred_client` | that, by fred |
//! | `deployment` | one Redis, Sentinel or Cluster, and connections to it |
//! | `failure` | why a command failed, and why the way is not there |
//! | `mismatch` | what is wrong with an address, if something else is there |
//! | `tls` | whom it trusts, and as whom it comes |
//! | `fault` | whose fault an error of Redis is |
//! | `health` | down or up, of every Redis |
//! | `randomness` | what is random, from the system or a seed |
//! | `supervise` | pauses between attempts, the node's end, code that panics |
//! | `runtime` | the thread on which all of it runs |
//! | [`shard`] | which of several Redis carries a room |
//! | `subscriptions` | which rooms are wanted, and which are there |
//! | `wait_budget` | how long a full mailbox is waited for |
//! | `log_limiter` | one line a second |
//! | [`probe`] | what `supportal check --redis` asks of each |
//! | `rights` | what a user of Redis must be allowed |
//!
//! Limits: rooms by the members there are; every wait by `bridge.command_timeout` or
//! `bridge.confirm_timeout`; what fred holds for a subscriber by `bridge.arrivals_capacity`.

pub(crate) mod client;
pub(crate) mod deployment;
mod error;
pub(crate) mod failure;
pub(crate) mod fault;
mod fred_client;
pub(crate) mod health;
pub(crate) mod log_limiter;
pub(crate) mod mismatch;
pub mod probe;
mod randomness;
pub(crate) mod rights;
mod runtime;
pub mod shard;
pub(crate) mod subscriptions;
pub(crate) mod supervise;
mod tls;
pub(crate) mod value;
pub(crate) mod wait_budget;

pub use client::RedisCommand;
pub use error::Error;
pub use health::LinkReport;
pub use randomness::Randomness;
pub use runtime::{NodeEnd, Running, Runtime};
