//! The package's metadata: what stands behind each vector of an index.
//!
//! `{"0": {"document_id": 3, "chunk_index": 0, "content": "…", "document_title": "…"}, …}`, each row of the index once.

use super::excerpt::{Chunk, DocumentId};
use super::fault::FileFaultKind;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use std::fmt;
use std::sync::Arc;

/// What the package says of one chunk. What else is in there is the site's business.
#[derive(Deserialize)]
struct ChunkEntry {
    document_id: DocumentId,
    chunk_index: u64,
    content: String,
    document_title: String,
}

/// The row of a key that is none: no file has so many.
const NO_ROW: usize = usize::MAX;

/// Bytes of a row at least: a list of so many rows need not grow, and what of it stays empty is memory that is not there.
const ROW_BYTES_MIN: usize = 64;

/// All chunks, each with its row.
struct ChunkRows(Vec<(usize, Chunk)>);

/// Reads them into a list of its own.
struct RowVisitor(Vec<(usize, Chunk)>);

impl<'de> Visitor<'de> for RowVisitor {
    type Value = ChunkRows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ChunkRows, A::Error> {
        let (mut rows, mut title) = (self.0, Arc::<str>::default());
        while let Some((key, entry)) = map.next_entry::<String, ChunkEntry>()? {
            // The chunks of a document stand together.
            if *title != *entry.document_title {
                title = entry.document_title.into();
            }
            let chunk = Chunk {
                text: entry.content.into(),
                document_id: entry.document_id,
                title: Arc::clone(&title),
                chunk_index: entry.chunk_index,
            };
            let row = key.parse::<usize>().ok();
            let row = row.filter(|row| row.to_string() == key);
            rows.push((row.unwrap_or(NO_ROW), chunk));
        }
        Ok(ChunkRows(rows))
    }
}

/// The chunks of a metadata file, in the order of their rows.
///
/// # Errors
/// If this is none, or not each row stands once.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Chunk>, FileFaultKind> {
    let fault = |what: String| FileFaultKind::Metadata(what.into());
    let mut reader = serde_json::Deserializer::from_slice(text);
    let list = RowVisitor(Vec::with_capacity(text.len() / ROW_BYTES_MIN + 1));
    let read = reader.deserialize_map(list);
    let read = read.and_then(|rows| reader.end().map(|()| rows));
    let mut rows = read.map_err(|error| fault(place_of(&error)))?.0;
    // In place: the rows are in order but for files that nobody writes.
    rows.sort_unstable_by_key(|(row, _)| *row);
    for (at, (row, _)) in rows.iter().enumerate() {
        match row {
            &NO_ROW => return Err(fault("a key is no row of an index".to_owned())),
            row if *row < at => return Err(fault(format!("row {row} stands twice"))),
            row if *row > at => return Err(fault(format!("row {at} is missing"))),
            _ => {}
        }
    }
    let mut chunks: Vec<_> = rows.into_iter().map(|(_, chunk)| chunk).collect();
    chunks.shrink_to_fit();
    Ok(chunks)
}

/// Where the text is none. serde's own words may quote it, and the text is the site's.
fn place_of(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Eof => "ends too early",
        Category::Syntax => "is no JSON",
        Category::Io | Category::Data => "is not of the form of metadata",
    };
    format!("{what}, line {} column {}", error.line(), error.column())
}
