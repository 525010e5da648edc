//! A business's folder of documents: Markdown and plain text, cut into chunks.

use super::excerpt::{Chunk, DocumentId};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a chunk: a few paragraphs. A chunk is what a prompt is given, so it holds one subject and no more.
const CHUNK_BYTES: usize = 1000;

/// Is a file of this name one of the documents?
pub(super) fn is_document(path: &Path) -> bool {
    let is_hidden = |name: &str| name.starts_with('.');
    let name = path.file_name().and_then(|name| name.to_str());
    let extension = path.extension().and_then(|extension| extension.to_str());
    name.is_some_and(|name| !is_hidden(name))
        && extension.is_some_and(|extension| {
            ["md", "markdown", "txt"]
                .iter()
                .any(|one| extension.eq_ignore_ascii_case(one))
        })
}

/// The chunks of one document: whole paragraphs up to [`CHUNK_BYTES`] together, a heading of Markdown at the beginning of
/// its chunk, longer paragraphs cut between words.
pub(super) fn chunks(path: &Path, text: &str) -> Vec<Chunk> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
    let heading = text.lines().find_map(|line| line.strip_prefix("# "));
    let heading = heading.map(str::trim).filter(|heading| !heading.is_empty());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let title = heading.filter(|_| !is_plain).unwrap_or(&stem);
    let title = Arc::<str>::from(title);
    let pieces = pieces(text, !is_plain);
    let chunk = |(chunk_index, text): (u64, String)| Chunk {
        text: text.into(),
        document_id: DocumentId::Name((*name).into()),
        title: Arc::clone(&title),
        chunk_index,
    };
    (0..).zip(pieces).map(chunk).collect()
}

fn pieces(text: &str, is_markdown: bool) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for paragraph in paragraphs(text, is_markdown) {
        let is_heading = is_markdown && paragraph.starts_with('#');
        let is_full = piece.len() + paragraph.len() > CHUNK_BYTES;
        if !piece.is_empty() && (is_heading || is_full) {
            pieces.push(std::mem::take(&mut piece));
        }
        if !piece.is_empty() {
            piece.push_str("\n\n");
        }
        let mut rest = paragraph.as_str();
        while rest.len() > CHUNK_BYTES {
            let (before, after) = rest.split_at(cut(rest));
            pieces.push(std::mem::take(&mut piece) + before.trim_end());
            rest = after.trim_start();
        }
        piece.push_str(rest);
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Where a paragraph that is too long is cut: at the last space that leaves a chunk of it, or within a word.
fn cut(paragraph: &str) -> usize {
    let end = paragraph.floor_char_boundary(CHUNK_BYTES);
    let begin = paragraph.get(..end).unwrap_or_default();
    match begin.rfind(char::is_whitespace) {
        Some(space) if space > 0 => space,
        _ => end,
    }
}

/// What stands between blank lines; in Markdown, also what a heading begins.
fn paragraphs(text: &str, is_markdown: bool) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines().map(str::trim_end) {
        let is_heading = is_markdown && line.starts_with('#');
        if line.is_empty() || is_heading {
            paragraphs.push(String::new());
        }
        if let Some(paragraph) = paragraphs.last_mut().filter(|_| !line.is_empty()) {
            if !paragraph.is_empty() {
                paragraph.push('\n');
            }
            paragraph.push_str(line);
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}
