//! `[server]`: listeners, threads and shutdown, and what they may be.

use super::problem::Findings;
use super::setting::{DAY, WAIT, seconds, section};
use super::units;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most data-plane threads: a mailbox keeps its waiting publishers in a 64-bit set.
pub const WORKERS_MAX: usize = 64;

/// Control-plane threads above this are a slip in the number: they only shake hands.
const CONTROL_THREADS_MAX: usize = 256;

// Zero notice: the listener closes at once; zero grace: everybody is closed at once.
section! {
    /// Listeners, threads and shutdown.
    ["server"] ServerSettings {
        /// Address and port of the public listener; `PORT` in the environment changes the port.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8000)), restart;
        /// Unix socket for a proxy on this machine, beside the public listener; its peers count as one address, or with `unix` in `proxy.trusted` as who they say they are. Unset = none.
        listen_unix: Option<PathBuf> = None, restart;
        /// Permissions of that socket's file in octal digits: who may write to it may connect.
        unix_mode: String = "0660".to_owned(), restart;
        /// Data-plane threads, at most 64; 0 = one per core.
        workers: usize = 0, restart, in ..=WORKERS_MAX;
        /// Worker n stays on the n-th core this process may run on (Linux only; for machines of its own).
        pin_workers: bool = false, restart;
        /// Control-plane threads: handshakes, pages, assistants.
        control_threads: usize = 1, restart, in 1..=CONTROL_THREADS_MAX;
        /// Connections the kernel holds until they are accepted.
        backlog: u32 = 4096, restart, in 1..;
        /// Longest from accept, or from the first byte of a further request, to the end of the request's head.
        #[serde(with = "units::duration")]
        handshake_timeout: Duration = seconds(5), restart, in WAIT;
        /// Longest from the end of a request's head until the client has taken the answer, if it is no WebSocket's.
        #[serde(with = "units::duration")]
        http_timeout: Duration = seconds(60), restart, in WAIT;
        /// Longest a connection waits for another request after an answer, on both listeners.
        #[serde(with = "units::duration")]
        keep_alive_timeout: Duration = seconds(60), restart, in WAIT;
        /// A ping goes to a connection that sent nothing for this long.
        #[serde(with = "units::duration")]
        ping_interval: Duration = seconds(25), restart, in WAIT;
        /// A connection that answers no ping within this time is closed, unless its socket still takes what waits for it.
        #[serde(with = "units::duration")]
        ping_timeout: Duration = seconds(8), restart, in WAIT;
        /// After SIGTERM new connections are still taken for this long, at most two thirds of the grace: load balancers notice `/ready` meanwhile.
        #[serde(with = "units::duration")]
        drain_notice: Duration = seconds(3), restart, in ..=DAY;
        /// Longest from SIGTERM to exit, the notice included; closes are spread over what the notice leaves.
        #[serde(with = "units::duration")]
        drain_grace: Duration = seconds(10), restart, in ..=DAY;
    }
}

impl ServerSettings {
    /// The notice a drain really gives: of a grace that is short, at most two thirds, so that the
    /// closes have the rest.
    #[must_use]
    pub fn notice(&self) -> Duration {
        self.drain_notice.min(self.drain_grace * 2 / 3)
    }

    /// `unix_mode` as a number; `None` if it is none.
    #[must_use]
    pub fn unix_permissions(&self) -> Option<u32> {
        let digits = &self.unix_mode;
        let is_octal = (3..=4).contains(&digits.len())
            && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode = u32::from_str_radix(digits, 8).ok();
        mode.filter(|mode| is_octal && *mode <= 0o777)
    }

    /// Is the notice one that may be written beside this grace? The default gives way to any.
    pub(crate) fn is_notice_within_grace(&self) -> bool {
        self.drain_notice <= self.drain_grace || self.drain_notice == Self::default().drain_notice
    }

    /// Does somebody wait for a notice that this grace does not give?
    pub(crate) fn is_notice_cut(&self) -> bool {
        self.notice() < self.drain_notice && self.drain_notice != Self::default().drain_notice
    }
}

/// Ranges, and keys that contradict each other.
pub(super) fn check(server: &ServerSettings, found: &mut Findings) {
    server.check_ranges(found);
    if server.unix_permissions().is_none() {
        let what = format!("{:?} is no mode", server.unix_mode);
        found.error(
            "server.unix_mode",
            what,
            "write \"0660\" or \"0600\", in quotes",
        );
    }
    if let Some(path) = &server.listen_unix {
        // sockaddr_un of Linux has 108 bytes, the last of which is zero.
        let is_path = path.is_absolute() && path.as_os_str().len() < 108;
        if !is_path {
            let fix =
                "write an absolute path of at most 107 bytes, such as \"/run/supportal/chat.sock\"";
            found.error(
                "server.listen_unix",
                format!("{path:?} is no path of a socket"),
                fix,
            );
        }
    }
    if !server.is_notice_within_grace() {
        let what = "is longer than server.drain_grace, which includes it";
        let fix = "write a notice within the grace, such as \"3s\" of \"10s\"";
        found.error("server.drain_notice", what, fix);
    } else if server.is_notice_cut() {
        let what = "is cut to two thirds of server.drain_grace: closes need the rest";
        let fix = "lower it, or raise server.drain_grace";
        found.warn("server.drain_notice", what, fix);
    }
    if server.ping_timeout > server.ping_interval {
        found.warn(
            "server.ping_timeout",
            "is longer than server.ping_interval: a dead connection is found late",
            "write a timeout below the interval, such as \"8s\" below \"25s\"",
        );
    }
}
