//! Flags of the scenarios and of the floor.

use super::values::duration;
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;

/// Flags of `echo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Echo {
    /// Messages under way per connection.
    #[arg(long, default_value_t = 1)]
    pub(crate) window: u32,
}

/// Flags of `fanout`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Fanout {
    /// Rooms.
    #[arg(long, default_value_t = 10)]
    pub(crate) rooms: usize,
    /// Members of each.
    #[arg(long, default_value_t = 100)]
    pub(crate) members: usize,
    /// Members that publish, in each.
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers: usize,
    /// Messages under way per publisher.
    #[arg(long, default_value_t = 1)]
    pub(crate) window: u32,
}

/// Flags of `broadcast`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Broadcast {
    /// Members that publish.
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers: usize,
    /// Messages under way per publisher.
    #[arg(long, default_value_t = 1)]
    pub(crate) window: u32,
}

/// Flags of `connect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connect {
    /// Connections that live at the same time.
    #[arg(long, default_value_t = 50)]
    pub(crate) lanes: usize,
    /// Close after the handshake, without a message.
    #[arg(long)]
    pub(crate) silent: bool,
}

/// Flags of `chat`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Chat {
    /// Mean pause between two messages of one person.
    #[arg(long, default_value = "8s", value_parser = duration)]
    pub(crate) pause: Duration,
}

/// Flags of `beside`; `--rate` is that of the small rooms, in all.
#[derive(Debug, Clone, Args)]
pub(crate) struct Beside {
    /// Small rooms.
    #[arg(long, default_value_t = 50)]
    pub(crate) rooms: usize,
    /// Members of each, of whom one publishes.
    #[arg(long, default_value_t = 2)]
    pub(crate) members: usize,
    /// Members of the large room; 0 leaves it out, for comparison.
    #[arg(long, default_value_t = 5000)]
    pub(crate) crowd: usize,
    /// Those of them that publish.
    #[arg(long, default_value_t = 10)]
    pub(crate) speakers: usize,
    /// Messages a second in the large room.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) crowd_rate: f64,
}

/// Flags of `churn`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Churn {
    /// Rooms.
    #[arg(long, default_value_t = 20)]
    pub(crate) rooms: usize,
    /// Members of each; the first publishes and stays.
    #[arg(long, default_value_t = 50)]
    pub(crate) members: usize,
    /// Members who leave, a second in all.
    #[arg(long, default_value_t = 200.0)]
    pub(crate) leaves: f64,
    /// Mean time away.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) pause: Duration,
}

/// Flags of `flap`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flap {
    /// Rooms.
    #[arg(long, default_value_t = 20)]
    pub(crate) rooms: usize,
    /// Members of each; two publish.
    #[arg(long, default_value_t = 50)]
    pub(crate) members: usize,
    /// Connections cut, a second in all.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) cuts: f64,
}

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

/// Flags of `slow`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Slow {
    /// Members of the one room.
    #[arg(long, default_value_t = 200)]
    pub(crate) members: usize,
    /// Those that stop reading.
    #[arg(long, default_value_t = 20)]
    pub(crate) stopped: usize,
    /// They stop and read in turns of this length instead of stopping for good.
    #[arg(long, value_parser = duration)]
    pub(crate) cycle: Option<Duration>,
    /// Kernel receive buffer of those that stop, in bytes (default: the system's).
    #[arg(long)]
    pub(crate) receive_buffer: Option<usize>,
    /// Those that publish.
    #[arg(long, default_value_t = 5)]
    pub(crate) publishers: usize,
}

/// Flags of `soak`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Soak {
    /// Echo messages a second; keep it under what the server can do, a soak is not a race.
    #[arg(long, default_value_t = 2000.0)]
    pub(crate) echo_rate: f64,
    /// Fan-out messages a second, ten deliveries each.
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) fanout_rate: f64,
    /// MiB the server's resident memory may grow after the warm-up.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) rss_growth: f64,
}

/// Flags of `floor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Floor {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
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
