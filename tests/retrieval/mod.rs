//! What answers stand on, beside FAISS itself: an index that it wrote, and what it finds in it.

#[cfg(test)]
mod answers; // a model that reads what is found
#[cfg(test)]
mod bounds; // what reading takes

use crate::support::{repository, tools_dir};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use supportal::config::{EmbeddingSettings, RetrievalKind, RetrievalSettings};
use supportal::internal::clock::Clock;
use supportal::internal::metrics::Metrics;
use supportal::internal::retrieval::{DocumentId, Retrieval};
use tokio::time::Instant;

/// Numbers of a vector, as the package's model makes them.
const DIMENSION: usize = 1536;
const QUERIES: usize = 60;
/// Rows that have the vector of the row at half their number: of one distance, the first comes first.
const TWINS: [usize; 4] = [2, 500, 901, 999];

/// Has FAISS write the index of business 7 as the package does, and search it.
fn faiss(folder: &Path, vectors: usize) -> Vec<Value> {
    let python = tools_dir().join("retrieval/bin/python");
    let mut child = Command::new(&python)
        .arg(repository().join("tests/retrieval/write_index.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
    let job = json!({
        "path": folder.join("business_7.index"),
        "metadata": folder.join("business_7_metadata.json"),
        "dimension": DIMENSION, "vectors": vectors, "queries": QUERIES, "k": 3, "seed": 7,
        "twins": TWINS,
    });
    let mut input = child.stdin.take().expect("stdin is piped");
    input
        .write_all(job.to_string().as_bytes())
        .expect("Python reads");
    drop(input);
    let output = child.wait_with_output().expect("Python ends");
    serde_json::from_slice(&output.stdout).expect("what FAISS found")
}

/// An endpoint whose embedding of "5" is the sixth of these vectors.
fn endpoint(vectors: Vec<Value>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let vectors = Arc::new(vectors);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let vectors = Arc::clone(&vectors);
            std::thread::spawn(move || answer(BufReader::new(stream), &vectors));
        }
    });
    address
}

/// Answers one connection to its end.
fn answer(mut stream: BufReader<TcpStream>, vectors: &[Value]) -> Option<()> {
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let question: Value = serde_json::from_slice(&body).ok()?;
        let number: usize = question["input"].as_str()?.parse().ok()?;
        let body = json!({"data": [{"index": 0, "embedding": vectors.get(number)?}]}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes()).ok()?;
    }
}

fn retrieval(folder: &Path, kind: RetrievalKind, endpoint: SocketAddr) -> Arc<Retrieval> {
    let settings = RetrievalSettings {
        kind,
        path: Some(folder.to_owned()),
        timeout: Duration::from_secs(60),
        embeddings: EmbeddingSettings {
            base_url: Some(format!("http://{endpoint}/v1")),
            timeout: Duration::from_secs(60),
            ..EmbeddingSettings::default()
        },
        ..RetrievalSettings::default()
    };
    let metrics = Arc::new(Metrics::new());
    let retrieval = Retrieval::new(&settings, &metrics, Clock::start());
    retrieval.expect("an endpoint").expect("it is on")
}

#[tokio::test]
async fn the_nearest_three_of_a_thousand_are_those_of_faiss() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = faiss(folder.path(), 1000);
    assert_eq!(found.len(), QUERIES);
    let queries = found.iter().map(|found| found["query"].clone()).collect();
    let retrieval = retrieval(folder.path(), RetrievalKind::Faiss, endpoint(queries));
    for (number, theirs) in found.iter().enumerate() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let ours = retrieval.top("7", &number.to_string(), deadline).await;
        let texts: Vec<String> = ours.iter().map(|found| found.text.to_string()).collect();
        let rows = theirs["rows"].as_array().expect("rows");
        let wanted: Vec<String> = rows
            .iter()
            .map(|row| format!("chunk {row} – über"))
            .collect();
        assert_eq!(texts, wanted, "query {number}");
        for ((ours, row), distance) in ours
            .iter()
            .zip(rows)
            .zip(theirs["distances"].as_array().expect("distances"))
        {
            let row = row.as_u64().expect("a row");
            assert_eq!(ours.document_id, DocumentId::Number(100 + row / 10));
            assert_eq!(ours.chunk_index, row % 10);
            assert_eq!(*ours.title, format!("document {}", row / 10));
            let theirs = distance.as_f64().expect("a distance");
            let ours = f64::from(ours.distance.expect("vectors were compared"));
            assert!((ours - theirs).abs() <= 1e-5 * theirs, "{ours} {theirs}");
        }
    }
}

#[tokio::test]
async fn the_words_of_the_package_s_metadata_are_found_without_an_endpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    faiss(folder.path(), 1000);
    let nobody: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    let retrieval = retrieval(folder.path(), RetrievalKind::Bm25, nobody);
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = retrieval.top("7", "Where is chunk 512?", deadline).await;
    assert_eq!(found.len(), 3);
    assert_eq!(&*found[0].text, "chunk 512 – über");
    assert_eq!(found[0].document_id, DocumentId::Number(151));
}

/// Runs `check` with these settings: whether they hold, and what it says.
fn check(settings: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
    command.arg("check");
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.output().expect("the program");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn settings_that_cannot_be_are_refused_by_their_key() {
    let url = "retrieval.embeddings.base_url=https://api.example.com/v1";
    let faiss = ["retrieval.kind=faiss", "retrieval.path=/srv/vector_db"];
    let with = |more: &[&'static str]| [&faiss, more].concat();
    for (settings, says) in [
        (
            vec!["retrieval.kind=faiss", url],
            "faiss has no vectors to read",
        ),
        (with(&[]), "faiss has nobody to ask"),
        (vec!["retrieval.kind=bm25"], "bm25 has nothing to read"),
        (vec!["retrieval.kind=chroma"], "retrieval.kind"),
        (
            with(&["retrieval.embeddings.base_url=api.openai.com"]),
            "is not an address",
        ),
        (
            with(&["retrieval.embeddings.base_url=ftp://a/v1"]),
            "neither http nor https",
        ),
        (
            with(&["retrieval.embeddings.base_url=https://a:b@c/v1"]),
            "a user or a password",
        ),
        (
            with(&["retrieval.embeddings.base_url=https://a/v1?b=c"]),
            "has a query",
        ),
        (
            with(&[url, "retrieval.embeddings.model="]),
            "retrieval.embeddings.model",
        ),
        (
            with(&[url, "retrieval.embeddings.api_key=a b"]),
            "retrieval.embeddings.api_key",
        ),
        (
            with(&[
                url,
                "retrieval.embeddings.api_key=abc",
                "retrieval.embeddings.api_key_file=/k",
            ]),
            "names a file, and the key is given as well",
        ),
        (with(&[url, "retrieval.excerpts=21"]), "retrieval.excerpts"),
        (
            with(&[url, "retrieval.bytes_max=1000"]),
            "retrieval.bytes_max",
        ),
    ] {
        let (holds, text) = check(&settings);
        assert!(!holds && text.contains(says), "{settings:?}: {text}");
        assert!(!text.contains("abc"), "{text}");
    }
    let (holds, text) = check(&with(&[url]));
    assert!(holds, "{text}");
    let (holds, text) = check(&with(&["assistant.kind=openai"]));
    assert!(holds, "the model's server makes vectors too: {text}");
    let (holds, text) = check(&["retrieval.documents=/srv/documents"]);
    assert!(holds && text.contains("reads no folder"), "{text}");
}
