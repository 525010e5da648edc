//! What is said is kept: in the journal of the real server, over its death, and on disks that are full.

mod bad;
mod faults;
mod feed;
mod history;

use crate::support::http::{self, Response};
use crate::support::{Client, Gateway, PATIENCE, frame, wait};
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "token-of-the-tests-0123456789";

/// A folder with a journal, and the settings of a server that writes it.
struct Kept {
    folder: TempDir,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("archive.db")
    }

    /// A server with these settings beside.
    #[track_caller]
    fn start(&self, settings: &[&str]) -> Gateway {
        let path = format!("archive.path={}", self.path().display());
        let token = format!("api.token={TOKEN}");
        let mut all = vec!["archive.mode=journal", &path, &token];
        all.extend(settings);
        Gateway::start(&all)
    }
}

/// Asks for a page.
#[track_caller]
fn ask(gateway: &Gateway, query: &str) -> Response {
    let request = format!(
        "GET /api/archive{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    http::exchange(gateway.public(), request.as_bytes()).expect("an answer")
}

/// The lines of a page.
#[track_caller]
pub(crate) fn page(gateway: &Gateway, query: &str) -> Vec<Value> {
    let response = ask(gateway, query);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.header("content-type"),
        Some("application/x-ndjson")
    );
    let text = response.text();
    let lengths = text.split_inclusive('\n').map(str::len);
    let longest = lengths.max().unwrap_or_default().to_string();
    assert_eq!(
        response.header("x-supportal-line-bytes"),
        Some(&*longest),
        "a reader knows how long a line may be"
    );
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

fn text<'l>(line: &'l Value, name: &str) -> &'l str {
    line[name].as_str().unwrap_or_default()
}

/// All events there are, page by page, as the cursors lead.
#[track_caller]
fn read_all(gateway: &Gateway, limit: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |line| {
            format!("&after={}", text(line, "cursor"))
        });
        let lines = page(gateway, &format!("?limit={limit}{after}"));
        if lines.is_empty() {
            return all;
        }
        all.extend(lines);
    }
}

/// Waits until so many events have been written since the start.
#[track_caller]
pub(crate) fn wait_written(gateway: &Gateway, events: usize) {
    // Disks stand still for seconds at times.
    wait::until("the events are written", 4 * PATIENCE, || {
        gateway.metric("supportal_archive_written_total") >= events as f64
    });
}

/// Says these, each once something came back for the one before, until the server is gone; how many those were. Not for
/// ever: a test that fails meanwhile waits for those who speak.
pub(crate) fn speak_until_gone(
    mut client: Client,
    texts: impl IntoIterator<Item = String>,
) -> usize {
    let deadline = wait::Deadline::after(6 * PATIENCE);
    let is_answered = |text: &String| {
        let message = frame(0x81, crate::support::user(text).as_bytes());
        deadline.left().is_some()
            && client.try_send_raw(&message)
            && client.receive_within(PATIENCE).is_some()
    };
    texts.into_iter().take_while(is_answered).count()
}

/// Says it, and waits for the echo: it has been accepted.
#[track_caller]
pub(crate) fn say(client: &mut Client, what: &str) {
    client.send_text(&crate::support::user(what));
    let echo = client.receive_json();
    assert_eq!(echo["message"], what);
}
