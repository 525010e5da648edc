//! What runs in the loop beside a plan: a run over several nodes has one, which talks to Redis and looks at the nodes.

use crate::engine::Engine;
use crate::report::Across;
use std::io;

/// Called by the loop, from one thread, in the order of these functions.
pub(crate) trait Companion: std::fmt::Debug {
    /// All connections are open, and the publishers begin.
    /// Errors: What it talks to is gone; so in all that follow.
    fn start(&mut self, now: u64) -> io::Result<()>;

    /// When something of it is due next.
    fn due(&self) -> u64;

    /// After each turn of the loop, which ended at `now`.
    fn turn(&mut self, engine: &mut Engine, now: u64) -> io::Result<()>;

    /// The measurement begins.
    fn begun(&mut self, engine: &mut Engine);

    /// One more interval of it has ended, after so many seconds; it was so long.
    fn sample(&mut self, engine: &mut Engine, at: f64, seconds: f64);

    /// The measurement is over and nobody publishes any more.
    fn ended(&mut self, engine: &mut Engine);

    /// Everything is accounted for, or will never be; asked again and again.
    fn agrees(&mut self, engine: &Engine) -> io::Result<bool>;

    /// The last call: its part of the report.
    fn across(&mut self, engine: &mut Engine) -> io::Result<Across>;
}
