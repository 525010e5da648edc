//! What a user of Redis must be allowed (ACL): what `supportal check --redis` prints, and no more than
//! the bridge uses. The tests run as exactly that user and find nothing in ACL LOG.

use crate::config::redis::{Place, RedisAddress};
use crate::config::{Bridge, BridgeMode};

/// Of every connection: asked by the client library as it connects, and by us to see how Redis is.
const CONNECTION: &str = "+ping +info +role +client|id +client|setname";

/// Of the functions of mode `streams`, and of calling them.
const FUNCTIONS: &str = "+script|load +evalsha +time +xadd +xtrim +xrange +xrevrange +hget +hset +hlen +hgetall +hdel +pexpire";

/// Those without which everything works, but ACL LOG fills: Redis' words for them.
pub(super) const HARMLESS: [(&str, &[&str]); 4] = [
    ("INFO", &["server"]),
    ("ROLE", &[]),
    ("CLIENT ID", &[]),
    ("CLIENT SETNAME", &["supportal"]),
];

/// What a user's rights begin with: those of every connection to these addresses.
pub(super) fn of_connection<'a>(addresses: impl IntoIterator<Item = &'a RedisAddress>) -> String {
    let selects = addresses.into_iter().any(|address| address.database > 0);
    let select = if selects { " +select" } else { "" };
    format!("{CONNECTION}{select}")
}

/// The lines about sentinels, if there are any.
pub(super) fn of_sentinels<'a>(
    addresses: impl IntoIterator<Item = &'a RedisAddress>,
) -> Option<(&'static str, String)> {
    let is_sentinel = |address: &RedisAddress| matches!(address.place, Place::Sentinel { .. });
    let is_used = addresses.into_iter().any(is_sentinel);
    let rights = "+sentinel|get-master-addr-by-name +sentinel|sentinels";
    is_used.then(|| ("rights it needs at the sentinels (ACL)", rights.to_owned()))
}

/// Of the nodes among themselves, whose names begin with these prefixes.
pub(super) fn of_nodes(settings: &Bridge, prefixes: &[String]) -> Vec<(&'static str, String)> {
    let is_streams = settings.mode == BridgeMode::Streams;
    let mut patterns = vec!["resetchannels".to_owned()];
    for prefix in prefixes {
        patterns.push(format!("&{prefix}:*"));
        if is_streams {
            patterns.push(format!("~{prefix}:*"));
        }
    }
    let functions = if is_streams {
        format!(" {FUNCTIONS}")
    } else {
        String::new()
    };
    let patterns = patterns.join(" ");
    let (clusters, servers): (Vec<_>, Vec<_>) =
        settings.urls.iter().partition(|url| url.is_cluster());
    let mut rights = Vec::new();
    if !servers.is_empty() {
        let connection = of_connection(servers.iter().copied());
        rights.push((
            "rights it needs (ACL)",
            format!("{patterns} {connection} +publish +subscribe +unsubscribe{functions}"),
        ));
    }
    if !clusters.is_empty() {
        rights.push((
            "rights it needs at the Cluster (ACL)",
            format!(
                "{patterns} {CONNECTION} +cluster|info +cluster|slots +asking +spublish +ssubscribe +sunsubscribe{functions}"
            ),
        ));
    }
    rights.extend(of_sentinels(settings.urls.iter()));
    rights
}
