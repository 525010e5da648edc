//! The site's Redis as it is deployed: with TLS, behind Sentinel, with a user of few rights; and
//! `supportal check --redis` of it.

use super::*;
use crate::support::deployment::{Sealed, Watched, check_redis};
use crate::support::repository;
use crate::support::rights::{assert_each_is_needed, assert_no_denial, grant, rights};
use crate::support::{Blow, Signal};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn a_site_and_its_nodes_may_speak_tls() {
    for layer in LAYERS {
        let redis = Sealed::start();
        let hosts = json!([{ "address": redis.url(), "ssl_ca_certs": redis.certificate() }]);
        let mut site = Site::start(layer, &json!({ "hosts": hosts }));
        let gateway = node_at(layer, &json!([redis.url()]), &[&redis.trust()]);
        until_up(&gateway);
        let mut client = gateway.join("abc");
        site.group_send("chat_1_abc", "sealed");
        expect(&mut client, "sealed");
    }
}

#[test]
fn sentinel_names_the_sites_master_and_after_a_failover_the_new_one() {
    for layer in LAYERS {
        let mut watched = Watched::start();
        let port = watched.sentinel.address().port();
        let hosts = json!([{ "sentinels": [["127.0.0.1", port]], "master_name": "mymaster" }]);
        let gateway = node_at(layer, &hosts, &[]);
        until_up(&gateway);
        let mut client = gateway.join("abc");
        let mut site = Site::start(layer, &json!({ "hosts": hosts }));
        site.group_send("chat_1_abc", "before");
        expect(&mut client, "before");
        watched.master.blow(Blow::Kill);
        wait::until("the failure to be seen", RECOVERY, || !is_up(&gateway));
        until_up(&gateway);
        until_metric(&gateway, "supportal_channels_groups{state=\"joined\"}", 1.0);
        // The old one's connections are in its pool.
        let mut site = Site::start(layer, &json!({ "hosts": hosts }));
        // Sentinel tries a connection once a second and takes half a second's silence for death:
        // it may call the new master dead too for a moment, and redis-py then finds none.
        let order = json!({ "do": "group_send", "group": "chat_1_abc", "message": "after" });
        wait::until("the site to find the new master", RECOVERY, || {
            site.try_order(&order).is_ok()
        });
        expect(&mut client, "after");
    }
}

#[test]
fn the_check_warns_of_a_redis_that_throws_groups_and_messages_away() {
    for (policy, is_warned) in [("volatile-lru", true), ("noeviction", false)] {
        let redis = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", policy]);
        let hosts = setting(&urls(&[&redis]));
        let output = check_redis(&["--set", "channels.enabled=true", "--set", &hosts]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let warning = "throws groups and messages away when it is full: maxmemory-policy is";
        assert_eq!(said.contains(warning), is_warned, "{said}");
    }
}

#[test]
fn the_rights_that_the_check_prints_are_enough_and_each_is_needed() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let port = redis.address().port();
        let layer_setting = format!("channels.layer={layer}");
        let hosts = json!([format!("redis://chat:secret@127.0.0.1:{port}")]);
        let setting = setting(&hosts);
        let sets = ["channels.enabled=true", &layer_setting, &setting];
        let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let output = check_redis(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("FAILED: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let rights = rights(&text, "rights it needs");
        let servers = [&redis];
        grant(&servers, &rights);
        let output = check_redis(&arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        for part in ["version ", "ping ", "canary ", "chat_BUSINESS_SESSION"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let gateway = node_at(layer, &hosts, &["channels.send_to_group=users"]);
        until_up(&gateway);
        let mut site = site(layer, &[&redis], &json!({}));
        site.order(&json!({ "do": "join_quietly", "group": "users" }));
        let mut client = gateway.join("abc");
        site.group_send("chat_1_abc", "from django");
        expect(&mut client, "from django");
        say(&mut client, "from a user");
        assert_eq!(site.hear()["message"], "from a user");
        gateway.signal(Signal::Term);
        assert_eq!(gateway.wait_exit(RECOVERY), Some(0));
        assert!(members(&redis, "chat_1_abc").is_empty());
        assert_no_denial(&servers);
        for word in ["+@connection", "+client"] {
            assert!(!rights.contains(&word.to_owned()), "{rights:?}");
        }
        assert_each_is_needed(&servers, &rights, layer, || {
            let output = check_redis(&arguments);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success(), text)
        });
    }
}

#[test]
fn every_address_of_the_table_is_what_the_installed_redis_py_makes_of_it() {
    let rows = std::fs::read_to_string(repository().join("tests/data/redis_addresses.jsonl"));
    let program = "
import json, sys
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url
for line in sys.stdin:
    row = json.loads(line)
    try:
        said = parse_url(row['url'])
    except Exception:
        print('refuses')
        continue
    kind = said.pop('connection_class', None)
    ours = row.get('is') or {}
    names = {'ca': 'ssl_ca_certs', 'cert': 'ssl_certfile', 'key': 'ssl_keyfile',
             'checks_name': 'ssl_check_hostname'}
    defaults = {'host': 'localhost', 'port': 6379, 'db': 0, 'password': ''}
    expected = {names.get(key, key): value for key, value in ours.items() if key not in ('tls', 'unused')}
    theirs = {name: said.get(name, defaults.get(name)) for name in expected}
    is_same = theirs == expected and ours.get('tls', False) == (kind is SSLConnection)
    is_same = is_same and ('path' in ours) == (kind is UnixDomainSocketConnection)
    print('accepts' if not ours else 'same' if is_same else 'differs')
";
    let mut python = Command::new(repository().join("tests/.tools/channels/bin/python"))
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the Python of tests/run install");
    let rows = rows.expect("the table");
    let mut input = python.stdin.take().expect("its input");
    input.write_all(rows.as_bytes()).expect("a reader");
    drop(input);
    let output = python.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), rows.lines().count());
    for (row, said) in rows.lines().zip(said.lines()) {
        let row: Value = serde_json::from_str(row).expect("JSON");
        assert_eq!(row["redis_py"], said, "{row}");
    }
}
