//! The tables of README and manual are the code's own, and their command lines are legal.
//! (What they link, and how long they are: `manual`.)

use crate::manual::{lines_of, pages, read, section};
use crate::support::repository;
use std::collections::BTreeSet;
use std::process::Command;
use supportal::budget::{Bytes, worst_case_memory};
use supportal::config::load::Loader;
use supportal::internal::protocol::ErrorCode;

/// Compares a section with the code; on a difference prints what to paste.
#[track_caller]
fn assert_section(name: &str, from_code: &str) {
    let ((path, text), code) = (section(name), from_code.trim());
    assert!(
        text == code,
        "{path}, between the markers of `{name}`, should be:\n\n{code}\n"
    );
}

#[test]
fn the_close_codes_are_the_codes_own() {
    assert_section(
        "close-codes",
        &supportal::internal::protocol::close::markdown(),
    );
}

/// Every setting as the binary's own table.
fn settings() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
    command
        .args(["config", "--format", "markdown", "--default"])
        .env_clear();
    let output = command.output().expect("the binary runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The key of a row of that table.
fn key_of(row: &str) -> &str {
    row.split('`').nth(1).expect("a key")
}

/// A key's section: what stands before its last dot, or the key itself.
fn section_of(row: &str) -> &str {
    let key = key_of(row);
    key.rsplit_once('.').map_or(key, |(section, _)| section)
}

#[test]
fn the_configuration_keys_are_the_codes_own() {
    let table = settings();
    let lines: Vec<&str> = table.lines().collect();
    let (head, rows) = lines.split_at(2);
    let sections: Vec<&[&str]> = rows
        .chunk_by(|one, next| section_of(one) == section_of(next))
        .collect();
    for rows in &sections {
        let name = format!("config {}", section_of(rows[0]));
        assert_section(&name, &[head, rows].concat().join("\n"));
    }
    let shown = read("docs/configuration.md")
        .matches("<!-- config ")
        .count();
    assert_eq!(shown, sections.len(), "a section that the code has not");
}

#[test]
fn the_metrics_are_the_codes_own() {
    assert_section("metrics", &supportal::internal::metrics::markdown());
}

/// The words of a text that begin with `prefix`, full stops at their end cut off. Paths are one word.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let ends = |character: char| !character.is_ascii_alphanumeric() && !"_./-".contains(character);
    let words = text.split(ends).map(|word| word.trim_end_matches('.'));
    words.filter(move |word| word.starts_with(prefix))
}

/// A module or command of `config/django`.
fn is_of_the_site(word: &str) -> bool {
    let name = word.split('.').next();
    let commands = ["supportal_archive", "supportal_worker"];
    name == Some("supportal_gateway") || commands.contains(&word)
}

#[test]
fn every_metric_that_is_named_exists() {
    let table = supportal::internal::metrics::markdown();
    let mut named = 0;
    for (path, text) in pages() {
        for word in words(&text, "supportal_").filter(|word| !is_of_the_site(word)) {
            let is_one = ["`", "{"]
                .iter()
                .any(|end| table.contains(&format!("`{word}{end}")));
            assert!(is_one, "{path}: no metric {word}");
            named += 1;
        }
    }
    assert!(named > 80, "{named} metrics named");
}

#[test]
fn every_setting_that_is_named_exists() {
    // A chapter, a slip of the pen that is shown as one, modules of Python's, types of Django's events, and methods of `client.js`.
    const NO_KEYS: [&str; 11] = [
        "api.md",
        "channels.auth",
        "channels.routing",
        "channels.security.websocket",
        "queue.capcity",
        "chat.message",
        "http.request",
        "http.response",
        "chat.addEventListener",
        "chat.open",
        "chat.send",
    ];
    let keys = settings();
    let keys: Vec<&str> = keys.lines().skip(2).map(key_of).collect();
    let sections: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| key.split_once('.'))
        .map(|(section, _)| section)
        .collect();
    let mut named = 0;
    for (path, text) in pages() {
        for section in &sections {
            let prefix = format!("{section}.");
            for word in words(&text, &prefix) {
                let is_key = keys
                    .iter()
                    .any(|key| *key == word || key.starts_with(&format!("{word}.")));
                assert!(is_key || NO_KEYS.contains(&word), "{path}: no key {word}");
                named += 1;
            }
        }
    }
    assert!(named > 200, "{named} settings named");
}

