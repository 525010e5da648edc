//! What reading an index takes, beside what is counted for it.

use super::answers::gateway;
use super::endpoint;
use crate::assistant::{Model, ask};
use crate::support::Gateway;
use serde_json::json;
use std::fmt::Write;
use std::fs;

/// Just more than a power of two: a list that doubles is half empty then.
const CHUNKS: usize = 265_000;

/// What is counted against `retrieval.bytes_max` for each byte of metadata.
const COUNTED: usize = 5;

/// An index of vectors of one number.
fn index(vectors: usize) -> Vec<u8> {
    let mut bytes = b"IxF2".to_vec();
    bytes.extend(1_i32.to_le_bytes());
    bytes.extend((vectors as i64).to_le_bytes());
    bytes.extend([(1_i64 << 20).to_le_bytes(); 2].concat());
    bytes.push(1);
    bytes.extend(1_i32.to_le_bytes());
    bytes.extend((vectors as u64).to_le_bytes());
    bytes.extend((0..vectors).flat_map(|row| (row as f32).to_le_bytes()));
    bytes
}

/// Chunks that are as small as they can be, each from a document of its own.
fn metadata(chunks: usize) -> String {
    let mut text = "{".to_owned();
    for row in 0..chunks {
        let (comma, title) = (if row == 0 { "" } else { "," }, row % 10);
        write!(
            text,
            r#"{comma}"{row}":{{"document_id":1,"chunk_index":0,"content":"","document_title":"{title}"}}"#
        )
        .expect("a string");
    }
    text + "}"
}

/// A line of what Linux says of the process, in bytes.
fn memory(gateway: &Gateway, line: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("a status");
    let kibibytes = status.lines().find_map(|found| found.strip_prefix(line));
    let kibibytes = kibibytes.and_then(|rest| rest.split_whitespace().next());
    kibibytes.expect(line).parse::<usize>().expect(line) * 1024
}

#[test]
fn reading_chunks_that_are_tiny_takes_no_more_than_is_counted_for_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (index, metadata) = (index(CHUNKS), metadata(CHUNKS));
    let counted = index.len() + COUNTED * metadata.len();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("business_1.index"), index).expect("a file");
    fs::write(path("business_1_metadata.json"), metadata).expect("a file");
    let model = Model::parrot();
    let documents = format!("retrieval.path={}", folder.path().display());
    let embeddings = endpoint(vec![json!([0.0])]);
    let embeddings = format!("retrieval.embeddings.base_url=http://{embeddings}/v1");
    let gateway = gateway(
        folder.path(),
        &model,
        &["retrieval.kind=faiss", &documents, &embeddings],
    );
    let mut client = gateway.join("abc");
    let before = memory(&gateway, "VmRSS:");
    assert_eq!(ask(&mut client, "0"), "re: 0");
    let read = r#"supportal_retrieval_reads_total{outcome="taken"}"#;
    assert_eq!(gateway.metric(read) as usize, 1);
    let most = memory(&gateway, "VmHWM:");
    let taken = most.saturating_sub(before);
    println!("{taken} bytes taken, {counted} counted");
    assert!(taken <= counted, "{taken} bytes taken, {counted} counted");
}
