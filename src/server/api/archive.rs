//! `GET /api/archive`: what was said in all rooms, in one order, from a place on that the reader remembers.
//!
//! An answer is lines of JSON (NDJSON): at most `limit` events, and no more than about a mebibyte, each with the cursor
//! that continues behind it. Where events were removed before the reader had them one line says how many. Who has come to
//! the end may wait there for more. Nothing is remembered of a reader here but how far behind one with a name is, so whoever stores cursor and events in one
//! transaction has every event exactly once.

use super::problem::{ApiProblem, ProblemKind};
use super::query::check_query;
use crate::archive::{
    Archive, ArchivedEvent, Cursor, CursorFault, JournalPage, JournalReader, JournalSpan,
    is_reader_name,
};
use crate::config::Config;
use crate::config::Dialect;
use crate::config::units::{format_duration, parse_duration};
use crate::http;
use crate::name::RoomName;
use crate::protocol::Stamp;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most events of an answer, and how many they are unless the reader says.
const LIMIT_MAX: usize = 10_000;
const LIMIT: usize = 1000;

/// An answer ends with the event that passes so many bytes.
const PAGE_BYTES: usize = 1024 * 1024;

/// What an answer occupies: the connection to the journal, the events, and their text, of which escapes may make six
/// times as much.
pub(super) const ANSWER_BYTES: usize = crate::archive::READER_BYTES + 8 * PAGE_BYTES;

/// The longest wait, unless `server.http_timeout` is shorter than twice that.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The archive for those who read it.
#[derive(Debug)]
pub(super) struct ArchiveFeed {
    archive: Option<Arc<Archive>>,
    readers: Semaphore,
    wait_max: Duration,
}

/// What a reader asks for.
#[derive(Debug)]
struct FeedQuery {
    after: Option<Cursor>,
    wait: Duration,
    limit: usize,
    reader: Option<String>,
}

impl ArchiveFeed {
    pub(super) fn new(config: &Config, archive: Option<Arc<Archive>>) -> Self {
        Self {
            archive,
            readers: Semaphore::new(config.archive.readers),
            wait_max: WAIT_MAX.min(config.server.http_timeout / 2),
        }
    }

    /// Answers with this query.
    pub(super) async fn answer(&self, query: &str) -> Result<Response<Bytes>, ApiProblem> {
        let archive = self.archive.as_ref().ok_or(ProblemKind::NoArchive)?;
        let asked = self.read_query(query)?;
        let _permit = self
            .readers
            .try_acquire()
            .map_err(|_full| ApiProblem::later(ProblemKind::Busy, 1))?;
        let mut spans = archive.span();
        let span = *spans.borrow_and_update();
        let after = position(asked.after, span)?;
        if let Some(reader) = &asked.reader {
            archive.asked(reader, (span.journal, after.unwrap_or(span.trimmed)));
        }
        let is_there_more = |span: &JournalSpan| {
            span.journal != asked.journal(span) || span.last > after.unwrap_or(span.trimmed)
        };
        if !asked.wait.is_zero() {
            // Whether there is more or not by then.
            drop(tokio::time::timeout(asked.wait, spans.wait_for(is_there_more)).await);
        }
        let (path, limit) = (archive.path().to_owned(), asked.limit);
        let page = tokio::task::spawn_blocking(move || {
            JournalReader::open(&path)?.page(after, limit, PAGE_BYTES)
        });
        let page = match page.await {
            Ok(Ok(page)) => page,
            Ok(Err(fault)) => {
                tracing::warn!(%fault, "the archive cannot be read");
                return Err(ApiProblem::later(ProblemKind::ArchiveFault, 1));
            }
            Err(_panicked_or_ended) => return Err(ProblemKind::ArchiveFault.into()),
        };
        if asked
            .after
            .is_some_and(|after| after.journal != page.journal)
        {
            return Err(misplaced(CursorFault::Foreign));
        }
        if let (Some(reader), Some(first)) = (&asked.reader, page.events.first()) {
            archive.found(reader, first.at);
        }
        Ok(lines(&page))
    }

