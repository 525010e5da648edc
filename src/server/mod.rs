//! The server: listeners, the runtime, the workers, and what answers on each path.

pub mod page;
