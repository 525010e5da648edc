//! Supportal Gateway: the real-time server for customer-support chat.

// Floor 0
pub mod clock;
pub mod config;
pub mod name;
pub mod sync;

// Floor 2
pub mod broker;

// Floor 3
pub mod assistant;
