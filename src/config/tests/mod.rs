//! The loader as its users meet it: what wins, where a value came from, and what is refused how.

mod auth;
mod channels;
mod django_session;
mod environment;
mod forward;
mod kept;
mod memory;
mod openai;
mod origin;
mod proxies;
mod ranges;
mod refusals;
mod routes;
mod signed;
mod suggestions;
mod vet;
mod webhook;

use super::load::{Loaded, Loader};
use super::problem::{Error, Source};
use super::{BridgeMode, Deliver, Dialect, Handler, ServerSettings, document};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    pairs.iter().map(owned).collect()
}

fn load_file(text: &str) -> Result<Loaded, Error> {
    let file = file(text);
    Loader {
        file: Some(file.path().to_owned()),
        ..Loader::default()
    }
    .load()
}

fn load_environment(pairs: &[(&str, &str)]) -> Result<Loaded, Error> {
    Loader {
        environment: environment(pairs),
        ..Loader::default()
    }
    .load()
}

fn load_sets(sets: &[&str]) -> Result<Loaded, Error> {
    Loader {
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        ..Loader::default()
    }
    .load()
}

fn assert_refused(given: &str, loaded: Result<Loaded, Error>, fragments: &[&str]) {
    let text = loaded.expect_err(given).to_string();
    for fragment in fragments {
        assert!(
            text.contains(fragment),
            "{given}\n  gave: {text}\n  without: {fragment}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let loader = Loader {
        file: Some("no/such/file.toml".into()),
        ..Loader::default()
    };
    assert_refused(
        "no file",
        loader.load(),
        &["--config", "cannot read no/such/file.toml"],
    );
}

#[test]
fn several_mistakes_are_reported_together() {
    let file = file("[queue]\ncapasity = 1\nexpiry = 5\n[log]\nlevel = \"x\"");
    let loader = Loader {
        file: Some(file.path().to_owned()),
        environment: environment(&[("SUPPORTAL_CHAT__WELCOME", "maybe")]),
        sets: vec!["limits.headers=no".to_owned()],
        workers: Some("two".to_owned()),
        ..Loader::default()
    };
    let error = loader.load().unwrap_err();
    assert_eq!(error.problems().len(), 6, "{error}");
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = file("[server]\nworkers = 1\nlisten = \"127.0.0.1:1\"\n[queue]\ncapacity = 1\n");
    let mut loader = Loader {
        file: Some(file.path().to_owned()),
        ..Loader::default()
    };
    let source = |loader: &Loader, path| loader.clone().load().unwrap().source(path);
    let capacity = |loader: &Loader| loader.clone().load().unwrap().config.queue.capacity;

    let from_file = Source::File {
        path: file.path().to_owned(),
        line: 5,
    };
    assert_eq!(
        (capacity(&loader), source(&loader, "queue.capacity")),
        (1, from_file)
    );
    loader.environment = environment(&[("SUPPORTAL_QUEUE__CAPACITY", "2")]);
    let from_environment = Source::Environment("SUPPORTAL_QUEUE__CAPACITY".to_owned());
    assert_eq!(
        (capacity(&loader), source(&loader, "queue.capacity")),
        (2, from_environment)
    );
    loader.sets = vec!["queue.capacity=3".to_owned(), "queue.capacity=4".to_owned()];
    assert_eq!(
        (capacity(&loader), source(&loader, "queue.capacity")),
        (4, Source::Flag("--set"))
    );

    loader.sets.push("server.listen=127.0.0.1:2".to_owned());
    loader.listen = Some("127.0.0.1:3".to_owned());
    loader.workers = Some("7".to_owned());
    let loaded = loader.clone().load().unwrap();
    assert_eq!(loaded.config.server.listen.port(), 3);
    assert_eq!(loaded.config.server.workers, 7);
    assert_eq!(loaded.source("server.listen"), Source::Flag("--listen"));
    assert_eq!(loaded.source("limits.headers"), Source::Default);
}

#[test]
fn a_mistake_is_reported_even_where_a_higher_layer_wins() {
    let file = file("[queue]\ncapacity = \"x\"");
    let loader = Loader {
        file: Some(file.path().to_owned()),
        sets: vec!["queue.capacity=3".to_owned()],
        ..Loader::default()
    };
    assert_refused(
        "file below --set",
        loader.load(),
        &["\"x\" is not a whole number"],
    );
}

#[test]
fn port_changes_the_port_and_keeps_the_host() {
    let file = file("[server]\nlisten = \"0.0.0.0:80\"");
    let mut loader = Loader {
        file: Some(file.path().to_owned()),
        environment: environment(&[("PORT", "8080")]),
        ..Loader::default()
    };
    let loaded = loader.clone().load().unwrap();
    assert_eq!(loaded.config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(
        loaded.source("server.listen"),
        Source::Environment("PORT".to_owned())
    );
    assert!(loaded.warnings.is_empty());

    loader.listen = Some("127.0.0.1:1".to_owned());
    let loaded = loader.load().unwrap();
    assert_eq!(loaded.config.server.listen.port(), 1);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("server.listen is set by --listen")
    );
}

#[test]
fn the_guides_address_of_redis_turns_the_bridge_on_and_its_password_is_never_printed() {
    let loaded = load_environment(&[("REDIS_URL", "redis://:hunter2@h/1")]).unwrap();
    assert_eq!(loaded.config.bridge.mode, BridgeMode::Pubsub);
    assert_eq!(
        loaded.config.bridge.urls[0].to_string(),
        "redis://(hidden)@h:6379/1"
    );
    let login = &loaded.config.bridge.urls[0].login;
    assert_eq!(login.password, Some(crate::config::Secret::new("hunter2")));
    for format in [
        document::DocumentFormat::Toml,
        document::DocumentFormat::Markdown,
    ] {
        let text = format!("{loaded:?} {}", document::render(&loaded, format));
        assert!(text.contains("redis://(hidden)@h:6379/1"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_comma_divides_addresses_only_in_front_of_a_scheme() {
    for (text, expected) in [
        (
            "redis://a, redis://b ,",
            vec!["redis://a:6379", "redis://b:6379"],
        ),
        ("unix:///a,rediss://b", vec!["unix:///a", "rediss://b:6379"]),
        ("redis://:hunter,2@a", vec!["redis://(hidden)@a:6379"]),
        (
            "redis://:h,hunter2@a,redis-cluster://,:x@b",
            vec!["redis://(hidden)@a:6379", "redis-cluster://(hidden)@b:6379"],
        ),
    ] {
        let loaded = load_environment(&[("REDIS_URL", text)]).unwrap();
        let urls: Vec<String> = loaded
            .config
            .bridge
            .urls
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(urls, expected, "{text}");
    }
}

#[test]
fn a_setting_that_looks_like_a_piece_of_an_address_is_not_repeated() {
    for set in [
        "bridge.urls:redis://:hun=ter2@h",
        "ter2@h:6379/0=1",
        "hunter 2=1",
    ] {
        let error = load_sets(&[set]).expect_err(set).to_string();
        assert!(!error.contains("hun") && !error.contains("ter2"), "{error}");
    }
}

#[test]
fn every_bad_address_of_a_list_is_named_by_its_place() {
    let file = "[bridge]\nmode = \"pubsub\"\nurls = [\"redis://a\", \"hunter2\", \"redis://h:hunter2\", 7]";
    let error = load_file(file).expect_err(file).to_string();
    for part in [
        ":3",
        "bridge.urls[1]: ",
        "no scheme",
        "bridge.urls[2]: ",
        "port",
        "bridge.urls[3]: ",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(
        !error.contains("hunter2") && !error.contains("urls[0]"),
        "{error}"
    );
}

#[test]
fn options_of_redis_py_without_a_meaning_here_are_advised_on() {
    let set = "bridge.urls=redis://a?socket_timeout=3&client_name=web";
    let loaded = load_sets(&["bridge.mode=pubsub", set]).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let warnings = warnings.concat();
    for part in ["bridge.urls[0]", "`socket_timeout`", "`client_name`"] {
        assert!(warnings.contains(part), "{warnings}");
    }
}

#[test]
fn a_certificate_of_our_own_needs_its_key_and_both_are_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pem");
    std::fs::write(&path, "").unwrap();
    let path = path.display().to_string();
    for (set, part) in [
        (
            format!("bridge.client_cert={path}"),
            "bridge.client_cert: stands without its key",
        ),
        (
            format!("bridge.client_key={path}"),
            "bridge.client_key: stands without its certificate",
        ),
        (
            "bridge.client_key=nowhere.pem".to_owned(),
            "\"nowhere.pem\" is not a file",
        ),
    ] {
        let error = load_sets(&[&set]).expect_err(&set).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_named_mode_and_a_list_of_addresses_win_over_the_guides_variable() {
    let loaded = load_environment(&[
        ("REDIS_URL", "redis://guide"),
        ("SUPPORTAL_BRIDGE__MODE", "off"),
    ]);
    assert_eq!(loaded.unwrap().config.bridge.mode, BridgeMode::Off);
    let loaded = load_environment(&[
        ("REDIS_URL", "redis://guide"),
        ("SUPPORTAL_BRIDGE__URLS", "redis://a,redis://b"),
        ("SUPPORTAL_BRIDGE__MODE", "pubsub"),
    ]);
    let urls = loaded.unwrap().config.bridge.urls;
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["redis://a:6379", "redis://b:6379"]);
    assert!(
        load_environment(&[("REDIS_URL", "")]).is_ok(),
        "empty is unset"
    );
}

#[test]
fn an_address_that_is_none_is_refused_with_the_fix_and_without_its_text() {
    for (text, fix) in [
        ("hunter2", "write redis://host:6379"),
        ("[1]", "list of addresses"),
        ("amqp://hunter2", "unknown scheme"),
    ] {
        let error = load_environment(&[("SUPPORTAL_BRIDGE__URLS", text)]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(fix) || text == "[1]", "{shown}");
    }
    let error = load_sets(&["bridge.mode=pubsub"]).unwrap_err().to_string();
    assert!(error.contains("bridge.urls: is empty"), "{error}");
}

#[test]
fn values_of_the_environment_are_read_by_the_kind_of_their_key() {
    let loaded = load_environment(&[
        ("SUPPORTAL_ORIGIN__ALLOWED", "a.example, .b.example"),
        ("SUPPORTAL_ADMIN__TOKEN", "12345678901234567890"),
        ("SUPPORTAL_LOG__LEVEL", "\"debug\""),
        ("SUPPORTAL_CHAT__WELCOME", "false"),
        ("SUPPORTAL_QUEUE__EXPIRY", "5m"),
        ("SUPPORTAL_ROUTES", "[{path='/e/', handler='echo'}]"),
    ]);
    let config = loaded.unwrap().config;
    assert_eq!(config.origin.allowed, ["a.example", ".b.example"]);
    assert_eq!(config.admin.token.unwrap().expose(), "12345678901234567890");
    assert_eq!(config.log.level, "debug");
    assert!(!config.chat.welcome);
    assert_eq!(config.queue.expiry, Duration::from_secs(300));
    assert_eq!(config.routes[0].handler, Handler::Echo);
}

#[test]
fn a_secret_is_in_no_error_debug_or_document() {
    let secret = "hunter2hunter2hunter2";
    let bad_files = [
        format!("[admin]\ntoken = {secret}"),
        format!("[admin]\ntoken = \"{secret}"),
        format!("[admin]\ntoken = [\"{secret}\"]"),
        format!("[admin]\ntokn = \"{secret}\""),
        format!("admin = \"{secret}\""),
        format!("[admin]\ntoken = \"{secret} \""),
    ];
    for text in bad_files {
        let error = load_file(&text).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{text}: {error}"
        );
    }
    for set in [
        format!("admin.token {secret}"),
        format!("admin.tokn={secret}"),
    ] {
        let error = load_sets(&[&set]).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{set}: {error}"
        );
    }
    let loader = Loader {
        environment: environment(&[("SUPPORTAL_ADMIN__TOKEN", secret)]),
        sets: vec![format!("admin.token={secret}")],
        redis_url: Some(format!("redis://:{secret}@h")),
        ..Loader::default()
    };
    assert!(!format!("{loader:?}").contains("hunter2"));
    let loaded = loader.load().unwrap();
    assert_eq!(loaded.config.admin.token.as_ref().unwrap().expose(), secret);
    let dump = document::render(&loaded, document::DocumentFormat::Toml);
    assert!(!format!("{loaded:?} {dump}").contains("hunter2"));
}

#[test]
fn the_conformance_suites_large_messages_are_legal_without_a_bridge() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/autobahn/echo.toml");
    let loader = Loader {
        file: Some(path),
        ..Loader::default()
    };
    loader.load().expect("its outbox is used by nobody");
}

#[test]
fn the_files_of_the_repository_load_without_advice() {
    for name in [
        "default",
        "demo",
        "production",
        "cluster",
        "django",
        "package",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/{name}.toml"));
        let loader = Loader {
            file: Some(path),
            ..Loader::default()
        };
        let loaded = loader.load().expect(name);
        assert_eq!(loaded.warnings, [], "{name}");
        assert!(loaded.config.admin.token.is_none(), "{name} holds a secret");
        if name == "package" {
            let chat = &loaded.config.chat;
            assert_eq!(
                (chat.dialect, chat.deliver),
                (Dialect::Django, Deliver::Sender)
            );
        }
    }
}

#[test]
fn a_notice_that_is_cut_is_advised_on_unless_it_is_the_default() {
    let warned = |notice: &str, grace: &str| {
        let notice = format!("server.drain_notice={notice}");
        let grace = format!("server.drain_grace={grace}");
        let loaded = load_sets(&[&notice, &grace]).unwrap();
        !loaded.warnings.is_empty()
    };
    let cases = [
        ("9s", "10s", true),
        ("7s", "10s", true),
        ("6s", "10s", false),
        ("2s", "3s", false),
        ("3s", "4s", false),
        ("3s", "0s", false),
        ("0s", "0s", false),
    ];
    for (notice, grace, is_warned) in cases {
        assert_eq!(warned(notice, grace), is_warned, "{notice} of {grace}");
    }
}

#[test]
fn the_notice_of_a_drain_gives_way_to_its_grace() {
    for (notice, grace, given) in [
        (3, 10, 3_000),
        (3, 1, 666),
        (3, 0, 0),
        (9, 10, 6_666),
        (0, 10, 0),
    ] {
        let server = ServerSettings {
            drain_notice: Duration::from_secs(notice),
            drain_grace: Duration::from_secs(grace),
            ..ServerSettings::default()
        };
        assert_eq!(server.notice().as_millis(), given, "{notice} of {grace}");
        assert!(server.is_notice_within_grace());
    }
}
