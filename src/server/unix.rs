//! The Unix socket of `server.listen_unix`: a way in for a proxy on this machine.
//!
//! A connection of it goes the way of all others once it is accepted: the worker, which asks nothing of its sockets but to
//! be read, written and ended, gets it as the stream that it knows. The handshake is hyper's. All peers of the socket are
//! one address ([`UNIX_PEER`](crate::config::proxy::UNIX_PEER)), unless `proxy.trusted` has `unix` and their heads say more.

use crate::config::Config;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// The pause after a failed accept: most likely out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens, and its file.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    /// Ours to remove; `None`: whoever opened the socket for us keeps it.
    _file: Option<SocketFile>,
}

/// The file of a socket of ours, removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and number.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = id_of(&self.path).is_ok_and(|id| id == self.id);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "a socket's file cannot be removed");
        }
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Opens the socket; nobody can connect before its file has this mode. The file of a server that is no more is replaced,
/// that of one that answers and any other file are not.
pub(super) fn listen(path: &Path, mode: u32, backlog: u32) -> io::Result<UnixSocket> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile {
        path: path.to_owned(),
        id: id_of(path)?,
    };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    let listener = std::os::unix::net::UnixListener::from(OwnedFd::from(socket));
    Ok(UnixSocket {
        listener: UnixListener::from_std(listener)?,
        _file: Some(file),
    })
}

/// A socket that somebody has opened for us.
pub(super) fn inherit(listener: std::os::unix::net::UnixListener) -> io::Result<UnixSocket> {
    listener.set_nonblocking(true)?;
    Ok(UnixSocket {
        listener: UnixListener::from_std(listener)?,
        _file: None,
    })
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Ok(_answered) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// What the system says of the path of a socket, with the fix.
pub(super) fn with_fix(error: io::Error) -> io::Error {
    let fix = match error.kind() {
        ErrorKind::AlreadyExists => {
            "a file that is no socket is there: move it, or give server.listen_unix another path"
        }
        ErrorKind::AddrInUse => {
            "another server answers there: end it, or give server.listen_unix another path"
        }
        ErrorKind::NotFound => {
            "its folder is not there: make it, by systemd with RuntimeDirectory=supportal"
        }
        ErrorKind::PermissionDenied => "the server's user may not write into its folder",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {fix}"))
}

/// Lets in a client who speaks no TLS, or tells that there is no room.
pub(super) type PlainEntrance = Box<dyn Fn(mio::net::TcpStream) + Send + Sync>;

/// The way in by that socket.
pub struct UnixEntrance {
    pub(super) socket: UnixSocket,
    pub(super) enter: PlainEntrance,
    pub(super) config: Arc<Config>,
    pub(super) closing: watch::Receiver<bool>,
}

impl std::fmt::Debug for UnixEntrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnixEntrance")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl UnixEntrance {
    /// Lets clients in until the node takes nobody new any more and nobody waits; then the socket's file is removed.
    ///
    /// # Cancel safety
    /// Whoever was accepted is served.
    pub async fn run(self) {
        let mut closing = self.closing.clone();
        let mut is_closing = false;
        loop {
            tokio::select! {
                biased;
                accepted = self.socket.listener.accept() => {
                    let entered = accepted.and_then(|(stream, _peer)| self.enter(stream.into_std()?));
                    if let Err(error) = entered {
                        tracing::debug!(%error, "a connection of the Unix socket is not accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                // What the kernel has let in is answered, not reset.
                () = std::future::ready(()), if is_closing => return,
                () = async { drop(closing.wait_for(|is_closing| *is_closing).await) }, if !is_closing => {
                    is_closing = true;
                }
            }
        }
    }

    fn enter(&self, stream: UnixStream) -> io::Result<()> {
        let bytes = self.config.limits.send_buffer_bytes;
        SockRef::from(&stream).set_send_buffer_size(bytes)?;
        // A stream is a stream: whoever gets this calls nothing that is TCP's alone.
        let stream = std::net::TcpStream::from(OwnedFd::from(stream));
        let stream = mio::net::TcpStream::from_std(stream);
        (self.enter)(stream);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_s_file_has_its_mode_and_goes_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let socket = listen(&path, 0o640, 16).expect("a socket");
        let mode = fs::metadata(&path).expect("its file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let again = listen(&path, 0o640, 16).expect_err("it answers");
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        let told = with_fix(again).to_string();
        assert!(told.contains("another server answers there"), "{told}");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_the_file_of_a_socket_that_nobody_serves_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "left behind");
        let first = listen(&path, 0o600, 16).expect("in its place");
        // Whoever removes it and takes the place keeps it.
        fs::remove_file(&path).expect("removed");
        let second = listen(&path, 0o600, 16).expect("in its place");
        drop(first);
        assert!(path.exists(), "the second's");
        drop(second);
        fs::write(&path, "precious").expect("a file");
        let refused = listen(&path, 0o600, 16).expect_err("a file");
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        let told = with_fix(refused).to_string();
        assert!(told.contains("a file that is no socket is there"), "{told}");
        assert_eq!(fs::read(&path).expect("untouched"), b"precious");
        std::os::unix::fs::symlink("elsewhere", folder.path().join("l")).expect("a link");
        assert!(listen(&folder.path().join("l"), 0o600, 16).is_err());
        let lost = listen(&folder.path().join("no/s"), 0o600, 16).expect_err("no folder");
        let told = with_fix(lost).to_string();
        assert!(told.contains("its folder is not there"), "{told}");
    }
}
