//! The rows that the package would have: a real Django site with the package, and `config/django/supportal_gateway`.

mod archive;
mod context;
mod log;
mod model;
mod outage;
mod parity;
mod refusals;
mod settings;
mod views;
mod walk;

use crate::archive::{TOKEN, page, say, wait_written};
use crate::support::postgres::Postgres;
use crate::support::{Client, Gateway, Redis, repository, tools_dir, user};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long Python may take to start and carry out an order, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A row: session, type, content, time, metadata.
type Row = (String, String, String, String, Value);

/// A project with the package, its database in a folder of its own or in PostgreSQL.
struct PackageSite {
    folder: TempDir,
    database: Value,
    gateway: Value,
    environment: Vec<(&'static str, String)>,
}

impl PackageSite {
    /// A site with these sessions of business 1.
    #[track_caller]
    fn new(database: Option<&Postgres>, sessions: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("site.db");
        let sqlite = json!({ "ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": { "timeout": 30 } });
        let site = Self {
            folder,
            database: database.map_or(sqlite, Postgres::settings),
            gateway: json!({ "TOKEN": TOKEN }),
            environment: Vec::new(),
        };
        let mut order = vec!["seed"];
        order.extend(sessions);
        site.manage(&order);
        site
    }

    /// Tells the site where its node is.
    fn beside(mut self, gateway: &Gateway) -> Self {
        self.gateway["URL"] = format!("http://{}", gateway.public()).into();
        self
    }

    /// Python in the site's environment.
    fn python(&self, script: &str) -> Command {
        let mut command = Command::new(tools_dir().join("package/bin/python"));
        command
            .arg(repository().join("tests/rows").join(script))
            .current_dir(self.folder.path())
            .env("PYTHONUNBUFFERED", "1")
            .env("SITE_DATABASE", self.database.to_string())
            .env("SITE_GATEWAY", self.gateway.to_string())
            .env("VECTOR_DB_PATH", self.folder.path().join("vector_db"))
            .env("OPENAI_API_KEY", "none")
            .env_remove("SUPPORTAL_API__TOKEN")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `manage.py` with these arguments, to its end.
    fn try_manage(&self, arguments: &[&str]) -> Output {
        let mut command = self.python("site/manage.py");
        command
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{error}; tests/run install"))
    }

    /// As [`PackageSite::try_manage`], which is to succeed; what it wrote.
    #[track_caller]
    fn manage(&self, arguments: &[&str]) -> String {
        let output = self.try_manage(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a command that fails says, in words of its own.
    #[track_caller]
    fn refusal(&self, arguments: &[&str]) -> String {
        let errors = self.refusal_of(arguments);
        assert!(!errors.contains("Traceback"), "{arguments:?}: {errors}");
        errors
    }

    /// As [`PackageSite::refusal`], where it may be an exception.
    #[track_caller]
    fn refusal_of(&self, arguments: &[&str]) -> String {
        let output = self.try_manage(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} succeeded");
        errors
    }

    /// `manage.py` with these arguments, until it is dropped.
    fn run(&self, arguments: &[&str]) -> Running {
        let mut command = self.python("site/manage.py");
        let child = command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Running(child.expect("Python starts"))
    }

    /// As [`PackageSite::run`], with what it writes to standard error.
    #[track_caller]
    fn run_heard(&self, arguments: &[&str]) -> Heard {
        let mut command = self.python("site/manage.py");
        let child = command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Heard::new(child.expect("Python starts"))
    }

    /// Makes the site part of a channel layer.
    fn join_layer(&mut self, redis: &Redis) {
        let layer = json!({
            "BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": { "hosts": [redis.url()] },
        });
        self.environment.push(("SITE_LAYER", layer.to_string()));
    }

    /// All rows in the order of their times.
    #[track_caller]
    fn rows(&self) -> Vec<Row> {
        let dumped = self.manage(&["dump"]);
        let rows = dumped
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row"));
        rows.collect()
    }
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A process whose standard error is read.
struct Heard {
    process: Running,
    lines: Receiver<String>,
}

impl Heard {
    fn new(mut child: Child) -> Self {
        let errors = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process: Running(child),
            lines,
        }
    }

    /// Waits until it writes a line with this text.
    #[track_caller]
    fn until_says(&self, text: &str) {
        let mut said = String::new();
        while !said.contains(text) {
            let line = self.lines.recv_timeout(PATIENCE);
            said = line.unwrap_or_else(|_| panic!("it does not say {text:?}; last: {said}"));
        }
    }
}

/// A node that keeps what is said.
#[track_caller]
fn keeping(folder: &TempDir, settings: &[&str]) -> Gateway {
    let path = format!(
        "archive.path={}",
        folder.path().join("archive.db").display()
    );
    let token = format!("api.token={TOKEN}");
    let mut all = vec!["archive.mode=journal", &path, &token];
    all.extend(settings);
    Gateway::start(&all)
}

/// What the rows say, without times and metadata.
fn said(rows: &[Row]) -> Vec<(&str, &str, &str)> {
    let rows = rows
        .iter()
        .map(|(session, kind, text, _, _)| (session.as_str(), kind.as_str(), text.as_str()));
    rows.collect()
}
