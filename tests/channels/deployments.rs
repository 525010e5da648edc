//! The site's Redis as it is deployed: with TLS, behind Sentinel, with a user of few rights; and
//! `supportal check --redis` of it.

use super::*;
use crate::support::deployment::{Sealed, Watched, check_redis};
use crate::support::{Blow, Signal};

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
        site.group_send("chat_1_abc", "after");
        expect(&mut client, "after");
    }
}

/// The rights that the check prints.
#[track_caller]
fn rights(output: &str) -> Vec<String> {
    let line = output
        .lines()
        .find_map(|line| line.trim().strip_prefix("rights it needs (ACL): "));
    let line = line.unwrap_or_else(|| panic!("no rights in {output}"));
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_rights_that_the_check_prints_are_enough_and_each_is_needed() {
    for layer in LAYERS {
        let redis = Redis::start(&[]);
        let port = redis.address().port();
        let layer_setting = format!("bridge.channels.layer={layer}");
        let hosts = json!([format!("redis://chat:secret@127.0.0.1:{port}")]);
        let setting = setting(&hosts);
        let sets = ["bridge.channels.enabled=true", &layer_setting, &setting];
        let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let output = check_redis(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("FAILED: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let rights = rights(&text);
        let grant = |rights: &[String]| {
            let mut words = vec!["ACL", "SETUSER", "chat", "reset", "on", ">secret"];
            words.extend(rights.iter().map(String::as_str));
            assert_eq!(redis.command(&words).text(), "OK");
        };
        grant(&rights);
        let output = check_redis(&arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        for part in ["version ", "ping ", "canary ", "chat_BUSINESS_SESSION"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let gateway = node_at(layer, &hosts, &["bridge.channels.send_to_group=users"]);
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
        let denied = redis.command(&["ACL", "LOG"]);
        let denied = format!("{denied:?}");
        // Only what is no harm: naming the connection and asking about the server.
        for command in ["zadd", "eval", "publish", "subscribe", "del", "set"] {
            assert!(
                !denied.contains(&format!("Text(\"{command}\")")),
                "{denied}"
            );
        }
        // The commands of the layer itself: without one of them the check fails.
        let (needed, optional): (Vec<String>, Vec<String>) = rights
            .iter()
            .filter(|right| right.starts_with('+'))
            .cloned()
            .partition(|right| CHECKED.contains(&right.as_str()));
        assert_eq!(optional, OPTIONAL[usize::from(layer == "pubsub")]);
        for missing in &needed {
            let fewer: Vec<String> = rights
                .iter()
                .filter(|one| *one != missing)
                .cloned()
                .collect();
            grant(&fewer);
            let output = check_redis(&arguments);
            assert!(!output.status.success(), "{layer} without {missing}");
        }
    }
}

/// Rights without which `check --redis` fails.
const CHECKED: [&str; 11] = [
    "+zadd",
    "+zrem",
    "+zrange",
    "+zremrangebyscore",
    "+zcount",
    "+bzpopmin",
    "+expire",
    "+eval",
    "+publish",
    "+subscribe",
    "+@connection",
];

/// The others, by layer: for what the check does not do, or can do without.
const OPTIONAL: [&[&str]; 2] = [
    &["+role", "+zpopmin", "+exists", "+set", "+del"],
    &["+role", "+unsubscribe"],
];
