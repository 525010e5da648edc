//! `[channels]`: hosts in many forms, secrets in a list, and the names that its keys had before.

use super::*;
use crate::config::Secret;
use crate::config::channels::LayerKind;
use crate::config::problem::Problem;

const FILE: &str = r#"
[bridge]
prefix = "nodes"
[channels]
enabled = true
layer = "channels_redis.pubsub.RedisPubSubChannelLayer"
hosts = [["127.0.0.1", 6379], "redis://:hunter2@h/1"]
expiry = 10
symmetric_encryption_keys = ["hunter2"]
[[channels.channel_capacity]]
pattern = "a*"
capacity = 7
"#;

#[test]
fn the_section_is_read_with_its_lines() {
    let loaded = load_file(FILE).unwrap();
    let channels = &loaded.config.channels;
    assert_eq!(loaded.config.bridge.prefix, "nodes");
    assert_eq!(channels.layer, LayerKind::Pubsub);
    let first = channels.hosts[0].address().to_string();
    assert_eq!(first, "redis://127.0.0.1:6379");
    assert_eq!(channels.expiry, Duration::from_secs(10));
    assert_eq!(channels.capacity_of("ab"), 7);
    let source = loaded.source("channels.expiry");
    assert!(matches!(source, Source::File { line: 8, .. }), "{source}");
    let typo = FILE.replace("expiry = 10", "expiri = 10");
    assert_refused(
        "a typo",
        load_file(&typo),
        &[":8", "channels.expiri", "channels.expiry"],
    );
    assert_refused(
        "no section",
        load_file("channels = 1"),
        &["channels", "is a section", "write [channels]"],
    );
}

#[test]
fn capacities_may_be_written_as_in_a_settings_file() {
    let text = "[channels]\nchannel_capacity = { \"z*\" = 1, \"*\" = 2, \"a\" = 3 }\n";
    let loaded = load_file(text).unwrap();
    let channels = &loaded.config.channels;
    // In the order written: the first that matches counts.
    assert_eq!(channels.capacity_of("zoo"), 1);
    assert_eq!(channels.capacity_of("a"), 2);
    assert_refused(
        "no number",
        load_file(&text.replace("= 1", "= \"x\"")),
        &["channel_capacity[0].capacity", "does not fit"],
    );
    let set = ("SUPPORTAL_CHANNELS__CHANNEL_CAPACITY", "{ \"b*\" = 4 }");
    let loaded = load_environment(&[set]).unwrap();
    assert_eq!(loaded.config.channels.capacity_of("bc"), 4);
}

#[test]
fn the_environment_and_set_take_lists_and_seconds() {
    let loaded = load_environment(&[
        ("SUPPORTAL_CHANNELS__ENABLED", "true"),
        ("SUPPORTAL_CHANNELS__HOSTS", "redis://a,redis://b"),
        ("SUPPORTAL_CHANNELS__GROUP_EXPIRY", "3600"),
        ("SUPPORTAL_CHANNELS__SYMMETRIC_ENCRYPTION_KEYS", "one, key"),
    ])
    .unwrap();
    let channels = &loaded.config.channels;
    assert_eq!(channels.hosts.len(), 2);
    assert_eq!(channels.group_expiry, Duration::from_secs(3600));
    assert_eq!(
        channels.symmetric_encryption_keys,
        [Secret::new("one, key")]
    );
    let sets = ["channels.symmetric_encryption_keys=[\"a\", \"b\"]"];
    let loaded = load_sets(&sets).unwrap();
    let keys = loaded.config.channels.symmetric_encryption_keys;
    assert_eq!(keys.len(), 2);
}

#[test]
fn no_document_and_no_mistake_shows_a_key_or_a_password() {
    let loaded = load_file(FILE).unwrap();
    for format in [
        document::DocumentFormat::Toml,
        document::DocumentFormat::Environment,
        document::DocumentFormat::Markdown,
    ] {
        let text = document::render(&loaded, format);
        assert!(
            !text.contains("hunter2") && text.contains("(hidden)"),
            "{text}"
        );
    }
    assert!(!document::render_limits(&loaded).contains("hunter2"));
    // A mistyped option is named, which is no secret.
    let given = "[channels]\nhosts = [\"redis://a\", { hots = \"hunter2\" }]";
    let error = load_file(given).expect_err(given).to_string();
    assert!(
        !error.contains("hunter2") && error.contains("hosts[1]: the address has the option `hots`"),
        "{error}"
    );
    for key in ["hosts", "symmetric_encryption_keys"] {
        let given = format!("[channels]\n{key} = [{{ hunter2 = 1 }}]");
        let error = load_file(&given).expect_err(&given).to_string();
        assert!(!error.contains("hunter2") && error.contains(key), "{error}");
    }
}

