//! The README's tables are the code's own, its command lines parse, and what it names exists.

use crate::support::repository;
use std::path::Path;
use std::process::Command;
use supportal::config::budget::{Bytes, worst_case_memory};
use supportal::config::load::Loader;
use supportal::protocol::ErrorCode;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect(path)
}

/// The README's text between `<!-- name -->` and `<!-- /name -->`.
fn section(name: &str) -> String {
    let readme = read("README.md");
    let (start, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let section = readme
        .split_once(&start)
        .and_then(|(_, rest)| rest.split_once(&end));
    let Some((section, _)) = section else {
        panic!("README.md has no section {start} … {end}")
    };
    section.trim().to_owned()
}

/// Compares a section with the code; on a difference prints what to paste.
#[track_caller]
fn assert_section(name: &str, from_code: &str) {
    let (readme, code) = (section(name), from_code.trim());
    assert!(
        readme == code,
        "README.md, between the markers of `{name}`, should be:\n\n{code}\n"
    );
}

#[test]
fn the_close_codes_are_the_codes_own() {
    assert_section("close-codes", &supportal::protocol::close::markdown());
}

#[test]
fn the_configuration_keys_are_the_codes_own() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
    command
        .args(["config", "--format", "markdown", "--default"])
        .env_clear();
    let output = command.output().expect("the binary runs");
    assert_section("config", &String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_metrics_are_the_codes_own() {
    assert_section("metrics", &supportal::metrics::markdown());
}

#[test]
fn every_error_text_has_its_row() {
    let readme = read("README.md");
    let mut rest = readme.as_str();
    for code in ErrorCode::ALL {
        let row = format!("\n| `{}` | ", code.text());
        let found = rest.split_once(&row);
        rest = found.unwrap_or_else(|| panic!("no row{row} in order")).1;
    }
}

/// What one connection may occupy, and what the configuration for production may in all.
#[test]
fn the_worst_cases_of_memory_that_are_named_are_the_codes_own() {
    let [defaults, production] = [None, Some("config/production.toml")].map(|file| {
        let file = file.map(|path| repository().join(path));
        let loader = Loader {
            file,
            ..Loader::default()
        };
        let config = loader.load().expect("a good configuration").config;
        worst_case_memory(&config, 50_000, 2)
    });
    let each = Bytes(defaults.per_connection);
    let named = format!("and {each} in all for one that misbehaves");
    assert!(read("README.md").contains(&named), "{named}");
    let gibibytes = (production.total + (1 << 29)) >> 30;
    let named = format!("{gibibytes} GiB if every client does its worst");
    assert!(read("config/production.toml").contains(&named), "{named}");
}

/// A command line of the README: variables before the program, words after it.
struct Line {
    text: String,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// The lines of the README's shell blocks that run `program`, without comments.
fn lines_of(program: &str) -> Vec<Line> {
    let readme = read("README.md");
    let mut is_shell = false;
    let mut lines = Vec::new();
    for text in readme.lines().map(str::trim) {
        if text.starts_with("```") {
            is_shell = text == "```sh";
            continue;
        }
        let mut words = text.split_whitespace().take_while(|word| *word != "#");
        let mut variables = Vec::new();
        let named = words.find(|word| match word.split_once('=') {
            Some((name, value)) => {
                variables.push((name.to_owned(), value.to_owned()));
                false
            }
            None => true,
        });
        if is_shell && named == Some(program) {
            lines.push(Line {
                text: text.to_owned(),
                variables,
                arguments: words.map(str::to_owned).collect(),
            });
        }
    }
    lines
}

#[test]
fn every_command_line_of_the_server_is_legal() {
    let lines = lines_of("supportal");
    assert!(lines.len() > 5, "{} lines", lines.len());
    for line in lines {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
        // What connects is tested beside a Redis of its own (`bridge::deployments`).
        let words = line.arguments.iter().filter(|word| *word != "--redis");
        command
            .args(words)
            .env_clear()
            .envs(line.variables)
            .current_dir(repository());
        let prints = |word: &String| ["check", "config", "--help"].contains(&word.as_str());
        if !line.arguments.iter().any(prints) {
            // It would serve: its flags are checked instead.
            command.arg("check");
        }
        let output = command.output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{error}", line.text);
    }
}

#[test]
fn every_step_of_the_test_command_exists() {
    let steps = read("tests/run");
    for line in lines_of("tests/run") {
        for step in line.arguments.iter().filter(|word| *word != "--list") {
            assert!(steps.contains(&format!("\nstep_{step}()")), "{}", line.text);
        }
    }
}

/// The texts between `open` and `close`.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(|part| part.split(close).next()).collect()
}

#[test]
fn every_file_and_heading_that_is_linked_exists() {
    let readme = read("README.md");
    let headings: Vec<String> = readme
        .lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()))
        .map(|heading| heading.to_lowercase().replace(' ', "-").replace('\'', ""))
        .collect();
    for link in between(&readme, "](", ')') {
        if let Some(heading) = link.strip_prefix('#') {
            assert!(headings.iter().any(|known| known == heading), "#{heading}");
        } else if !link.contains("://") {
            assert!(repository().join(link).exists(), "{link}");
        }
    }
}

#[test]
fn every_configuration_that_is_named_is_shipped_and_the_other_way_round() {
    let readme = read("README.md");
    for rest in between(&readme, "config/", '\0') {
        let name: String = rest
            .chars()
            .take_while(|character| character.is_ascii_lowercase() || *character == '.')
            .collect();
        if let Some(name) = name.strip_suffix("toml").map(|stem| format!("{stem}toml")) {
            assert!(repository().join("config").join(&name).exists(), "{name}");
        }
    }
    for entry in std::fs::read_dir(repository().join("config")).expect("config/") {
        let name = entry.expect("an entry").file_name();
        let name = Path::new("config").join(name).display().to_string();
        assert!(readme.contains(&name), "{name} is not in the README");
    }
}

/// The promises on the architecture page name the tests that keep them.
#[test]
fn every_test_that_the_architecture_page_names_exists() {
    let page = read("src/lib.rs");
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("//! |")) {
        let words: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let files: Vec<&&str> = words.iter().filter(|word| word.ends_with(".rs")).collect();
        for test in words
            .iter()
            .filter(|word| word.matches('_').count() > 2 && !word.contains(['.', '/', ':']))
        {
            let found = files
                .iter()
                .any(|file| read(file).contains(&format!("fn {test}(")));
            assert!(found, "no {test} in {files:?}");
            named += 1;
        }
    }
    assert!(named > 10, "{named} tests named");
}
