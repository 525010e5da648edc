//! What each refusal shows to write instead: a value of the key's own kind, with what was meant if that can be told.

use super::super::{example, keys, value};
use super::{assert_refused, load_environment, load_file};

/// A file, and the end of its refusal.
const BAD_FILES: &[(&str, &str)] = &[
    ("[http]\nredirect = 80", "such as redirect = \"0.0.0.0:80\""),
    (
        "[http]\nredirect = \":8080\"",
        "such as redirect = \"0.0.0.0:8080\"",
    ),
    (
        "[http]\nredirect = \"\"",
        "such as redirect = \"0.0.0.0:80\"",
    ),
    (
        "[http]\nredirect = 0.0.0.0:80",
        "invalid float; write it as in redirect = \"0.0.0.0:80\"",
    ),
    (
        "[server]\nlisten = \"localhost:9001\"",
        "such as listen = \"127.0.0.1:9001\"",
    ),
    (
        "[server]\nlisten = 127.0.0.1:80",
        "write it as in listen = \"127.0.0.1:8000\"",
    ),
    (
        "[api]\nlisten = 8001",
        "such as listen = \"127.0.0.1:8001\"",
    ),
    (
        "[limits]\nconnections = \"50000\"",
        "write a bare number: connections = 50000",
    ),
    (
        "[limits]\nconnections = \"50_000\"",
        "write a bare number: connections = 50000",
    ),
    (
        "[limits]\nconnections = 50000.0",
        "write a bare number: connections = 50000",
    ),
    (
        "[limits]\nmessage_bytes = \"64 KiB\"",
        "write a bare number: message_bytes = 65536",
    ),
    (
        "[limits]\nmemory = \"1GiB\"",
        "or a bare number: memory = 1073741824",
    ),
    (
        "[limits]\nmemory = \"much\"",
        "or a bare number such as memory = 536870912",
    ),
    (
        "[queue]\ncapacity = \"5 KiB\"",
        "write a bare number, such as capacity = 100",
    ),
    ("[queue]\nexpiry = 60s", "write it as in expiry = \"60s\""),
    (
        "[queue]\nexpiry = 1.5s",
        "invalid float; write it as in expiry = \"60s\"",
    ),
    ("[chat]\nwelcome = \"true\"", "; write welcome = true"),
    ("[chat]\nwelcome = \"off\"", "; write welcome = false"),
    ("[chat]\nwelcome = True", "write it as in welcome = true"),
    (
        "[chat]\nwelcome = \"maybe\"",
        "write welcome = true or welcome = false",
    ),
    (
        "[chat]\ndialect: \"django\"",
        "write it as in dialect = \"guide\"",
    ),
    (
        "[tls]\ncertificate = 1",
        "write it in quotes, as in certificate = \"/etc/supportal/chat.pem\"",
    ),
    (
        "[tls]\ncertificate = /etc/chat.pem",
        "write it as in certificate = \"/etc/supportal/chat.pem\"",
    ),
    (
        "[server]\nunix_mode = 660",
        "write it in quotes, as in unix_mode = \"0660\"",
    ),
    (
        "[server]\nunix_mode = 0660",
        "write it as in unix_mode = \"0660\"",
    ),
    ("[proxy]\ntrusted = 10", "write trusted = [\"10.0.0.0/8\"]"),
    (
        "[proxy]\ntrusted = [10.0.0.0/8]",
        "write it as in trusted = [\"10.0.0.0/8\"]",
    ),
    (
        "[origin]\nallowed = true",
        "write allowed = [\"example.com\"]",
    ),
    (
        "[auth.forward]\nurl = http://site/",
        "write it as in url = \"http://127.0.0.1:8001/supportal/who/\"",
    ),
    (
        "[queue]\ncapacity = 5\ncapacity = 6",
        "duplicate key; leave it once",
    ),
];

#[test]
fn a_refusal_shows_a_value_of_its_key() {
    for (text, end) in BAD_FILES {
        let error = load_file(text).expect_err(text).to_string();
        assert!(error.ends_with(end), "{text}\n  gave: {error}");
    }
}

#[test]
fn a_line_that_is_no_toml_is_shown_without_its_value() {
    for line in ["token = hunter2", "token = \"hunter2", "token hunter2 ="] {
        let error = load_file(&format!("[admin]\n{line}")).expect_err(line);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_number_in_quotes_in_the_environment_is_shown_without() {
    let name = "SUPPORTAL_LIMITS__CONNECTIONS";
    let loaded = load_environment(&[(name, "\"50000\"")]);
    let told = &["\"50000\" is not a whole number", "connections = 50000"];
    assert_refused(name, loaded, told);
}

#[test]
fn the_example_of_every_key_fits_it() {
    for key in keys::all() {
        let line = format!("value = {}", example::value(key));
        let mut table: toml::Table = line.parse().expect("TOML");
        let example = table.remove("value").expect("a value");
        assert!(value::check(key, &example).is_ok(), "{}: {line}", key.path);
    }
}
