//! Supportal Gateway: the real-time server for customer-support chat.

// Floor 0
pub mod clock;
pub mod config;
pub mod metrics;
pub mod name;
pub mod sync;
pub mod telemetry;

// Floor 1
pub mod protocol;

// Floor 2
pub mod broker;
pub mod transport;

// Floor 3
pub mod assistant;

// Floor 4
pub mod worker;

// Floor 5
pub mod admin;
pub mod server;