#[test]
fn a_fault_stops_the_start_and_a_channel_without_a_layer_is_advised_on() {
    assert_refused(
        "a group of chat consumers",
        load_sets(&["channels.send_to_group=chat_1_a"]),
        &["channels.send_to_group", "chat consumers"],
    );
    let loaded = load_sets(&["channels.send_to=a"]).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.concat().contains("channels.enabled is false"));
}

/// One way of giving `channels.capacity = 7` by an old or a new name.
struct Form {
    file: &'static str,
    variable: (&'static str, &'static str),
    set: &'static str,
}

const fn in_file(file: &'static str) -> Form {
    Form {
        file,
        variable: ("", ""),
        set: "",
    }
}

const fn in_environment(name: &'static str) -> Form {
    Form {
        file: "",
        variable: (name, "7"),
        set: "",
    }
}

const fn as_set(set: &'static str) -> Form {
    Form {
        file: "",
        variable: ("", ""),
        set,
    }
}

const OLD: [Form; 7] = [
    in_file("[bridge.channels]\ncapacity = 7\n"),
    in_file("[bridge]\nchannels.capacity = 7\n"),
    in_file("[bridge]\nchannels = { capacity = 7 }\n"),
    in_file("bridge.channels.capacity = 7\n"),
    in_file("bridge = { channels = { capacity = 7 } }\n"),
    in_environment("SUPPORTAL_BRIDGE__CHANNELS__CAPACITY"),
    as_set("bridge.channels.capacity=7"),
];

const NEW: [Form; 3] = [
    in_file("[channels]\ncapacity = 7\n"),
    in_environment("SUPPORTAL_CHANNELS__CAPACITY"),
    as_set("channels.capacity=7"),
];

/// What these forms give together.
fn load(forms: &[&Form]) -> Result<Loaded, Error> {
    // Tables are repeated in one file, dotted keys are of the top level.
    let mut texts: Vec<&str> = forms.iter().map(|form| form.file).collect();
    texts.sort_by_key(|text| text.starts_with('['));
    let file = file(&texts.concat());
    let variables: Vec<_> = forms.iter().map(|form| form.variable).collect();
    let sets = forms.iter().map(|form| form.set.to_owned());
    Loader {
        file: Some(file.path().to_owned()),
        environment: environment(&variables),
        sets: sets.filter(|set| !set.is_empty()).collect(),
        ..Loader::default()
    }
    .load()
}

#[test]
fn old_names_are_read_with_one_warning_and_refused_beside_the_new_ones() {
    let warned = "bridge.channels.capacity: is read as channels.capacity";
    for new in &NEW {
        let loaded = load(&[new]).unwrap();
        assert_eq!(
            (loaded.config.channels.capacity, loaded.warnings),
            (7, vec![])
        );
    }
    for old in &OLD {
        let loaded = load(&[old]).unwrap();
        assert_eq!(loaded.config.channels.capacity, 7, "{}", old.file);
        let warnings: Vec<String> = loaded.warnings.iter().map(Problem::to_string).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(warned), "{warnings:?}");
        assert!(loaded.source("channels.capacity") != Source::Default);
        for new in &NEW {
            let both = load(&[old, new]);
            assert_refused(
                &format!("{} and {}", old.file, new.file),
                both,
                &[
                    "bridge.channels.capacity",
                    " channels.capacity",
                    "is the same key as",
                ],
            );
        }
    }
    // In two layers by the same name: the higher one wins, as for any key.
    let twice = load(&[&OLD[0], &as_set("bridge.channels.capacity=8")]).unwrap();
    assert_eq!(
        (twice.config.channels.capacity, twice.warnings.len()),
        (8, 1)
    );
}

#[test]
fn a_slip_in_an_old_name_is_told_the_name_of_today() {
    for (slip, known) in [
        ("[bridge.channels]\nexpiri = 1", "`channels.expiry`"),
        ("[bridge]\nchannels = 1", "write [channels]"),
    ] {
        assert_refused(slip, load_file(slip), &["bridge.channels", known]);
    }
    let set = "bridge.channels=1";
    assert_refused(set, load_sets(&[set]), &["is a section", "channels.<key>"]);
    let slip = "SUPPORTAL_BRIDGE_CHANNELS_SEND_TO";
    let loaded = load_environment(&[(slip, "a")]);
    assert_refused(slip, loaded, &["SUPPORTAL_CHANNELS__SEND_TO"]);
}
