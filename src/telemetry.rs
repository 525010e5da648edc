//! Logs: lines for people or JSON objects, on standard error, with levels per module.
//!
//! A log line never waits: it goes into a bounded buffer that one thread writes out. When standard
//! error is a pipe that nobody reads, lines are dropped and counted ([`lines_dropped`]); the server
//! does not notice. Timestamps are RFC 3339 in UTC. Whatever reaches a line of text, its control
//! characters are escaped here, so a field cannot forge a second line or steer a terminal.

use crate::config::{LogFormat, LogSettings};
use parking_lot::{Condvar, Mutex};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Most bytes of lines waiting; about 5,000 lines. As many again may be in the writer's hands.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// The lines waiting and those in the writer's hands.
pub(crate) const BUFFERS_BYTES: usize = 2 * WAITING_BYTES_MAX;
/// A buffer grown by a burst is given back above this size.
const KEPT_BYTES: usize = 64 * 1024;
/// Longest the exit waits for lines that are still to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `log.level` is not understood.
    #[error("log.level {0:?} is not understood")]
    Level(String),
    /// The writing thread did not start.
    #[error("the thread that writes the log did not start")]
    Thread(#[source] io::Error),
    /// A subscriber is already there.
    #[error("logging was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// The modules of the client library of Redis.
const FRED: &str = "fred";

static LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Log lines dropped because standard error did not take them.
#[must_use]
pub fn lines_dropped() -> u64 {
    LINES_DROPPED.load(Ordering::Relaxed)
}

/// Writes what is waiting when it is dropped, for at most a second.
#[derive(Debug)]
#[must_use = "lines that wait when the guard is dropped are written then"]
pub struct Guard {
    lines: Arc<LineQueue>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lines.flush(FLUSH_TIMEOUT);
    }
}

/// The levels of the process, once it logs.
static LEVELS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Of fred, the client library of Redis, nothing is logged unless the levels name it: what it says is returned to us as
/// well, and told once, with the Redis that it is about and what to do.
fn levels_of(level: &str) -> Result<Targets, Error> {
    let levels = level.replace(' ', "").parse();
    let levels: Targets = levels.map_err(|_unclear| Error::Level(level.to_owned()))?;
    let is_fred = |target: &str| target.split("::").next() == Some(FRED);
    let is_named = levels.iter().any(|(target, _)| is_fred(target));
    Ok(match is_named {
        true => levels,
        false => levels.with_target(FRED, LevelFilter::OFF),
    })
}

/// Logs by these levels from now on, if this process logs.
///
/// # Errors
/// When the levels are not understood.
pub fn set_levels(level: &str) -> Result<(), Error> {
    let levels = levels_of(level)?;
    if let Some(handle) = LEVELS.get() {
        // This fails only once the subscriber is gone, which lives as long as the process.
        drop(handle.reload(levels));
    }
    Ok(())
}

/// Starts logging for the process.
///
/// # Errors
/// When the levels are not understood, or logging was already started.
pub fn init(log: &LogSettings) -> Result<Guard, Error> {
    let levels = levels_of(&log.level)?;
    let is_terminal = io::stderr().is_terminal();
    let is_colored = is_terminal && log.format == LogFormat::Text;
    let form = match log.format {
        LogFormat::Json => LineForm::Json,
        LogFormat::Text if is_colored => LineForm::Colored,
        LogFormat::Text => LineForm::Plain,
    };
    let lines = Arc::new(LineQueue::new(form));
    spawn_writer(Arc::clone(&lines), io::stderr()).map_err(Error::Thread)?;
    let layer = tracing_subscriber::fmt::layer().with_writer(Sink(Arc::clone(&lines)));
    let (levels, handle) = reload::Layer::new(levels);
    let registry = tracing_subscriber::registry().with(levels);
    match log.format {
        LogFormat::Text => registry.with(layer.with_ansi(is_colored)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .map_err(Error::Twice)?;
    // The first, as a second start was refused just above.
    let _first = LEVELS.set(handle);
    std::panic::set_hook(Box::new(log_panic));
    Ok(Guard { lines })
}

/// Logs where a panic happened. The standard hook would wait for standard error, and print texts
/// such as that of a slice out of bounds, which quotes the message it cut.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.payload().downcast_ref::<&'static str>();
    let text = text
        .copied()
        .unwrap_or("(not shown: it may quote a message)");
    let thread = std::thread::current();
    match panic.location() {
        Some(at) => tracing::error!(%at, thread = thread.name(), "panic: {text}"),
        None => tracing::error!(thread = thread.name(), "panic: {text}"),
    }
}

/// Lines on their way to standard error.
#[derive(Debug)]
struct LineQueue {
    state: Mutex<QueueState>,
    /// Wakes the writer when lines wait, and a flush when none do.
    changed: Condvar,
    form: LineForm,
}

/// How the lines look, as far as escaping is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineForm {
    Plain,
    /// Colours are escape sequences: ESC passes. The formatter escapes it in messages and fields.
    Colored,
    Json,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl LineQueue {
    fn new(form: LineForm) -> Self {
        Self {
            state: Mutex::new(QueueState::default()),
            changed: Condvar::new(),
            form,
        }
    }

    /// Takes one line, or drops it whole: half a line would spoil the next.
    fn push(&self, line: &[u8]) {
        let line = escape(line, self.form);
        let mut state = self.state.lock();
        if state.waiting.len() + line.len() > WAITING_BYTES_MAX {
            LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(&line);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until lines are there and takes them all: a burst costs one write.
    fn take(&self, mut written: Vec<u8>) -> Vec<u8> {
        written.clear();
        written.shrink_to(KEPT_BYTES);
        let mut state = self.state.lock();
        state.is_writing = false;
        self.changed.notify_all();
        while state.waiting.is_empty() {
            self.changed.wait(&mut state);
        }
        state.is_writing = true;
        std::mem::swap(&mut state.waiting, &mut written);
        written
    }

    fn flush(&self, timeout: Duration) {
        let mut state = self.state.lock();
        let busy = |state: &mut QueueState| state.is_writing || !state.waiting.is_empty();
        // What does not leave in time is lost with the process; nobody is left to be told.
        let _timed_out = self.changed.wait_while_for(&mut state, busy, timeout);
    }
}

fn spawn_writer(lines: Arc<LineQueue>, mut out: impl Write + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let mut batch = Vec::new();
            loop {
                batch = lines.take(batch);
                if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                    let lost = batch.iter().filter(|byte| **byte == b'\n').count();
                    LINES_DROPPED.fetch_add(lost as u64, Ordering::Relaxed);
                }
            }
        })
        .map(drop)
}

