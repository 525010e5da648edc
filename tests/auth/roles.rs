//! What somebody's name and role are for: system messages, events, the log.

use super::{Keys, PATH, command, connect};
use crate::support::{Client, Gateway, Redis, user, wait};
use serde_json::json;

/// The first digits of `printf 'supportal.user:ann' | sha256sum`.
const ANN: &str = "ef93c1f374aa";

fn token(keys: &Keys, role: &str) -> String {
    let room = ["--business", "1", "--session", "abc"];
    let who = ["--user", "ann", "--role", role, "--ttl", "1h"];
    command::token(keys, &[&room[..], &who[..]].concat())
}

/// Joins in a role, or with none as somebody without credentials.
#[track_caller]
fn join(gateway: &Gateway, keys: &Keys, role: Option<&str>) -> Client {
    let mut client = match role {
        Some(role) => connect(gateway, PATH, &token(keys, role)).expect("a good token"),
        None => gateway.connect(PATH),
    };
    client.receive_json();
    client
}

fn system(text: &str) -> String {
    json!({ "message": text, "type": "system" }).to_string()
}

const EVERYBODY: [Option<&str>; 4] = [None, Some("customer"), Some("agent"), Some("backend")];

/// Everybody sends a system message; those of these roles are heard, the others get this error.
#[track_caller]
fn heard_of(setting: &[&str], allowed: &[Option<&str>], error: &str) {
    let mut settings = vec!["auth.mode=jwt,link,none", "assistant.kind=none"];
    settings.extend(setting);
    let keys = Keys::new(&settings);
    let gateway = keys.start();
    let mut hears = join(&gateway, &keys, None);
    for role in EVERYBODY {
        let mut client = join(&gateway, &keys, role);
        client.send_text(&system("attention"));
        let answer = client.receive_json();
        if allowed.contains(&role) {
            let text = answer["message"].as_str().expect("a message");
            assert!(text.ends_with("attention"), "{role:?} {answer}");
            assert_eq!(hears.receive_json(), answer, "{role:?}");
        } else {
            let expected = json!({ "error": error, "sender": "system" });
            assert_eq!(answer, expected, "{role:?}");
            // The connection stays, and nobody else has heard of it.
            client.send_text(&user("hello"));
            assert_eq!(client.receive_json()["message"], "hello", "{role:?}");
            assert_eq!(hears.receive_json()["message"], "hello", "{role:?}");
        }
    }
}

#[test]
fn everybody_may_send_system_messages_unless_the_settings_name_roles() {
    heard_of(&[], &EVERYBODY, "");
}

#[test]
fn who_may_not_send_system_messages_is_told_so_in_the_words_of_the_contract() {
    let error = "Unknown message type";
    let staff = [Some("agent"), Some("backend")];
    heard_of(&["chat.system_from=agent,backend"], &staff, error);
    let customers = [None, Some("customer")];
    heard_of(&["chat.system_from=customer"], &customers, error);
    heard_of(&["chat.system_from=[]"], &[], error);
}

#[test]
fn in_dialect_django_the_error_is_the_packages_own() {
    let error = "sorry, I encountered an error processing the system message";
    let django = ["chat.dialect=django", "chat.exists=[{business_id = 1}]"];
    let setting = [django[0], django[1], "chat.system_from=agent"];
    heard_of(&setting, &[Some("agent")], error);
}

#[test]
fn the_line_of_a_connection_says_a_hash_of_its_user_and_never_the_name() {
    let keys = Keys::new(&["auth.mode=jwt,link,none", "log.level=debug"]);
    let gateway = keys.start();
    for role in [None, Some("agent"), Some("customer")] {
        let mut client = join(&gateway, &keys, role);
        client.send_close(1000, "");
        client.expect_close();
    }
    gateway.wait_log("connection closed", 3);
    let log = gateway.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("connection closed"));
    let (known, unknown): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("user"));
    assert_eq!((known.len(), unknown.len()), (2, 1), "{log}");
    for line in known {
        assert!(line.contains(ANN), "{line}");
    }
    assert!(!log.contains("\"ann\""), "{log}");
}

#[test]
fn django_is_told_who_has_said_something_where_that_is_known() {
    let redis = Redis::start(&[]);
    let hosts = format!("channels.hosts=[\"{}\"]", redis.url());
    let keys = Keys::new(&[
        "auth.mode=jwt,link,none",
        "channels.enabled=true",
        &hosts,
        "channels.send_to=supportal",
        "channels.serializer_format=json",
        "channels.random_prefix_length=0",
    ]);
    let gateway = keys.start();
    for (count, (role, author)) in [(Some("customer"), Some("ann")), (None, None)]
        .into_iter()
        .enumerate()
    {
        let mut client = join(&gateway, &keys, role);
        client.send_text(&user("hello"));
        let frame = client.receive_json();
        assert!(frame.get("author").is_none(), "{frame}");
        let told = || {
            redis
                .command(&["ZRANGE", "asgisupportal", "0", "-1"])
                .texts()
        };
        wait::until("the worker to be told", crate::support::PATIENCE, || {
            told().len() == count + 1
        });
        let told: Vec<serde_json::Value> = told()
            .iter()
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .collect();
        let is_told =
            |said: &serde_json::Value| said.get("author").and_then(|name| name.as_str()) == author;
        assert!(told.iter().any(is_told), "{told:?}");
    }
}
