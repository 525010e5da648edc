//! The README's tables are the code's own.

use crate::support::repository;

/// The README's text between `<!-- name -->` and `<!-- /name -->`.
fn section(name: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("README.md");
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
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_supportal"));
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