/// Escapes control characters, the line's own end excepted.
///
/// tracing-subscriber 0.3.23 escapes ESC, BEL, BS, FF, DEL and the second set of control characters
/// in most places, but lets line feeds, carriage returns and NUL through, and everything in the
/// values of text fields.
fn escape(line: &[u8], form: LineForm) -> Cow<'_, [u8]> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let text = String::from_utf8_lossy(body);
    let is_bad = |c: char| c.is_control() && !(form == LineForm::Colored && c == '\u{1b}');
    if !text.contains(is_bad) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in text.chars() {
        match form {
            _ if !is_bad(c) => escaped.push(c),
            // Control characters occur only inside strings there, where this is JSON's own escape.
            LineForm::Json => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            LineForm::Plain | LineForm::Colored => escaped.extend(c.escape_debug()),
        }
    }
    escaped.push('\n');
    Cow::Owned(escaped.into_bytes())
}

/// Hands each event's line to [`LineQueue`]; the formatter writes an event in one call.
#[derive(Debug)]
struct Sink(Arc<LineQueue>);

impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Sink;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_client_library_of_redis_says_something_where_it_is_named_alone() {
        let says = |level: &str, target: &str| {
            levels_of(level)
                .unwrap()
                .would_enable(target, &tracing::Level::ERROR)
        };
        let router = format!("{FRED}::router");
        for level in ["info", "debug", "trace, supportal=debug"] {
            assert!(!says(level, &router), "{level}");
            assert!(says(level, "supportal::redis"), "{level}");
        }
        for level in [format!("info,{FRED}=warn"), format!("{router}=debug")] {
            assert!(says(&level, &router), "{level}");
        }
    }

    fn line_of(format: LogFormat, log: impl FnOnce()) -> String {
        let form = match format {
            LogFormat::Text => LineForm::Plain,
            LogFormat::Json => LineForm::Json,
        };
        let lines = Arc::new(LineQueue::new(form));
        let layer = tracing_subscriber::fmt::layer().with_writer(Sink(Arc::clone(&lines)));
        let registry =
            tracing_subscriber::registry().with(Targets::new().with_default(tracing::Level::INFO));
        match format {
            LogFormat::Text => {
                tracing::subscriber::with_default(registry.with(layer.with_ansi(false)), log)
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true);
                tracing::subscriber::with_default(registry.with(layer), log);
            }
        }
        let bytes = lines.state.lock().waiting.clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_field_cannot_forge_a_line_or_steer_a_terminal() {
        let evil = "a\n2024 INFO forged\r\0\u{1b}[31m\u{9b}b\u{7f}";
        let text = line_of(
            LogFormat::Text,
            || tracing::info!(id = %evil, quoted = ?evil, "{evil}"),
        );
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        assert!(text.contains("\\n2024 INFO forged\\r\\0"), "{text:?}");
        let json = line_of(LogFormat::Json, || tracing::info!(id = %evil, "{evil}"));
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(!json.trim_end().contains(char::is_control), "{json:?}");
        assert_eq!(json.matches('\n').count(), 1);
        assert_eq!(object["id"], evil);
    }

    #[test]
    fn timestamps_are_rfc_3339_in_utc() {
        let json = line_of(LogFormat::Json, || tracing::info!("x"));
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        let time = object["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z'), "{time}");
        time.parse::<jiff::Timestamp>().unwrap();
        let text = line_of(LogFormat::Text, || tracing::info!("x"));
        text.split(' ')
            .next()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap();
    }

    #[test]
    fn the_levels_that_config_accepts_are_understood() {
        for level in [
            "info",
            "INFO",
            "off",
            "warn,supportal::worker=debug",
            "a=off,trace",
        ] {
            let mut config = crate::config::Config::default();
            config.log.level = level.to_owned();
            assert_eq!(crate::config::validate::validate(&config).errors, []);
            level.parse::<Targets>().unwrap();
        }
    }

    /// A pipe nobody reads.
    struct Blocked(mpsc::Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _released = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_pipe_drops_lines_and_counts_them_and_blocks_nobody() {
        let lines = Arc::new(LineQueue::new(LineForm::Plain));
        let (release, blocked) = mpsc::channel();
        spawn_writer(Arc::clone(&lines), Blocked(blocked)).unwrap();
        let before = lines_dropped();
        let line = [b'x'; 1024];
        for _ in 0..3 * WAITING_BYTES_MAX / line.len() {
            lines.push(&line);
        }
        assert!(lines_dropped() - before >= 1024);
        assert!(lines.state.lock().waiting.len() <= WAITING_BYTES_MAX);
        lines.flush(Duration::from_millis(10));
        drop(release);
        lines.flush(Duration::from_secs(10));
        assert!(lines.state.lock().waiting.is_empty());
    }
}
