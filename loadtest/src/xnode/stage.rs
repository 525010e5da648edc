//! The nodes of a run and the Redis between them, started here.

use super::store::{Home, Store};
use super::watch;
use crate::cli::{FaultKind, Options, Servers, Xnode};
use crate::clock::{SECOND, until};
use crate::ours::{our_flags, our_server, quoted};
use crate::report::Facts;
use crate::server::{PATH, Server, Spec, shell};
use crate::speaker::Speaker;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Nodes that are started.
const NODES: usize = 2;
/// Their bridges are up after this long or never.
const UP_MAX: u64 = 20 * SECOND;
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(50);
/// As in `peers/channels/settings.py`: a full channel drops without a word.
const CHANNEL_CAPACITY: u32 = 100_000;

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) url: String,
    admin: Option<String>,
    pid: u32,
    /// Ends with this.
    _server: Server,
}

/// Everything the run talks to. Nodes end before their Redis.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) nodes: Vec<Node>,
    pub(super) store: Option<Store>,
    pub(super) facts: Facts,
    redis: SocketAddr,
    redis_pid: Option<u32>,
    peers: PathBuf,
    _folder: TempDir,
}

impl Stage {
    /// That of the flags.
    /// Errors: Something does not start, or the flags do not fit each other.
    pub(super) fn start(
        args: &Xnode,
        options: &Options,
        (core, generator): (Option<usize>, Option<usize>),
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let home = Home {
            folder: folder.path(),
            appendonly: args.appendonly,
            core,
        };
        let store = match args.fault {
            Some(FaultKind::Failover) => Store::start_watched(home)?,
            _ => Store::start(home)?,
        };
        let command = command(args, options, &store.url())?;
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let spec = Spec {
                command: command.clone(),
                directory: (args.servers != Servers::Supportal).then(|| args.peers.clone()),
                path: PATH.to_owned(),
                core,
                log: Some(folder.path().join(format!("node-{number}.txt"))),
                ..Spec::default()
            };
            let server = Server::start(&spec)?;
            let admin = format!("http://127.0.0.1:{}", server.admin);
            nodes.push(Node {
                url: format!("ws://127.0.0.1:{}{PATH}", server.port),
                admin: (args.servers == Servers::Supportal).then_some(admin),
                pid: server.pid(),
                _server: server,
            });
        }
        let pinning = match core.zip(generator) {
            Some((all, ours)) => format!("nodes and Redis on core {all}, generator on core {ours}"),
            None => "none".to_owned(),
        };
        let stage = Self {
            facts: Facts {
                servers: args.servers.text().to_owned(),
                mode: mode(args),
                nodes: NODES,
                redis: store.version(),
                appendonly: args.appendonly,
                settings: args.set.clone(),
                pinning,
                ..Facts::default()
            },
            redis: store.address(),
            redis_pid: store.pid(),
            nodes,
            store: Some(store),
            peers: args.peers.clone(),
            _folder: folder,
        };
        stage.until_up()?;
        Ok(stage)
    }

    fn until_up(&self) -> Result<(), String> {
        let is_down = |admin: &String| !until(UP_MAX, LOOK, || watch::state(admin).is_up);
        match self.admins().into_iter().find(is_down) {
            Some(admin) => Err(format!("{admin}/health: the bridge does not come up")),
            None => Ok(()),
        }
    }

    /// Admin listeners of the nodes that have one.
    pub(super) fn admins(&self) -> Vec<String> {
        let admins = self.nodes.iter().filter_map(|node| node.admin.clone());
        admins.collect()
    }

    /// The Redis for the bare round trip.
    pub(super) fn redis(&self) -> SocketAddr {
        self.redis
    }

    /// Processes of the nodes, then that of Redis.
    pub(super) fn processes(&self) -> Vec<u32> {
        let nodes = self.nodes.iter().map(|node| node.pid);
        nodes.chain(self.redis_pid).collect()
    }

    /// The Python process that speaks, if one does.
    /// Errors: The process does not start.
    pub(super) fn speaker(&self, args: &Xnode) -> Result<Option<Speaker>, String> {
        let url = self.store.as_ref().map(Store::url).unwrap_or_default();
        let mut command = shell("exec channels/speak", None);
        command.current_dir(&self.peers).env("CHANNELS_REDIS", url);
        args.group_send.then(|| Speaker::start(command)).transpose()
    }
}

fn mode(args: &Xnode) -> String {
    match (args.servers, args.group_send) {
        (Servers::Supportal, true) => "bridge.channels".to_owned(),
        (Servers::Supportal, false) => args.mode.clone(),
        _ => String::new(),
    }
}

/// The line that starts one node, still with `{port}` and `{admin}`.
fn command(args: &Xnode, options: &Options, redis: &str) -> Result<String, String> {
    let text = |word: &str| quoted(Path::new(word));
    match args.servers {
        Servers::Bun if args.group_send => {
            Err("--group-send: Bun is in no channel layer".to_owned())
        }
        Servers::Bun => Ok(format!("bun-redis/start {{port}} {redis}")),
        Servers::Channels => Ok(format!("channels/node {{port}} {redis}")),
        Servers::Supportal => {
            let program = quoted(&our_server(args.campaign.supportal.as_deref())?);
            let mut settings = vec![format!("bridge.mode={}", args.mode)];
            let mut line = format!("{program} {}", our_flags());
            if args.group_send {
                settings = vec![
                    "channels.enabled=true".to_owned(),
                    format!("channels.hosts=[\"{redis}\"]"),
                    format!("channels.capacity={CHANNEL_CAPACITY}"),
                ];
            } else {
                line += &format!(" --redis-url {}", text(redis));
            }
            settings.push(format!("queue.expiry={}ms", options.expiry.as_millis()));
            settings.extend(args.set.iter().cloned());
            for setting in &settings {
                line += &format!(" --set {}", text(setting));
            }
            Ok(line)
        }
    }
}
