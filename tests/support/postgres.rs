//! A private PostgreSQL for one test: its own folder, a socket in it, no port, gone at the end.

use super::wait;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// One cluster with one database, `site`.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Option<Child>,
    folder: TempDir,
}

impl Postgres {
    /// A server that takes connections.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("own folder");
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let mut postgres = Self {
            child: None,
            folder,
        };
        let data = postgres.data();
        run(as_postgres("initdb")
            .args(["-A", "trust", "-U", "site", "-N", "-E", "UTF8", "-D"])
            .arg(data));
        postgres.launch();
        run(as_postgres("createdb")
            .args(["-U", "site", "-h"])
            .arg(postgres.folder.path())
            .arg("site"));
        postgres
    }

    /// `DATABASES["default"]` of a site that uses it.
    pub(crate) fn settings(&self) -> Value {
        json!({ "ENGINE": "django.db.backends.postgresql", "NAME": "site", "USER": "site", "HOST": self.folder.path() })
    }

    /// Ends the server without warning, and starts it again: what was committed is there.
    #[track_caller]
    pub(crate) fn kill_and_start(&mut self) {
        self.end();
        self.launch();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    #[track_caller]
    fn launch(&mut self) {
        let child = as_postgres("postgres")
            .args(["-c", "listen_addresses=", "-k"])
            .arg(self.folder.path())
            .arg("-D")
            .arg(self.data())
            .spawn();
        self.child = Some(child.expect("postgres starts"));
        wait::until("PostgreSQL takes connections", PATIENCE, || {
            let mut ask = as_postgres("pg_isready");
            let ask = ask.args(["-q", "-h"]).arg(self.folder.path());
            ask.status().is_ok_and(|status| status.success())
        });
    }

    /// At once and without a checkpoint ("immediate shutdown"), as a crash; unlike SIGKILL its children are gone by then too.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            if rustix::process::kill_process(pid, rustix::process::Signal::QUIT).is_ok() {
                drop(child.wait());
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program of PostgreSQL, as its user where this is root, whom it refuses.
fn as_postgres(program: &str) -> Command {
    let path = program_path(program);
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ]);
        command.arg(path);
        command
    } else {
        Command::new(path)
    };
    command
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Debian keeps them beside the version, and the newest is taken; elsewhere they are in the path.
fn program_path(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let found = versions.map(|version| version.path().join("bin").join(program));
    let mut found: Vec<PathBuf> = found.filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(program).to_owned())
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run install"));
    assert!(status.success(), "{command:?}: {status}");
}
