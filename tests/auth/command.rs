//! `supportal token` and `supportal link`, and what starts do that cannot read a key.

use super::{Keys, PATH, connect, good, text, vectors};
use crate::support::Gateway;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program with these settings and arguments, and this text on standard input.
pub(crate) fn run(settings: &[String], arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
    for setting in settings {
        command.args(["--set", setting]);
    }
    let mut child = command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Who needs no input does not wait for it.
    drop(
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input.as_bytes()),
    );
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("an end");
    let all = [stdout, stderr].concat();
    (status.code(), String::from_utf8(all).expect("UTF-8"))
}

/// A token of `supportal token`.
#[track_caller]
pub(super) fn token(keys: &Keys, arguments: &[&str]) -> String {
    let (code, text) = run(&keys.settings, &[&["token"], arguments].concat(), "");
    assert_eq!(code, Some(0), "{text}");
    text.trim().to_owned()
}

/// A link of `supportal link` by this key.
#[track_caller]
pub(super) fn link(key: &str, arguments: &[&str]) -> String {
    let settings = [format!("auth.link.key={key}")];
    let (code, text) = run(&settings, &[&["link"], arguments].concat(), "");
    assert_eq!(code, Some(0), "{text}");
    text.trim().to_owned()
}

#[test]
fn a_token_of_the_command_line_lets_in_and_is_explained() {
    let keys = Keys::new(&[]);
    let gateway = keys.start();
    let arguments = [
        "--business",
        "1",
        "--session",
        "abc",
        "--user",
        "ann",
        "--role",
        "agent",
        "--ttl",
        "1h",
    ];
    let token = token(&keys, &arguments);
    assert!(connect(&gateway, PATH, &token).is_ok());
    let (code, shown) = run(
        &keys.settings,
        &["token", "--check", "-"],
        &format!("{token}\n"),
    );
    assert_eq!(code, Some(0), "{shown}");
    for line in [
        "algorithm HS256, no kid",
        "signature: by auth.jwt.secret",
        "time: ends in 3",
        "who: \"ann\", agent",
        "rooms: 1/abc",
        "the server lets this token in",
    ] {
        assert!(shown.contains(line), "no {line:?} in:\n{shown}");
    }
    assert!(
        !shown.contains(&token) && !shown.contains("WRONG"),
        "{shown}"
    );
    let argument = run(&keys.settings, &["token", "--check", &token], "");
    assert_eq!(argument.0, Some(0));
    // A server that is not told to read tokens does not, whatever keys it has.
    let unasked = [&keys.settings[..], &["auth.mode=none".to_owned()]].concat();
    let (code, shown) = run(&unasked, &["token", "--check", &token], "");
    assert_eq!(code, Some(1), "{shown}");
    for line in [
        "WRONG mode: auth.mode does not list \"jwt\"",
        "ok    signature: by auth.jwt.secret",
        "the server does not read this token",
    ] {
        assert!(shown.contains(line), "no {line:?} in:\n{shown}");
    }
}

#[test]
fn a_private_key_in_a_file_signs_what_its_public_key_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .output()
            .expect("openssl");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let shown = |path: &Path| path.display().to_string();
    for (name, arguments) in [
        (
            "rsa",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..],
        ),
        (
            "p256",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ),
        ("ed25519", &["-algorithm", "ED25519"]),
    ] {
        let (private, public) = (shown(&path(name)), shown(&path(&format!("{name}.pem"))));
        openssl(&[&["genpkey", "-out", &private], arguments].concat());
        openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        let settings = [
            "auth.mode=jwt".to_owned(),
            format!("auth.jwt.keys={public}"),
        ];
        let sign = [
            "token",
            "--business",
            "1",
            "--session",
            "*",
            "--key",
            &private,
        ];
        let (code, token) = run(&settings, &sign, "");
        assert_eq!(code, Some(0), "{name}: {token}");
        let gateway = Gateway::start(&[&settings[0], &settings[1]]);
        assert!(connect(&gateway, PATH, token.trim()).is_ok(), "{name}");
        assert_eq!(
            connect(&gateway, PATH, &good("hs256"))
                .expect_err(name)
                .status,
            401
        );
        is_refused_as_what_it_is_not(&private, &public);
    }
}

/// A private key in the place of the public one stops the start, and a public one signs nothing.
#[track_caller]
fn is_refused_as_what_it_is_not(private: &str, public: &str) {
    let swapped = [
        "auth.mode=jwt".to_owned(),
        format!("auth.jwt.keys={private}"),
    ];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for command in [&["check"][..], &serve] {
        let (code, text) = run(&swapped, command, "");
        assert!(code.is_some_and(|code| code != 0), "{text}");
        let is_named = text.contains("auth.jwt.keys: ") && text.contains("holds a private key");
        assert!(is_named, "{text}");
    }
    let (code, text) = run(&[], &["token", "--key", public], "");
    assert_eq!(code, Some(64), "{text}");
    let is_named = text.contains("--key: ") && text.contains("no private key");
    assert!(is_named, "{text}");
}

