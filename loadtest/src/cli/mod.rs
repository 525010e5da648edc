//! Flags.

mod campaigns;
mod conserve;
mod entrance;
mod scenarios;
mod values;

use crate::contract::Contract;
pub(crate) use campaigns::{CampaignFlags, Compare, FaultKind, Servers, Sweep, Xnode};
use clap::{Args, Parser, Subcommand};
pub(crate) use conserve::{ArchiveKind, Conserve, DatabaseKind};
pub(crate) use entrance::{Entrance, Requests, Slowloris};
pub(crate) use scenarios::{ClientKind, Deploy, Floor};
use std::path::PathBuf;
use std::time::Duration;
pub(crate) use values::{duration, flag};

/// Load-test harness for Supportal Gateway.
#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    version,
    about,
    max_term_width = 110,
    args_override_self = true
)]
pub(crate) struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Flags of every scenario.
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to run.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Every connection alone in its room gets its own messages back.
    Echo {
        /// Messages under way per connection.
        #[arg(long, default_value_t = 1)]
        window: u32,
    },
    /// Rooms of many members; some of them publish.
    Fanout {
        /// Rooms.
        #[arg(long, default_value_t = 10)]
        rooms: usize,
        /// Members of each.
        #[arg(long, default_value_t = 100)]
        members: usize,
        /// Members that publish, in each.
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        /// Messages under way per publisher.
        #[arg(long, default_value_t = 1)]
        window: u32,
    },
    /// One room of all connections.
    Broadcast {
        /// Members that publish.
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        /// Messages under way per publisher.
        #[arg(long, default_value_t = 1)]
        window: u32,
    },
    /// Connections that do nothing: memory of each, then after one message each.
    Idle,
    /// Connections that come, say one thing and go.
    Connect {
        /// Connections that live at the same time.
        #[arg(long, default_value_t = 50)]
        lanes: usize,
        /// Close after the handshake, without a message.
        #[arg(long)]
        silent: bool,
    },
    /// Two people in a room, at human pace.
    Chat {
        /// Mean pause between two messages of one person.
        #[arg(long, default_value = "8s", value_parser = duration)]
        pause: Duration,
    },
    /// Small rooms, while a large one on the same server is busy: what the small ones notice.
    Beside {
        /// Small rooms.
        #[arg(long, default_value_t = 50)]
        rooms: usize,
        /// Members of each, of whom one publishes.
        #[arg(long, default_value_t = 2)]
        members: usize,
        /// Members of the large room; 0 leaves it out, for comparison.
        #[arg(long, default_value_t = 5000)]
        crowd: usize,
        /// Those of them that publish.
        #[arg(long, default_value_t = 10)]
        speakers: usize,
        /// Messages a second in the large room.
        #[arg(long, default_value_t = 10.0)]
        crowd_rate: f64,
    },
    /// Thousands who connect at once, in the middle of the measurement: what other rooms notice.
    Storm {
        /// Connections, each in a room of its own.
        #[arg(long, default_value_t = 5000)]
        handshakes: usize,
        /// Other rooms.
        #[arg(long, default_value_t = 10)]
        rooms: usize,
        /// Members of each, of whom one publishes.
        #[arg(long, default_value_t = 100)]
        members: usize,
    },
    /// People who join and leave busy rooms.
    Churn {
        /// Rooms.
        #[arg(long, default_value_t = 20)]
        rooms: usize,
        /// Members of each; the first publishes and stays.
        #[arg(long, default_value_t = 50)]
        members: usize,
        /// Members who leave, a second in all.
        #[arg(long, default_value_t = 200.0)]
        leaves: f64,
        /// Mean time away.
        #[arg(long, default_value = "1s", value_parser = duration)]
        pause: Duration,
    },
    /// Networks that break: connections cut without a close frame, and clients that come back.
    Flap {
        /// Rooms.
        #[arg(long, default_value_t = 20)]
        rooms: usize,
        /// Members of each; two publish.
        #[arg(long, default_value_t = 50)]
        members: usize,
        /// Connections cut, a second in all.
        #[arg(long, default_value_t = 50.0)]
        cuts: f64,
    },
    /// The server is replaced while everybody is connected.
    Deploy(Deploy),
    /// Readers that stop: what the others notice and what the server keeps.
    Slow {
        /// Members of the one room.
        #[arg(long, default_value_t = 200)]
        members: usize,
        /// Those that stop reading.
        #[arg(long, default_value_t = 20)]
        stopped: usize,
        /// They stop and read in turns of this length instead of stopping for good.
        #[arg(long, value_parser = duration)]
        cycle: Option<Duration>,
        /// Kernel receive buffer of those that stop, in bytes (default: the system's).
        #[arg(long)]
        receive_buffer: Option<usize>,
        /// Those that publish.
        #[arg(long, default_value_t = 5)]
        publishers: usize,
    },
    /// Everything at once for long: residue, memory, descriptors.
    Soak {
        /// Echo messages a second; keep it under what the server can do, a soak is not a race.
        #[arg(long, default_value_t = 2000.0)]
        echo_rate: f64,
        /// Fan-out messages a second, ten deliveries each.
        #[arg(long, default_value_t = 1000.0)]
        fanout_rate: f64,
        /// MiB the server's resident memory may grow after the warm-up.
        #[arg(long, default_value_t = 1.0)]
        rss_growth: f64,
    },
    /// The same scenarios against several servers, in turns, as ratios.
    Compare(Compare),
    /// Two nodes and a Redis between them: what crossing costs, what is lost when Redis is hit.
    Xnode(Box<Xnode>),
    /// A node, its archive, a Django site and its database, each killed again and again: accepted = rows = seen.
    Conserve(Box<Conserve>),
    /// Queue capacity, expiry and message rate: what each combination loses and costs, and which to take.
    Sweep(Sweep),
    /// Credentials, the site behind, slow clients, a flood by one business: what they cost and what others notice.
    Entrance(Entrance),
    /// GETs over connections that are kept, of a web server or a proxy.
    Requests(Requests),
    /// Not a load of its own: sockets that begin a request and say one byte at a time.
    Slowloris(Slowloris),
    /// The server that does the least a server can: what the kernel costs.
    Floor(Floor),
}

