//! Flags.

use crate::contract::Contract;
use crate::share::PROCESSES_MAX;
use crate::xnode::Xnode;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Load-test harness for Supportal Gateway.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about, max_term_width = 110)]
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
    Echo(Echo),
    /// Rooms of many members; some of them publish.
    Fanout(Fanout),
    /// One room of all connections.
    Broadcast(Broadcast),
    /// Connections that do nothing: memory of each, then after one message each.
    Idle,
    /// Connections that come, say one thing and go.
    Connect(Connect),
    /// Two people in a room, at human pace.
    Chat(Chat),
    /// Small rooms, while a large one on the same server is busy: what the small ones notice.
    Beside(Beside),
    /// People who join and leave busy rooms.
    Churn(Churn),
    /// Networks that break: connections cut without a close frame, and clients that come back.
    Flap(Flap),
    /// The server is replaced while everybody is connected.
    Deploy(Deploy),
    /// Readers that stop: what the others notice and what the server keeps.
    Slow(Slow),
    /// Everything at once for long: residue, memory, descriptors.
    Soak(Soak),
    /// The same scenarios against several servers, in turns, as ratios.
    Compare(Compare),
    /// Two nodes and a Redis between them: what crossing costs, what is lost when Redis is hit.
    Xnode(Box<Xnode>),
    /// Queue capacity, expiry and message rate: what each combination loses and costs, and which to take.
    Sweep(Sweep),
    /// The server that does the least a server can: what the kernel costs.
    Floor(Floor),
    /// One of several processes of a run; the program starts it itself.
    #[command(hide = true)]
    Part,
}

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
    /// Time between the managed server's end and its new start.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub(crate) downtime: Duration,
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

/// Flags of `compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    /// The whole table.
    #[arg(long)]
    pub(crate) all: bool,
    /// How our server's cost of a delivery grows: connections, rooms, size, workers.
    #[arg(long)]
    pub(crate) growth: bool,
    /// These cases of either; a wrong name lists them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// One more case: a scenario with its flags, in quotation marks.
    #[arg(long)]
    pub(crate) scenario: Option<String>,
    /// These servers (default: all that are not optional); the floor comes along.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// The list of servers besides those built in.
    #[arg(long, default_value = "loadtest/peers/peers.toml")]
    pub(crate) file: PathBuf,
    /// Rounds: each case and server once in each.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Folder for the results.
    #[arg(long, default_value = "loadtest/results")]
    pub(crate) out: PathBuf,
    /// Name of this comparison: results go to OUT/DATE-NAME. What is there stays, except for the cases measured again.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Forget what is in that folder.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Our server's program (default: beside this one).
    #[arg(long)]
    pub(crate) supportal: Option<PathBuf>,
    /// The server's core.
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The generator's core.
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
    /// Members of the room, five of them publishers.
    #[arg(long, default_value_t = 50)]
    pub(crate) members: usize,
    /// Members whose reading stalls.
    #[arg(long, default_value_t = 10)]
    pub(crate) stalled: usize,
    /// They stall and read in turns of this length.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) stall: Duration,
    /// Percent of a stalling reader's deliveries that may be dropped by a setting that is recommended.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) loss_max: f64,
    /// Starts the server, with {port}, {admin}, {capacity} and {expiry} (default: ours, beside this program).
    #[arg(long)]
    pub(crate) server_command: Option<String>,
    /// Folder for the results.
    #[arg(long, default_value = "loadtest/results")]
    pub(crate) out: PathBuf,
}

/// Flags of every scenario.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The server: ws://HOST:PORT, optionally with a path holding {business} and {room}.
    #[arg(long, global = true, default_value = "ws://127.0.0.1:8000")]
    pub(crate) url: String,
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
    /// Loopback source addresses to rotate (default: as many as the connections need).
    #[arg(long, global = true)]
    pub(crate) sources: Option<u32>,
    /// Generator processes (default: as few as have the descriptors for all connections).
    #[arg(long, global = true, value_parser = processes)]
    pub(crate) processes: Option<usize>,
    /// Never sleep in the poll: steadier latencies for a whole core.
    #[arg(long, global = true)]
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

/// A number of processes.
///
/// # Errors
/// Text that says the bounds.
fn processes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=PROCESSES_MAX).contains(number))
        .ok_or_else(|| format!("{text:?} is not a number from 1 to {PROCESSES_MAX}"))
}

/// A number with a unit: ms, s, m or h.
///
/// # Errors
/// Text that shows the right form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 500ms, 10s, 10m or 2h");
    let at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.trim().parse().ok().ok_or_else(wrong)?;
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * unit)
        .ok()
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert!(duration("10").is_err() && duration("-1s").is_err() && duration("1d").is_err());
    }

    #[test]
    fn the_flags_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
