//! Runs a plan: connect, settle, warm up, measure, stop, drain, check, close; then the figures.

mod companion;
mod driver;
mod ending;
mod figures;
mod observer;
mod restart;
mod watch;

pub(crate) use companion::Companion;
pub(crate) use driver::Run;
pub(crate) use observer::Observer;
pub(crate) use restart::{Managed, Restart};
