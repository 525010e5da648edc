//! The package's metadata: what stands behind each vector of an index.
//!
//! `{"0": {"document_id": 3, "chunk_index": 0, "content": "…", "document_title": "…"}, …}`, each row of the index once.

use super::excerpt::{Chunk, DocumentId};
use super::fault::FileFaultKind;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
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

/// All chunks, by their rows.
struct ChunkRows(BTreeMap<usize, Chunk>);

impl<'de> Deserialize<'de> for ChunkRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = ChunkRows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ChunkRows, A::Error> {
        let (mut rows, mut title) = (BTreeMap::new(), Arc::<str>::default());
        while let Some((key, entry)) = map.next_entry::<String, ChunkEntry>()? {
            let row = key.parse::<usize>().ok();
            let Some(row) = row.filter(|row| row.to_string() == key) else {
                return Err(A::Error::custom("a key is no row of an index"));
            };
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
            if rows.insert(row, chunk).is_some() {
                return Err(A::Error::custom(format_args!("row {row} stands twice")));
            }
        }
        Ok(ChunkRows(rows))
    }
}

/// The chunks of a metadata file, in the order of their rows.
///
/// # Errors
/// If this is none, or a row is missing.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Chunk>, FileFaultKind> {
    let fault = |what: String| FileFaultKind::Metadata(what.into());
    // serde's messages say which type was met, and may quote what was: that is the site's.
    let rows: ChunkRows = serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Eof => "ends too early",
            serde_json::error::Category::Syntax => "is no JSON",
            _ => "is not of the form of metadata",
        };
        fault(format!("{what}, line {line} column {column}"))
    })?;
    let missing = rows.0.keys().enumerate().find(|(at, row)| at != *row);
    if let Some((row, _)) = missing {
        return Err(fault(format!("row {row} is missing")));
    }
    Ok(rows.0.into_values().collect())
}
