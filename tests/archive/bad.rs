//! What is no cursor, no query, and no place for a journal.

use super::*;
use std::fs;
use std::process::Command;

#[test]
fn cursors_that_are_malformed_foreign_or_ahead_are_told_apart() {
    let kept = Kept::new();
    let gateway = kept.start(&["archive.readers=1"]);
    let mut ann = gateway.join("abc");
    say(&mut ann, "first");
    wait_written(&gateway, 1);
    let cursor = text(&page(&gateway, "")[0], "cursor").to_owned();
    let (journal, _) = cursor.split_at(16);
    for (query, status, kind, detail) in [
        ("?after=", 400, "query", "is no cursor"),
        ("?after=abc", 400, "query", "is no cursor"),
        (
            &format!("?after={}", cursor.to_uppercase().replace('0', "G")),
            400,
            "query",
            "is no cursor",
        ),
        (
            &format!("?after={}{:016x}", "0".repeat(16), 1),
            409,
            "cursor",
            "another node",
        ),
        (
            &format!("?after={journal}{:016x}", 2),
            409,
            "cursor",
            "ahead",
        ),
        ("?limit=0", 400, "query", "from 1 to 10000"),
        ("?limit=x", 400, "query", "from 1 to 10000"),
        ("?wait=1h", 400, "query", "at most 30s"),
        ("?wait=5", 400, "query", "is not a duration"),
        ("?offset=1", 400, "query", "known here"),
        ("?reader=", 400, "query", "1 to 64 letters"),
        ("?reader=a%22b", 400, "query", "1 to 64 letters"),
    ] {
        let response = ask(&gateway, query);
        assert_eq!(
            (response.status, response.problem().as_str()),
            (status, kind),
            "{query}"
        );
        let problem = response.json();
        let told = text(&problem, "detail");
        assert!(told.contains(detail), "{query}: {told}");
    }
    assert_eq!(ask(&gateway, &format!("?after={cursor}")).status, 200);
}

#[test]
fn without_an_archive_the_endpoint_says_so() {
    let gateway = Gateway::start(&[&format!("api.token={TOKEN}")]);
    let response = ask(&gateway, "");
    assert_eq!(
        (response.status, response.problem().as_str()),
        (404, "no-archive")
    );
}

/// What a server says that does not start.
fn refusal(path: &str) -> String {
    let program = env!("CARGO_BIN_EXE_supportal");
    let path = format!("archive.path={path}");
    let sets = [
        "server.listen=127.0.0.1:0",
        "admin.listen=127.0.0.1:0",
        "archive.mode=journal",
        &path,
    ];
    let output = Command::new(program)
        .args(sets.iter().flat_map(|set| ["--set", set]))
        .output()
        .expect("an end");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_path_that_can_be_no_journal_refuses_the_start_and_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let missing = refusal(&path("none/archive.db"));
    assert!(missing.contains("is not a folder") && missing.contains("create the folder"));
    assert!(refusal(&folder.path().display().to_string()).contains("cannot be opened"));
    let kept = Kept::new();
    let _gateway = kept.start(&[]);
    assert!(refusal(&kept.path().display().to_string()).contains("in use by another process"));
}

#[test]
fn a_damaged_journal_is_put_aside_and_chat_begins_all_the_same() {
    let kept = Kept::new();
    fs::write(kept.path(), "torn ".repeat(10_000)).expect("a file");
    let gateway = kept.start(&[]);
    gateway.wait_log("the archive's journal is damaged and was put aside", 1);
    let mut ann = gateway.join("abc");
    say(&mut ann, "hello");
    wait_written(&gateway, 1);
    assert_eq!(page(&gateway, "").len(), 1);
    let aside = kept.folder.path().join("archive.db.damaged1");
    assert_eq!(fs::read_to_string(aside).expect("the file").len(), 50_000);
    let failures = "supportal_archive_failures_total{kind=\"damaged\"}";
    assert!((gateway.metric(failures) - 1.0).abs() < 0.1);
}
