//! The style, tested: floors, crates, lengths, words, leftovers. It reads text, not syntax: rustfmt
//! (which `tests/run` checks first) makes that reliable enough.

mod circles;
mod lengths;
mod names;
mod source;
mod words;

use crate::support::repository;
use source::{Source, identifier, is_word, product, sources, test_files};
use std::fs;

/// A module may import only from lower floors; modules of one floor are strangers.
const FLOORS: &[(usize, &[&str])] = &[
    (9, &["main", "cli"]),
    (8, &["node"]),
    (7, &["budget", "banner"]),
    (6, &["server", "admin"]),
    (5, &["chat", "worker"]),
    (
        4,
        &[
            "archive",
            "bridge",
            "channels",
            "assistant",
            "retrieval",
            "auth",
            "vetting",
        ],
    ),
    (3, &["broker", "redis", "transport", "http_client"]),
    (2, &["protocol", "telemetry", "http", "shedding", "tls"]),
    (1, &["config"]),
    (0, &["name", "words", "metrics", "clock", "panics", "sync"]),
];

/// The binary's own modules: they call the library `supportal` and each other `crate`.
const BINARY: &[&str] = &["main", "cli"];

/// The library's modules that are for its users, from the ground up.
const PUBLIC: &[&str] = &["config", "banner", "budget", "node"];

/// Modules that may name the runtime; `worker` only where it answers the control plane.
const ASYNCHRONOUS: &[&str] = &[
    "archive",
    "chat",
    "main",
    "node",
    "server",
    "admin",
    "cli",
    "worker",
    "assistant",
    "auth",
    "bridge",
    "channels",
    "retrieval",
    "redis",
    "vetting",
    "http",
    "http_client",
];

/// Crates that only these modules may name.
const CRATES: &[(&str, &[&str])] = &[
    ("aes", &["channels"]),
    ("cbc", &["channels"]),
    ("clap", &["cli", "config"]),
    ("compact_str", &["name"]),
    ("crc32fast", &["channels"]),
    ("dashmap", &["broker"]),
    ("fastwebsockets", &["transport"]),
    ("form_urlencoded", &["http", "auth"]),
    ("foldhash", &["broker", "redis", "server", "worker"]),
    ("fred", &["redis"]),
    ("getrandom", &["channels", "auth"]),
    (
        "http_body_util",
        &[
            "server",
            "admin",
            "transport",
            "http",
            "http_client",
            "auth",
            "assistant",
            "retrieval",
        ],
    ),
    ("hmac", &["channels", "auth", "http_client"]),
    ("httparse", &["server"]),
    ("httpdate", &["assistant"]),
    (
        "hyper",
        &[
            "server",
            "admin",
            "transport",
            "http",
            "http_client",
            "auth",
            "assistant",
            "retrieval",
            "vetting",
        ],
    ),
    (
        "hyper_util",
        &["server", "admin", "transport", "http", "http_client"],
    ),
    ("hyper_rustls", &["http_client"]),
    ("idna", &["config"]),
    ("ipnet", &["config"]),
    ("jiff", &["protocol", "clock", "telemetry"]),
    ("listenfd", &["node"]),
    ("loom", &["sync", "broker"]),
    ("memchr", &["http", "protocol"]),
    ("mimalloc", &["main"]),
    ("miniz_oxide", &["auth"]),
    ("mio", &["worker", "server"]),
    ("nix", &["node"]),
    ("percent_encoding", &["config"]),
    ("prometheus_client", &["metrics"]),
    ("proxy_header", &["server"]),
    ("regex", &["channels", "config"]),
    ("rlimit", &["banner"]),
    ("rusqlite", &["archive"]),
    ("rmp", &["channels"]),
    ("ring", &["auth", "http_client"]),
    ("rustls", &["redis", "http_client", "auth", "tls"]),
    ("rustls_native_certs", &["redis", "http_client"]),
    ("sd_notify", &["node"]),
    ("sha1", &["transport"]),
    ("sha2", &["channels", "auth", "retrieval"]),
    ("simd_json", &["protocol"]),
    ("simdutf8", &["transport", "protocol"]),
    ("socket2", &["server", "worker"]),
    ("strsim", &["config"]),
    ("tokio", ASYNCHRONOUS),
    ("toml", &["config", "assistant"]),
    ("tower_service", &["http_client"]),
    ("tracing_subscriber", &["telemetry"]),
    ("webpki", &["redis", "tls", "http_client"]),
];

