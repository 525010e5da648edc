//! Addresses of Redis as they are written: passwords of every sort, sockets, databases, certificates;
//! and what is said of one that is broken.

use super::slots::until_both_hear;
use super::streams::stream_node_at;
use super::streams_faults::{listen, talk};
use super::*;
use crate::support::deployment::{NAMES, Sealed, Watched, check_redis, cluster};
use crate::support::redis::Reply;
use std::process::Command;

/// A password, and the same percent-encoded.
const PASSWORDS: [(&str, &str); 4] = [
    ("p w", "p%20w"),
    ("p\"w'", "p%22w%27"),
    ("x\r\nSET injected 1\r\n", "x%0D%0ASET%20injected%201%0D%0A"),
    (
        "@:/?#[]%ключ",
        "%40%3A%2F%3F%23%5B%5D%25%D0%BA%D0%BB%D1%8E%D1%87",
    ),
];

/// A user of this password, at each of these.
#[track_caller]
fn admit(servers: &[&Redis], password: &str) {
    let word = format!(">{password}");
    let words = [
        "ACL", "SETUSER", "chat", "reset", "on", &word, "~*", "&*", "+@all",
    ];
    for redis in servers {
        assert_eq!(redis.command(&words).text(), "OK");
    }
}

/// Two nodes at an address hear each other, also after their connections were cut.
#[track_caller]
fn hear_each_other(url: &str, servers: &[&Redis]) {
    for is_streams in [false, true] {
        let nodes = [(); 2].map(|()| match is_streams {
            true => stream_node_at(url, &[]),
            false => node_at(url, &[]),
        });
        nodes.iter().for_each(until_up);
        let (mut ann, mut bob) = (nodes[0].join("abc"), nodes[1].join("abc"));
        talk(&mut ann, 0..3);
        listen(&mut bob, 0..3);
        for redis in servers {
            redis.command(&["CLIENT", "KILL", "USER", "chat"]);
            assert_eq!(
                redis.command(&["KEYS", "injected*"]),
                Reply::Array(Vec::new())
            );
        }
        for node in &nodes {
            // A connection to a server of a Cluster is made anew alone.
            let ups = if url.contains("cluster") { 1.0 } else { 2.0 };
            wait::until("the bridge to be up again", RECOVERY, || {
                node.metric("supportal_bridge_changes_total{state=\"up\"}") >= ups && is_up(node)
            });
            until_confirmed(node, 1.0);
        }
        if url.contains("cluster") {
            let channel = match is_streams {
                true => "supportal:stream:{chat_1_abc}",
                false => "supportal:room:chat_1_abc",
            };
            until_both_hear(servers.iter().copied(), channel);
        }
        talk(&mut ann, 3..6);
        listen(&mut bob, 3..6);
    }
}

#[test]
fn a_password_may_hold_any_sign_and_is_never_a_command() {
    let redis = Redis::start(&[]);
    for (password, encoded) in PASSWORDS {
        admit(&[&redis], password);
        let port = redis.address().port();
        hear_each_other(
            &format!("redis://chat:{encoded}@127.0.0.1:{port}"),
            &[&redis],
        );
    }
    // Of the default user, by an option.
    let (password, encoded) = PASSWORDS[2];
    let set = ["CONFIG", "SET", "requirepass", password];
    assert_eq!(redis.command(&set).text(), "OK");
    let port = redis.address().port();
    let url = format!("redis://127.0.0.1:{port}/1?password={encoded}&socket_timeout=5");
    until_up(&node_at(&url, &[]));
}

#[test]
fn a_password_may_hold_any_sign_behind_sentinel_and_in_a_cluster() {
    let (password, encoded) = PASSWORDS[2];
    let watched = Watched::start();
    admit(
        &[&watched.master, &watched.replica, &watched.sentinel],
        password,
    );
    let port = watched.sentinel.address().port();
    let url = format!(
        "redis-sentinel://chat:{encoded}@127.0.0.1:{port}?sentinelServiceName=mymaster&sentinelUsername=chat&sentinelPassword={encoded}"
    );
    hear_each_other(&url, &[&watched.master]);
    let nodes = cluster(&[]);
    let servers: Vec<&Redis> = nodes.iter().collect();
    admit(&servers, password);
    let port = nodes[0].address().port();
    hear_each_other(
        &format!("redis-cluster://chat:{encoded}@127.0.0.1:{port}"),
        &servers,
    );
}

