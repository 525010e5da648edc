//! Settings of the site that are half right: each is named, with what to do, before anything happens.

use super::*;

/// Settings beside a good token, and how what the checks say of them begins: nothing, or an id and words.
const JUDGED: [(&str, &str); 25] = [
    ("{}", ""),
    (r#"{"URL": "https://[::1]:8000/", "READER": "a.B-1"}"#, ""),
    (r#"{"SKIP": [], "PARKED_MAX": 1, "CONTEXT_TURNS": 3}"#, ""),
    (r#"{"TOKEN": null}"#, "W001 set SUPPORTAL_GATEWAY['TOKEN']"),
    (
        r#"{"TOKEN": ""}"#,
        "E003 SUPPORTAL_GATEWAY['TOKEN'] is not right: write the node's api.token",
    ),
    (r#"{"TOKEN": "too-short"}"#, "E003 "),
    (r#"{"TOKEN": "0123456789abcdef "}"#, "E003 "),
    (r#"{"TOKEN": "0123456789abcdef\n"}"#, "E003 "),
    (r#"{"TOKEN": 5}"#, "E003 "),
    (
        r#"{"URL": "127.0.0.1:8000"}"#,
        "E002 SUPPORTAL_GATEWAY['URL'] is not right: write the node's address",
    ),
    (r#"{"URL": "localhost"}"#, "E002 "),
    (r#"{"URL": "http://"}"#, "E002 "),
    (r#"{"URL": "ws://node:8000"}"#, "E002 "),
    (r#"{"URL": "http://node:port"}"#, "E002 "),
    (
        r#"{"READER": "two words"}"#,
        "E004 SUPPORTAL_GATEWAY['READER'] is not right: write 1 to 64 letters",
    ),
    (
        r#"{"SKIP": "django"}"#,
        "E005 SUPPORTAL_GATEWAY['SKIP'] is not right: write a list",
    ),
    (r#"{"SKIP": [1]}"#, "E005 "),
    (r#"{"PARKED_MAX": 0}"#, "E006 "),
    (r#"{"PARKED_MAX_PER_ROOM": true}"#, "E007 "),
    (r#"{"CONTEXT_TURNS": "10"}"#, "E008 "),
    (r#"{"ARCHIVE_WAIT": 0.5}"#, ""),
    (r#"{"ARCHIVE_WAIT": -1}"#, "E009 "),
    (r#"{"ARCHIVE_WAIT": 1e9}"#, "E009 "),
    (
        r#"{"ULR": "http://node"}"#,
        "E001 SUPPORTAL_GATEWAY has no ULR: it has URL, TOKEN",
    ),
    (r#"["URL"]"#, "E001 SUPPORTAL_GATEWAY is no dict"),
];

#[test]
fn each_setting_that_is_half_right_is_named_with_what_to_do() {
    let site = PackageSite::new(None, &[]);
    let settings = JUDGED.map(|(settings, _)| {
        let mut settings: Value = serde_json::from_str(settings).expect("JSON");
        if let Some(keys) = settings.as_object_mut() {
            keys.entry("TOKEN").or_insert_with(|| TOKEN.into());
        }
        settings
    });
    let found = site.manage(&["judge", &json!(settings).to_string()]);
    assert_eq!(found.lines().count(), JUDGED.len());
    for ((settings, expected), found) in JUDGED.iter().zip(found.lines()) {
        let is_expected = match *expected {
            "" => found.is_empty(),
            start => found.starts_with(start),
        };
        assert!(is_expected, "{settings}: {found}");
        assert!(!found.contains("0123456789"), "{settings}: {found}");
    }
}

#[test]
fn a_fault_of_the_settings_ends_the_check_and_every_command() {
    let mut site = PackageSite::new(None, &[]);
    assert!(site.manage(&["check"]).contains("no issues"));
    site.gateway["URL"] = "127.0.0.1:8000".into();
    for command in ["check", "supportal_archive", "supportal_worker"] {
        let refused = site.refusal(&[command]);
        assert!(
            refused.contains("(supportal_gateway.E002)"),
            "{command}: {refused}"
        );
    }
    site.gateway = json!({});
    let output = site.try_manage(&["check"]);
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "the node's token may be the command's alone: {warned}"
    );
    assert!(warned.contains("(supportal_gateway.W001)"), "{warned}");
}

#[test]
fn a_node_and_a_name_may_be_given_to_the_command() {
    let (folder, other_folder) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let nodes = [keeping(&folder, &[]), keeping(&other_folder, &[])];
    let site = PackageSite::new(None, &["abc"]);
    for (node, reader) in nodes.iter().zip(["one", "two"]) {
        say(&mut node.join("abc"), reader);
        let url = format!("http://{}", node.public());
        for _ in 0..2 {
            site.manage(&[
                "supportal_archive",
                "--once",
                "--url",
                &url,
                "--reader",
                reader,
            ]);
        }
    }
    assert_eq!(
        said(&site.rows()),
        [("abc", "USER", "one"), ("abc", "USER", "two")]
    );
    let refused = site.refusal(&["supportal_archive", "--once", "--url", "node:8000"]);
    assert!(
        refused.contains("SUPPORTAL_GATEWAY['URL'] is not right"),
        "{refused}"
    );
}

#[test]
fn the_app_says_whose_rows_it_would_write() {
    let mut site = PackageSite::new(None, &[]);
    site.environment
        .push(("SITE_WITHOUT", "django_supportal".to_owned()));
    let refused = site.refusal_of(&["check"]);
    assert!(
        refused.contains("INSTALLED_APPS has supportal_gateway and no django_supportal"),
        "{refused}"
    );
}

#[test]
fn a_worker_whom_no_node_can_reach_says_so_instead_of_waiting() {
    let mut site = PackageSite::new(None, &[]);
    for (layer, expected) in [
        (
            json!({ "BACKEND": "channels.layers.InMemoryChannelLayer" }),
            "CHANNEL_LAYERS ends with this process",
        ),
        (
            json!({ "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": { "hosts": ["redis://127.0.0.1:1"] } }),
            "pubsub has no channels for workers",
        ),
    ] {
        site.environment.push(("SITE_LAYER", layer.to_string()));
        let refused = site.refusal(&["supportal_worker"]);
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn tables_that_are_not_where_the_chats_are_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let mut site = PackageSite::new(None, &["abc"]).beside(&gateway);
    say(&mut gateway.join("abc"), "hello");
    // From here on the site keeps everything in another database.
    let chats = folder.path().join("chats.db").display().to_string();
    site.environment.push(("SITE_CHATS", chats));
    let refused = site.refusal(&["supportal_archive", "--once"]);
    for part in [
        "database 'chats', in which ChatMessage is",
        "has no supportal_gateway_archivecursor",
        "run manage.py migrate --database chats",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    site.manage(&["migrate", "--database", "chats"]);
    site.manage(&["seed", "abc"]);
    site.manage(&["supportal_archive", "--once"]);
    assert_eq!(said(&site.rows()), [("abc", "USER", "hello")]);
}

#[test]
fn a_token_with_a_lines_end_is_named_and_shown_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let mut site = PackageSite::new(None, &[]).beside(&gateway);
    site.gateway["TOKEN"] = Value::Null;
    site.environment
        .push(("SUPPORTAL_API__TOKEN", format!("{TOKEN}\n")));
    let refused = site.refusal(&["supportal_archive", "--once"]);
    assert!(
        refused.contains("the token has a space, a line's end"),
        "{refused}"
    );
    assert!(!refused.contains(TOKEN), "{refused}");
}

#[test]
fn two_commands_with_one_name_say_so_and_write_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &["limits.messages_per_second=0"]);
    let site = PackageSite::new(None, &["abc"]).beside(&gateway);
    let commands = [0, 1].map(|_| site.run_heard(&["supportal_archive"]));
    let mut ann = gateway.join("abc");
    let mut said_so_far: Vec<String> = Vec::new();
    crate::support::wait::until("one of them says so", PATIENCE, || {
        let text = format!("{}", said_so_far.len());
        say(&mut ann, &text);
        said_so_far.push(text);
        commands.iter().any(|command| {
            let line = command.lines.recv_timeout(Duration::from_millis(200));
            line.is_ok_and(|line| line.contains("another command reads as django: end one"))
        })
    });
    drop(commands);
    site.manage(&["supportal_archive", "--once"]);
    let rows = site.rows();
    let texts: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(texts, said_so_far);
}
