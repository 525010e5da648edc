//! Flags of `deploy` and of the floor.

use super::values::duration;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Which client comes back after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ClientKind {
    /// The stock page: 3 s, five times.
    Stock,
    /// Ours: full jitter from 500 ms to 20 s, without end.
    Jitter,
    /// One run with each.
    Both,
}

/// Flags of `deploy`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Deploy {
    /// Rooms.
    #[arg(long, default_value_t = 50)]
    pub(crate) rooms: usize,
    /// Members of each; one publishes.
    #[arg(long, default_value_t = 20)]
    pub(crate) members: usize,
    /// The client that comes back.
    #[arg(long, value_enum, default_value_t = ClientKind::Both)]
    pub(crate) client: ClientKind,
    /// The restart begins so long into the measurement.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(crate) after: Duration,
    /// Restarts the server at --url; without it the tool manages one itself.
    #[arg(long)]
    pub(crate) restart_command: Option<String>,
    /// Starts the server the tool manages, with {port} and {admin} (default: ours, beside this program).
    #[arg(long)]
    pub(crate) server_command: Option<String>,
}

/// Flags of `floor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Floor {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
    /// Speak TLS with this certificate (PEM).
    #[arg(long, requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// One write per member and turn instead of one per frame.
    #[arg(long)]
    pub(crate) coalesce: bool,
    /// Leave out every Nth frame, to see that the harness notices (not with --coalesce).
    #[arg(long, default_value_t = 0)]
    pub(crate) drop_every: u64,
    /// Send every Nth frame twice, to see that the harness notices (not with --coalesce).
    #[arg(long, default_value_t = 0)]
    pub(crate) duplicate_every: u64,
}
