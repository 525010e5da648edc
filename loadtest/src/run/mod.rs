//! Runs a plan, or this process's share of it: connect, settle, warm up, measure, stop, drain, check, close; then the figures.

mod companion;
mod driver;
mod ending;
mod figures;
mod link;
mod observer;
mod restart;
mod watch;

pub(crate) use companion::Companion;
pub(crate) use driver::{Desk, Run};
pub(crate) use link::{LINES_MAX, Link, Order, PULSE, Shared, Task, Word, read, write};
pub(crate) use observer::{LOOK, Observer};
pub(crate) use restart::{Managed, Restart};
