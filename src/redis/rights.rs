//! What a user of Redis must be allowed (ACL) on every connection: what `supportal check --redis`
//! prints, and no more than is used. The tests run as exactly that user and find nothing in ACL LOG.

use crate::config::redis::{RedisAddress, Topology};

/// Of every connection: asked by the client library as it connects, and by us to see how Redis is.
pub(crate) const CONNECTION: &str = "+ping +info +role +client|id +client|setname";

/// Those without which everything works, but ACL LOG fills: Redis' words for them.
pub(crate) const HARMLESS: [(&str, &[&str]); 4] = [
    ("INFO", &["server"]),
    ("ROLE", &[]),
    ("CLIENT ID", &[]),
    ("CLIENT SETNAME", &["supportal"]),
];

/// What a user's rights begin with: those of every connection to these addresses.
pub(crate) fn of_connection<'a>(addresses: impl IntoIterator<Item = &'a RedisAddress>) -> String {
    let selects = addresses.into_iter().any(|address| address.database > 0);
    let select = if selects { " +select" } else { "" };
    format!("{CONNECTION}{select}")
}

/// The lines about sentinels, if there are any.
pub(crate) fn of_sentinels<'a>(
    addresses: impl IntoIterator<Item = &'a RedisAddress>,
) -> Option<(&'static str, String)> {
    let is_sentinel =
        |address: &RedisAddress| matches!(address.topology, Topology::Sentinel { .. });
    let is_used = addresses.into_iter().any(is_sentinel);
    let rights = "+sentinel|get-master-addr-by-name +sentinel|sentinels";
    is_used.then(|| ("rights it needs at the sentinels (ACL)", rights.to_owned()))
}
