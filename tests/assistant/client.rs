//! OpenAI's own Python client reads the stand-in server of these tests, and reads the same words as the gateway.

use super::deeds::Deed;
use super::rows::good;
use super::{Model, question};
use crate::support::{repository, tools_dir};
use serde_json::Value;
use std::process::Command;

#[test]
fn the_official_client_reads_the_same_words_from_the_stand_in_server() {
    let python = tools_dir().join("openai/bin/python");
    assert!(
        python.is_file(),
        "OpenAI's client is missing; install it with: python3 -m venv tests/.tools/openai && \
         tests/.tools/openai/bin/pip install --requirement tests/assistant/requirements.txt"
    );
    let model = Model::start(|request, asked| {
        let name = question(asked).to_owned();
        let row = good().into_iter().find(|(row, ..)| *row == name);
        row.is_some_and(|(_, deed, _)| deed.perform(request))
    });
    // The client was asked for events, and believes that it gets some.
    let is_events = |deed: &Deed| !matches!(deed, Deed::Says(bytes) if bytes.ends_with(b"}"));
    let rows: Vec<_> = good()
        .into_iter()
        .filter(|(_, deed, _)| is_events(deed))
        .collect();
    let output = Command::new(python)
        .arg(repository().join("tests/assistant/read_model.py"))
        .arg(model.base_url())
        .args(rows.iter().map(|(name, ..)| name))
        .output()
        .expect("Python starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), rows.len());
    for (line, (name, _, words)) in lines.iter().zip(&rows) {
        assert_eq!(
            (&line["question"], &line["words"]),
            (&(*name).into(), &(*words).into())
        );
        assert_eq!(line["model"], "small:1b");
    }
}