#[test]
fn the_guides_variable_takes_a_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("my redis.sock").display().to_string();
    let redis = Redis::start(&["--unixsocket", &path]);
    admit(&[&redis], "p w");
    let url = format!("unix://chat:p%20w@{}?db=2", path.replace(' ', "%20"));
    hear_each_other(&url, &[&redis]);
    let output = check_redis(&["--redis-url", &url]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("my%20redis.sock?db=2  version "), "{text}");
}

#[test]
fn nodes_on_different_databases_do_not_hear_each_other() {
    let redis = Redis::start(&[]);
    for is_streams in [false, true] {
        let at = |database: &str| {
            let url = format!("{}{database}", redis.url());
            let node = match is_streams {
                true => stream_node_at(&url, &[]),
                false => node_at(&url, &[]),
            };
            until_up(&node);
            node
        };
        let nodes = [at(""), at("/0"), at("/3"), at("?db=3"), at("/4")];
        let mut members = nodes.each_ref().map(|node| node.join("abc"));
        for (who, text) in [(0, "zero"), (2, "three"), (4, "four")] {
            say(&mut members[who], text);
        }
        for (member, text) in members
            .iter_mut()
            .zip(["zero", "zero", "three", "three", "four"])
        {
            expect(member, text);
        }
        // Nothing else has come before this.
        for (who, text) in [(1, "0"), (3, "3"), (4, "4")] {
            say(&mut members[who], text);
        }
        for (member, text) in members.iter_mut().zip(["0", "0", "3", "3", "4"]) {
            expect(member, text);
        }
    }
    let channels = redis
        .command(&["PUBSUB", "CHANNELS", "supportal*:nodes"])
        .texts();
    assert!(
        channels.iter().all(
            |name| ["supportal:nodes", "supportal/3:nodes", "supportal/4:nodes"]
                .contains(&name.as_str())
        ),
        "{channels:?}"
    );
}

