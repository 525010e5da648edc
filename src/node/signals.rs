//! Signals, from the first moment of `main`: the ones that end the server in order, and those that do not.
//!
//! Signals are blocked before there is a second thread, which every later thread inherits, and one thread
//! waits for them (sigwait(3)). So none of them ends the process by its default, whatever was set for it
//! before (`nohup`), no call is cut short by a handler, and a server that logs to the terminal from the
//! background is not stopped for it (SIGTTOU).

use super::ending::Ending;
use nix::sys::signal::{SigSet, Signal};
use std::io;

use tokio::sync::watch;

/// These keep their meaning: faults of the code, job control, and what is ignored anyway.
const LEFT_ALONE: [Signal; 13] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGCHLD,
    Signal::SIGURG,
    Signal::SIGWINCH,
    // Ignored by the standard library since before `main`.
    Signal::SIGPIPE,
];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The first asks for the end in order, a second one for the end.
    End(Ending),
    /// Settings are read again.
    Reload,
    /// Nothing; the operator is told why.
    Nothing(&'static str),
}

fn meaning(signal: Signal) -> Meaning {
    match signal {
        Signal::SIGTERM | Signal::SIGQUIT => Meaning::End(Ending::Announced),
        // Power fails, or a container is halted (LXC). By its name: only Linux has it.
        power if power.as_str() == "SIGPWR" => Meaning::End(Ending::Announced),
        // A key of somebody who looks on: no balancer has to be told first.
        Signal::SIGINT => Meaning::End(Ending::Unannounced),
        Signal::SIGHUP => Meaning::Reload,
        Signal::SIGUSR1 => Meaning::Nothing(
            "ignored: logs go to standard error, so there is no log file to open again",
        ),
        _ => Meaning::Nothing("ignored; SIGTERM ends the server in order"),
    }
}

/// Signals that wait until somebody waits for them.
#[derive(Debug)]
pub struct Signals {
    blocked: SigSet,
    /// Those among them with a name: real-time signals stay blocked.
    awaited: SigSet,
}

/// What has been asked so far.
#[derive(Clone, Copy, Debug, Default)]
struct SignalsSoFar {
    first: Option<Ending>,
    again: bool,
    reloads: u64,
}

impl Signals {
    /// Blocks them. To be called before there is another thread.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn block() -> io::Result<Self> {
        let (mut blocked, mut awaited) = (SigSet::all(), SigSet::empty());
        for signal in Signal::iterator() {
            if LEFT_ALONE.contains(&signal) {
                blocked.remove(signal);
            } else {
                awaited.add(signal);
            }
        }
        blocked.thread_block()?;
        Ok(Self { blocked, awaited })
    }

    /// Back to the system's defaults, for a command that is no server; what came meanwhile counts.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn unblock(self) -> io::Result<()> {
        Ok(self.blocked.thread_unblock()?)
    }

    /// Waits for signals, those included that came since [`Signals::block`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn wait(self) -> io::Result<SignalsHeard> {
        let (asked, heard) = watch::channel(SignalsSoFar::default());
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                loop {
                    // Refused for no set of ours (EINVAL is sigwait(3)'s only error).
                    let Ok(signal) = self.awaited.wait() else {
                        return;
                    };
                    on_signal(signal, &asked);
                }
            })?;
        Ok(SignalsHeard(heard))
    }
}

/// What signals ask for.
#[derive(Clone, Debug)]
pub(super) struct SignalsHeard(watch::Receiver<SignalsSoFar>);

impl SignalsHeard {
    /// Done when the end is asked for.
    pub(super) async fn drain(mut self) -> Ending {
        let asked = self.0.wait_for(|asked| asked.first.is_some()).await;
        match asked.map(|asked| asked.first) {
            Ok(first) => first.unwrap_or(Ending::Announced),
            Err(_nobody_waits) => std::future::pending().await,
        }
    }

    /// Done when the end is asked for once more.
    pub(super) async fn stop(mut self) {
        if self.0.wait_for(|asked| asked.again).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Done when settings are to be read again, since this was done last; several times may be one.
    pub(super) async fn reload(&mut self, seen: &mut u64) {
        let asked = self.0.wait_for(|asked| asked.reloads != *seen).await;
        match asked.map(|asked| asked.reloads) {
            Ok(reloads) => *seen = reloads,
            Err(_nobody_waits) => std::future::pending().await,
        }
    }
}

fn on_signal(signal: Signal, asked: &watch::Sender<SignalsSoFar>) {
    let name = signal.as_str();
    match meaning(signal) {
        Meaning::Nothing(text) => tracing::info!(signal = name, "{text}"),
        Meaning::Reload => {
            tracing::info!(signal = name, "settings are read again");
            asked.send_modify(|asked| asked.reloads += 1);
        }
        Meaning::End(end) => {
            asked.send_modify(|asked| {
                asked.again |= asked.first.is_some();
                asked.first.get_or_insert(end);
            });
            tracing::info!(signal = name, "the end is asked for");
        }
    }
}