#[track_caller]
fn report(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn floor(module: &str) -> Option<usize> {
    FLOORS
        .iter()
        .find(|(_, modules)| modules.contains(&module))
        .map(|(floor, _)| *floor)
}

/// Modules named as `crate::module`, `crate::{module, …}`, or `supportal::module` in `main.rs`.
fn imports(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let marker = format!("{root}::");
    for (at, _) in code.match_indices(&marker) {
        if code.split_at(at).0.chars().next_back().is_some_and(is_word) {
            continue;
        }
        let rest = code.split_at(at + marker.len()).1;
        let Some(group) = rest.strip_prefix('{') else {
            found.push(identifier(rest).to_owned());
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (index, character) in group.char_indices() {
            if start && depth == 0 && is_word(character) {
                found.push(identifier(group.split_at(index).1).to_owned());
                start = false;
            }
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ => {}
            }
        }
    }
    found
}

#[test]
fn imports_go_down_the_floors() {
    let mut faults = Vec::new();
    for source in sources() {
        // A test of the workers runs them with the consumers that they have in a node.
        let is_test = source.name().contains("/tests/");
        let Some(module) = source.module().filter(|_| !is_test) else {
            continue;
        };
        let Some(own) = floor(&module) else {
            faults.push(format!("{}: `{module}` has no floor", source.name()));
            continue;
        };
        let roots = if BINARY.contains(&module.as_str()) {
            &["supportal", "crate"][..]
        } else {
            &["crate"]
        };
        let code: Vec<&str> = source.code().map(|(_, line)| line).collect();
        let code = code.join("\n");
        for import in roots.iter().flat_map(|root| imports(&code, root)) {
            // A name that is no module is an item of the crate's root; there are none but macros.
            let Some(other) = floor(&import) else {
                continue;
            };
            if import != module && other >= own {
                let name = source.name();
                faults.push(format!(
                    "{name}: floor {own} imports `{import}` of floor {other}"
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_import_reader_understands_groups_and_paths() {
    let code =
        "use crate::{broker::{Room, Queue}, name, protocol::close};\nlet x = crate::clock::now();";
    assert_eq!(
        imports(code, "crate"),
        ["broker", "name", "protocol", "clock"]
    );
    assert_eq!(
        imports("pub(crate) fn f() { mycrate::x(); }", "crate"),
        Vec::<String>::new()
    );
}

#[test]
fn the_library_lists_its_modules_from_the_lowest_floor_up_and_shows_few() {
    let text = fs::read_to_string(repository().join("src/lib.rs")).expect("src/lib.rs");
    let (mut floors, mut public) = (Vec::new(), Vec::new());
    for line in text.lines().filter_map(|line| line.strip_suffix(';')) {
        let shown = line.strip_prefix("pub mod ");
        public.extend(shown);
        if let Some(module) = shown.or_else(|| line.strip_prefix("mod ")) {
            floors.push(floor(module).unwrap_or_else(|| panic!("`{module}` has no floor")));
        }
    }
    assert!(floors.len() > 10, "found only {floors:?}");
    assert!(floors.is_sorted(), "not in floor order: {floors:?}");
    // The compiler finds what nobody uses, but not in a public module.
    assert_eq!(public, PUBLIC);
}

#[test]
fn a_crate_is_named_only_by_its_modules() {
    let mut faults = Vec::new();
    // Test code may use what it needs to test with.
    let product = |source: &Source| !source.name().contains("/tests");
    for source in sources().into_iter().filter(product) {
        let Some(module) = source.module() else {
            continue;
        };
        for (number, line) in source.code() {
            for (name, modules) in CRATES {
                let path = format!("{name}::");
                let named = line.match_indices(&path).any(|(at, _)| {
                    let before = line.split_at(at).0.chars().next_back();
                    before.is_none_or(|before| !is_word(before) && before != ':')
                });
                if named && !modules.contains(&module.as_str()) {
                    faults.push(format!(
                        "{}:{number}: only {modules:?} name {name}",
                        source.name()
                    ));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn nothing_is_left_over() {
    // In pieces, so that this file passes.
    let markers = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
        ["HA", "CK"].concat(),
        ["unimple", "mented!"].concat(),
        ["to", "do!"].concat(),
        ["#[ig", "nore"].concat(),
    ];
    let mut faults = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            for marker in &markers {
                let at_a_word = |(at, _): (usize, &str)| {
                    let before = line.split_at(at).0.chars().next_back();
                    let after = line.split_at(at + marker.len()).1.chars().next();
                    let inside = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
                    !inside(before) && (!inside(after) || marker.starts_with('#'))
                };
                if line.match_indices(marker.as_str()).any(at_a_word) {
                    faults.push(format!("{}:{}: {marker}", source.name(), index + 1));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn every_test_file_is_listed_in_the_one_test_binary() {
    let main = fs::read_to_string(repository().join("tests/main.rs")).expect("tests/main.rs");
    // The simulator is a binary of its own.
    let cargo = fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml");
    let is_binary = |name: &str| cargo.contains(&format!("path = \"tests/{name}.rs\""));
    let mut faults = Vec::new();
    for entry in fs::read_dir(repository().join("tests")).expect("tests/") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_module = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("mod.rs").exists();
        if is_module && !is_binary(&name) && !main.contains(&format!("mod {name};")) {
            faults.push(format!("tests/{name} never runs"));
        }
    }
    report(&faults);
}

#[test]
fn the_load_test_does_not_know_the_server() {
    let manifest =
        fs::read_to_string(repository().join("loadtest/Cargo.toml")).expect("a manifest");
    let depends = manifest.lines().any(|line| line.starts_with("supportal"));
    assert!(
        !depends,
        "loadtest is the second implementation of the contract"
    );
}

#[test]
fn nothing_is_decided_by_a_metric() {
    // What it reads is for the log alone.
    const LOGS: &[&str] = &["src/node/ending.rs"];
    let (sources, mut faults, mut logged) = (sources(), Vec::new(), Vec::new());
    let tests = test_files(&sources);
    for source in &sources {
        let name = source.name();
        if !name.starts_with("src/") || tests.iter().any(|test| source.path.starts_with(test)) {
            continue;
        }
        let code: String = product(&source.text).split_whitespace().collect();
        for reading in [".get()", ".inner()"] {
            for (at, _) in code.match_indices(reading) {
                let before = code.split_at(at).0.rsplit([';', '{', '}', '=']);
                if before
                    .into_iter()
                    .next()
                    .is_none_or(|said| !said.contains("metrics."))
                {
                    continue;
                }
                if LOGS.contains(&name.as_str()) {
                    logged.push(name.clone());
                } else {
                    faults.push(format!("{name}: reads a metric"));
                }
            }
        }
    }
    report(&faults);
    assert!(
        LOGS.iter()
            .all(|file| logged.iter().any(|name| name == file))
    );
}