    fn read_query(&self, query: &str) -> Result<FeedQuery, ApiProblem> {
        check_query(query, &["after", "wait", "limit", "reader"])?;
        let value = |name| http::parameter(Some(query), name);
        let wrong =
            |field: &str, detail: String| ApiProblem::field(ProblemKind::Query, field, detail);
        let after = value("after").map(|text| Cursor::parse(&text)).transpose();
        let wait = value("wait").map(|text| parse_duration(&text)).transpose();
        let wait = wait
            .map_err(|detail| wrong("wait", detail))?
            .unwrap_or_default();
        if wait > self.wait_max {
            let most = format_duration(self.wait_max);
            return Err(wrong("wait", format!("at most {most}")));
        }
        let limit = match value("limit") {
            None => LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| wrong("limit", format!("a number from 1 to {LIMIT_MAX}")))?,
        };
        let reader = value("reader").map(String::from);
        if reader.as_ref().is_some_and(|name| !is_reader_name(name)) {
            let detail = "1 to 64 letters, digits, '.', '_' and '-'".to_owned();
            return Err(wrong("reader", detail));
        }
        Ok(FeedQuery {
            after: after.map_err(|fault| wrong("after", fault.to_string()))?,
            wait,
            limit,
            reader,
        })
    }
}

impl FeedQuery {
    /// The journal that is meant: that of the cursor, or whichever there is.
    fn journal(&self, span: &JournalSpan) -> u64 {
        self.after.map_or(span.journal, |after| after.journal)
    }
}

/// The position of a cursor.
fn position(after: Option<Cursor>, span: JournalSpan) -> Result<Option<u64>, ApiProblem> {
    let position = after.map(|after| after.position_in(span.journal, span.last));
    position.transpose().map_err(misplaced)
}

fn misplaced(fault: CursorFault) -> ApiProblem {
    ApiProblem::field(ProblemKind::Cursor, "after", fault.to_string())
}

/// A page as lines, with one for each hole in front of an event.
fn lines(page: &JournalPage) -> Response<Bytes> {
    let mut text = String::new();
    let cursor = |position| {
        let cursor = Cursor {
            journal: page.journal,
            position,
        };
        cursor.to_string()
    };
    let gap = |text: &mut String, from: u64, to: u64| {
        if from < to {
            let line = json!({ "cursor": cursor(to), "gap": to - from });
            text.push_str(&format!("{line}\n"));
        }
    };
    let mut stamp = Stamp::new(0, 0);
    let mut read = page.behind;
    if page.events.is_empty() {
        gap(&mut text, read, read + page.missed);
    }
    for event in &page.events {
        gap(&mut text, read, event.position - 1);
        read = event.position;
        let line = line(event, cursor(event.position), &mut stamp);
        text.push_str(&format!("{line}\n"));
    }
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn line(event: &ArchivedEvent, cursor: String, stamp: &mut Stamp) -> Value {
    let room = RoomName::parse(&event.room);
    let ids = room
        .as_ref()
        .map(|room| (room.business_id(), room.session_id()));
    let ids = ids.filter(|(_, session_id)| !session_id.is_empty());
    let mut line = Map::new();
    let mut set = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    set("cursor", cursor.into());
    set("room", event.room.as_str().into());
    set(
        "business_id",
        ids.and_then(|(id, _)| id.parse::<u64>().ok()).into(),
    );
    set("session_id", ids.map(|(_, id)| id).into());
    set("epoch", event.epoch.into());
    set("offset", event.offset.into());
    set("id", event.id.as_deref().into());
    set("author", event.author.as_deref().into());
    set("sender", event.sender.as_str().into());
    set("message", event.message.as_str().into());
    let json = |text: &String| serde_json::from_str(text).unwrap_or(Value::Null);
    if let Some(value) = &event.json {
        set("json", json(value));
    }
    set("meta", event.meta.as_ref().map_or(Value::Null, json));
    set("at", at(event.at, stamp).into());
    set("origin", event.origin.as_str().into());
    Value::Object(line)
}

/// A time as `2024-01-01T12:00:00.000000+00:00`.
fn at(micros: u64, stamp: &mut Stamp) -> String {
    let fraction = micros % 1_000_000;
    stamp.set(micros / 1_000_000, 0);
    let second = String::from_utf8_lossy(stamp.text(Dialect::Guide));
    format!("{}.{fraction:06}+00:00", second.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_microseconds_always() {
        let mut stamp = Stamp::new(0, 0);
        for (micros, text) in [
            (1_704_110_400_000_000, "2024-01-01T12:00:00.000000+00:00"),
            (1_704_110_400_000_001, "2024-01-01T12:00:00.000001+00:00"),
            (999_999, "1970-01-01T00:00:00.999999+00:00"),
        ] {
            assert_eq!(at(micros, &mut stamp), text);
        }
    }
}
