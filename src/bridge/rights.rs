//! What a user of Redis must be allowed (ACL) for the nodes to hear each other: what
//! `supportal check --redis` prints, and no more than the bridge uses.

use crate::config::{BridgeMode, BridgeSettings};
use crate::redis::rights::{CONNECTION, of_connection, of_sentinels};

/// Of the functions of mode `streams`, and of calling them.
const FUNCTIONS: &str = "+script|load +evalsha +time +xadd +xtrim +xlen +xrange +xrevrange +hget +hmget +hset +hlen +hgetall +hdel +zcard +zscore +zadd +zremrangebyscore +pexpire";

/// Of the nodes among themselves, whose names begin with these prefixes.
pub(super) fn of_nodes(
    settings: &BridgeSettings,
    prefixes: &[String],
) -> Vec<(&'static str, String)> {
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
                "{patterns} {CONNECTION} +cluster|slots +asking +spublish +ssubscribe +sunsubscribe{functions}"
            ),
        ));
    }
    rights.extend(of_sentinels(settings.urls.iter()));
    rights
}
