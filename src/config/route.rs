//! `[[routes]]`: which path is served by what, and what a path may be.

use super::key::{Applies, Key, KeyKind, SectionKeys};
use super::problem::Findings;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The one key that is in no section.
pub(super) const ROUTES: SectionKeys = SectionKeys {
    name: "",
    doc: "Which path is served by what.",
    keys: &[Key {
        path: "routes",
        kind: KeyKind::Tables(&["path", "handler", "queue", "limits"]),
        change: Applies::Restart,
        per_route: false,
        doc: "Paths and what serves them (`chat`, `echo` or `relay`); none = the guide's chat route. A route may have keys \
              of `queue` and `limits` of its own, such as `queue.capacity = 500`: those marked `route`.",
    }],
};

/// Most routes with settings of their own: a connection keeps the number of its route's in one byte.
pub const OWN_SETTINGS_MAX: usize = 255;

/// One entry of `[[routes]]`. Without any, the chat route of the guide is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path with `{business_id}` and `{session_id}` as whole segments; compared exactly.
    pub path: String,
    /// What serves it.
    pub handler: Handler,
    /// Keys of `[queue]` that this route has of its own.
    #[serde(default, skip_serializing_if = "OwnKeys::is_empty")]
    pub queue: OwnKeys,
    /// Keys of `[limits]` that this route has of its own.
    #[serde(default, skip_serializing_if = "OwnKeys::is_empty")]
    pub limits: OwnKeys,
}

/// Keys of one section, by name, that a route has of its own.
pub type OwnKeys = BTreeMap<String, Plain>;

/// A value as a file has it, of a kind that a route may have of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Plain {
    /// A number.
    Number(u32),
    /// A duration or a choice.
    Text(String),
}

/// What serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// The chat contract; the path must name `{business_id}` and `{session_id}`.
    Chat,
    /// Sends every message back as it came, text and binary (conformance suites).
    Echo,
    /// Sends every message of a member to all members of the room as it came, text and binary.
    Relay,
}

/// The chat route of the guide, served when `[[routes]]` names none.
pub const CHAT_PATH: &str = "/ws/chat/{business_id}/{session_id}/";

impl Route {
    /// A route with the settings of the node.
    #[must_use]
    pub fn new(path: impl Into<String>, handler: Handler) -> Self {
        Self {
            path: path.into(),
            handler,
            queue: OwnKeys::new(),
            limits: OwnKeys::new(),
        }
    }

    /// Does it have settings of its own?
    #[must_use]
    pub fn has_own_settings(&self) -> bool {
        !self.queue.is_empty() || !self.limits.is_empty()
    }
}

/// Each path can match, and no two of them the same.
pub(super) fn check(routes: &[Route], found: &mut Findings) {
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
                format!("add the segment {name}, as in {:?}", CHAT_PATH),
            );
        }
        if count(name) > 1 {
            found.error(key, format!("{name} appears twice"), "keep one of them");
        }
    }
}
