//! Listeners, runtime and workers: everything between a socket and the data plane.

pub mod route;
