//! Which server of a Cluster has which slot, and which slot a name is in.

use crate::config::redis::Endpoint;
use crate::redis::value::RedisValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Slots of every Cluster.
const SLOTS: usize = 16_384;

/// Servers of one Cluster, at most: what Redis itself is made for.
const SERVERS_MAX: usize = 1_000;

/// Bytes of a host's name, at most.
const HOST_MAX: usize = 255;

/// The slot of a key or a sharded channel.
pub(super) fn slot_of(name: &[u8]) -> u16 {
    crc16(tag_of(name)) % SLOTS as u16
}

/// What of a name says its slot: what is in the first braces, if anything is.
pub(super) fn tag_of(name: &[u8]) -> &[u8] {
    let tag = name.iter().position(|&byte| byte == b'{');
    let tag = tag.and_then(|open| name.get(open + 1..));
    let tag = tag.and_then(|rest| rest.get(..rest.iter().position(|&byte| byte == b'}')?));
    tag.filter(|tag| !tag.is_empty()).unwrap_or(name)
}

/// CRC-16 as XMODEM has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, &byte| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| {
            (sum << 1) ^ if sum & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

/// Who has which slot, so far as is known.
#[derive(Clone, Debug)]
pub(super) struct SlotMap {
    owners: Vec<Option<Arc<Endpoint>>>,
}

impl SlotMap {
    /// What CLUSTER SLOTS says; `None` if it is nothing of that form. A server that names no host is the one that was
    /// asked.
    pub(super) fn read(answer: RedisValue, asked: &Endpoint) -> Option<Self> {
        let mut owners = vec![None; SLOTS];
        let mut servers = BTreeSet::new();
        let ranges = answer.into_array();
        if ranges.is_empty() || ranges.len() > SLOTS {
            return None;
        }
        for range in ranges {
            let mut parts = range.into_array().into_iter();
            let (first, last) = (place(&parts.next()?)?, place(&parts.next()?)?);
            // The master; its replicas come behind.
            let mut master = parts.next()?.into_array().into_iter();
            let host = master.next()?.into_bytes().unwrap_or_default();
            let host = std::str::from_utf8(&host).ok()?;
            let RedisValue::Integer(port) = master.next()? else {
                return None;
            };
            let server = Arc::new(endpoint(host, u16::try_from(port).ok()?, asked)?);
            servers.insert(Arc::clone(&server));
            if servers.len() > SERVERS_MAX {
                return None;
            }
            owners.get_mut(first..=last)?.fill(Some(server));
        }
        Some(Self { owners })
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Arc<Endpoint>> {
        self.owners.get(usize::from(slot))?.as_ref()
    }

    /// A slot is there from here on; true if that is news.
    pub(super) fn moved(&mut self, slot: u16, to: &Endpoint) -> bool {
        let Some(owner) = self.owners.get_mut(usize::from(slot)) else {
            return false;
        };
        let is_news = owner.as_deref() != Some(to);
        if is_news {
            *owner = Some(Arc::new(to.clone()));
        }
        is_news
    }

    /// All servers that have slots, each once.
    pub(super) fn servers(&self) -> Vec<Endpoint> {
        let mut servers: Vec<Endpoint> = Vec::new();
        let mut last: Option<&Arc<Endpoint>> = None;
        for owner in self.owners.iter().flatten() {
            if last.is_none_or(|last| !Arc::ptr_eq(last, owner)) && !servers.contains(owner) {
                servers.push(Endpoint::clone(owner));
            }
            last = Some(owner);
        }
        servers
    }
}

fn place(value: &RedisValue) -> Option<usize> {
    match value {
        RedisValue::Integer(number) => usize::try_from(*number).ok().filter(|at| *at < SLOTS),
        _ => None,
    }
}

/// A server as another one names it.
pub(super) fn endpoint(host: &str, port: u16, named_by: &Endpoint) -> Option<Endpoint> {
    let host = if host.is_empty() {
        &named_by.host
    } else {
        host
    };
    let is_name = host.len() <= HOST_MAX && !host.contains(|c: char| c.is_control() || c == ' ');
    (is_name && port > 0).then(|| Endpoint {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port,
        }
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> RedisValue {
        let server = RedisValue::Array(vec![host.into(), RedisValue::Integer(port), "id".into()]);
        RedisValue::Array(vec![
            RedisValue::Integer(first),
            RedisValue::Integer(last),
            server,
        ])
    }

    #[test]
    fn the_slot_of_a_name_is_as_redis_says() {
        // CLUSTER KEYSLOT of Redis 7.0.
        for (name, slot) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{foo}bar{x}", 12_182),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
            ("", 0),
        ] {
            assert_eq!(slot_of(name.as_bytes()), slot, "{name}");
        }
    }

    #[test]
    fn slots_are_read_and_one_that_moves_is_news_once() {
        let answer = RedisValue::Array(vec![range(0, 99, "a", 1), range(100, 16_383, "", 2)]);
        let mut map = SlotMap::read(answer, &at("asked", 9)).unwrap();
        assert_eq!(map.servers(), [at("a", 1), at("asked", 2)]);
        assert_eq!(map.owner(99).map(|at| at.port), Some(1));
        assert_eq!(map.owner(100).map(|at| at.port), Some(2));
        assert!(map.moved(99, &at("b", 3)) && !map.moved(99, &at("b", 3)));
        assert!(!map.moved(u16::MAX, &at("b", 3)));
        assert_eq!(map.servers().len(), 3);
    }

    #[test]
    fn what_is_no_map_of_slots_is_none() {
        let long = "h".repeat(256);
        for answer in [
            RedisValue::Nil,
            RedisValue::Array(Vec::new()),
            RedisValue::Array(vec![RedisValue::Nil]),
            RedisValue::Array(vec![range(5, 1, "a", 1)]),
            RedisValue::Array(vec![range(0, 16_384, "a", 1)]),
            RedisValue::Array(vec![range(-1, 5, "a", 1)]),
            RedisValue::Array(vec![range(0, 5, "a", 70_000)]),
            RedisValue::Array(vec![range(0, 5, "a", 0)]),
            RedisValue::Array(vec![range(0, 5, "a b", 1)]),
            RedisValue::Array(vec![range(0, 5, &long, 1)]),
            RedisValue::Array((0..1_001).map(|at| range(at, at, "a", at + 1)).collect()),
        ] {
            assert!(SlotMap::read(answer, &at("asked", 9)).is_none());
        }
    }
}
