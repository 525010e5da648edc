//! `[[routes]]`: which path is served by what, and what a path may be.

use super::chat::Dialect;
use super::key::{Applies, Key, KeyKind, SectionKeys};
use super::problem::Findings;
use super::template::{CHAT_PATH, Handler, PathTemplate, TemplateFault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
pub(super) fn check(routes: &[Route], dialect: Dialect, found: &mut Findings) {
    let mut templates: Vec<(&str, PathTemplate)> = Vec::with_capacity(routes.len());
    for (index, Route { path, handler, .. }) in routes.iter().enumerate() {
        let key = format!("routes[{index}].path");
        let template = match PathTemplate::parse(path, Some(*handler)) {
            Ok(template) => template,
            Err(TemplateFault { what, fix }) => {
                found.error(key, what, fix);
                continue;
            }
        };
        // Elsewhere nobody would ask which businesses exist.
        if dialect == Dialect::Django && *handler == Handler::Chat && path != CHAT_PATH {
            let what = format!("{path:?} is not where dialect \"django\" has its chat");
            found.error(&*key, what, format!("write {CHAT_PATH:?}"));
        }
        if let Some((twin, _)) = templates.iter().find(|(_, twin)| twin.overlaps(&template)) {
            let what = format!("{path:?} matches the same paths as an earlier route, {twin:?}");
            found.error(
                key,
                what,
                "remove one of the two, or tell them apart by another segment",
            );
        }
        templates.push((path, template));
    }
}
