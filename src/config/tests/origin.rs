//! `origin.allowed`: what is refused, what is warned of, what is taken without a word.

use super::{assert_refused, load_environment, load_file, load_sets};
use crate::config::load::Loaded;
use crate::config::problem::Error;

fn load(entry: &str) -> Result<Loaded, Error> {
    load_file(&format!(
        "[origin]\nallowed = [{}]",
        toml::Value::from(entry)
    ))
}

/// Entries that cannot be read, and what the refusal says.
const UNREADABLE: &[(&str, &str)] = &[
    ("", "is empty"),
    (" ", "a space"),
    ("a.example b.example", "one host an entry"),
    ("a.example,b.example", "which no host has"),
    ("a.example;b.example", "which no host has"),
    ("https://a.example,https://b.example", "which no host has"),
    (" example.com", "a space"),
    ("example.com\n", "a line's end"),
    ("exam\tple.com", "a space"),
    ("https://exam ple.com", "a space"),
    ("https://example.com:99999", "has the port \"99999\""),
    ("https://example.com:65536", "from 0 to 65535"),
    ("https://example.com:-1", "has the port \"-1\""),
    ("https://example.com:+443", "has the port \"+443\""),
    ("https://example.com:443x", "has the port"),
    ("https://example.com:1:2", "has the port \"1:2\""),
    ("http://[::1]:99999", "an IPv6 address"),
    ("capacitor://localhost:port", "has the port"),
    ("example.com:99999", "has the port \"99999\""),
    ("127.0.0.1:99999", "has the port \"99999\""),
    ("https://user@example.com", "names a user"),
    ("https://@example.com", "names a user"),
    ("user@example.com", "names a user"),
    ("https://example.com\\\\@evil.example", "names a user"),
    ("https://example.com\\", "with `/`"),
    ("https://", "names no host"),
    ("https://:443", "is no name"),
    ("https:///chat", "names no host"),
    ("file://", "\"*\" alone"),
    ("file:///", "names no host"),
    ("app://", "names no host"),
    ("/chat", "names no host"),
    ("?x", "names no host"),
    ("#", "names no host"),
    (":8000", "is no name"),
    ("https:example.com", "write \"https://example.com\""),
    ("https:/example.com", "write \"https://example.com\""),
    ("https:", "\"https://example.com\" if not"),
    ("localhost:", "write \"localhost\" if"),
    ("mailto:a.example", "neither a port nor `//`"),
    ("http*://example.com", "write \"https://example.com\""),
    ("*://example.com", "write \"https://example.com\""),
    ("http://[::1", "brackets without an IPv6 address"),
    ("[::1", "brackets"),
    ("::1]", "brackets"),
    ("[example.com]", "brackets"),
    ("https://[example.com]", "brackets"),
    ("[fe80::1%25eth0]", "brackets"),
    ("[::1]x", "brackets"),
    (".", "is no name"),
    ("https://.", "is no name"),
    ("https://exa%6dple.com", "which no host has"),
    ("<script>", "which no host has"),
    ("^https://.*$", "a scheme with other characters"),
    ("b\u{fc}cher\u{e000}.example", "no international name"),
];

#[test]
fn an_entry_that_cannot_be_read_stops_the_start_and_is_named_with_the_fix() {
    for (entry, part) in UNREADABLE {
        let named = format!("origin.allowed: {entry:?} ");
        assert_refused(entry, load(entry), &[":2: ", &named, part, "; "]);
        let quoted = toml::Value::from(*entry).to_string();
        // One bad entry among good ones, before or after a star, in every layer.
        for list in [
            format!("[{quoted}, \"*\"]"),
            format!("[\"a.example\", {quoted}]"),
        ] {
            let set = format!("origin.allowed={list}");
            assert_refused(entry, load_sets(&[&set]), &["--set: ", &named]);
            let loaded = load_environment(&[("SUPPORTAL_ORIGIN__ALLOWED", &list)]);
            assert_refused(
                entry,
                loaded,
                &["environment SUPPORTAL_ORIGIN__ALLOWED", &named],
            );
        }
    }
}

#[test]
fn a_password_in_an_entry_is_not_shown() {
    let error = load("https://user:hunter2@example.com").unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("https://user:(hidden)@example.com"),
        "{shown}"
    );
}

/// Entries that can be read and match nothing, or less than meant, and what the warning says.
const OF_LITTLE_USE: &[(&str, [&str; 2])] = &[
    (
        "*.example.com",
        ["can never match", "write \".example.com\""],
    ),
    (
        "https://*.example.com",
        ["can never match", "write \".example.com\""],
    ),
    ("www.*.com", ["can never match", "no host has a `*`"]),
    ("https://*", ["can never match", "\"*\" alone"]),
    ("*:8000", ["can never match", "no host has a `*`"]),
    ("**", ["can never match", "no host has a `*`"]),
    (
        "example.com:8000",
        ["can never match", "\"http://example.com:8000\""],
    ),
    (
        "//example.com:80/x",
        ["can never match", "write \"example.com\""],
    ),
    ("//[::1]", ["can never match", "write \"[::1]\""]),
    (
        "wss://example.com",
        ["can never match", "write \"https://example.com\""],
    ),
    (
        "ws://example.com:1",
        ["can never match", "write \"http://example.com:1\""],
    ),
    ("[0:0::1]", ["can never match", "\"[::1]\""]),
    ("999.1.1.1", ["can never match", "four numbers"]),
    ("127.1", ["can never match", "four numbers"]),
    ("a..example", ["can never match", "one dot"]),
    ("..example", ["can never match", "one dot"]),
    ("::1", ["has no brackets", "\"[::1]\""]),
    ("fd00::1", ["has no brackets", "\"[fd00::1]\""]),
    (
        "127.0.0.1:8000",
        ["port, which is not compared", "write \"127.0.0.1\""],
    ),
    (
        "[::1]:8000",
        ["port, which is not compared", "write \"[::1]\""],
    ),
    (
        "example.com/chat",
        ["not compared", "the host alone: \"example.com\""],
    ),
    ("example.com?x", ["not compared", "the host alone"]),
    (
        "https://example.com/chat",
        ["not compared", "write \"https://example.com\""],
    ),
    (
        "https://example.com#x",
        ["not compared", "write \"https://example.com\""],
    ),
    (
        "example.com.",
        ["the last dot as well", "without the last dot"],
    ),
    ("null", ["sandboxed pages", "\"*\""]),
];

