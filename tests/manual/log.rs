//! Troubleshooting quotes what the server says, and leaves no warning out.

use super::section;
use crate::support::repository;
use std::path::Path;

/// The cells of a table's rows.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().skip(2);
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// What stands between the first two backticks.
fn quoted(cell: &str) -> &str {
    cell.split('`').nth(1).expect("a quoted text")
}

/// Every source file of the server, without comments.
fn sources() -> Vec<String> {
    fn collect(folder: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let code = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                into.push(code.collect::<Vec<&str>>().join("\n"));
            }
        }
    }
    let mut sources = Vec::new();
    collect(&repository().join("src"), &mut sources);
    sources
}

/// The last string among the arguments of a macro call, up to what is inserted into it.
fn message(arguments: &str) -> &str {
    let (mut depth, mut begun, mut last) = (1, None, "");
    let mut characters = arguments.char_indices();
    while let Some((at, character)) = characters.next() {
        match (begun, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(begin), '"') => {
                last = arguments.get(begin..at).unwrap_or_default();
                begun = None;
            }
            (Some(_), _) => {}
            (None, '"') => begun = Some(at + 1),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            break;
        }
    }
    last.split('{').next().unwrap_or_default()
}

#[test]
fn every_text_that_troubleshooting_explains_is_one_of_the_server() {
    let sources = sources();
    let (_, log) = section("log");
    let (_, reasons) = section("reasons");
    let lines = rows(&log).into_iter().map(|cells| quoted(cells[1]));
    let reasons = rows(&reasons).into_iter().map(|cells| quoted(cells[0]));
    let texts: Vec<&str> = lines.chain(reasons).collect();
    assert!(texts.len() > 40, "{} texts", texts.len());
    for text in texts {
        let is_there = sources.iter().any(|source| source.contains(text));
        assert!(is_there, "nothing in src/ says {text:?}");
    }
}

/// Whoever is on call finds every warning and every error, with its level.
#[test]
fn every_warning_and_error_has_its_row_in_troubleshooting() {
    let (_, log) = section("log");
    let rows = rows(&log);
    let mut found = 0;
    for source in sources() {
        for level in ["warn", "error"] {
            for call in source.split(&format!("tracing::{level}!(")).skip(1) {
                let message = message(call);
                let mut rows = rows.iter().filter(|cells| cells[0] == level);
                let is_there = rows.any(|cells| message.starts_with(quoted(cells[1])));
                assert!(is_there, "no row: | {level} | `{message}` | … | … |");
                found += 1;
            }
        }
    }
    assert!(found > 20, "{found} lines");
}
