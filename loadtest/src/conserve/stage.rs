//! The programs of a run: the node, the site's command, and what they keep their things in.

use super::process::Process;
use super::site::Site;
use crate::cli::{ArchiveKind, Conserve, DatabaseKind};
use crate::ours::{our_flags, our_server, quoted};
use crate::server::{PATH, Ready, Spec};
use serde_json::json;
use std::path::{Path, PathBuf, absolute};
use tempfile::TempDir;

/// Of a node that nobody but this machine reaches.
const TOKEN: &str = "conserve-0123456789";
/// What was answered is in the file: a Redis that is killed has lost nothing of it.
const REDIS: &str = "redis-server --port {port} --bind 127.0.0.1 --save '' --appendonly yes --appendfsync always --dir .";

/// Where the node and the command are in the list.
pub(super) const NODE: usize = 0;
pub(super) const COMMAND: usize = 1;

/// Everything that is started.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) site: Site,
    /// The node, the command (once it is started), then Redis and PostgreSQL if there are any.
    pub(super) programs: Vec<Process>,
    pub(super) has_bridge: bool,
    _folder: TempDir,
}

impl Stage {
    /// All but the command, which needs the rooms' sessions.
    /// Errors: Text that says what is not there.
    pub(super) fn start(args: &Conserve) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let has_bridge = args.archive == ArchiveKind::Streams;
        let mut stores = Vec::new();
        let redis = has_bridge.then(|| spec(folder.path(), "redis", REDIS.to_owned()));
        if let Some(redis) = redis.transpose()? {
            stores.push(Process::start("Redis", redis, true)?);
        }
        let node = node(args, folder.path(), stores.first().map(|redis| redis.port))?;
        let node = Process::start("the node", node, true)?;
        let mut database = json!({ "ENGINE": "django.db.backends.sqlite3", "NAME": folder.path().join("site.db"), "OPTIONS": { "timeout": 30 } });
        if args.database == DatabaseKind::Postgres {
            let start = whole(&args.peers)?.join("postgres/start");
            let line = format!("{} {{port}}", quoted(&start));
            let postgres =
                Process::start("PostgreSQL", spec(folder.path(), "postgres", line)?, true)?;
            database = json!({ "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "site", "HOST": "127.0.0.1", "PORT": postgres.port });
            stores.push(postgres);
        }
        let site = Site {
            python: whole(&args.python)?,
            project: whole(&args.site)?,
            folder: folder.path().to_owned(),
            database,
            gateway: json!({ "TOKEN": TOKEN, "URL": format!("http://127.0.0.1:{}", node.port) }),
        };
        Ok(Self {
            site,
            programs: [node].into_iter().chain(stores).collect(),
            has_bridge,
            _folder: folder,
        })
    }

    /// Makes these sessions, and starts the command.
    /// Errors: Text that says what is not there.
    pub(super) fn start_command(&mut self, rooms: &[String]) -> Result<(), String> {
        self.site.manage(&format!("seed {}", rooms.join(" ")))?;
        let line = self.site.line("supportal_archive");
        let command = spec(&self.site.folder, "command", line)?;
        let command = Process::start("the command", command, false)?;
        self.programs.insert(COMMAND, command);
        Ok(())
    }

    /// The node's port, and that of its admin listener.
    pub(super) fn node(&self) -> (u16, u16) {
        let node = self.programs.get(NODE);
        node.map_or((0, 0), |node| (node.port, node.admin))
    }
}

/// A path that holds in every folder. What it leads to stays as it is called: a Python knows its packages by that.
fn whole(path: &Path) -> Result<PathBuf, String> {
    let name = path.display();
    match path.exists() {
        true => absolute(path).map_err(|error| format!("{name}: {error}")),
        false => Err(format!("{name} is not there: tests/run install")),
    }
}

/// A program in a folder of its own.
fn spec(folder: &Path, name: &str, command: String) -> Result<Spec, String> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok(Spec {
        command,
        ready: Ready::Tcp,
        log: Some(folder.join("log.txt")),
        directory: Some(folder),
        ..Spec::default()
    })
}

/// The node, beside the Redis at this port.
fn node(args: &Conserve, folder: &Path, redis: Option<u16>) -> Result<Spec, String> {
    let program = quoted(&our_server(args.supportal.as_deref())?);
    let mut line = format!("{program} {} --set api.token={TOKEN}", our_flags());
    line += &match redis {
        Some(port) => format!(
            " --set archive.mode=streams --set bridge.mode=streams --redis-url redis://127.0.0.1:{port}"
        ),
        None => " --set archive.mode=journal --set archive.path=journal.db".to_owned(),
    };
    for setting in &args.set {
        line += &format!(" --set {}", quoted(Path::new(setting)));
    }
    Ok(Spec {
        ready: Ready::Websocket,
        path: PATH.to_owned(),
        ..spec(folder, "node", line)?
    })
}
