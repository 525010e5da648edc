//! `tests/data/redis_addresses.jsonl`: what each URL is, or what the reason of its refusal says; and
//! what redis-py makes of it, which `tests/channels` asks the installed one.

use super::*;
use serde_json::{Value, json};

const ROWS: &str = include_str!("../../../tests/data/redis_addresses.jsonl");

fn rows() -> impl Iterator<Item = Value> {
    ROWS.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
}

/// An address as the table writes it.
fn written(address: &RedisAddress) -> Value {
    let mut row = json!({ "db": address.database });
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            row[key] = value;
        }
    };
    let texts = |nodes: &[Endpoint]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let password = |login: &Login| Some(json!(login.password.as_ref()?.expose()));
    match &address.topology {
        Topology::Server(at) => {
            set("host", Some(json!(at.host)));
            set("port", Some(json!(at.port)));
        }
        Topology::Socket(path) => set("path", Some(json!(path))),
        Topology::Cluster(nodes) => set("cluster", Some(json!(texts(nodes)))),
        Topology::Sentinel {
            sentinels,
            service,
            login,
        } => {
            set("sentinels", Some(json!(texts(sentinels))));
            set("service", Some(json!(service)));
            set(
                "sentinel_username",
                login.username.as_ref().map(|name| json!(name)),
            );
            set("sentinel_password", password(login));
        }
    }
    set(
        "username",
        address.login.username.as_ref().map(|name| json!(name)),
    );
    set("password", password(&address.login));
    if let Some(tls) = &address.tls {
        set("tls", Some(json!(true)));
        set("ca", tls.ca_file.as_ref().map(|path| json!(path)));
        set("cert", tls.client_cert.as_ref().map(|path| json!(path)));
        set("key", tls.client_key.as_ref().map(|path| json!(path)));
        set("checks_name", (!tls.checks_name).then(|| json!(false)));
    }
    let unused = (!address.unused.is_empty()).then(|| json!(address.unused));
    set("unused", unused);
    row
}

/// Every piece of three characters or more that only a password has in these tests.
#[track_caller]
fn assert_hidden(text: &str, given: &str) {
    for piece in ["hunt", "unte", "nter", "ter2", "hun", "w#rd", "rd@", "nt/w"] {
        assert!(!text.contains(piece), "{given:?}: {text}");
    }
}

#[test]
fn every_url_of_the_table_is_what_it_says() {
    let (mut read, mut refused) = (0, 0);
    for row in rows() {
        let url = row["url"].as_str().expect("a URL");
        match (RedisAddress::parse(url), &row["is"]) {
            (Ok(address), is) if !is.is_null() => {
                assert_eq!(written(&address), *is, "{url:?}");
                read += 1;
            }
            (Err(what), Value::Null) => {
                let part = row["refused"].as_str().expect("a reason");
                assert!(what.contains(part), "{url:?}: {what}");
                refused += 1;
            }
            (Ok(address), _) => panic!("{url:?} is taken for {address}"),
            (Err(what), _) => panic!("{url:?}: {what}"),
        }
    }
    assert!(read >= 80 && refused >= 60, "{read} {refused}");
}

#[test]
fn what_redis_py_reads_too_is_read_as_the_same() {
    for row in rows().filter(|row| !row["is"].is_null()) {
        let theirs = row["redis_py"].as_str();
        assert!(theirs == Some("same") || theirs == Some("refuses"), "{row}");
    }
}

#[test]
fn no_output_and_no_reason_shows_a_part_of_a_password() {
    for row in rows() {
        let url = row["url"].as_str().expect("a URL");
        let shown = match RedisAddress::parse(url) {
            Ok(address) => {
                let json = serde_json::to_string(&address).expect("serialises");
                format!("{address} {address:?} {json}")
            }
            Err(what) => what,
        };
        assert_hidden(&shown, url);
    }
}

#[test]
fn the_shown_form_of_an_address_without_a_password_is_read_as_the_same() {
    for row in rows() {
        let url = row["url"].as_str().expect("a URL");
        let Ok(mut address) = RedisAddress::parse(url) else {
            continue;
        };
        address.login = Login::default();
        address.unused.clear();
        if let Topology::Sentinel { login, .. } = &mut address.topology {
            *login = Login::default();
        }
        let again = RedisAddress::parse(&address.to_string());
        assert_eq!(again.as_ref(), Ok(&address), "{url:?} shown as {address}");
    }
}

#[test]
fn an_unescaped_sign_anywhere_in_a_password_is_named_or_read_and_never_shown() {
    // Printable ASCII at three places of a password, in each kind of address.
    let signs = (0x20..0x7f_u8)
        .map(char::from)
        .chain(['\u{e4}', '\u{7f}', '\n']);
    for sign in signs {
        for url in [
            format!("redis://:{sign}hunter2@host:6379/0"),
            format!("redis://:hun{sign}ter2@host:6379/0"),
            format!("redis://hun{sign}ter2:hunter2@host:6379/0"),
            format!("rediss://user:hunter2{sign}@host/1?db=2"),
            format!("unix://:hun{sign}ter2@/run/redis.sock"),
            format!("redis-sentinel://:hun{sign}ter2@host?sentinelServiceName=m"),
            format!("redis-cluster://:hun{sign}ter2@host?node=b:1"),
        ] {
            match RedisAddress::parse(&url) {
                Ok(address) => {
                    assert!(address.login.password.is_some(), "{url:?}");
                    assert_hidden(&address.to_string(), &url);
                }
                Err(what) => {
                    assert!(what.contains("percent-encoded"), "{url:?}: {what}");
                    assert_hidden(&what, &url);
                }
            }
        }
    }
}

#[test]
fn a_login_with_any_password_is_read_back_when_it_is_percent_encoded() {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    for password in [
        "p w",
        "\"'`",
        "a\r\nFLUSHALL\r\n",
        "@:/?#[]%",
        "\0",
        "ключ",
        "%41",
        "+ +",
    ] {
        let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC);
        for url in [
            format!("redis://:{encoded}@h"),
            format!("redis://h?password={encoded}"),
            format!("unix://u:{encoded}@/run/r.sock"),
            format!("redis-cluster://u:{encoded}@h"),
        ] {
            let address = RedisAddress::parse(&url).expect(&url);
            let read = address.login.password.expect("a password");
            assert_eq!(read.expose(), password, "{url}");
        }
    }
}
