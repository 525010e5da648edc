//! The environment: what is not given, what is somebody else's, what is a slip.

use super::{assert_refused, environment, file, load_environment, load_sets};
use crate::config::Config;
use crate::config::keys;
use crate::config::load::Loader;

/// A value that is legal and no default, for every kind of list and for some others.
const FILE: &str = "[server]\nlisten = \"127.0.0.1:8123\"\n[origin]\nallowed = [\"a.example\"]\n\
    [queue]\ncapacity = 7\n[bridge]\nmode = \"pubsub\"\nurls = [\"redis://h\"]\nprefix = \"site\"\n\
    [channels]\nsymmetric_encryption_keys = [\"k\"]\nhosts = [\"redis://d\"]\n\
    [admin]\ntoken = \"0123456789abcdef0123456789abcdef\"\n";

#[test]
fn an_empty_variable_is_not_given_for_every_key() {
    let file = file(FILE);
    let load = |environment| {
        let file = Some(file.path().to_owned());
        let loader = Loader {
            file,
            environment,
            ..Loader::default()
        };
        loader.load().unwrap_or_else(|error| panic!("{error}"))
    };
    let wanted = load(environment(&[]));
    let names = keys::all().map(crate::config::key::Key::environment);
    let names = names.chain(["PORT", "REDIS_URL", "SUPPORTAL_NO_SUCH_KEY"].map(str::to_owned));
    for name in names {
        for empty in ["", " ", "\t", "\n", " \r\n "] {
            let loaded = load(environment(&[(&name, empty)]));
            assert_eq!(loaded.config, wanted.config, "{name}={empty:?}");
            assert_eq!(loaded.warnings, wanted.warnings, "{name}={empty:?}");
        }
    }
    let all: Vec<String> = keys::all()
        .map(crate::config::key::Key::environment)
        .collect();
    let all: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(load(environment(&all)).config, wanted.config);
    assert_eq!(load_environment(&all).unwrap().config, Config::default());
}

#[test]
fn an_empty_variable_gives_way_to_the_next_one() {
    let loaded = load_environment(&[("PORT", "81"), ("SUPPORTAL_SERVER__LISTEN", "")]).unwrap();
    assert_eq!(loaded.config.server.listen.port(), 81);
    let pairs = [
        ("REDIS_URL", "redis://guide"),
        ("SUPPORTAL_BRIDGE__URLS", " "),
    ];
    let loaded = load_environment(&pairs).unwrap();
    assert_eq!(
        loaded.config.bridge.urls[0].to_string(),
        "redis://guide:6379"
    );
}

#[test]
fn what_is_meant_to_be_empty_can_be_said() {
    let file = file(FILE);
    let loader = Loader {
        file: Some(file.path().to_owned()),
        environment: environment(&[
            ("SUPPORTAL_ORIGIN__ALLOWED", "[]"),
            ("SUPPORTAL_BRIDGE__NODE", "\"\""),
        ]),
        ..Loader::default()
    };
    let config = loader.load().unwrap().config;
    assert!(config.origin.allowed.is_empty() && config.bridge.node.is_empty());
}

#[test]
fn an_empty_set_of_a_list_does_not_empty_the_list() {
    for key in [
        "origin.allowed",
        "bridge.urls",
        "channels.hosts",
        "channels.symmetric_encryption_keys",
    ] {
        let set = format!("{key}=");
        assert_refused(&set, load_sets(&[&set]), &[key, "is empty", "write []"]);
    }
    let loaded = load_sets(&["origin.allowed=[]"]).unwrap();
    assert!(loaded.config.origin.allowed.is_empty());
}

/// Kubernetes' variables of a Service, and Docker's of a link, for one name of a service.
fn service(name: &str) -> Vec<(String, String)> {
    [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "8000"),
        ("SERVICE_PORT_HTTP", "8000"),
        ("SERVICE_PORT_ADMIN_METRICS", "9000"),
        ("PORT", "tcp://10.0.0.1:8000"),
        ("PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("PORT_8000_TCP_PORT", "8000"),
        ("PORT_8000_TCP_PROTO", "tcp"),
        ("PORT_53_UDP", "udp://10.0.0.1:53"),
        ("PORT_53_UDP_ADDR", "fd00::1"),
        ("PORT_9999_SCTP_PROTO", "sctp"),
        ("PORT_8000_TCP_START", "tcp://172.17.0.2:8000"),
        ("PORT_8000_TCP_PORT_END", "8005"),
        ("NAME", "/web/supportal"),
        ("ENV_PATH", "/bin"),
        ("ENV_SUPPORTAL_QUEUE__CAPACITY", "5"),
    ]
    .map(|(part, text)| (format!("{name}_{part}"), text.to_owned()))
    .to_vec()
}

