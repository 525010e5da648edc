//! The examples of docs/api.md, as they stand: what is run, and what it answers.

use super::*;
use crate::manual::read;
use crate::support::repository;
use std::process::Command;

/// The code blocks of the chapter: language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fences = page.split("\n```").skip(1).step_by(2);
    fences.filter_map(|block| block.split_once('\n')).collect()
}

/// Runs a program of the chapter against this node; what it prints.
#[track_caller]
fn run(gateway: &Gateway, program: &str, flag: &str, text: &str) -> String {
    let text = text.replace(
        "http://127.0.0.1:8000",
        &format!("http://{}", gateway.public()),
    );
    let output = Command::new(program)
        .args([flag, &text])
        .env("SUPPORTAL_API__TOKEN", TOKEN)
        .env("NO_PROXY", "*")
        .current_dir(repository())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_example_of_curl_answers_as_the_chapter_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = format!("archive.path={}/journal.db", folder.path().display());
    let gateway = gateway(&["archive.mode=journal", &journal]);
    let page = read("docs/api.md");
    let _ann = gateway.join("abc");
    let blocks = blocks(&page);
    let mut shown = 0;
    for pair in blocks.windows(2) {
        let [("sh", command), ("json", expected)] = pair else {
            continue;
        };
        let answer = run(&gateway, "sh", "-c", command);
        let mut answer: Value = serde_json::from_str(&answer).expect(&answer);
        if let Some(connection) = answer.pointer_mut("/members/0/connection") {
            assert_eq!(connection.as_str().map(str::len), Some(36));
            *connection = json!("…");
        }
        for name in ["/cursor", "/at"] {
            if let Some(text) = answer.pointer_mut(name) {
                assert_eq!(text.as_str().map(str::len), Some(32));
                *text = json!("…");
            }
        }
        let expected: Value = serde_json::from_str(expected).expect(expected);
        assert_eq!(answer, expected, "{command}");
        shown += 1;
    }
    assert_eq!(shown, 6);
}

#[test]
fn the_example_of_python_publishes() {
    let (gateway, page) = (gateway(&[]), read("docs/api.md"));
    let mut ann = gateway.join("abc");
    let blocks = blocks(&page);
    let (_, program) = blocks
        .iter()
        .find(|(language, _)| *language == "python")
        .expect("a program");
    let printed = run(&gateway, "python3", "-c", program);
    assert!(printed.contains("'members': 1"), "{printed}");
    assert_eq!(event(&mut ann)["message"], "Hello from Python");
}

/// Runs schemathesis on a document of a node's API.
#[track_caller]
fn schemathesis(gateway: &Gateway, document: &str, arguments: &[&str]) {
    let program = crate::support::tools_dir().join("schemathesis/bin/schemathesis");
    let output = Command::new(&program)
        .args(["run", document, "--url", &gateway.http_url("/")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "30"])
        .args(["--seed", "1", "--generation-database", "none"])
        .args(["--suppress-health-check", "all", "--request-timeout", "20"])
        .args(arguments)
        .env("NO_PROXY", "*")
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; make it with: python3 -m venv tests/.tools/schemathesis && \
                 tests/.tools/schemathesis/bin/pip install --requirement tests/api/requirements.txt",
                program.display()
            )
        });
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
}

#[test]
fn what_the_document_forbids_is_refused_and_every_answer_is_as_it_says() {
    let gateway = gateway(&["api.messages_per_second=0"]);
    let _ann = gateway.join("abc");
    let document = gateway.http_url("/api/openapi.json");
    // How long `meta` is as JSON no schema can say; a batch answers each of its commands.
    let without = [
        "--exclude-checks",
        "positive_data_acceptance",
        "--exclude-path",
        "/api/batch",
    ];
    schemathesis(&gateway, &document, &without);
}

#[test]
fn what_the_document_allows_is_taken() {
    let gateway = gateway(&["api.messages_per_second=0"]);
    let _ann = gateway.join("abc");
    let mut document: Value =
        serde_json::from_str(&read("src/server/api/openapi.json")).expect("JSON");
    for command in ["publish", "broadcast"] {
        // Short enough whatever is in it.
        document["components"]["schemas"][command]["properties"]["meta"] = json!({
            "type": "object", "maxProperties": 4, "propertyNames": { "maxLength": 20 },
            "additionalProperties": { "type": ["integer", "boolean", "null"] },
        });
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).expect("the document");
    let file = file.display().to_string();
    schemathesis(&gateway, &file, &["--mode", "positive"]);
}
