//! The supervisor that has started this process, if it is one of systemd's kind: sockets it has opened for us, and what it
//! is told (sd_listen_fds(3), sd_notify(3)).

use crate::worker::Workers;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// Sockets that listen already. Clients that come while the server starts, or starts anew, wait in them.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// Instead of `server.listen`.
    pub(super) tcp: Option<TcpListener>,
    /// Instead of `server.listen_unix`.
    pub(super) unix: Option<UnixListener>,
}

impl InheritedSockets {
    /// Takes what `LISTEN_FDS` announces: at most one TCP socket and one Unix socket, in any order. To be called before
    /// there is a second thread, since it changes the environment.
    ///
    /// # Errors
    /// A socket of another kind, or a second one of its kind.
    pub fn take() -> io::Result<Self> {
        let (mut given, mut taken) = (ListenFd::from_env(), Self::default());
        for index in 0..given.len() {
            let is_second = if let Ok(Some(tcp)) = given.take_tcp_listener(index) {
                taken.tcp.replace(tcp).is_some()
            } else if let Some(unix) = given.take_unix_listener(index)? {
                taken.unix.replace(unix).is_some()
            } else {
                false
            };
            if is_second {
                let what = "the supervisor gives two sockets of one kind (LISTEN_FDS)";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
        Ok(taken)
    }
}

/// Tells the supervisor; without one this does nothing.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the supervisor cannot be told");
    }
}

/// Clients are let in; `status` is a line for people.
pub(super) fn tell_ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Settings are read again, since this moment (`Type=notify-reload` asks for it).
pub(super) fn tell_reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The settings have been taken, or refused: either way the node goes on.
pub(super) fn tell_reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub(super) fn tell_stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Says at half of `WatchdogSec` that the node lives, as long as every worker comes to the end of its turns.
///
/// # Cancel safety
/// Dropping it ends that.
pub(super) async fn tell_alive(workers: Arc<Workers>) {
    let Some(longest) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        if workers.audit(None).await.len() == workers.count() {
            tell(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(longest / 2).await;
    }
}