#[test]
fn a_certificate_that_is_trusted_itself_is_enough_whatever_it_says_of_its_use() {
    // As `openssl req -x509` makes one: an authority, to itself.
    for names in [&["-addext", NAMES][..], &[]] {
        let sealed = Sealed::with(names, "no");
        until_up(&node_at(&sealed.url(), &[&sealed.trust()]));
        let url = format!("{}?ssl_ca_certs={}", sealed.url(), sealed.certificate());
        let output = check_redis(&["--redis-url", &url]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
    }
    // Of somebody else: of another name, or of another key.
    let other = ["-addext", "subjectAltName=DNS:elsewhere.example"];
    let elsewhere = Sealed::with(&other, "no");
    let refused = |url: &str, trusted: &Sealed, fix: &str| {
        let set = trusted.trust();
        let output = check_redis(&["--redis-url", url, "--set", &set]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !output.status.success() && text.contains("FAILED: ") && text.contains(fix),
            "{text}"
        );
    };
    refused(&elsewhere.url(), &elsewhere, "; write the host that ");
    let url = format!("{}?ssl_check_hostname=false", elsewhere.url());
    until_up(&node_at(&url, &[&elsewhere.trust()]));
    let another = Sealed::with(&["-addext", NAMES], "no");
    refused(&url, &another, " in bridge.ca_file or ssl_ca_certs");
}

#[test]
fn a_redis_that_asks_for_a_certificate_is_shown_ours() {
    let sealed = Sealed::with(&["-addext", NAMES], "yes");
    let (url, trust) = (sealed.url(), sealed.trust());
    let cert = format!("bridge.client_cert={}", sealed.certificate());
    let key = format!("bridge.client_key={}", sealed.key());
    let (left, right) = (
        node_at(&url, &[&trust, &cert, &key]),
        stream_node_at(
            &format!(
                "{url}?ssl_certfile={}&ssl_keyfile={}",
                sealed.certificate(),
                sealed.key()
            ),
            &[&trust],
        ),
    );
    until_up(&right);
    wait::until("the bridge to be up", RECOVERY, || {
        left.metric("supportal_bridge_up{link=\"0\"}") == 1.0
    });
    let output = check_redis(&["--redis-url", &url, "--set", &trust]);
    let text = String::from_utf8_lossy(&output.stdout);
    let is_told = text.contains("set bridge.client_cert and bridge.client_key");
    assert!(!output.status.success() && is_told, "{text}");
    // Of X.509 version 1, which our own library would not take of others.
    let (client, client_key) = sealed.client();
    let client = format!("bridge.client_cert={client}");
    let client_key = format!("bridge.client_key={client_key}");
    let sets = ["--set", &trust, "--set", &client, "--set", &client_key];
    let output = check_redis(&[&["--redis-url", &url], &sets[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    // That the two nodes differ in their mode is told as well.
    let is_reached = text.contains("canary ") && !text.contains("FAILED: ");
    assert!(is_reached, "{text}");
    // A key that fits nothing, and a file that holds none.
    for (key, part) in [
        (Sealed::start().key(), "key.pem: "),
        (
            sealed.certificate(),
            "holds a certificate and no private key",
        ),
    ] {
        let key = format!("bridge.client_key={key}");
        let output = check_redis(&[
            "--redis-url",
            &url,
            "--set",
            &trust,
            "--set",
            &cert,
            "--set",
            &key,
        ]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && text.contains("bridge.client_key"),
            "{text}"
        );
        assert!(text.contains(part) || part == "key.pem: ", "{text}");
    }
}

#[test]
fn no_command_shows_a_part_of_a_password_also_when_the_address_is_broken() {
    for password in [
        "hun/ter2",
        "hun?ter2",
        "hun#ter2",
        "hun@ter2",
        "hun ter2",
        "hun%ter2",
        "hun[ter2",
        "hun\"ter2",
        "hun\\ter2",
        "p@hunter/w#word",
        "hun&ter2=pass",
        "12?hunter2=pass",
        "12/hunter2",
        "hun,ter2",
        "hun\nter2",
        "hun=ter2",
        "hun'ter2",
        "%zzhunter2",
        "%ffhunter2",
        "hunter2:word",
    ] {
        for url in [
            format!("redis://:{password}@127.0.0.1:1/0"),
            format!("redis://word:{password}@127.0.0.1:1/x"),
            format!("unix://:{password}@/nowhere.sock"),
            format!("rediss://127.0.0.1:1?password={password}"),
            format!("redis://127.0.0.1:1?pasword={password}"),
        ] {
            let hosts = format!("channels.hosts=[{{ address = {url:?}, x = 1 }}]");
            let set = format!("bridge.urls={url}");
            for (command, variable, flags) in [
                ("check", Some("REDIS_URL"), vec![]),
                ("config", Some("SUPPORTAL_BRIDGE__URLS"), vec![]),
                ("config", None, vec!["--redis-url", &url]),
                ("check", None, vec!["--set", &hosts]),
                ("check", None, vec![&url]),
                ("check", None, vec!["--set", &url]),
                ("config", None, vec!["--set", &set]),
            ] {
                let mut binary = Command::new(env!("CARGO_BIN_EXE_supportal"));
                binary.arg(command).args(&flags).env_clear();
                if let Some(variable) = variable {
                    binary.env(variable, &url);
                }
                let output = binary.output().expect("the binary runs");
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text).replace("`pasword`", "");
                for piece in ["hunter2", "ter2", "hun/", "zzhun"] {
                    assert!(!text.contains(piece), "{url:?} {command} {flags:?}: {text}");
                }
            }
        }
    }
}
