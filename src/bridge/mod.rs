//! Redis: how publications leave this node and come back.
//!
//! [`channels`] speaks the wire format of Django's channel layers; it is pure, the connections are
//! its caller's.

pub mod channels;
