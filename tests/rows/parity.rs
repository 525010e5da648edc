//! The recorded conversation, once with the package's own consumer and once with a node, the archive and the worker: the
//! same rows, and the same questions to the model, one by one.

use super::model::Model;
use super::*;
use crate::support::{Redis, http, redis::free_port, wait};
use std::net::SocketAddr;

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
    let model = Model::beside(&mut site);
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
    (site.rows(), model.asked())
}

/// Those of a node with the worker of `config/django`.
fn by_the_node(cases: &[Case], worker: &[&str]) -> (Vec<Row>, Vec<Value>) {
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
    let model = Model::beside(&mut site);
    site.join_layer(&redis);
    // Begun before the first question, which then waits for the rows of what was said before it.
    site.gateway["ARCHIVE_WAIT"] = PATIENCE.as_secs().into();
    site.manage(&["supportal_archive", "--once"]);
    let _archive = site.run(&["supportal_archive"]);
    let _worker = site.run(worker);
    converse(gateway.public(), cases);
    site.manage(&["supportal_archive", "--once"]);
    (site.rows(), model.asked())
}

#[test]
fn the_rows_and_the_questions_to_the_model_are_those_of_the_package() {
    let cases = cases();
    let (rows, asked) = by_the_package(&cases);
    assert!(rows.len() > 50, "{} rows", rows.len());
    // The app's own worker, and Channels' with the consumer of the app in asgi.py.
    for worker in [&["supportal_worker"][..], &["runworker", "supportal"]] {
        let (our_rows, we_asked) = by_the_node(&cases, worker);
        for (number, (ours, theirs)) in we_asked.iter().zip(&asked).enumerate() {
            assert_eq!(ours, theirs, "{worker:?}: question {number}");
        }
        assert_eq!(we_asked.len(), asked.len(), "{worker:?}");
        for (number, (ours, theirs)) in said(&our_rows).iter().zip(said(&rows)).enumerate() {
            assert_eq!(*ours, theirs, "{worker:?}: row {number}");
        }
        assert_eq!(our_rows.len(), rows.len(), "{worker:?}");
    }
}