#[test]
fn keys_without_their_mode_stop_the_start_and_let_nobody_in() {
    let secret = "0123456789abcdef0123456789abcdef";
    for (setting, mode, word) in [
        (format!("auth.jwt.secret={secret}"), "none", "jwt"),
        ("auth.jwt.keys=key.pem".to_owned(), "none", "jwt"),
        ("auth.jwt.jwks=https://a.example/".to_owned(), "none", "jwt"),
        (format!("auth.link.key={secret}"), "none", "link"),
        (format!("auth.link.key={secret}"), "forward", "link"),
        (
            format!("auth.django_session.secret_key={secret}"),
            "none",
            "django_session",
        ),
        (
            "auth.django_session.redis=redis://127.0.0.1:6379/1".to_owned(),
            "none",
            "django_session",
        ),
    ] {
        let mut settings = vec![setting, format!("auth.mode={mode}")];
        if mode == "forward" {
            settings.push("auth.forward.url=http://a/".to_owned());
        }
        let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        for command in [&["check"][..], &serve] {
            let (code, text) = run(&settings, command, "");
            assert!(code.is_some_and(|code| code != 0), "{text}");
            let what = format!(
                "auth.{word}: has keys, and auth.mode does not list \"{word}\": add the mode, or leave the keys out"
            );
            assert!(text.contains(&what), "{settings:?}: {text}");
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn each_flaw_of_a_token_is_explained() {
    let keys = Keys::new(&[]);
    let vectors = vectors();
    let bad = |name: &str| {
        let all = vectors["bad"].as_array().expect("a list");
        let vector = all.iter().find(|vector| vector["name"] == name);
        text(&vector.unwrap_or_else(|| panic!("no vector {name}"))["token"])
    };
    for (name, fragments) in [
        ("a word", &["WRONG the token has not the form"][..]),
        ("alg none", &["WRONG the header names no algorithm"]),
        ("jku", &["WRONG the header brings a key"]),
        (
            "another secret",
            &["WRONG the signature is not that of a key", "who: \"ann\""],
        ),
        (
            "another HMAC than the secret's",
            &["WRONG no key of the settings"],
        ),
        (
            "expired",
            &[
                "signature: by auth.jwt.secret",
                "WRONG the token has expired",
            ],
        ),
        ("another issuer", &["WRONG the issuer"]),
        ("an unknown role", &["WRONG `role` is none of"]),
    ] {
        let (code, shown) = run(&keys.settings, &["token", "--check", "-"], &bad(name));
        assert_eq!(code, Some(1), "{name}: {shown}");
        for fragment in fragments.iter().chain(&["the server refuses this token"]) {
            assert!(
                shown.contains(fragment),
                "{name}: no {fragment:?} in:\n{shown}"
            );
        }
        assert!(!shown.contains(&text(&vectors["secret"])), "{shown}");
    }
    let (code, shown) = run(
        &keys.settings,
        &["token", "--check", "-"],
        &good("no rooms"),
    );
    assert_eq!(code, Some(1));
    assert!(shown.contains("auth.jwt.default_rooms"), "{shown}");
}

#[test]
fn flags_that_make_no_credential_are_refused() {
    let keys = Keys::new(&[]);
    for (settings, arguments, fragment) in [
        (
            &keys.settings[..],
            &["token", "--business", "01"][..],
            "--business is no business id",
        ),
        (
            &keys.settings,
            &["token", "--business", "1*"],
            "--business is no business id",
        ),
        (
            &keys.settings,
            &["token", "--session", "a/b"],
            "--session is no session id",
        ),
        (
            &keys.settings,
            &["token", "--ttl", "1"],
            "--ttl: `1` is not a duration",
        ),
        (
            &keys.settings,
            &["token", "--ttl", "0s"],
            "--ttl is shorter than a second",
        ),
        (
            &keys.settings,
            &["token", "--role", "admin"],
            "the arguments are not understood",
        ),
        (
            &keys.settings,
            &["token", "--key", "/nowhere.pem"],
            "--key: /nowhere.pem: cannot be read",
        ),
        (&[], &["token"], "set SUPPORTAL_AUTH__JWT__SECRET"),
        (
            &[],
            &["link", "--business", "1", "--session", "a"],
            "set SUPPORTAL_AUTH__LINK__KEY",
        ),
        (
            &keys.settings,
            &["link", "--business", "1"],
            "give --business and --session",
        ),
    ] {
        let (code, text) = run(settings, arguments, "");
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        assert!(text.contains(fragment), "{arguments:?}: {text}");
    }
}

#[test]
fn a_link_of_the_command_line_lets_in() {
    let key = "k".repeat(32);
    let gateway = Gateway::start(&["auth.mode=link", &format!("auth.link.key={key}")]);
    let link = link(
        &key,
        &["--business", "1", "--session", "ab*", "--role", "agent"],
    );
    for (path, expected) in [("/ws/chat/1/abc/", 101), ("/ws/chat/1/xyz/", 403)] {
        let found = super::status(&gateway, &format!("{path}{link}"), &[]);
        assert_eq!(found, expected);
    }
}