#[test]
fn an_entry_that_matches_nothing_or_less_than_meant_is_named_with_the_fix() {
    for (entry, parts) in OF_LITTLE_USE {
        let loaded = load(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let text = warnings.join("\n");
        assert_eq!(warnings.len(), 1, "{entry}: {text}");
        for part in parts
            .iter()
            .copied()
            .chain([format!("{entry:?}").as_str(), ":2: "])
        {
            assert!(text.contains(part), "{entry}: no {part} in: {text}");
        }
        assert_eq!(loaded.config.origin.allowed, [*entry], "kept as written");
    }
}

#[test]
fn what_apps_sites_and_extensions_send_is_taken_without_a_word() {
    for entry in [
        "example.com",
        "EXAMPLE.com",
        ".example.com",
        "localhost",
        "my_site.example",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]",
        "*",
        "https://example.com",
        "https://example.com/",
        "HTTPS://Example.Com:8443",
        "https://example.com:443",
        "https://example.com:",
        "https://.example.com",
        "http://localhost:5173",
        "http://[::1]:8000",
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "https://tauri.localhost",
        "app://.",
        "app://-",
        "app://localhost:1420",
        "com.example.app://localhost",
        "chrome-extension://gighmmpiobklfepjocnamgkkbiglidom",
        "moz-extension://4b1c2f3a-5d6e-4f70-8a9b-0c1d2e3f4a5b",
        "safari-web-extension://4B1C2F3A-5D6E-4F70-8A9B-0C1D2E3F4A5B",
        "vscode-webview://0d6c7vd5ehb3m6t8",
        "b\u{fc}cher.example",
        "https://.b\u{fc}cher.example",
        "xn--bcher-kva.example",
    ] {
        let loaded = load(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert_eq!(loaded.warnings, [], "{entry}");
        assert_eq!(loaded.config.origin.allowed, [entry]);
    }
}

#[test]
fn a_list_that_is_none_is_refused() {
    for text in [
        "allowed = \"\"",
        "allowed = \"a.example\"",
        "allowed = \"*\"",
        "allowed = 1",
        "allowed = true",
        "allowed = {}",
        "allowed = {a = \"b\"}",
        "allowed = [[\"a.example\"]]",
        "allowed = [[]]",
        "allowed = [1]",
        "allowed = [\"a.example\", 1]",
        "allowed = [\"a.example\", {}]",
        "allowed = [\"a.example\", []]",
        "[[origin.allowed]]\nhost = \"a.example\"",
        "[origin.allowed]\nhost = \"a.example\"",
        "allow = [\"a.example\"]",
        "allowed_hosts = [\"a.example\"]",
    ] {
        assert_refused(text, load_file(&format!("[origin]\n{text}")), &["origin"]);
    }
    for text in [
        "1",
        "true",
        "{}",
        "[1]",
        "[[]]",
        "[\"a.example\", 1]",
        "1979-05-27",
    ] {
        let loaded = load_environment(&[("SUPPORTAL_ORIGIN__ALLOWED", text)]);
        assert_refused(text, loaded, &["SUPPORTAL_ORIGIN__ALLOWED"]);
    }
}

#[test]
fn a_list_in_the_environment_loses_no_member() {
    for (text, fault) in [
        (",", "\"\" is empty"),
        ("a.example,", "\"\" is empty"),
        (",a.example", "\"\" is empty"),
        ("a.example,,b.example", "\"\" is empty"),
        ("[\"\"]", "\"\" is empty"),
        ("\"\"", "\"\" is empty"),
        ("[a.example]", "brackets"),
        ("[\"a.example\", b.example]", "\"[\\\"a.example\\\"\""),
        ("['a.example'", "\"['a.example'\""),
        ("a.example b.example", "a space"),
        ("a.example\nb.example", "a line's end"),
        ("\"a.example, b.example\"", "a space"),
    ] {
        let loaded = load_environment(&[("SUPPORTAL_ORIGIN__ALLOWED", text)]);
        assert_refused(text, loaded, &["origin.allowed: ", fault]);
    }
    for (text, entries) in [
        ("a.example", &["a.example"][..]),
        (" a.example , .b.example ", &["a.example", ".b.example"]),
        ("[\"a.example\",\"b.example\"]", &["a.example", "b.example"]),
        (" [\"a.example\"]\n", &["a.example"]),
        ("\"a.example\"", &["a.example"]),
        ("127.0.0.1", &["127.0.0.1"]),
        (
            "capacitor://localhost,https://.example.com:8443",
            &["capacitor://localhost", "https://.example.com:8443"],
        ),
        ("*", &["*"]),
        ("[]", &[]),
    ] {
        let loaded = load_environment(&[("SUPPORTAL_ORIGIN__ALLOWED", text)]);
        assert_eq!(loaded.expect(text).config.origin.allowed, entries, "{text}");
    }
}