#[test]
fn what_an_orchestrator_says_about_a_service_of_our_name_is_no_setting() {
    for name in [
        "SUPPORTAL",
        "SUPPORTAL_GATEWAY",
        "SUPPORTAL_REDIS",
        "SUPPORTAL_ORIGIN",
        "SUPPORTAL_QUEUE",
        "SUPPORTAL_SERVER",
        "SUPPORTAL_ADMIN",
        "SUPPORTAL_ROUTES",
        "SUPPORTAL__BLUE",
        "SUPPORTAL_PORT",
        "SUPPORTAL_1",
    ] {
        let pairs = service(name);
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        let loaded = load_environment(&pairs).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.config, Config::default(), "{name}");
        assert_eq!(loaded.warnings, [], "{name}");
    }
    let others = [
        ("PATH", "/bin"),
        ("SUPPORTALS_X", "1"),
        ("MY_SUPPORTAL_X", "1"),
        ("SUPPORTAL", "1"),
    ];
    assert_eq!(load_environment(&others).unwrap().config, Config::default());
}

#[test]
fn a_slip_stops_the_start_and_names_the_nearest_key() {
    for (name, nearest) in [
        ("SUPPORTAL_QUEUE_CAPACITY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_QUEUE__CAPACTIY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_QUEUE_CAPACTIY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_QUEUE___CAPACITY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL__QUEUE__CAPACITY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_QUEUECAPACITY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("supportal_queue__capacity", "SUPPORTAL_QUEUE__CAPACITY"),
        ("Supportal_Queue__Capacity", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_queue__capacity", "SUPPORTAL_QUEUE__CAPACITY"),
        ("supportal_queue_capacity", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_CAPACITY", "SUPPORTAL_QUEUE__CAPACITY"),
        ("SUPPORTAL_ORIGIN_ALLOWED", "SUPPORTAL_ORIGIN__ALLOWED"),
        ("SUPPORTAL_ORIGINS__ALLOWED", "SUPPORTAL_ORIGIN__ALLOWED"),
        ("SUPPORTAL_ORIGIN__ALOWED", "SUPPORTAL_ORIGIN__ALLOWED"),
        ("SUPPORTAL_SERVER_LISTEN", "SUPPORTAL_SERVER__LISTEN"),
        ("SUPPORTAL_LISTEN", "SUPPORTAL_SERVER__LISTEN"),
        ("SUPPORTAL_ADMIN_TOKEN", "SUPPORTAL_ADMIN__TOKEN"),
        ("SUPPORTAL_ROUTE", "SUPPORTAL_ROUTES"),
        (
            "SUPPORTAL_BRIDGE_CHANNELS_SEND_TO",
            "SUPPORTAL_CHANNELS__SEND_TO",
        ),
        ("SUPPORTAL_CHANNELS_SEND_TO", "SUPPORTAL_CHANNELS__SEND_TO"),
        ("SUPPORTAL_BRIDGE_URLS", "SUPPORTAL_BRIDGE__URLS"),
        ("SUPPORTAL_LOG_LEVEL", "SUPPORTAL_LOG__LEVEL"),
    ] {
        let named = format!("environment {name}: no setting has this name");
        let fix = format!("did you mean {nearest}?");
        assert_refused(
            name,
            load_environment(&[(name, "hunter2")]),
            &[&named, &fix],
        );
        let shown = load_environment(&[(name, "hunter2")]).unwrap_err();
        assert!(!format!("{shown} {shown:?}").contains("hunter2"), "{shown}");
    }
    // Near to a service's variable, and none.
    for (name, text) in [
        ("SUPPORTAL_PORT", "8000"),
        ("SUPPORTAL_SERVER_PORT", "8000"),
        ("SUPPORTAL_PORT_TCP", "8000"),
        ("SUPPORTAL_PORT_8000", "8000"),
        ("SUPPORTAL_PORT_8000_TCPX", "8000"),
        ("SUPPORTAL_PORT_8000_TCP_X", "8000"),
        ("SUPPORTAL_PORT_X_TCP", "8000"),
        ("SUPPORTAL_SERVICE_PORT_", "8000"),
        ("SUPPORTAL_NAME", "node-1"),
        ("SUPPORTAL_QUEUE_TCP", "8000"),
        ("SUPPORTAL_SERVICE", "x"),
        ("SUPPORTAL_", "x"),
    ] {
        let named = format!("environment {name}: no setting has this name");
        assert_refused(name, load_environment(&[(name, text)]), &[&named]);
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_and_not_repaired() {
    for name in [
        "SUPPORTAL_BRIDGE__PREFIX",
        "SUPPORTAL_ADMIN__TOKEN",
        "SUPPORTAL_ORIGIN__ALLOWED",
        "PORT",
        "REDIS_URL",
    ] {
        let loaded = load_environment(&[(name, "hunter2\u{fffd}")]);
        let shown = loaded
            .as_ref()
            .map(|_| String::new())
            .unwrap_or_else(ToString::to_string);
        assert!(!shown.contains("hunter2\u{fffd} "), "{shown}");
        assert_refused(name, loaded, &[name, "is not UTF-8 text"]);
    }
    assert!(load_environment(&[("OTHER", "\u{fffd}")]).is_ok());
}
