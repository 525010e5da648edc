//! An endpoint that answers as it is told to.

use super::*;
use crate::config::Secret;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

/// A server of HTTP, and what came to it.
pub(crate) struct Endpoint {
    address: SocketAddr,
    /// Head and body of each request.
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

/// One request; `None` if there is none any more.
fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.to_ascii_lowercase();
    let (_, length) = length.split_once("content-length: ")?;
    let (length, _) = length.split_once('\r')?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

impl Endpoint {
    /// Answers the request of each number.
    pub(crate) fn serving(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(answer));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some(request) = read_request(&mut stream) {
                        let number = {
                            let mut log = log.lock();
                            log.push(request);
                            log.len()
                        };
                        if stream.get_mut().write_all(&answer(number)).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Answers 200 with this body.
    pub(crate) fn saying(body: &str) -> Self {
        let answer = answer("200 OK", body);
        Self::serving(move |_| answer.clone())
    }

    /// Answers nobody.
    pub(crate) fn silent() -> Self {
        Self::serving(|_| Vec::new())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().len()
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n");
    format!("{head}content-type: application/json\r\n\r\n{body}").into_bytes()
}

const GOOD: &str = "{\"object\": \"list\", \"data\": [{\"object\": \"embedding\", \"index\": 0, \"embedding\": [0.5, -1e-3]}], \"model\": \"m\", \"usage\": {}}";

struct Asked {
    embeddings: Arc<Embeddings>,
    metrics: Arc<Metrics>,
}

fn asked(endpoint: &Endpoint, change: impl FnOnce(&mut EmbeddingSettings)) -> Asked {
    let mut settings = EmbeddingSettings {
        base_url: Some(endpoint.url()),
        ..EmbeddingSettings::default()
    };
    change(&mut settings);
    let metrics = Arc::new(Metrics::new());
    let embeddings = Embeddings::new(&settings, &metrics, Clock::start()).unwrap();
    Asked {
        embeddings: Arc::new(embeddings),
        metrics,
    }
}

impl Asked {
    fn count(&self, outcome: &'static str) -> u64 {
        let family = &self.metrics.retrieval_embeddings;
        let series = family.get_or_create(&[("outcome", outcome)]);
        series.get()
    }
}

#[tokio::test]
async fn a_question_goes_as_the_package_s_client_sends_it_and_its_key_is_not_printed() {
    let endpoint = Endpoint::saying(GOOD);
    let asked = asked(&endpoint, |settings| {
        settings.base_url = Some(format!("{}/", endpoint.url()));
        settings.api_key = Some(Secret::new("sk-1"));
    });
    let vector = asked.embeddings.of("Wo ist \"es\"?").await.unwrap();
    assert_eq!(*vector, [0.5, -1e-3]);
    let (head, body) = endpoint.seen.lock()[0].clone();
    assert!(
        head.starts_with("POST /v1/embeddings HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("authorization: Bearer sk-1\r\n"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let wanted = serde_json::json!({"model": "text-embedding-ada-002", "input": "Wo ist \"es\"?"});
    assert_eq!(body, wanted);
    assert!(!format!("{:?}", asked.embeddings).contains("sk-1"));
}

#[tokio::test]
async fn what_was_answered_is_remembered_and_the_least_recently_used_is_forgotten() {
    let endpoint = Endpoint::saying(GOOD);
    let asked = asked(&endpoint, |settings| settings.cache_entries = 2);
    for text in ["a", "b", "a", "c", "a", "b"] {
        assert!(asked.embeddings.of(text).await.is_some());
    }
    assert_eq!(endpoint.requests(), 4);
    assert_eq!((asked.count("answered"), asked.count("remembered")), (4, 2));
    assert_eq!(asked.embeddings.cache.lock().len(), 2);
}

#[tokio::test]
async fn one_question_of_many_is_asked_once() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let endpoint = Endpoint::serving(move |_| {
        wait.lock().recv().unwrap();
        answer("200 OK", GOOD)
    });
    let asked = asked(&endpoint, |_| {});
    let all: Vec<_> = (0..20)
        .map(|_| {
            let embeddings = Arc::clone(&asked.embeddings);
            tokio::spawn(async move { embeddings.of("How?").await })
        })
        .collect();
    while asked.count("company") < 19 {
        tokio::task::yield_now().await;
    }
    // Whoever asked first may go: the question stays.
    all[0].abort();
    release.send(()).unwrap();
    release.send(()).unwrap();
    for (at, one) in all.into_iter().enumerate() {
        assert!(at == 0 || one.await.unwrap().is_some(), "{at}");
    }
    assert!(endpoint.requests() <= 2);
}

#[tokio::test]
async fn what_came_to_nothing_is_not_remembered_and_what_may_pass_is_asked_once_more() {
    let endpoint = Endpoint::serving(|number| match number {
        1 => answer("503 Service Unavailable", "{}"),
        2 => answer("200 OK", GOOD),
        3 => answer("401 Unauthorized", "{}"),
        _ => answer("200 OK", GOOD),
    });
    let asked = asked(&endpoint, |_| {});
    assert!(asked.embeddings.of("a").await.is_some());
    assert_eq!((endpoint.requests(), asked.count("answered")), (2, 1));
    assert!(asked.embeddings.of("b").await.is_none());
    assert_eq!((endpoint.requests(), asked.count("refused")), (3, 1));
    assert!(asked.embeddings.of("b").await.is_some());
}

#[tokio::test]
async fn an_answer_that_is_none_is_counted_by_what_is_wrong_with_it() {
    let long = format!(
        "{{\"data\": [{{\"embedding\": [{}0]}}]}}",
        "0, ".repeat(4096)
    );
    let huge = " ".repeat(ANSWER_BYTES_MAX + 1);
    let ok = "200 OK";
    let body = |body: &str| answer(ok, body);
    let cases: Vec<(Vec<u8>, &'static str)> = vec![
        (body(""), "malformed"),
        (body("{}"), "malformed"),
        (body("[]"), "malformed"),
        (body("<html>"), "malformed"),
        (body("{\"data\": []}"), "malformed"),
        (body("{\"data\": null}"), "malformed"),
        (body("{\"data\": [{}]}"), "malformed"),
        (body("{\"data\": [{\"embedding\": []}]}"), "malformed"),
        (
            body("{\"data\": [{\"embedding\": [1, null]}]}"),
            "malformed",
        ),
        (body("{\"data\": [{\"embedding\": [\"1\"]}]}"), "malformed"),
        (body("{\"data\": [{\"embedding\": [1e39]}]}"), "malformed"),
        (body("{\"data\": [{\"embedding\": [NaN]}]}"), "malformed"),
        (
            body("{\"data\": [{\"embedding\": \"AACAPw==\"}]}"),
            "malformed",
        ),
        (
            body("{\"data\": [{\"embedding\": [1]}, {\"embedding\": [1]}]}"),
            "malformed",
        ),
        (body("{\"error\": {\"message\": \"no\"}}"), "malformed"),
        (body(&long), "malformed"),
        (body(&GOOD.replace('}', "")), "malformed"),
        (body(&huge), "too_long"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
            "malformed",
        ),
        (answer("400 Bad Request", GOOD), "status"),
        (answer("404 Not Found", GOOD), "status"),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
                .to_vec(),
            "status",
        ),
        (answer("401 Unauthorized", GOOD), "refused"),
        (answer("403 Forbidden", GOOD), "refused"),
        (answer("429 Too Many Requests", GOOD), "limited"),
        (answer("500 Internal Server Error", GOOD), "server_error"),
        (answer("502 Bad Gateway", "<html>"), "server_error"),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), "broken"),
    ];
    for (bytes, label) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let endpoint = Endpoint::serving(move |_| bytes.clone());
        let asked = asked(&endpoint, |_| {});
        assert!(asked.embeddings.of("a").await.is_none(), "{shown}");
        assert_eq!(asked.count(label), 1, "{label}: {shown}");
        assert_eq!(asked.embeddings.cache.lock().len(), 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_silent_is_waited_for_no_longer_than_said() {
    let silent = Endpoint::silent();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (url, label) in [
        (silent.url(), "timeout"),
        (format!("http://{gone}"), "connect"),
    ] {
        let asked = asked(&silent, |settings| {
            settings.base_url = Some(url);
            settings.timeout = Duration::from_millis(50);
        });
        assert!(asked.embeddings.of("a").await.is_none());
        assert_eq!(asked.count(label), 1, "{label}");
    }
}
