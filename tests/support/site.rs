//! A real Django site: channels and channels_redis in a Python process (`tests/channels/site.py`).

use super::{repository, tools_dir, wait};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// How long Python may take: to start, or for a thousand sends.
const PATIENCE: Duration = Duration::from_secs(60);

/// One site.
#[derive(Debug)]
pub(crate) struct Site {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<Value>,
    heard: VecDeque<Value>,
}

impl Site {
    /// A site with this `CHANNEL_LAYERS["default"]`.
    #[track_caller]
    pub(crate) fn start(layer: &str, config: &Value) -> Self {
        let backend = match layer {
            "core" => "channels_redis.core.RedisChannelLayer",
            _ => "channels_redis.pubsub.RedisPubSubChannelLayer",
        };
        let python = tools_dir().join("channels/bin/python");
        let mut child = Command::new(&python)
            .arg(repository().join("tests/channels/site.py"))
            .args([backend, &config.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
        let orders = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "noise": line }));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut site = Self {
            child,
            orders,
            lines,
            heard: VecDeque::new(),
        };
        assert_eq!(site.done(), Ok(json!("ready")));
        site
    }

    /// Gives an order and waits until it is carried out.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &Value) -> Value {
        self.try_order(order).expect("Redis to be there")
    }

    /// As [`Site::order`]; an error, as Python prints it, if its connection to Redis broke.
    #[track_caller]
    pub(crate) fn try_order(&mut self, order: &Value) -> Result<Value, String> {
        writeln!(self.orders, "{order}").expect("the site takes orders");
        self.done()
    }

    /// `group_send` of one `chat.message`.
    #[track_caller]
    pub(crate) fn group_send(&mut self, group: &str, message: &str) {
        self.order(&json!({ "do": "group_send", "group": group, "message": message }));
    }

    /// The next thing that a consumer of the site hears.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        if let Some(heard) = self.heard.pop_front() {
            return heard;
        }
        let mut line = self.line(PATIENCE).expect("a consumer to hear something");
        line["heard"].take()
    }

    /// Has a consumer heard anything so far?
    pub(crate) fn has_heard(&mut self) -> bool {
        while let Some(mut line) = self.line(Duration::ZERO) {
            self.heard.push_back(line["heard"].take());
        }
        !self.heard.is_empty()
    }

    #[track_caller]
    fn done(&mut self) -> Result<Value, String> {
        let deadline = wait::Deadline::after(PATIENCE);
        while let Some(left) = deadline.left() {
            let mut line = self.line(left).expect("the site to answer");
            if line.get("done").is_some() {
                return match line["failed"].as_str() {
                    Some(reason) => Err(reason.to_owned()),
                    None => Ok(line["done"].take()),
                };
            }
            self.heard.push_back(line["heard"].take());
        }
        panic!("the site did not answer within {PATIENCE:?}")
    }

    fn line(&self, patience: Duration) -> Option<Value> {
        self.lines.recv_timeout(patience).ok()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
