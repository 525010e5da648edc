//! Flags of `compare`, `xnode` and `sweep`.

use super::values::duration;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Flags of what measures cases against servers in turns.
#[derive(Debug, Clone, Args)]
pub(crate) struct CampaignFlags {
    /// The whole table, into OUT/DATE-NAME; the flags from --only to --quiet are for it.
    #[arg(long)]
    pub(crate) all: bool,
    /// These cases; a wrong name lists them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Rounds: each case and server once in each.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Folder for the results.
    #[arg(long, default_value = "loadtest/results")]
    pub(crate) out: PathBuf,
    /// Name: results go to OUT/DATE-NAME. What is there stays, except for the cases measured again [default: compare or bridge].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Forget what is in that folder.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Our server's program (default: beside this one).
    #[arg(long)]
    pub(crate) supportal: Option<PathBuf>,
    /// The core of the servers.
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The core of this program.
    #[arg(long, default_value_t = 1)]
    pub(crate) generator_core: usize,
    /// Do not pin to cores.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Measure again up to this often while other programs take the cores; the quietest counts.
    #[arg(long, default_value_t = 2)]
    pub(crate) retries: usize,
    /// Share of time without a core that is quiet enough.
    #[arg(long, default_value_t = 0.05)]
    pub(crate) quiet: f64,
}

impl CampaignFlags {
    /// Cores of the servers and of this program, where there are two.
    pub(crate) fn cores(&self) -> (Option<usize>, Option<usize>) {
        let many = std::thread::available_parallelism().map_or(1, usize::from);
        if self.no_pin || many < 2 {
            return (None, None);
        }
        (Some(self.server_core), Some(self.generator_core))
    }
}

/// Flags of `compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    /// How our server's cost of a delivery grows: connections, rooms, size, workers.
    #[arg(long)]
    pub(crate) growth: bool,
    /// With TLS: a delivery, an idle connection, a handshake, a storm of them.
    #[arg(long)]
    pub(crate) tls: bool,
    /// One more case: a scenario with its flags, in quotation marks.
    #[arg(long)]
    pub(crate) scenario: Option<String>,
    /// These servers (default: all that are not optional); the floor comes along.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// The list of servers besides those built in.
    #[arg(long, default_value = "loadtest/peers/peers.toml")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) campaign: CampaignFlags,
}

/// Flags of `sweep`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sweep {
    /// Values of queue.capacity.
    #[arg(long, value_delimiter = ',', default_value = "25,100,400,1600")]
    pub(crate) capacity: Vec<u64>,
    /// Values of queue.expiry.
    #[arg(long, value_delimiter = ',', default_value = "1s,5s,60s")]
    pub(crate) expiry_of_queue: Vec<String>,
    /// Messages a second in the room.
    #[arg(long, value_delimiter = ',', default_value = "50,200,500")]
    pub(crate) rates: Vec<f64>,
    /// Readers stall and read in turns of this length.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) stall: Duration,
    /// Percent of a stalling reader's deliveries that may be dropped by a setting that is recommended.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) loss_max: f64,
    /// Folder for the results.
    #[arg(long, default_value = "loadtest/results")]
    pub(crate) out: PathBuf,
}

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

impl Servers {
    /// For the reader of a table.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Supportal => "supportal, one worker each",
            Self::Bun => "Bun with its Redis client, one process each",
            Self::Channels => "Django Channels, channels_redis.core, one uvicorn process each",
        }
    }
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
    /// Folder of the other servers.
    #[arg(long, default_value = "loadtest/peers")]
    pub(crate) peers: PathBuf,
    #[command(flatten)]
    pub(crate) campaign: CampaignFlags,
}

impl Xnode {
    /// How long Redis is away.
    pub(crate) fn away(&self) -> Duration {
        let default = match self.fault {
            Some(FaultKind::StopRedis) => Duration::from_secs(10),
            _ => Duration::ZERO,
        };
        self.lasts.unwrap_or(default)
    }
}