/// Flags of every scenario.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The server: ws://HOST:PORT or wss://HOST:PORT, optionally with a path holding {business} and {room}.
    #[arg(long, global = true, default_value = "ws://127.0.0.1:8000")]
    pub(crate) url: String,
    /// wss: trust servers with a certificate of this file, or of an authority in it (PEM).
    #[arg(long, global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// wss: trust any server, and spare the generator the signatures.
    #[arg(long, global = true, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// wss: resume no session.
    #[arg(long, global = true)]
    pub(crate) full_handshakes: bool,
    /// What the server speaks inside its frames.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) contract: Contract,
    /// The server's admin listener, for its ledger: http://HOST:PORT.
    #[arg(long, global = true)]
    pub(crate) admin: Option<String>,
    /// The server's process, for its CPU, memory and descriptors (its children are counted in).
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// Connections; each scenario has its own default.
    #[arg(long, short = 'c', global = true)]
    pub(crate) connections: Option<usize>,
    /// How long to measure; each scenario has its own default.
    #[arg(long, short = 'd', global = true, value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Time at full load before the measurement.
    #[arg(long, global = true, default_value = "1s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Open loop: this many messages a second in all, whatever comes back.
    #[arg(long, global = true)]
    pub(crate) rate: Option<f64>,
    /// Bytes of each message's text.
    #[arg(long, global = true)]
    pub(crate) size: Option<usize>,
    /// Seed of everything random.
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Deliveries older than this are late (the server's queue.expiry).
    #[arg(long, global = true, default_value = "60s", value_parser = duration)]
    pub(crate) expiry: Duration,
    /// Value of {business} in the path.
    #[arg(long, global = true, default_value = "1")]
    pub(crate) business: String,
    /// One more header line for the handshake; may be repeated.
    #[arg(long, global = true, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// A file of tokens, one a line: each handshake brings the next one in `Authorization: Bearer`.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// Loopback source addresses to rotate (default: as many as the connections need).
    #[arg(long, global = true)]
    pub(crate) sources: Option<u32>,
    /// Never sleep in the poll: steadier latencies for a whole core.
    #[arg(long, global = true, overrides_with = "spin")]
    pub(crate) spin: bool,
    /// Write the figures to this file.
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
    /// Write a self-contained page with plots to this file.
    #[arg(long, global = true)]
    pub(crate) html: Option<PathBuf>,
    /// Allow a target that is not on this machine.
    #[arg(long, global = true)]
    pub(crate) i_own_this_server: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_case_that_spins_may_be_told_so_once_more() {
        let cli = Cli::parse_from(["loadtest", "echo", "--spin", "--spin"]);
        assert!(cli.options.spin);
    }
}
