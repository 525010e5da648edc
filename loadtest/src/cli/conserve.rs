//! Flags of `conserve`.

use super::values::duration;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Where the node keeps what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchiveKind {
    /// In a file of its own.
    Journal,
    /// In the Redis of its bridge.
    Streams,
}

/// Where the site keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatabaseKind {
    /// A private PostgreSQL, which is killed too.
    Postgres,
    /// A file.
    Sqlite,
}

/// Flags of `conserve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Conserve {
    /// archive.mode of the node.
    #[arg(long, value_enum, default_value = "journal")]
    pub(crate) archive: ArchiveKind,
    /// Where the rows are.
    #[arg(long, value_enum, default_value = "postgres")]
    pub(crate) database: DatabaseKind,
    /// Connections, all of whom speak and listen; --rate messages a second in all [default: one each two seconds].
    #[arg(long, default_value_t = 500)]
    pub(crate) clients: usize,
    /// Members of each room.
    #[arg(long, default_value_t = 5)]
    pub(crate) members: usize,
    /// How long they speak, in minutes.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// How often each of node, command, Redis and PostgreSQL is killed (SIGKILL) and started again.
    #[arg(long, default_value_t = 20)]
    pub(crate) kills: u32,
    /// What was heard at most so long before a kill of the node may have died with its memory; it is counted apart.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) unsynced: Duration,
    /// One more setting of the node, section.key=value; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Our server's program (default: beside this one).
    #[arg(long)]
    pub(crate) supportal: Option<PathBuf>,
    /// A Python with Django and the package.
    #[arg(long, default_value = "tests/.tools/package/bin/python")]
    pub(crate) python: PathBuf,
    /// The Django project: its manage.py has `seed` and `dump` besides the archive's command.
    #[arg(long, default_value = "tests/rows/site")]
    pub(crate) site: PathBuf,
    /// Folder of the other servers.
    #[arg(long, default_value = "loadtest/peers")]
    pub(crate) peers: PathBuf,
}
