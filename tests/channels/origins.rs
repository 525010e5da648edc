//! `origin.allowed` beside a real OriginValidator of Channels: every entry with every origin.

use crate::support::{repository, tools_dir};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use supportal::internal::server::Allowed;

/// Entries that both read.
const ENTRIES: [&str; 76] = [
    "*",
    "example.com",
    "EXAMPLE.com",
    ".example.com",
    "example.com.",
    ".example.com.",
    "*.example.com",
    "..example.com",
    "example.com:8000",
    "example.com:443/chat",
    "//example.com",
    "//example.com:8000",
    "example.com/chat",
    "example.com/",
    "example.com?x",
    "example.com#x",
    "localhost",
    "localhost:8000",
    "my_site.example.com",
    "my_site.example.com:8000",
    "-a.example.com",
    "127.0.0.1",
    "127.0.0.1:8000",
    "127.1",
    "[::1]",
    "::1",
    "[::1]:8000",
    "[0:0::1]",
    "[2001:DB8::1]",
    "null",
    "com",
    ".com",
    "http://example.com",
    "https://example.com",
    "HTTPS://Example.COM",
    "https://example.com:",
    "https://example.com:443",
    "https://example.com:0443",
    "https://example.com:8443",
    "https://example.com:0",
    "https://example.com:65535",
    "http://example.com:443",
    "https://example.com:80",
    "http://example.com:80",
    "https://example.com/",
    "https://example.com/chat",
    "https://example.com?x",
    "https://example.com#x",
    "https://.example.com",
    "http://.example.com",
    "https://.example.com:8443",
    "https://*.example.com",
    "https://*",
    "*:8000",
    "https://example.com.",
    "wss://example.com",
    "ws://example.com",
    "http://localhost",
    "http://localhost:5173",
    "http://127.0.0.1:8000",
    "http://[::1]",
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
    "xn--bcher-kva.example",
    "https://xn--bcher-kva.example",
    "ftp://example.com",
];

/// What browsers and other programs send, and what they should not.
const ORIGINS: [&str; 62] = [
    "https://example.com",
    "http://example.com",
    "https://EXAMPLE.com",
    "HTTPS://example.com",
    "https://example.com:443",
    "http://example.com:80",
    "http://example.com:443",
    "https://example.com:80",
    "https://example.com:8443",
    "http://example.com:8000",
    "https://example.com:0",
    "https://example.com:65535",
    "https://example.com:",
    "https://example.com.",
    "https://www.example.com.",
    "https://www.example.com",
    "http://www.example.com",
    "https://www.example.com:8443",
    "https://a.b.example.com",
    "https://*.example.com",
    "https://*",
    "https://evilexample.com",
    "https://example.com.evil.net",
    "https://evil.net",
    "https://evil.net.",
    "https://evil.net/example.com",
    "https://evil.net?example.com",
    "https://evil.net#example.com",
    "https://example.com/path",
    "https://example.com?x",
    "https://my_site.example.com",
    "https://-a.example.com:8000",
    "https://com",
    "wss://example.com",
    "ws://example.com",
    "ftp://example.com",
    "http://localhost",
    "https://localhost",
    "http://localhost:5173",
    "http://localhost:8000",
    "http://127.0.0.1",
    "http://127.0.0.1:8000",
    "http://127.0.0.1:9",
    "http://[::1]",
    "https://[::1]:8000",
    "http://[2001:db8::1]",
    "http://[2001:DB8::1]:1",
    "null",
    "http://null",
    "",
    "file://",
    "file:///index.html",
    "example.com",
    "capacitor://localhost",
    "capacitor://localhost:8000",
    "ionic://localhost",
    "tauri://localhost",
    "app://.",
    "app://-",
    "chrome-extension://gighmmpiobklfepjocnamgkkbiglidom",
    "safari-web-extension://4b1c2f3a-5d6e-4f70-8a9b-0c1d2e3f4a5b",
    "https://xn--bcher-kva.example",
];

