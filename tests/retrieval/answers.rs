//! A model that is given the pieces of documents to read that fit a question, and what the site sees of that.

use super::{endpoint, faiss};
use crate::archive::{TOKEN, page, wait_written};
use crate::assistant::Model;
use crate::support::wait::until;
use crate::support::{Client, Gateway, user};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a search may take that was not built for speed, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that keeps what is said in this folder, whose model reads what is found.
#[track_caller]
pub(super) fn gateway(folder: &Path, model: &Model, more: &[&str]) -> Gateway {
    let base_url = format!("assistant.openai.base_url={}", model.base_url());
    let archive = format!("archive.path={}", folder.join("archive.db").display());
    let token = format!("api.token={TOKEN}");
    let mut settings = vec![
        "assistant.kind=openai",
        "assistant.timeout=90s",
        "assistant.openai.first_token=80s",
        "assistant.openai.prompt=Answer.\n\nKnown:\n{context}",
        "retrieval.timeout=60s",
        "limits.messages_per_second=0",
        "archive.mode=journal",
        "history.mode=journal",
        &*base_url,
        &*archive,
        &*token,
    ];
    settings.extend(more);
    Gateway::start(&settings)
}

/// Asks, and reads the frame of the answer.
#[track_caller]
fn ask(client: &mut Client, question: &str) -> Value {
    client.send_text(&user(question));
    loop {
        let frame = client.receive_within(PATIENCE);
        let Some(crate::support::Frame::Text(frame)) = frame else {
            panic!("no answer: {frame:?}");
        };
        let frame: Value = serde_json::from_str(&frame).expect("JSON");
        if frame["sender"] == "assistant" {
            return frame;
        }
    }
}

/// What the model was told beside the last question.
fn told(model: &Model) -> String {
    let asked = model.asked();
    let asked = asked.last().expect("a question");
    let told = asked["messages"][0]["content"].as_str();
    told.expect("text").to_owned()
}

/// What stands beside the answers of the archive, oldest first.
#[track_caller]
fn metas(gateway: &Gateway) -> Vec<Value> {
    let lines = page(gateway, "?limit=100").into_iter();
    let answers = lines.filter(|line| line["sender"] == "assistant");
    answers.map(|line| line["meta"].clone()).collect()
}

#[test]
fn the_model_reads_what_faiss_finds_and_the_site_sees_which_documents_that_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = faiss(folder.path(), 1000);
    let queries = found.iter().map(|found| found["query"].clone()).collect();
    let model = Model::parrot();
    let path = format!("retrieval.path={}", folder.path().display());
    let embeddings = format!(
        "retrieval.embeddings.base_url=http://{}/v1",
        endpoint(queries)
    );
    let more = [
        "retrieval.kind=faiss",
        &path,
        &embeddings,
        "retrieval.embeddings.timeout=60s",
    ];
    let gateway = gateway(folder.path(), &model, &more);
    let mut client = gateway.connect("/ws/chat/7/abc/");
    client.skip_welcome();
    let mut expected = Vec::new();
    for (number, found) in found.iter().enumerate().take(10) {
        let frame = ask(&mut client, &number.to_string());
        let fields: Vec<&String> = frame.as_object().expect("an object").keys().collect();
        assert_eq!(
            fields,
            ["message", "sender", "timestamp"],
            "as without documents"
        );
        let rows = found["rows"].as_array().expect("rows");
        let rows: Vec<u64> = rows
            .iter()
            .map(|row| row.as_u64().expect("a row"))
            .collect();
        let piece = |row: &u64| format!("from document {}:\nchunk {row} – über", row / 10);
        let pieces: Vec<String> = rows.iter().map(piece).collect();
        assert_eq!(
            told(&model),
            format!("Answer.\n\nKnown:\n{}", pieces.join("\n\n"))
        );
        let mut documents: Vec<String> = Vec::new();
        for id in rows.iter().map(|row| (100 + row / 10).to_string()) {
            if !documents.contains(&id) {
                documents.push(id);
            }
        }
        expected.push(json!({ "documents": documents }));
    }
    // A business that has none.
    let mut other = gateway.connect("/ws/chat/8/abc/");
    other.skip_welcome();
    ask(&mut other, "1");
    assert_eq!(told(&model), "Answer.");
    expected.push(Value::Null);
    wait_written(&gateway, 2 * expected.len());
    assert_eq!(metas(&gateway), expected);
    let history = gateway.admin("/history?room=chat_7_abc&limit=1").json();
    assert_eq!(history["messages"][0]["event"]["meta"], expected[9]);
    let searches = |outcome: &str| {
        let series = format!("supportal_retrieval_searches_total{{outcome=\"{outcome}\"}}");
        gateway.metric(&series) as usize
    };
    assert_eq!((searches("found"), searches("nothing")), (10, 1));
}

#[test]
fn documents_that_the_site_changes_are_what_the_next_answers_stand_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let documents = folder.path().join("documents/1");
    fs::create_dir_all(&documents).expect("a folder");
    let write = |name: &str, text: &str| fs::write(documents.join(name), text).expect("the file");
    write(
        "returns.md",
        "# Returns\n\nA lamp can be returned within 14 days.\n",
    );
    write("hours.txt", "We are open from 9 to 17.\n");
    let model = Model::parrot();
    let path = format!(
        "retrieval.documents={}",
        folder.path().join("documents").display()
    );
    let more = ["retrieval.kind=bm25", "retrieval.interval=100ms", &path];
    let gateway = gateway(folder.path(), &model, &more);
    let mut client = gateway.join("abc");
    ask(&mut client, "Can I return a lamp?");
    let first = told(&model);
    assert!(
        first.contains("returned within 14 days") && !first.contains("open"),
        "{first}"
    );
    write(
        "returns.md",
        "# Returns\n\nA lamp can be returned within 30 days.\n",
    );
    let mut answers = 1;
    until("the new text is told", PATIENCE, || {
        ask(&mut client, "Can I return a lamp?");
        answers += 1;
        told(&model).contains("30 days")
    });
    wait_written(&gateway, 2 * answers);
    let metas = metas(&gateway);
    assert_eq!(metas[0], json!({"documents": ["returns.md"]}));
    assert!(metas.iter().all(|meta| *meta == metas[0]), "{metas:?}");
}

#[test]
fn nothing_is_looked_for_that_no_prompt_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("1")).expect("a folder");
    fs::write(folder.path().join("1/lamps.txt"), "Lamps are blue.\n").expect("the file");
    let model = Model::parrot();
    let path = format!("retrieval.documents={}", folder.path().display());
    let more = [
        "retrieval.kind=bm25",
        "assistant.openai.prompt=Answer.",
        &path,
    ];
    let gateway = gateway(folder.path(), &model, &more);
    let mut client = gateway.join("abc");
    ask(&mut client, "Are lamps blue?");
    assert_eq!(told(&model), "Answer.");
    wait_written(&gateway, 2);
    assert_eq!(metas(&gateway), [Value::Null]);
    assert_eq!(
        gateway.metric_sum("supportal_retrieval_searches_total") as usize,
        0
    );
    assert_eq!(
        gateway.metric_sum("supportal_retrieval_reads_total") as usize,
        0
    );
}
