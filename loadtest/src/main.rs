//! Load-test harness for Supportal Gateway: a second implementation of the wire contract.
mod clock;
mod codec;
mod handshake;
mod message;
mod verify;
fn main() {}