/// The verdicts of Python, by entry and origin; the last origin of each is the missing header.
fn verdicts(entries: &[&str]) -> Vec<Vec<Value>> {
    let origins = ORIGINS.iter().map(|origin| json!(origin));
    let origins: Vec<Value> = origins.chain([Value::Null]).collect();
    let python = tools_dir().join("channels/bin/python");
    let mut child = Command::new(&python)
        .arg(repository().join("tests/channels/origins.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; tests/run install", python.display()));
    let question = json!({ "entries": entries, "origins": origins }).to_string();
    let mut input = child.stdin.take().expect("stdin is piped");
    input.write_all(question.as_bytes()).expect("Python reads");
    drop(input);
    let output = child.wait_with_output().expect("Python ends");
    serde_json::from_slice(&output.stdout).expect("verdicts")
}

fn ours(entry: &str) -> Result<Vec<bool>, String> {
    let allowed = Allowed::new(&[entry.to_owned()])?;
    let origins = ORIGINS.iter().map(|origin| Some(origin.as_bytes()));
    Ok(origins
        .chain([None])
        .map(|origin| allowed.admits(origin, None))
        .collect())
}

#[test]
fn every_entry_means_what_it_means_to_channels() {
    let mut wrong = Vec::new();
    for (entry, theirs) in ENTRIES.iter().zip(verdicts(&ENTRIES)) {
        let ours = ours(entry).unwrap_or_else(|what| panic!("{entry}: {what}"));
        assert_eq!(ours.len(), theirs.len());
        for (at, (our, their)) in ours.iter().zip(&theirs).enumerate() {
            if json!(our) != *their {
                let origin = ORIGINS.get(at);
                wrong.push(format!("{entry:?} {origin:?}: Channels {their}, we {our}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the two differ on purpose: international names and bare IPv6 addresses, which Python never matches.
#[test]
fn what_matches_here_and_never_in_python_is_what_a_browser_sends() {
    let punycode = ["https://xn--bcher-kva.example"];
    let entries: [(&str, &[&str]); 4] = [
        ("https://b\u{fc}cher.example", &punycode),
        ("b\u{fc}cher.example", &punycode),
        (".B\u{dc}CHER.example", &punycode),
        (
            "2001:db8::1",
            &["http://[2001:db8::1]", "http://[2001:DB8::1]:1"],
        ),
    ];
    let names: Vec<&str> = entries.iter().map(|(entry, _)| *entry).collect();
    for ((entry, origins), theirs) in entries.iter().zip(verdicts(&names)) {
        assert!(theirs.iter().all(|verdict| *verdict == json!(false)));
        let ours = ours(entry).unwrap_or_else(|what| panic!("{entry}: {what}"));
        let admitted = ORIGINS.iter().zip(&ours).filter(|(_, is_in)| **is_in);
        let admitted: Vec<&str> = admitted.map(|(origin, _)| *origin).collect();
        assert_eq!(admitted, *origins, "{entry}");
    }
}

/// Entries that are refused at the start. To Python the first ones end every handshake or match nothing, but for
/// those in the second table, which it takes for less than they say.
#[test]
fn what_is_refused_here_is_of_no_use_in_python_or_says_more_than_it_means() {
    let useless = [
        "",
        " example.com",
        "example.com ",
        "a.example b.example",
        "example.com,www.example.com",
        "https://example.com:99999",
        "https://example.com:-1",
        "https://example.com:x",
        "https://",
        "file://",
        "app://",
        "/chat",
        "https:example.com",
        "https:/example.com",
        "http*://example.com",
        "http://[::1",
        "[::1",
        "[example.com]",
        "https://[example.com]",
        "https://exa%6dple.com",
        "user:password@example.com",
        "example.com\\x",
    ];
    for (entry, theirs) in useless.iter().zip(verdicts(&useless)) {
        assert!(ours(entry).is_err(), "{entry}");
        let admitted = theirs.iter().filter(|verdict| **verdict == json!(true));
        assert_eq!(admitted.count(), 0, "{entry} has a use in Python");
    }
    let other = [
        "https://user@example.com",
        "user@example.com",
        " https://example.com",
        "https://exam\tple.com",
        "127.0.0.1:99999",
        // Every host whose name ends with a dot, `evil.net.` as well.
        ".",
    ];
    let taken: BTreeSet<&str> = other
        .iter()
        .zip(verdicts(&other))
        .filter(|(_, theirs)| theirs.contains(&json!(true)))
        .map(|(entry, _)| *entry)
        .collect();
    assert_eq!(taken, other.into_iter().collect());
    for entry in other {
        assert!(ours(entry).is_err(), "{entry}");
    }
}
