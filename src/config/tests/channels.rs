//! `[bridge.channels]`: a section within a section, hosts in many forms, secrets in a list.

use super::*;
use crate::config::channels::Layer;
use crate::config::{Secret, document};

const FILE: &str = r#"
[bridge]
prefix = "nodes"
[bridge.channels]
enabled = true
layer = "channels_redis.pubsub.RedisPubSubChannelLayer"
hosts = [["127.0.0.1", 6379], "redis://:hunter2@h/1"]
expiry = 10
symmetric_encryption_keys = ["hunter2"]
[[bridge.channels.channel_capacity]]
pattern = "a*"
capacity = 7
"#;

#[test]
fn a_section_within_a_section_is_read_with_its_lines() {
    let loaded = load_file(FILE).unwrap();
    let channels = &loaded.config.bridge.channels;
    assert_eq!(loaded.config.bridge.prefix, "nodes");
    assert_eq!(channels.layer, Layer::Pubsub);
    let first = channels.hosts[0].address().to_string();
    assert_eq!(first, "redis://127.0.0.1:6379");
    assert_eq!(channels.expiry, Duration::from_secs(10));
    assert_eq!(channels.capacity_of("ab"), 7);
    let source = loaded.source("bridge.channels.expiry");
    assert!(matches!(source, Source::File { line: 8, .. }), "{source}");
    let typo = FILE.replace("expiry = 10", "expiri = 10");
    assert_refused(
        "a typo",
        load_file(&typo),
        &[":8", "bridge.channels.expiri", "bridge.channels.expiry"],
    );
    assert_refused(
        "no section",
        load_file("[bridge]\nchannels = 1"),
        &["bridge.channels", "is a section", "write [bridge.channels]"],
    );
}

#[test]
fn capacities_may_be_written_as_in_a_settings_file() {
    let text = "[bridge.channels]\nchannel_capacity = { \"z*\" = 1, \"*\" = 2, \"a\" = 3 }\n";
    let loaded = load_file(text).unwrap();
    let channels = &loaded.config.bridge.channels;
    // In the order written: the first that matches counts.
    assert_eq!(channels.capacity_of("zoo"), 1);
    assert_eq!(channels.capacity_of("a"), 2);
    assert_refused(
        "no number",
        load_file(&text.replace("= 1", "= \"x\"")),
        &["channel_capacity[1].capacity", "does not fit"],
    );
    let set = (
        "SUPPORTAL_BRIDGE__CHANNELS__CHANNEL_CAPACITY",
        "{ \"b*\" = 4 }",
    );
    let loaded = load_environment(&[set]).unwrap();
    assert_eq!(loaded.config.bridge.channels.capacity_of("bc"), 4);
}

#[test]
fn the_environment_and_set_take_lists_and_seconds() {
    let loaded = load_environment(&[
        ("SUPPORTAL_BRIDGE__CHANNELS__ENABLED", "true"),
        ("SUPPORTAL_BRIDGE__CHANNELS__HOSTS", "redis://a,redis://b"),
        ("SUPPORTAL_BRIDGE__CHANNELS__GROUP_EXPIRY", "3600"),
        (
            "SUPPORTAL_BRIDGE__CHANNELS__SYMMETRIC_ENCRYPTION_KEYS",
            "one, key",
        ),
    ])
    .unwrap();
    let channels = &loaded.config.bridge.channels;
    assert_eq!(channels.hosts.len(), 2);
    assert_eq!(channels.group_expiry, Duration::from_secs(3600));
    assert_eq!(
        channels.symmetric_encryption_keys,
        [Secret::new("one, key")]
    );
    let sets = ["bridge.channels.symmetric_encryption_keys=[\"a\", \"b\"]"];
    let loaded = load_sets(&sets).unwrap();
    assert_eq!(
        loaded
            .config
            .bridge
            .channels
            .symmetric_encryption_keys
            .len(),
        2
    );
}

#[test]
fn no_document_and_no_mistake_shows_a_key_or_a_password() {
    let loaded = load_file(FILE).unwrap();
    for format in [
        document::Format::Toml,
        document::Format::Environment,
        document::Format::Markdown,
    ] {
        let text = document::render(&loaded, format);
        assert!(
            !text.contains("hunter2") && text.contains("(hidden)"),
            "{text}"
        );
    }
    assert!(!document::render_limits(&loaded).contains("hunter2"));
    // A mistyped option is named, which is no secret.
    let given = "[bridge.channels]\nhosts = [\"redis://a\", { hots = \"hunter2\" }]";
    let error = load_file(given).expect_err(given).to_string();
    assert!(
        !error.contains("hunter2") && error.contains("hosts[2]: the address has the option `hots`"),
        "{error}"
    );
    for key in ["hosts", "symmetric_encryption_keys"] {
        let given = format!("[bridge.channels]\n{key} = [{{ hunter2 = 1 }}]");
        let error = load_file(&given).expect_err(&given).to_string();
        assert!(!error.contains("hunter2") && error.contains(key), "{error}");
    }
}

#[test]
fn a_fault_stops_the_start_and_a_channel_without_a_layer_is_advised_on() {
    assert_refused(
        "a group of chat consumers",
        load_sets(&["bridge.channels.send_to_group=chat_1_a"]),
        &["bridge.channels.send_to_group", "chat consumers"],
    );
    let loaded = load_sets(&["bridge.channels.send_to=a"]).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings
            .concat()
            .contains("bridge.channels.enabled is false")
    );
}
