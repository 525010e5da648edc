//! Where a Cluster sends a command that came to the wrong server.

use super::slots::endpoint;
use crate::config::redis::Endpoint;

/// What an error of a Cluster asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SlotRedirect {
    /// The slot is there from now on.
    Moved(u16, Endpoint),
    /// This command is to be taken there, since its keys are; others of the slot are not.
    Ask(Endpoint),
    /// Some of the keys are here and some there.
    TryAgain,
    /// Nobody has the slot: a master is gone, and its replica has not taken over.
    Unserved,
}

impl SlotRedirect {
    /// Reads an error; a server that names no host means its own. `None`: it is about something else.
    pub(super) fn read(details: &str, server: &Endpoint) -> Option<Self> {
        let mut words = details.split_whitespace();
        let kind = words.next()?;
        match kind {
            "TRYAGAIN" => return Some(Self::TryAgain),
            "CLUSTERDOWN" => return Some(Self::Unserved),
            "MOVED" | "ASK" => {}
            _ => return None,
        }
        let slot = words.next()?.parse().ok().filter(|slot| *slot < 16_384)?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        let to = endpoint(host, port.parse().ok()?, server)?;
        Some(match kind {
            "MOVED" => Self::Moved(slot, to),
            _ => Self::Ask(to),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_asks_for_is_read_and_nothing_else_is() {
        let at = |host: &str, port| Endpoint {
            host: host.to_owned(),
            port,
        };
        #[rustfmt::skip]
        let rows = [
            ("MOVED 3999 127.0.0.1:6381", Some(SlotRedirect::Moved(3999, at("127.0.0.1", 6381)))),
            ("MOVED 3999 :6381", Some(SlotRedirect::Moved(3999, at("own", 6381)))),
            ("MOVED 3999 fe80::1:6381", Some(SlotRedirect::Moved(3999, at("fe80::1", 6381)))),
            ("ASK 3999 redis-2.svc:6381", Some(SlotRedirect::Ask(at("redis-2.svc", 6381)))),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Some(SlotRedirect::TryAgain)),
            ("CLUSTERDOWN Hash slot not served", Some(SlotRedirect::Unserved)),
            ("MOVED 16384 a:1", None), ("MOVED -1 a:1", None), ("MOVED", None), ("MOVED 1", None),
            ("MOVED 1 a", None), ("MOVED 1 a:0", None), ("ASK 1 a:65536", None),
            ("ERR MOVED 1 a:1", None), ("", None),
        ];
        for (details, expected) in rows {
            assert_eq!(
                SlotRedirect::read(details, &at("own", 1)),
                expected,
                "{details}"
            );
        }
    }
}
