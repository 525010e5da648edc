//! The recorded conversation, once with the package's own consumer and once with a node, the archive and the worker: the
//! same rows, and the same questions to the model, one by one.

use super::*;
use crate::support::{Redis, http, redis::free_port, wait};
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A recorded conversation with session `session-123`: what the client sent, and how many frames came.
struct Case {
    name: String,
    sent: Vec<String>,
    frames: usize,
}

/// Those of the transcript that make rows, or could.
fn cases() -> Vec<Case> {
    let left_out = [
        "user_ai_",
        "user_slow",
        "huge_",
        "group_",
        "binary_",
        "close_",
        "connect_",
        "fragmented_",
        "json_nested",
    ];
    let lines = include_str!("../data/transcript.jsonl").lines();
    let rows = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let cases = rows.map(|row| {
        let texts = |name: &str| {
            let texts = row[name].as_array().expect("a list").iter();
            texts
                .map(|text| text.as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        let name = row["case"].as_str().expect("a name").to_owned();
        Case {
            name,
            sent: texts("sent"),
            frames: texts("received_norm").len(),
        }
    });
    let kept = cases.filter(|case| !left_out.iter().any(|start| case.name.starts_with(start)));
    kept.collect()
}

/// A model server that says always the same, and what it was asked.
struct Model {
    _process: Running,
    url: String,
    asked: Receiver<Value>,
}

impl Model {
    fn start(site: &PackageSite) -> Self {
        let mut child = site
            .python("model.py")
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut lines: Lines<BufReader<ChildStdout>> = output.lines();
        let first = lines.next().expect("a line").expect("text");
        let first: Value = serde_json::from_str(&first).expect("JSON");
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let request = serde_json::from_str(&line).expect("JSON");
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        let url = first["url"].as_str().expect("its address").to_owned();
        Self {
            _process: Running(child),
            url,
            asked,
        }
    }
}

/// Has every conversation with the server there; the frames are counted, their text is another test's.
#[track_caller]
fn converse(address: SocketAddr, cases: &[Case]) {
    for case in cases {
        let path = "/ws/chat/1/session-123/";
        let mut client = Client::open_over(http::open(address), path, &[]).expect("101");
        for text in &case.sent {
            client.send_text(text);
        }
        for number in 0..case.frames {
            let frame = client.receive_within(PATIENCE);
            assert!(
                frame.is_some(),
                "{}: frame {number} of {}",
                case.name,
                case.frames
            );
        }
    }
}

/// The rows and the model's questions of the package alone.
fn by_the_package(cases: &[Case]) -> (Vec<Row>, Vec<Value>) {
    let mut site = PackageSite::new(None, &["session-123"]);
    let model = Model::start(&site);
    site.environment
        .push(("OPENAI_BASE_URL", model.url.clone()));
    let port = free_port();
    let mut server = site.python("site/serve.py");
    let server = server
        .arg(port.to_string())
        .stdout(Stdio::null())
        .spawn()
        .expect("uvicorn starts");
    let _server = Running(server);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait::until("uvicorn listens", PATIENCE, || {
        std::net::TcpStream::connect(address).is_ok()
    });
    converse(address, cases);
    (site.rows(), model.asked.try_iter().collect())
}

/// Those of a node with the worker of `config/django`.
fn by_the_node(cases: &[Case]) -> (Vec<Row>, Vec<Value>) {
    let redis = Redis::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("channels.hosts=[\"{}\"]", redis.url());
    let settings = [
        "chat.dialect=django",
        "channels.enabled=true",
        "channels.send_to=supportal",
        &url,
    ];
    let gateway = keeping(&folder, &settings);
    let mut site = PackageSite::new(None, &["session-123"]).beside(&gateway);
    let model = Model::start(&site);
    let layer = json!({ "BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": { "hosts": [redis.url()] } });
    site.environment
        .push(("OPENAI_BASE_URL", model.url.clone()));
    site.environment.push(("SITE_LAYER", layer.to_string()));
    let _worker = site.run(&["runworker", "supportal"]);
    let _archive = site.run(&["supportal_archive"]);
    converse(gateway.public(), cases);
    site.manage(&["supportal_archive", "--once"]);
    (site.rows(), model.asked.try_iter().collect())
}

#[test]
fn the_rows_and_the_questions_to_the_model_are_those_of_the_package() {
    let cases = cases();
    let (rows, asked) = by_the_package(&cases);
    let (our_rows, we_asked) = by_the_node(&cases);
    for (number, (ours, theirs)) in we_asked.iter().zip(&asked).enumerate() {
        assert_eq!(ours, theirs, "question {number}");
    }
    assert_eq!(we_asked.len(), asked.len());
    for (number, (ours, theirs)) in said(&our_rows).iter().zip(said(&rows)).enumerate() {
        assert_eq!(*ours, theirs, "row {number}");
    }
    assert_eq!(our_rows.len(), rows.len());
    assert!(rows.len() > 50, "{} rows", rows.len());
}
