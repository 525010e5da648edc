//! Files as the package writes them, and all that may be wrong with them.

mod corrupt;
mod documents;
mod index;
mod renewal;
mod search;

use super::collections::Collections;
use super::*;
use crate::config::EmbeddingSettings;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An index file of these vectors, which are of one dimension.
pub(super) fn index_bytes(vectors: &[Vec<f32>]) -> Vec<u8> {
    let dimension = vectors.first().map_or(2, Vec::len);
    let count = vectors.len() * dimension;
    let mut bytes = b"IxF2".to_vec();
    bytes.extend((dimension as i32).to_le_bytes());
    bytes.extend((vectors.len() as i64).to_le_bytes());
    bytes.extend([(1_i64 << 20).to_le_bytes(); 2].concat());
    bytes.push(1);
    bytes.extend(1_i32.to_le_bytes());
    bytes.extend((count as u64).to_le_bytes());
    bytes.extend(vectors.iter().flatten().flat_map(|n| n.to_le_bytes()));
    bytes
}

/// Metadata of so many chunks.
fn metadata_text(chunks: usize) -> String {
    let row = |row: usize| {
        format!(
            "\"{row}\": {{\"document_id\": {}, \"chunk_index\": {row}, \"content\": \"chunk {row} \\u00fcber\", \"document_title\": \"Terms\"}}",
            row / 2
        )
    };
    let rows: Vec<String> = (0..chunks).map(row).collect();
    format!("{{{}}}", rows.join(", "))
}

/// A folder with businesses.
struct Site {
    folder: TempDir,
    metrics: Arc<Metrics>,
}

impl Site {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            metrics: Arc::new(Metrics::new()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Business `id` with these vectors, and as many chunks.
    fn business(&self, id: u64, vectors: &[Vec<f32>]) {
        self.write(&format!("business_{id}.index"), index_bytes(vectors));
        let metadata = metadata_text(vectors.len());
        self.write(&format!("business_{id}_metadata.json"), metadata);
    }

    fn settings(&self, kind: RetrievalKind) -> RetrievalSettings {
        RetrievalSettings {
            kind,
            path: Some(self.folder.path().to_owned()),
            ..RetrievalSettings::default()
        }
    }

    fn collections(&self, settings: &RetrievalSettings) -> Collections {
        Collections::new(settings, &self.metrics, Clock::start())
    }

    /// How often reading came to this.
    fn reads(&self, outcome: &'static str) -> u64 {
        let series = self
            .metrics
            .retrieval_reads
            .get_or_create(&[("outcome", outcome)]);
        series.get()
    }
}

/// The texts of what is nearest to a vector.
fn nearest(collections: &Collections, business_id: &str, vector: &[f32]) -> Vec<String> {
    match collections.find(business_id, Query::Vector(vector), 3) {
        Searched::Excerpts(excerpts) => excerpts.iter().map(|e| e.text.to_string()).collect(),
        Searched::Incomparable(wrong) => panic!("{wrong:?}"),
    }
}

fn two() -> Vec<Vec<f32>> {
    vec![vec![0.0, 1.0], vec![4.0, 0.0]]
}
