//! What it takes to find what an answer may stand on, from the question to the excerpts: 10,000 chunks, by their vectors of
//! 1,536 numbers (the question's embedding is remembered) and by their words.

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use supportal::config::{EmbeddingSettings, RetrievalKind, RetrievalSettings};
use supportal::internal::clock::Clock;
use supportal::internal::metrics::Metrics;
use supportal::internal::retrieval::Retrieval;
use tokio::time::Instant;

const CHUNKS: usize = 10_000;
const DIMENSION: usize = 1536;

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0 >> 33
    }

    fn small(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 31) as f32 - 0.5
    }

    /// About as many words as a chunk of the package has, of a vocabulary of 20,000 where few are most.
    fn text(&mut self) -> String {
        let mut word = || {
            let (a, b) = (self.next() % 20_000, self.next() % 20_000);
            format!("word{}", a.min(b) * a.min(b) / 20_000)
        };
        (0..150).map(|_| word()).collect::<Vec<_>>().join(" ")
    }
}

/// The files of business 1, as the package and FAISS write them.
fn write_files(folder: &Path) {
    let mut numbers = Numbers(1);
    let mut index = b"IxF2".to_vec();
    index.extend((DIMENSION as i32).to_le_bytes());
    index.extend((CHUNKS as i64).to_le_bytes());
    index.extend([0; 16]);
    index.push(1);
    index.extend(1_i32.to_le_bytes());
    index.extend(((CHUNKS * DIMENSION) as u64).to_le_bytes());
    for _ in 0..CHUNKS * DIMENSION {
        index.extend(numbers.small().to_le_bytes());
    }
    fs::write(folder.join("business_1.index"), index).expect("written");
    let chunk = |row: usize| {
        let text = numbers.text();
        format!(
            "\"{row}\": {{\"document_id\": 1, \"chunk_index\": {row}, \"content\": \"{text}\", \"document_title\": \"d\"}}"
        )
    };
    let chunks: Vec<String> = (0..CHUNKS).map(chunk).collect();
    let metadata = format!("{{{}}}", chunks.join(", "));
    fs::write(folder.join("business_1_metadata.json"), metadata).expect("written");
}

/// Answers the first question of each connection with one vector.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut numbers = Numbers(2);
    let vector: Vec<String> = (0..DIMENSION)
        .map(|_| numbers.small().to_string())
        .collect();
    let body = format!("{{\"data\": [{{\"embedding\": [{}]}}]}}", vector.join(","));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A question is far shorter than what one read takes.
            let mut request = [0; 16 * 1024];
            if stream.read(&mut request).is_err() {
                continue;
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            drop(stream.write_all((head + &body).as_bytes()));
        }
    });
    address
}

fn find(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("retrieval");
    group.sample_size(50);
    for (name, kind) in [
        ("vectors", RetrievalKind::Faiss),
        ("words", RetrievalKind::Bm25),
    ] {
        let settings = RetrievalSettings {
            kind,
            path: Some(folder.path().to_owned()),
            bytes_max: 1 << 30,
            timeout: Duration::from_secs(600),
            embeddings: EmbeddingSettings {
                base_url: Some(format!("http://{}/v1", endpoint())),
                ..EmbeddingSettings::default()
            },
            ..RetrievalSettings::default()
        };
        let metrics = Arc::new(Metrics::new());
        let retrieval = Retrieval::new(&settings, &metrics, Clock::start());
        let retrieval = retrieval.expect("an endpoint").expect("it is on");
        let question = "Please tell me about word3, word70, word900, word4000 and word12000";
        let top = || {
            let deadline = Instant::now() + Duration::from_secs(600);
            runtime.block_on(retrieval.top("1", question, deadline))
        };
        let found = top();
        assert_eq!(found.len(), 3, "{name}: {}", metrics.text());
        group.bench_function(name, |b| b.iter(|| black_box(top())));
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
