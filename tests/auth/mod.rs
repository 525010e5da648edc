//! Who comes in by a token or a link: tokens of PyJWT, links of Django, and those of `supportal token` and `link`.

pub(crate) mod command;
mod jwks;
mod roles;

use crate::support::{Client, Gateway, PATIENCE, Signal, http, repository, tools_dir, wait};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const PATH: &str = "/ws/chat/1/abc/";

fn vectors() -> Value {
    let text = include_str!("vectors.json");
    serde_json::from_str(text).expect("vectors.json")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// A good token of the vectors.
fn good(name: &str) -> String {
    let vectors = vectors();
    let all = vectors["good"].as_array().expect("a list");
    let vector = all.iter().find(|vector| vector["name"] == name);
    text(&vector.unwrap_or_else(|| panic!("no vector {name}"))["token"])
}

/// The settings that the vectors are made for, and the folder of their keys.
struct Keys {
    _folder: TempDir,
    settings: Vec<String>,
}

impl Keys {
    fn new(more: &[&str]) -> Self {
        let vectors = vectors();
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, content: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("a file");
            path
        };
        let keys = vectors["keys"].as_object().expect("keys").iter();
        let keys = keys.map(|(name, pem)| write(&format!("{name}.pem"), &text(pem)));
        let keys: Vec<String> = keys.map(|path| format!("{path:?}")).collect();
        let jwks = write("jwks.json", &vectors["jwks"].to_string());
        let mut settings = vec![
            "auth.mode=jwt,link".to_owned(),
            // Cookies are read, and these clients are no pages.
            "origin.allowed=*".to_owned(),
            format!("auth.jwt.secret={}", text(&vectors["secret"])),
            format!("auth.jwt.keys=[{}]", keys.join(",")),
            format!("auth.jwt.jwks={}", jwks.display()),
            format!("auth.jwt.issuer={}", text(&vectors["issuer"])),
            format!("auth.jwt.audience={}", text(&vectors["audience"])),
            format!("auth.link.key={}", text(&vectors["link_key"])),
        ];
        settings.extend(more.iter().map(|&setting| setting.to_owned()));
        Self {
            _folder: folder,
            settings,
        }
    }

    #[track_caller]
    fn start(&self) -> Gateway {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        Gateway::start(&settings)
    }
}

