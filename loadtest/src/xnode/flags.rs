//! Flags of `xnode`.

use crate::cli::duration;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Who the nodes are that this program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Servers {
    /// Ours.
    Supportal,
    /// Bun with its own Redis client (`peers/bun`).
    Bun,
    /// Django Channels with `channels_redis.core` under uvicorn (`peers/channels`).
    Channels,
}

/// What happens to Redis in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultKind {
    /// SIGKILL, and a new start at the same address.
    KillRedis,
    /// SIGSTOP, and SIGCONT.
    StopRedis,
    /// SIGKILL of a master that three Sentinels watch.
    Failover,
}

/// Flags of `xnode`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Xnode {
    /// Further nodes beside --url; without it two nodes and a Redis are started here.
    #[arg(long, value_delimiter = ',')]
    pub(crate) other_url: Vec<String>,
    /// Their admin listeners, in the same order.
    #[arg(long, value_delimiter = ',')]
    pub(crate) other_admin: Vec<String>,
    /// Their processes, in the same order.
    #[arg(long, value_delimiter = ',')]
    pub(crate) other_pid: Vec<u32>,
    /// The Redis of running nodes, HOST:PORT, for the bare round trip.
    #[arg(long)]
    pub(crate) redis: Option<String>,
    /// Its process.
    #[arg(long)]
    pub(crate) redis_pid: Option<u32>,
    /// bridge.mode of the nodes that are started.
    #[arg(long, default_value = "pubsub")]
    pub(crate) mode: String,
    /// One more setting of those nodes, section.key=value; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Who is started.
    #[arg(long, value_enum, default_value = "supportal")]
    pub(crate) servers: Servers,
    /// A Python process speaks, by the channel layer's group_send; the nodes are part of that layer.
    #[arg(long)]
    pub(crate) group_send: bool,
    /// Rooms.
    #[arg(long, default_value_t = 100)]
    pub(crate) rooms: usize,
    /// Members of each, in turns on each node; the first publishes.
    #[arg(long, default_value_t = 10)]
    pub(crate) members: usize,
    /// Closed loop: so many messages of each publisher that not all members have (default: open loop, --rate).
    #[arg(long)]
    pub(crate) window: Option<u32>,
    /// The private Redis writes an append-only file.
    #[arg(long)]
    pub(crate) appendonly: bool,
    /// What happens to the private Redis.
    #[arg(long, value_enum)]
    pub(crate) fault: Option<FaultKind>,
    /// How often (kill-redis, stop-redis).
    #[arg(long, default_value_t = 1)]
    pub(crate) times: usize,
    /// From one to the next.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub(crate) every: Duration,
    /// How long Redis is away: dead (kill-redis, default 0s) or standing (stop-redis, default 10s).
    #[arg(long = "for", value_parser = duration)]
    pub(crate) lasts: Option<Duration>,
    /// All figures of the bridge, into OUT/DATE-NAME.
    #[arg(long)]
    pub(crate) all: bool,
    /// With --all: these cases; a wrong name lists them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// With --all: rounds of the cases that are compared.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Folder for the results of --all.
    #[arg(long, default_value = "loadtest/results")]
    pub(crate) out: PathBuf,
    /// Their name.
    #[arg(long, default_value = "bridge")]
    pub(crate) name: String,
    /// Folder of the other servers.
    #[arg(long, default_value = "loadtest/peers")]
    pub(crate) peers: PathBuf,
    /// Our server's program (default: beside this one).
    #[arg(long)]
    pub(crate) supportal: Option<PathBuf>,
    /// The core of all nodes and of Redis.
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The core of this program.
    #[arg(long, default_value_t = 1)]
    pub(crate) generator_core: usize,
    /// Do not pin to cores.
    #[arg(long)]
    pub(crate) no_pin: bool,
}

impl Xnode {
    /// Cores of the servers and of this program, where there are two.
    pub(super) fn cores(&self) -> (Option<usize>, Option<usize>) {
        let many = std::thread::available_parallelism().map_or(1, usize::from);
        if self.no_pin || many < 2 {
            return (None, None);
        }
        (Some(self.server_core), Some(self.generator_core))
    }

    /// How long Redis is away.
    pub(super) fn away(&self) -> Duration {
        let default = match self.fault {
            Some(FaultKind::StopRedis) => Duration::from_secs(10),
            _ => Duration::ZERO,
        };
        self.lasts.unwrap_or(default)
    }
}
