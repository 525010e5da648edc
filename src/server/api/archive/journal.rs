//! This node's journal (`archive.mode = "journal"`).

use super::line::{EventKnown, EventPlace, Gap, LineWriter};
use super::query::{FeedQuery, PAGE_BYTES, misplaced};
use super::read_faults::ReadFaults;
use crate::archive::{
    Archive, ArchivedEvent, Cursor, CursorFault, JournalPage, JournalReader, JournalSpan,
};
use crate::server::api::problem::{ApiProblem, ProblemKind};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The lines behind a cursor. An answer that would be empty waits for more. The reader's `permit` is held for as long as
/// the disk is read, whoever has gone meanwhile.
pub(super) async fn lines(
    archive: &Archive,
    asked: &FeedQuery,
    permit: &Arc<OwnedSemaphorePermit>,
    faults: &ReadFaults,
) -> Result<String, ApiProblem> {
    let cursor = asked.after.as_deref().map(Cursor::parse).transpose();
    let cursor = cursor.map_err(misplaced)?;
    let mut spans = archive.span();
    let span = *spans.borrow_and_update();
    let after = cursor.map(|after| after.position_in(span.journal, span.last));
    // Who begins asks for all that was ever said: what has been removed by then is the first gap.
    let after = after.transpose().map_err(misplaced)?.unwrap_or(0);
    if let Some(reader) = &asked.reader {
        archive.asked(reader, (span.journal, after));
    }
    let is_there_more = |now: &JournalSpan| now.journal != span.journal || now.last > after;
    if !asked.wait.is_zero() {
        // Whether there is more or not by then.
        drop(tokio::time::timeout(asked.wait, spans.wait_for(is_there_more)).await);
    }
    // As of before the page is read: by then all of it is on the disk, or lost.
    let span = *spans.borrow();
    let (path, limit) = (archive.path().to_owned(), asked.limit);
    let permit = Arc::clone(permit);
    let page = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        JournalReader::open(&path)?.page(after, limit, PAGE_BYTES)
    });
    let page = match page.await {
        Ok(Ok(page)) => page,
        Ok(Err(fault)) => {
            faults.note(&fault);
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
    let is_same = page.journal == span.journal;
    Ok(write(&page, if is_same { span.last } else { 0 }))
}

/// A page as lines, with one for each hole: in front of an event, or in front of the place `newest`, up to which there
/// were events when the page was asked for.
fn write(page: &JournalPage, newest: u64) -> String {
    let mut out = LineWriter::new();
    let cursor = |position| {
        let cursor = Cursor {
            journal: page.journal,
            position,
        };
        cursor.to_string()
    };
    let mut read = page.behind;
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
    if page.is_last {
        let end = newest.max(page.behind + page.missed);
        out.gap(&cursor(end), Gap::Exactly(end.saturating_sub(read)));
    }
    out.finish()
}

fn known(event: &ArchivedEvent) -> EventKnown<'_> {
    EventKnown {
        id: event.id.as_deref(),
        author: event.author.as_deref(),
        sender: &event.sender,
        message: &event.message,
        json: event.json.as_deref(),
        meta: event.meta.as_deref(),
        origin: &event.origin,
        accepted: None,
    }
}
