//! What the operator should know at start: addresses, limits, worst-case memory, and advice.
//!
//! Pure: the machine's facts and the sum of its memory are arguments, the caller logs the lines.

mod machine;

use crate::admin;
use crate::config::is_loopback;
use crate::config::load::Loaded;
use crate::config::units::Bytes;
use crate::config::{Config, Dialect, WORKERS_MAX};
use std::fmt;

/// Descriptors for listeners, polls, the log, files, Redis, and the operator's connections; with few descriptors a quarter
/// of them.
const DESCRIPTORS_RESERVED: u64 = 64 + 2 * admin::CONNECTIONS_MAX as u64;
/// Below this many descriptors a chat server is a toy, and the default of many systems is 1024.
const DESCRIPTORS_ADVISED: u64 = 4096;

/// What the machine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    /// Cores this process may run on.
    pub cores: usize,
    /// Open files this process may have, after raising the limit as far as allowed.
    pub nofile: u64,
    /// Memory of the machine or the container, where it can be told.
    pub memory_bytes: Option<u64>,
}

impl MachineFacts {
    /// Data-plane threads: as configured, or one per core.
    #[must_use]
    pub fn workers(&self, config: &Config) -> usize {
        match config.server.workers {
            0 => self.cores.clamp(1, WORKERS_MAX),
            count => count,
        }
    }

    /// Most connections: as configured, but no more than the descriptors allow beside the
    /// handshakes: a refusal with a status is better than an accept that fails.
    #[must_use]
    pub fn connections(&self, config: &Config) -> usize {
        let allowed = usize::try_from(self.descriptors_left(config)).unwrap_or(usize::MAX);
        match config.limits.connections {
            0 => allowed,
            count => count.min(allowed),
        }
    }

    /// Replaces every zero that means "as the machine offers" by the number it stands for.
    #[must_use]
    pub fn resolve(&self, config: &Config) -> Config {
        let mut resolved = config.clone();
        resolved.server.workers = self.workers(config);
        resolved.limits.connections = self.connections(config);
        if let Some(share) = self.share_of_requests(config) {
            let limits = &mut resolved.limits;
            limits.handshakes = share.of(limits.handshakes).max(1);
            limits.handshakes_per_ip = share.of_address(limits.handshakes_per_ip);
            limits.kept_alive = share.of(limits.kept_alive);
            let http = &mut resolved.http;
            http.upstream_requests = share.of(http.upstream_requests).max(1);
            http.upstream_requests_per_ip = share.of_address(http.upstream_requests_per_ip);
            http.upstream_websockets = share.of(http.upstream_websockets);
            http.upstream_websockets_per_ip = share.of_address(http.upstream_websockets_per_ip);
            http.upstream_kept_alive = share.of(http.upstream_kept_alive);
        }
        resolved
    }

    /// With few descriptors, of how many requests there are descriptors beside the connections: whoever floods the public
    /// listener must not take those of the operator's.
    fn share_of_requests(&self, config: &Config) -> Option<Share> {
        let reserved = DESCRIPTORS_RESERVED.min(self.nofile / 4);
        let taken = self.connections(config) as u64;
        let left = self.nofile.saturating_sub(reserved).saturating_sub(taken);
        let wanted = requests(config);
        (left < wanted).then_some(Share { left, wanted })
    }

    fn descriptors_left(&self, config: &Config) -> u64 {
        // With few descriptors requests may use half of them: connections come first.
        let left = self
            .nofile
            .saturating_sub(DESCRIPTORS_RESERVED + requests(config));
        left.max(self.nofile / 2).max(1)
    }
}

/// So many of so many.
#[derive(Clone, Copy, Debug)]
struct Share {
    left: u64,
    wanted: u64,
}

impl Share {
    /// The same share of a limit.
    fn of(self, limit: usize) -> usize {
        let share = u128::from(self.left) * limit as u128 / u128::from(self.wanted.max(1));
        usize::try_from(share).unwrap_or(limit)
    }

    /// The same share of a limit of each address, at least 1; 0 stays no limit.
    fn of_address(self, limit: usize) -> usize {
        self.of(limit).max(limit.min(1))
    }
}

/// Descriptors of requests, and of the site behind this node: one for each connection of a client or to the site.
fn requests(config: &Config) -> u64 {
    let (limits, http) = (&config.limits, &config.http);
    let of_site = http.upstream.as_ref().map_or(0, |_site| {
        let pairs = http
            .upstream_requests
            .saturating_add(http.upstream_websockets);
        pairs
            .saturating_mul(2)
            .saturating_add(http.upstream_kept_alive)
    });
    let of_clients = limits.handshakes.saturating_add(limits.kept_alive);
    of_clients.saturating_add(of_site) as u64
}

