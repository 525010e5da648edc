//! The supervisor that has started this process, if it is one of systemd's kind: sockets it has opened for us, and what it
//! is told (sd_listen_fds(3), sd_notify(3)).

use crate::worker::Workers;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

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

/// Tells the supervisor; without one this does nothing. Never waits for one that does not read: a notice for which its
/// queue has no room is lost.
fn tell(states: &[NotifyState<'_>]) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let notice: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send(name.as_bytes(), notice.as_bytes()) {
        tracing::debug!(%error, "the supervisor cannot be told");
    }
}

/// Sends one datagram to the socket of this name, if there is room.
fn send(name: &[u8], notice: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // sd_notify's own call waits here, and the node with it.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(notice, &address(name)?).map(drop)
}

/// A path, or `@` and a name of Linux' abstract namespace (sd_notify(3)).
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(OsStr::from_bytes(name))
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

/// Done when a worker thread is no more.
pub(super) async fn worker_ended(workers: &Workers) {
    /// How long rooms may be without their worker before anybody notices.
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    while workers.is_whole() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_told_and_never_waited_for(name: &[u8]) {
        let supervisor = UnixDatagram::bind_addr(&address(name).expect("an address"));
        let supervisor = supervisor.expect("a socket");
        send(name, b"READY=1\n").expect("room");
        let mut notice = [0; 100];
        let count = supervisor.recv(&mut notice).expect("a notice");
        assert_eq!(&notice[..count], b"READY=1\n");
        let full = (0..100_000).find_map(|_| send(name, b"WATCHDOG=1\n").err());
        let full = full.map(|error| error.kind());
        assert_eq!(full, Some(io::ErrorKind::WouldBlock));
        supervisor.recv(&mut notice).expect("a notice");
        send(name, b"STOPPING=1\n").expect("room again");
    }

    #[test]
    fn a_supervisor_is_told_at_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        is_told_and_never_waited_for(path.as_os_str().as_bytes());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_supervisor_is_told_at_its_abstract_name() {
        let name = format!("@supportal-notify-{}", std::process::id());
        is_told_and_never_waited_for(name.as_bytes());
    }
}