/// The status of a handshake with these fields.
#[track_caller]
fn status(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> u16 {
    match gateway.try_connect_with(path, fields) {
        Ok(client) => client.upgrade.status,
        Err(refusal) => refusal.status,
    }
}

fn bearer(token: &str) -> [(&'static str, String); 1] {
    [("Authorization", format!("Bearer {token}"))]
}

/// Opens the path with a token in `Authorization`.
#[track_caller]
fn connect(gateway: &Gateway, path: &str, token: &str) -> Result<Client, http::Response> {
    let [(name, value)] = bearer(token);
    gateway.try_connect_with(path, &[(name, &value)])
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

#[test]
fn a_token_lets_in_from_each_of_its_places() {
    let keys = Keys::new(&["auth.jwt.cookie=auth", "auth.jwt.query=token"]);
    let gateway = keys.start();
    for name in [
        "hs256",
        "RS256 of a file",
        "ES256 of the set",
        "EdDSA of a file",
    ] {
        let token = good(name);
        let offer = format!("supportal.v1, supportal.token.{token}");
        let alone = format!("supportal.token.{token}");
        let cookie = format!("a=b; auth={token}");
        let query = format!("{PATH}?token={token}");
        // Twice: a token that was seen before is judged on another way.
        for _ in 0..2 {
            assert!(connect(&gateway, PATH, &token).is_ok(), "{name}");
            assert_eq!(
                status(&gateway, PATH, &[("Cookie", &cookie)]),
                101,
                "{name}"
            );
            assert_eq!(status(&gateway, &query, &[]), 101, "{name}");
            for (offer, answered) in [(&offer, Some("supportal.v1")), (&alone, None)] {
                let client = gateway.connect_with(PATH, &[("Sec-WebSocket-Protocol", offer)]);
                let protocol = client.upgrade.header("sec-websocket-protocol");
                assert_eq!(protocol, answered, "{name}");
            }
        }
    }
    // A plain offer is answered as it always was: not at all.
    let refused = status(
        &gateway,
        PATH,
        &[("Sec-WebSocket-Protocol", "supportal.v1")],
    );
    assert_eq!(refused, 401);
}

#[test]
fn bad_tokens_all_get_the_same_answer() {
    let keys = Keys::new(&[]);
    let gateway = keys.start();
    let vectors = vectors();
    let constant = |response: &http::Response| {
        let fields = response.headers.iter().filter(|(name, _)| name != "date");
        (
            response.status,
            fields.cloned().collect::<Vec<_>>(),
            response.text(),
        )
    };
    let nothing = gateway.try_connect(PATH).expect_err("no credential");
    assert_eq!(
        (nothing.status, nothing.text().as_str()),
        (401, "credentials not accepted")
    );
    assert_eq!(nothing.header("www-authenticate"), Some("Bearer"));
    let mut count = 0;
    for vector in vectors["bad"].as_array().expect("a list") {
        let (name, token) = (text(&vector["name"]), text(&vector["token"]));
        if token == "A*1000000" {
            continue; // Longer than a head may be: 431, whatever is in it.
        }
        let refusal = connect(&gateway, PATH, &token).expect_err(&name);
        assert_eq!(constant(&refusal), constant(&nothing), "{name}");
        count += 1;
    }
    assert!(count >= 120, "{count}");
    let huge = connect(&gateway, PATH, &"A".repeat(1_000_000)).expect_err("huge");
    assert_eq!(huge.status, 431);
    let cause = |cause: &str| {
        gateway.metric(&format!(
            "supportal_auth_refused_total{{cause=\"{cause}\"}}"
        ))
    };
    assert!(cause("none") == 1.0 && cause("signature") > 10.0 && cause("own_key") == 5.0);
}

#[test]
fn a_good_token_is_not_good_for_another_room() {
    let keys = Keys::new(&[]);
    let gateway = keys.start();
    for (name, path, expected) in [
        ("hs256", "/ws/chat/1/abc/", 101),
        ("hs256", "/ws/chat/1/abcd/", 403),
        ("hs256", "/ws/chat/2/abc/", 403),
        ("hs256", "/ws/chat/1/%61bc/", 101),
        ("hs256", "/ws/chat/1/nowhere", 404),
        ("every session", "/ws/chat/1/xyz/", 101),
        ("every session", "/ws/chat/2/xyz/", 403),
        ("lists", "/ws/chat/2/bcd/", 101),
        ("lists", "/ws/chat/3/bcd/", 403),
        ("lists", "/ws/chat/2/cbd/", 403),
        ("every room", "/ws/chat/9/x/", 101),
        ("no rooms", "/ws/chat/1/abc/", 403),
        ("RS256 of the set", "/ws/chat/1/abd/", 403),
        ("RS256 of the set", "/ws/chat/1/abc/", 101),
        ("RS256 of the set", "/ws/chat/1/abd/", 403),
    ] {
        let found = match connect(&gateway, path, &good(name)) {
            Ok(client) => client.upgrade.status,
            Err(refusal) => {
                let is_room = refusal.status == 403;
                assert!(!is_room || refusal.text() == "not allowed in this room");
                refusal.status
            }
        };
        assert_eq!(found, expected, "{name} {path}");
    }
}

#[test]
fn links_of_django_let_in_and_nothing_else_does() {
    let keys = Keys::new(&[]);
    let gateway = keys.start();
    let vectors = vectors();
    for entry in vectors["links"].as_array().expect("versions") {
        let link = text(&entry["links"][0]);
        let open = |path: &str, link: &str| status(&gateway, &format!("{path}?link={link}"), &[]);
        assert_eq!(open("/ws/chat/1/session-123/", &link), 101);
        assert_eq!(
            open("/ws/chat/1/session-123/", &link.replace(':', "%3A")),
            101
        );
        assert_eq!(open("/ws/chat/1/session-124/", &link), 403);
        assert_eq!(
            open("/ws/chat/1/session-124/", &link.replace("123", "124")),
            401
        );
        assert_eq!(
            open("/ws/chat/1/session-123/", &format!("{link}&link={link}")),
            401
        );
        assert_eq!(open("/ws/chat/1/session-123/", ""), 401);
    }
}

#[test]
fn the_lines_of_python_in_the_manual_make_links_that_let_in() {
    let page = std::fs::read_to_string(repository().join("docs/security.md")).expect("the page");
    let blocks = page.split("\n```python\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("\n```"));
    let block = blocks
        .map(|(block, _)| block)
        .find(|block| block.contains("Signer"));
    let key = "k".repeat(40);
    let program = format!(
        "from django.conf import settings\nsettings.configure()\nKEY = {key:?}\n{}\nprint(chat_link(1, 'abc'))",
        block.expect("a block")
    );
    let python = tools_dir().join("channels/bin/python");
    let output = Command::new(python)
        .args(["-c", &program])
        .output()
        .expect("Python");
    let link = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let gateway = Gateway::start(&["auth.mode=link", &format!("auth.link.key={key}")]);
    assert_eq!(
        status(&gateway, &format!("{PATH}{}", link.trim()), &[]),
        101
    );
    assert_eq!(
        status(&gateway, &format!("/ws/chat/1/abd/{}", link.trim()), &[]),
        403
    );
}

#[test]
fn somebody_whose_token_ends_is_closed_with_4501() {
    let keys = Keys::new(&[]);
    let gateway = keys.start();
    let end = now() + 2;
    let token = command::token(
        &keys,
        &["--business", "1", "--session", "abc", "--ttl", "2s"],
    );
    let mut client = connect(&gateway, PATH, &token).expect("a good token");
    client.skip_welcome();
    let (code, _) = client.expect_close();
    assert_eq!(code, 4501);
    assert!(now() >= end, "closed before the end");
}

#[test]
fn somebody_whose_token_ends_while_the_node_drains_is_closed_with_4501() {
    // Closes are spread over 40 seconds: the last of these are far away.
    let keys = Keys::new(&["server.drain_grace=60s"]);
    let gateway = keys.start().unchecked();
    let token = command::token(
        &keys,
        &["--business", "1", "--session", "abc", "--ttl", "4s"],
    );
    let mut clients: Vec<Client> = (0..40)
        .map(|_| connect(&gateway, PATH, &token).expect("a good token"))
        .collect();
    for client in &mut clients {
        client.skip_welcome();
    }
    gateway.signal(Signal::Term);
    let codes: Vec<u16> = clients
        .iter_mut()
        .map(|client| client.expect_close().0)
        .collect();
    let expired = codes.iter().filter(|code| **code == 4501).count();
    assert!(expired > 20, "{codes:?}");
    assert!(codes.iter().all(|code| [1012, 4501].contains(code)));
}

#[test]
fn no_token_and_no_link_is_ever_in_the_log() {
    let keys = Keys::new(&[
        "log.level=trace",
        "auth.jwt.cookie=auth",
        "auth.jwt.query=token",
    ]);
    let gateway = keys.start();
    let vectors = vectors();
    let (hs, rs) = (good("hs256"), good("RS256 of a file"));
    let link = text(&vectors["links"][0]["links"][0]);
    let mut bad = hs.clone();
    bad.pop();
    bad.push('x');
    for token in [&hs, &rs, &bad] {
        let offer = format!("supportal.v1, supportal.token.{token}");
        let cookie = format!("auth={token}");
        drop(connect(&gateway, PATH, token));
        status(&gateway, PATH, &[("Sec-WebSocket-Protocol", &offer)]);
        status(&gateway, PATH, &[("Cookie", &cookie)]);
        for path in [PATH, "/ws/chat/1/", "/nowhere", "/chat/1/abc"] {
            status(&gateway, &format!("{path}?token={token}"), &[]);
        }
    }
    status(
        &gateway,
        &format!("/ws/chat/1/session-123/?link={link}"),
        &[],
    );
    status(
        &gateway,
        &format!("/ws/chat/1/session-124/?link={link}"),
        &[],
    );
    wait::until("the connections to leave", PATIENCE, || {
        gateway.metric("supportal_connections") == 0.0
    });
    let health = gateway.admin("/health").text();
    let metrics = gateway.admin("/metrics").text();
    let log = gateway.log();
    assert!(log.contains("credentials refused"), "{log}");
    let secret = text(&vectors["secret"]);
    let link_key = text(&vectors["link_key"]);
    for hidden in [&hs, &rs, &bad, &link, &secret, &link_key] {
        let signature = hidden.rsplit(['.', ':']).next().unwrap_or_default();
        for (place, shown) in [("log", &log), ("health", &health), ("metrics", &metrics)] {
            assert!(
                !shown.contains(signature),
                "{signature} in the {place}:\n{shown}"
            );
        }
    }
}

#[test]
fn a_key_is_exchanged_while_the_server_runs() {
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("supportal.toml");
    let write = |keys: &[&String]| {
        let text = format!("[auth]\nmode = [\"link\"]\n[auth.link]\nkey = {keys:?}");
        std::fs::write(&file, text).expect("the file");
    };
    let link = |key: &str| command::link(key, &["--business", "1", "--session", "abc"]);
    let (by_old, by_new) = (link(&old), link(&new));
    write(&[&old]);
    let gateway = Gateway::start_with_arguments(&[], &["--config", &file.display().to_string()]);
    let open = |link: &str| status(&gateway, &format!("{PATH}{link}"), &[]);
    assert_eq!([open(&by_old), open(&by_new)], [101, 401]);
    for (keys, expected) in [(&[&new, &old][..], [101, 101]), (&[&new], [401, 101])] {
        write(keys);
        let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = http::exchange(gateway.admin_address(), request).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!([open(&by_old), open(&by_new)], expected);
    }
}

#[test]
fn who_brings_nothing_is_anonymous_where_the_list_ends_with_none() {
    let mut keys = Keys::new(&["auth.mode=jwt,none"]);
    keys.settings
        .retain(|setting| !setting.starts_with("auth.link.key"));
    let gateway = keys.start();
    assert_eq!(status(&gateway, "/ws/chat/7/anybody/", &[]), 101);
    // Who brings something that is no good is not.
    let refusal = connect(&gateway, PATH, "nonsense").expect_err("no token");
    assert_eq!(refusal.status, 401);
    // A link is nothing, since that mode is off.
    assert_eq!(status(&gateway, "/ws/chat/7/anybody/?link=x", &[]), 101);
}
