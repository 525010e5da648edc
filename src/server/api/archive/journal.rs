//! This node's journal (`archive.mode = "journal"`).

use super::line::{EventPlace, Gap, LineWriter};
use super::query::{FeedQuery, PAGE_BYTES, misplaced};
use crate::archive::{
    Archive, ArchivedEvent, Cursor, CursorFault, JournalPage, JournalReader, JournalSpan,
};
use crate::server::api::problem::{ApiProblem, ProblemKind};
use serde_json::{Map, Value};

/// The lines behind a cursor. An answer that would be empty waits for more.
pub(super) async fn lines(archive: &Archive, asked: &FeedQuery) -> Result<String, ApiProblem> {
    let cursor = asked.after.as_deref().map(Cursor::parse).transpose();
    let cursor = cursor.map_err(misplaced)?;
    let mut spans = archive.span();
    let span = *spans.borrow_and_update();
    let after = cursor.map(|after| after.position_in(span.journal, span.last));
    let after = after.transpose().map_err(misplaced)?;
    if let Some(reader) = &asked.reader {
        archive.asked(reader, (span.journal, after.unwrap_or(span.trimmed)));
    }
    let is_there_more =
        |now: &JournalSpan| now.journal != span.journal || now.last > after.unwrap_or(now.trimmed);
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
    if cursor.is_some_and(|cursor| cursor.journal != page.journal) {
        return Err(misplaced(CursorFault::Foreign));
    }
    if let (Some(reader), Some(first)) = (&asked.reader, page.events.first()) {
        archive.found(reader, first.at);
    }
    Ok(write(&page))
}

/// A page as lines, with one for each hole in front of an event.
fn write(page: &JournalPage) -> String {
    let mut out = LineWriter::new();
    let cursor = |position| {
        let cursor = Cursor {
            journal: page.journal,
            position,
        };
        cursor.to_string()
    };
    let mut read = page.behind;
    if page.events.is_empty() {
        out.gap(&cursor(read + page.missed), Gap::Exactly(page.missed));
    }
    for event in &page.events {
        let before = event.position.saturating_sub(1);
        out.gap(&cursor(before), Gap::Exactly(before.saturating_sub(read)));
        read = event.position;
        let placed = EventPlace {
            room: &event.room,
            epoch: event.epoch,
            offset: event.offset,
            at: event.at,
        };
        out.event(cursor(read), placed, known(event));
    }
    out.finish()
}

fn known(event: &ArchivedEvent) -> Map<String, Value> {
    let mut known = Map::new();
    let mut set = |name: &str, value: Value| drop(known.insert(name.to_owned(), value));
    set("id", event.id.as_deref().into());
    set("author", event.author.as_deref().into());
    set("sender", event.sender.as_str().into());
    set("message", event.message.as_str().into());
    let json = |text: &String| serde_json::from_str(text).unwrap_or(Value::Null);
    if let Some(value) = &event.json {
        set("json", json(value));
    }
    set("meta", event.meta.as_ref().map_or(Value::Null, json));
    set("origin", event.origin.as_str().into());
    known
}
