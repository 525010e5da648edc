//! Listeners, handshakes and pages: the control plane.

pub mod page;
pub mod route;
