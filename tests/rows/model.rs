//! The model server of these tests (`model.py`): it says always the same, and what it was asked.

use super::{PackageSite, Running};
use crate::support::{repository, tools_dir};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A model server, and what it was asked.
pub(super) struct Model {
    _process: Running,
    url: String,
    orders: ChildStdin,
    asked: Receiver<Value>,
}

impl Model {
    /// A server that answers at once.
    #[track_caller]
    pub(super) fn new() -> Self {
        Self::start("")
    }

    /// A server that the site asks, and that answers at once.
    #[track_caller]
    pub(super) fn beside(site: &mut PackageSite) -> Self {
        Self::new().asked_by(site)
    }

    /// A server that keeps each answer until [`Model::answer`].
    #[track_caller]
    pub(super) fn waiting_beside(site: &mut PackageSite) -> Self {
        Self::start("1").asked_by(site)
    }

    fn asked_by(self, site: &mut PackageSite) -> Self {
        site.environment.push(("OPENAI_BASE_URL", self.url.clone()));
        self
    }

    #[track_caller]
    fn start(waits: &str) -> Self {
        let mut child = Command::new(tools_dir().join("package/bin/python"))
            .arg(repository().join("tests/rows/model.py"))
            .env("MODEL_WAITS", waits)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run install");
        let orders = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut lines = output.lines();
        let first = lines.next().expect("a line").expect("text");
        let first: Value = serde_json::from_str(&first).expect("JSON");
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let request = serde_json::from_str(&line).expect("JSON");
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        let url = first["url"].as_str().expect("its address").to_owned();
        Self {
            _process: Running(child),
            url,
            orders,
            asked,
        }
    }

    /// Its address, as the package's client wants it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The port of that.
    #[track_caller]
    pub(super) fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next();
        let port = port.and_then(|rest| rest.split('/').next()?.parse().ok());
        port.expect("a port")
    }

    /// What it was asked since this was called last.
    pub(super) fn asked(&self) -> Vec<Value> {
        self.asked.try_iter().collect()
    }

    /// Waits until it is asked for an answer; the question.
    #[track_caller]
    pub(super) fn until_asked(&self) -> Value {
        loop {
            let request = self.asked.recv_timeout(super::PATIENCE);
            let request = request.expect("the model to be asked");
            if request["path"] == "/v1/chat/completions" {
                return request;
            }
        }
    }

    /// Lets it answer one question.
    #[track_caller]
    pub(super) fn answer(&mut self) {
        writeln!(self.orders).expect("the model takes orders");
    }
}
