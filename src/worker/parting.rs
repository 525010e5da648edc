//! The last write of a connection: the close frame and the end of the stream in one segment.

use mio::net::TcpStream;
use std::io::{self, Write};

/// A socket that is shut down as soon as all is written, so the kernel may wait for that before it
/// sends the last segment. Elsewhere than on Linux the two are sent one after the other.
#[derive(Debug)]
pub(super) struct Parting<'a>(pub(super) &'a TcpStream);

#[cfg(target_os = "linux")]
impl Write for Parting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket2::SockRef::from(self.0).send_with_flags(bytes, MORE)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        socket2::SockRef::from(self.0).send_vectored_with_flags(slices, MORE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `MSG_MORE | MSG_NOSIGNAL` of Linux, the same on all its architectures.
#[cfg(target_os = "linux")]
const MORE: i32 = 0x8000 | 0x4000;

#[cfg(not(target_os = "linux"))]
impl Write for Parting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self.0;
        socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