/// The admin listener's paths are those of its source, in the order of the table.
#[test]
fn every_path_of_the_operators_listener_has_its_row() {
    let (source, page) = (read("src/admin/mod.rs"), read("docs/operation.md"));
    let (_, routes) = source.split_once("match path {").expect("the routes");
    let routes: BTreeSet<&str> = routes
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"/"))
        .filter_map(|line| line.split('"').next())
        .collect();
    let rows: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `/"))
        .filter_map(|row| row.split(['`', '?']).next())
        .collect();
    assert_eq!(rows, routes);
}

#[test]
fn every_error_text_has_its_row() {
    let wire = read("docs/wire.md");
    let mut rest = wire.as_str();
    for code in ErrorCode::ALL {
        let row = format!("\n| `{}` | ", code.text());
        let found = rest.split_once(&row);
        rest = found.unwrap_or_else(|| panic!("no row{row} in order")).1;
    }
}

/// The manual shows the client as its own source does.
#[test]
fn the_example_of_the_browsers_client_is_its_own() {
    let (wire, client) = (read("docs/wire.md"), read("src/server/page/client.js"));
    let example = wire
        .split_once("\n```js\n")
        .and_then(|(_, rest)| rest.split_once("\n```"));
    let (example, _) = example.expect("an example");
    let shown: String = example
        .lines()
        .map(|line| format!("//   {line}\n"))
        .collect();
    assert!(client.contains(&shown), "client.js does not show:\n{shown}");
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
    assert!(read("docs/performance.md").contains(&named), "{named}");
    let gibibytes = (production.total + (1 << 29)) >> 30;
    let named = format!("{gibibytes} GiB if every client does its worst");
    assert!(read("config/production.toml").contains(&named), "{named}");
}

#[test]
fn every_command_line_of_the_server_is_legal() {
    let lines = lines_of("supportal");
    assert!(lines.len() > 15, "{} lines", lines.len());
    for line in lines {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
        // What connects is tested beside a Redis of its own (`bridge::deployments`).
        let words = line
            .arguments
            .iter()
            .filter(|word| !["--redis", "--model"].contains(&word.as_str()));
        command
            .args(words)
            .env_clear()
            .envs(line.variables)
            .current_dir(repository());
        // So is a chapter that writes its own file (`rows::walk`).
        if line.text.contains("--config gateway.toml") {
            continue;
        }
        if line.arguments.iter().any(|word| word == "--check") {
            // A token that it explains is made beside the settings of its own (`auth`).
            continue;
        }
        // Keys are for who signs; a server has none without the mode.
        let signs = |word: &String| word == "token" || word == "link";
        if line.arguments.iter().any(signs) {
            command.envs([
                ("SUPPORTAL_AUTH__JWT__SECRET", "k".repeat(32)),
                ("SUPPORTAL_AUTH__LINK__KEY", "k".repeat(32)),
            ]);
        }
        let printing = ["check", "config", "token", "link", "--help"];
        let prints = |word: &String| printing.contains(&word.as_str());
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
    let lines = lines_of("tests/run");
    assert!(lines.len() > 1, "{} lines", lines.len());
    for line in lines {
        for step in line.arguments.iter().filter(|word| *word != "--list") {
            assert!(steps.contains(&format!("\nstep_{step}()")), "{}", line.text);
        }
    }
}

/// `cargo test --test integration FILTER …` runs something: each filter is a module or a test.
#[test]
fn every_filter_of_a_test_command_names_tests() {
    let modules = read("tests/main.rs");
    let mut named = 0;
    for line in lines_of("cargo") {
        let mut words = line.arguments.iter().map(String::as_str);
        if !(words.next() == Some("test") && line.text.contains("--test integration")) {
            continue;
        }
        for filter in words.filter(|word| !["--test", "integration", "--"].contains(word)) {
            let module = format!("\nmod {filter};");
            assert!(modules.contains(&module), "{}", line.text);
            named += 1;
        }
    }
    assert!(named > 5, "{named} filters");
}

/// `loadtest SCENARIO …`: its own README lists it.
#[test]
fn every_scenario_of_the_load_generator_that_is_named_exists() {
    let scenarios = read("loadtest/README.md");
    let lines = lines_of("target/release/loadtest");
    assert!(lines.len() > 2, "{} lines", lines.len());
    for line in lines {
        let row = format!("\n| `{}` ", line.arguments[0]);
        assert!(scenarios.contains(&row), "{}", line.text);
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