/// Memory when every client does its worst, as the caller has summed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of all.
    pub total: u64,
    /// Of these, what each connection costs.
    pub per_connection: u64,
}

/// One line of the banner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Advice, to be logged as a warning.
    pub is_warning: bool,
    /// The text.
    pub text: String,
}

impl Line {
    fn info(text: String) -> Self {
        Self {
            is_warning: false,
            text,
        }
    }

    fn warn(text: String) -> Self {
        Self {
            is_warning: true,
            text,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_warning { "warning: " } else { "" };
        write!(f, "{prefix}{}", self.text)
    }
}

/// The lines of the banner, warnings last.
#[must_use]
pub fn banner(loaded: &Loaded, facts: &MachineFacts, memory: Memory) -> Vec<Line> {
    let config = &loaded.config;
    let (workers, connections) = (facts.workers(config), facts.connections(config));
    let mut lines = vec![
        Line::info(format!("supportal {}", env!("CARGO_PKG_VERSION"))),
        Line::info(format!(
            "public {} · admin {}",
            config.server.listen, config.admin.listen
        )),
        Line::info(format!(
            "workers {workers} · open files {} · connections at most {connections}",
            facts.nofile
        )),
        Line::info(format!(
            "memory at worst {}, {} for each connection (`supportal check` lists the parts)",
            Bytes(memory.total),
            Bytes(memory.per_connection)
        )),
    ];
    lines.extend(
        loaded
            .warnings
            .iter()
            .map(|problem| Line::warn(problem.to_string())),
    );
    let advice = [
        origin_advice(config),
        descriptors_advice(config, facts),
        requests_advice(config, facts),
        memory_advice(config, facts, memory),
        dialect_advice(config),
    ];
    lines.extend(advice.into_iter().flatten().map(Line::warn));
    lines
}

fn origin_advice(config: &Config) -> Option<String> {
    let open = config.origin.allowed.is_empty() && !is_loopback(config.server.listen.ip());
    open.then(|| {
        format!(
            "{} is reachable from outside and any web page may connect; set origin.allowed = [\"your-site.example\"]",
            config.server.listen
        )
    })
}

fn descriptors_advice(config: &Config, facts: &MachineFacts) -> Option<String> {
    let wanted = config.limits.connections as u64;
    let needed = wanted
        .saturating_add(DESCRIPTORS_RESERVED)
        .saturating_add(requests(config));
    if wanted > 0 && facts.nofile < needed {
        return Some(format!(
            "limits.connections = {wanted} needs {needed} open files, the limit is {}; raise it (`ulimit -n {needed}`, LimitNOFILE={needed}) or lower limits.connections",
            facts.nofile
        ));
    }
    (facts.nofile < DESCRIPTORS_ADVISED).then(|| {
        format!(
            "only {} open files are allowed; raise the limit (`ulimit -n 65536`, LimitNOFILE=65536)",
            facts.nofile
        )
    })
}

fn requests_advice(config: &Config, facts: &MachineFacts) -> Option<String> {
    facts.share_of_requests(config)?;
    let limits = facts.resolve(config).limits;
    let reserved = DESCRIPTORS_RESERVED.min(facts.nofile / 4);
    Some(format!(
        "of {} open files {} are left for handshakes and {} for connections kept alive, fewer than limits.handshakes and limits.kept_alive say: {} are for connections, {reserved} are reserved for the operator, Redis and files; limits.handshakes_per_ip is lowered to the same share ({}), with a site its limits and those of them per address too; raise the limit or lower those",
        facts.nofile,
        limits.handshakes,
        limits.kept_alive,
        limits.connections,
        limits.handshakes_per_ip
    ))
}

fn memory_advice(config: &Config, facts: &MachineFacts, memory: Memory) -> Option<String> {
    let available = facts.memory_bytes?;
    if memory.total <= available {
        return None;
    }
    let connections = facts.connections(config) as u64;
    let grown = memory.per_connection.saturating_mul(connections);
    let fixed = memory.total.saturating_sub(grown);
    let fitting = available.saturating_sub(fixed) / memory.per_connection.max(1);
    Some(format!(
        "memory at worst {} is more than the {} there are; {}",
        Bytes(memory.total),
        Bytes(available),
        if fitting == 0 {
            "lower limits.handshakes, server.backlog, broker.mailbox_bytes or server.workers"
                .to_owned()
        } else {
            format!("limits.connections = {fitting} fits, or lower queue.bytes_max")
        }
    ))
}

fn dialect_advice(config: &Config) -> Option<String> {
    let open = config.chat.dialect == Dialect::Django && !is_loopback(config.server.listen.ip());
    open.then(|| {
        "dialect \"django\" is for comparing sites; clients of the guide need chat.dialect = \"guide\""
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: MachineFacts = MachineFacts {
        cores: 2,
        nofile: 65_536,
        memory_bytes: None,
    };

    /// What a node takes for itself and for each connection.
    const FIXED: u64 = 1 << 30;
    const EACH: u64 = 1 << 20;

    fn texts(loaded: &Loaded, facts: &MachineFacts) -> String {
        let connections = facts.connections(&loaded.config) as u64;
        let memory = Memory {
            total: FIXED + EACH * connections,
            per_connection: EACH,
        };
        let lines = banner(loaded, facts, memory);
        let lines: Vec<String> = lines.iter().map(Line::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn the_default_on_a_good_machine_gives_no_advice() {
        let text = texts(&Loaded::default(), &FACTS);
        assert!(!text.contains("warning"), "{text}");
        for part in [
            "127.0.0.1:8000",
            "127.0.0.1:9000",
            "workers 2",
            "open files 65536",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn an_open_address_without_origins_is_advised_on() {
        let mut loaded = Loaded::default();
        loaded.config.server.listen = ([0, 0, 0, 0], 8000).into();
        assert!(texts(&loaded, &FACTS).contains("set origin.allowed"));
        loaded.config.origin.allowed = vec!["example.com".to_owned()];
        assert!(!texts(&loaded, &FACTS).contains("set origin.allowed"));
    }

    #[test]
    fn too_few_descriptors_are_advised_on() {
        let few = MachineFacts {
            nofile: 1024,
            ..FACTS
        };
        assert!(texts(&Loaded::default(), &few).contains("ulimit -n 65536"));
        let mut loaded = Loaded::default();
        loaded.config.limits.connections = 100_000;
        let text = texts(&loaded, &FACTS);
        assert!(
            text.contains("needs 105312 open files, the limit is 65536"),
            "{text}"
        );
    }

    #[test]
    fn memory_that_is_not_there_is_advised_on_with_a_number_that_fits() {
        let facts = MachineFacts {
            memory_bytes: Some(4 << 30),
            ..FACTS
        };
        let mut loaded = Loaded::default();
        let text = texts(&loaded, &facts);
        let fitting = text
            .split("limits.connections = ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|number| number.parse().ok());
        loaded.config.limits.connections = fitting.expect("the advice names a number");
        assert!(!texts(&loaded, &facts).contains("is more than"));
    }

    #[test]
    fn resolving_replaces_the_zeros() {
        let resolved = FACTS.resolve(&Config::default());
        assert_eq!(resolved.server.workers, 2);
        assert_eq!(resolved.limits.connections, 65_536 - 192 - 4096 - 1024);
        let tiny = MachineFacts {
            nofile: 256,
            ..FACTS
        };
        assert_eq!(tiny.connections(&Config::default()), 128);
    }

    #[test]
    fn with_few_descriptors_there_are_some_for_all_and_the_reserve_is_nobody_s() {
        let mut loaded = Loaded::default();
        loaded.config.http.upstream = Some("http://127.0.0.1:8001".to_owned());
        let config = &loaded.config;
        for nofile in [64, 256, 1024, 4096, 5000, 20_000, 65_536] {
            let few = MachineFacts { nofile, ..FACTS };
            let resolved = few.resolve(config);
            let limits = &resolved.limits;
            let used = limits.connections as u64 + requests(&resolved);
            let reserved = DESCRIPTORS_RESERVED.min(nofile / 4);
            assert!(used + reserved <= nofile + 3, "{nofile}: {used}");
            assert!(limits.handshakes > 0 && limits.connections > 0);
            let http = &resolved.http;
            // By default an address may have a fourth of each.
            for (each, all) in [
                (limits.handshakes_per_ip, limits.handshakes),
                (http.upstream_requests_per_ip, http.upstream_requests),
                (http.upstream_websockets_per_ip, http.upstream_websockets),
            ] {
                let fourth = (all + 1).div_ceil(4);
                assert!((1..=fourth).contains(&each), "{nofile}: {each} of {all}");
            }
            let is_lowered = limits.handshakes < config.limits.handshakes;
            let text = texts(&loaded, &few);
            let told = format!("{} are left for handshakes", limits.handshakes);
            let of_each = format!("the same share ({})", limits.handshakes_per_ip);
            assert_eq!(text.contains(&of_each), is_lowered, "{nofile}: {text}");
            assert_eq!(text.contains(&told), is_lowered, "{nofile}: {text}");
        }
        let few = MachineFacts {
            nofile: 256,
            ..FACTS
        };
        loaded.config.limits.handshakes_per_ip = 0;
        let of_each = few.resolve(&loaded.config).limits.handshakes_per_ip;
        assert_eq!(of_each, 0, "no limit stays none");
    }
}
