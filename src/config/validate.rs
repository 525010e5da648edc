//! What types cannot say: ranges, and keys that contradict each other.
//!
//! An error stops the start (exit 64); a warning goes to the banner. Each names its key and the fix.
//! Pure: nothing is opened, resolved or measured here.

use super::problem::{Problem, Source};
use super::{
    Config, Handler, Route, admin, assistant, bridge, channels, chat, history, limits, log, origin,
    server,
};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What [`validate`] found; the sources are filled in by the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Stops the start.
    pub errors: Vec<Problem>,
    /// Legal, but probably not meant.
    pub warnings: Vec<Problem>,
}

impl Findings {
    pub(super) fn error(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let problem = Problem::new(Source::Default, key, what, fix);
        self.errors.push(problem);
    }

    pub(super) fn warn(
        &mut self,
        key: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let problem = Problem::new(Source::Default, key, what, fix);
        self.warnings.push(problem);
    }
}

/// Checks a whole configuration.
#[must_use]
pub fn validate(config: &Config) -> Findings {
    let mut found = Findings::default();
    server::check(&config.server, &mut found);
    check_routes(&config.routes, &mut found);
    origin::check(&config.origin, &mut found);
    chat::check(config, &mut found);
    limits::check(config, &mut found);
    history::check(config, &mut found);
    bridge::check(config, &mut found);
    channels::check(&config.channels, &mut found);
    assistant::check(&config.assistant, &mut found);
    admin::check(config, &mut found);
    log::check(&config.log, &mut found);
    limits::check_routes(config, &mut found);
    found
}

fn check_routes(routes: &[Route], found: &mut Findings) {
    let mut shapes = BTreeSet::new();
    for (index, route) in routes.iter().enumerate() {
        let key = format!("routes[{}].path", index + 1);
        let path = &route.path;
        if !path.starts_with('/') {
            let fix = format!("write \"/{path}\"");
            found.error(&key, format!("{path:?} does not begin with `/`"), fix);
        }
        if path.contains(['?', '#', '%'])
            || path.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            let what = format!("{path:?} has characters that a decoded path does not keep");
            found.error(
                &key,
                what,
                "write the path alone, without query, `%` or spaces",
            );
        }
        check_placeholders(&key, route, found);
        let shape = shape(path);
        if !shapes.insert(shape) {
            let what = format!("{path:?} matches the same paths as an earlier route");
            found.error(&key, what, "remove one of the two");
        }
    }
}

/// A path with its parts without their names: two of one shape match the same paths.
fn shape(path: &str) -> String {
    let part = |segment: &str| match placeholder(segment) {
        Some(kind) => format!("{{{kind}}}"),
        None => segment.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The type of a placeholder; empty for the ids of a chat.
fn placeholder(segment: &str) -> Option<&str> {
    let part = segment.strip_prefix('{')?.strip_suffix('}')?;
    match part.split_once(':') {
        None => ["business_id", "session_id"].contains(&part).then_some(""),
        Some((_, kind)) => ["int", "slug", "uuid"].contains(&kind).then_some(kind),
    }
}

fn check_placeholders(key: &str, route: &Route, found: &mut Findings) {
    let path = &route.path;
    let count = |name: &str| path.split('/').filter(|segment| *segment == name).count();
    let known = ["{business_id}", "{session_id}"];
    for segment in path
        .split('/')
        .filter(|segment| segment.contains(['{', '}']))
    {
        if placeholder(segment).is_none() {
            let fix = "placeholders are the whole segments {business_id}, {session_id}, {name:int}, {name:slug} and {name:uuid}";
            found.error(key, format!("{segment:?} is not a placeholder"), fix);
        }
    }
    for name in known {
        if route.handler == Handler::Chat && count(name) == 0 {
            let what = format!("a chat route without {name} has no room");
            found.error(
                key,
                what,
                format!("add the segment {name}, as in {:?}", super::CHAT_PATH),
            );
        }
        if count(name) > 1 {
            found.error(key, format!("{name} appears twice"), "keep one of them");
        }
    }
}

/// Whether an address is this machine's own, in either family.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
