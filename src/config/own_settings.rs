//! Settings that routes have of their own, merged with the node's.

use super::keys;
use super::limits::{LimitSettings, QueueSettings};
use super::problem::Findings;
use super::route::{OWN_SETTINGS_MAX, OwnKeys, Plain, Route};
use super::sections::Config;
use super::{HistoryMode, archive, bridge, history, limits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The sections of which a route may have keys of its own.
const OF_ROUTES: [&str; 2] = ["queue", "limits"];

impl Route {
    /// The paths of the keys that it has of its own.
    fn own_keys(&self) -> impl Iterator<Item = String> {
        let sections = OF_ROUTES.into_iter().zip([&self.queue, &self.limits]);
        sections.flat_map(|(section, own)| own.keys().map(move |name| format!("{section}.{name}")))
    }
}

/// A section with the route's own keys in their place.
fn merged<T: Serialize + DeserializeOwned>(section: &T, own: &OwnKeys) -> Result<T, String> {
    let of_node = Table::try_from(section).map_err(|error| error.to_string())?;
    let of_route = own.iter().map(|(name, value)| {
        let value = match value {
            Plain::Number(number) => Value::Integer((*number).into()),
            Plain::Text(text) => Value::String(text.clone()),
        };
        (name.clone(), value)
    });
    let all: Table = of_node.into_iter().chain(of_route).collect();
    all.try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

/// A section of `now` with what differs in the route's from that of `before`.
fn carried<T: Serialize + DeserializeOwned>(route: &T, before: &T, now: &T) -> Result<T, String> {
    let table = |section: &T| Table::try_from(section).map_err(|error| error.to_string());
    let before = table(before)?;
    let own = table(route)?
        .into_iter()
        .filter(|(name, value)| before.get(name) != Some(value));
    let all: Table = table(now)?.into_iter().chain(own).collect();
    all.try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

impl Config {
    /// The settings as they hold on the routes that have some of their own, in the order of these routes.
    ///
    /// # Errors
    /// One sentence that names the path, if a key is none or its value does not fit.
    pub fn of_routes(&self) -> Result<Vec<Self>, String> {
        let own = self.routes.iter().filter(|route| route.has_own_settings());
        own.map(|route| {
            let merge = || {
                let (queue, limits) = (
                    merged(&self.queue, &route.queue)?,
                    merged(&self.limits, &route.limits)?,
                );
                Ok(Self {
                    queue,
                    limits,
                    ..self.clone()
                })
            };
            merge().map_err(|what: String| format!("route {:?}: {what}", route.path))
        })
        .collect()
    }

    /// These settings of a route of the program's own, made on the node `before`, for the node `now`: what the route has
    /// changed stays, all else is the node's.
    ///
    /// # Errors
    /// One sentence that names the key, if they do not fit there.
    pub(crate) fn carried_over(&self, before: &Self, now: &Self) -> Result<Self, String> {
        let queue = carried(&self.queue, &before.queue, &now.queue)?;
        let limits = carried(&self.limits, &before.limits, &now.limits)?;
        now.admit(&queue, &limits)
    }

    /// Checks these settings of a route of the program's own on this node, as those of `[[routes]]` are.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub(crate) fn admit(
        &self,
        queue: &QueueSettings,
        limits: &LimitSettings,
    ) -> Result<Self, String> {
        let merged = Self {
            queue: queue.clone(),
            limits: limits.clone(),
            ..self.clone()
        };
        for (section, of_node, of_route) in [
            (
                "queue",
                Table::try_from(&self.queue),
                Table::try_from(queue),
            ),
            (
                "limits",
                Table::try_from(&self.limits),
                Table::try_from(limits),
            ),
        ] {
            let (of_node, of_route) = (of_node.unwrap_or_default(), of_route.unwrap_or_default());
            let is_kept = |(name, value): &(&String, &Value)| of_node.get(*name) == Some(*value);
            let changed = of_route.iter().filter(|entry| !is_kept(entry));
            let mut keys = changed.map(|(name, _)| format!("{section}.{name}"));
            if let Some(key) = keys.find(|key| !is_per_route(key)) {
                return Err(format!("{key}: no route has this of its own"));
            }
        }
        match beside(self, &merged).errors.first() {
            Some(problem) => Err(format!("{}: {}", problem.key, problem.what)),
            None => Ok(merged),
        }
    }
}

/// Is this a key that a route may have of its own?
fn is_per_route(path: &str) -> bool {
    keys::find(path).is_some_and(|key| key.per_route)
}

/// Checks the sections that a route may change, and those that have to hold what it lets through.
pub(super) fn check_bounds(config: &Config, found: &mut Findings) {
    let event_bytes = config.event_bytes(config.limits.message_bytes);
    let (queue, bridge) = (&config.queue, &config.bridge);
    limits::check(queue, &config.limits, &config.broker, event_bytes, found);
    let kept_by = (bridge.mode, config.archive.mode);
    history::check(&config.history, kept_by, queue, found);
    let through = (bridge, config.chat.deliver);
    let is_read = config.api.is_on() || config.history.mode == HistoryMode::Journal;
    archive::check(&config.archive, through, event_bytes, is_read, found);
    bridge::check(bridge, &config.channels, event_bytes, found);
}

/// What is wrong with a route's settings that is not wrong with the node's.
fn beside(node: &Config, route: &Config) -> Findings {
    let [general, mut found] = [node, route].map(|config| {
        let mut found = Findings::default();
        check_bounds(config, &mut found);
        found
    });
    found
        .errors
        .retain(|problem| !general.errors.contains(problem));
    found
        .warnings
        .retain(|problem| !general.warnings.contains(problem));
    found
}

/// What the settings of routes say for themselves, and together with the node's.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let own = config.routes.iter().enumerate();
    let own = own.filter(|(_, route)| route.has_own_settings());
    if own.clone().count() > OWN_SETTINGS_MAX {
        let what = format!("more than {OWN_SETTINGS_MAX} routes have settings of their own");
        found.error(
            "routes",
            what,
            "set in [queue] and [limits] what most have in common",
        );
    }
    // One that cannot be merged has been told with its value.
    let merged = config.of_routes().unwrap_or_default();
    for ((index, route), merged) in own.zip(merged) {
        let in_route = |key: &str| format!("routes[{index}].{key}");
        for key in route.own_keys() {
            if !is_per_route(&key) {
                let fix = format!("write {key} once, for all routes");
                found.error(in_route(&key), "no route has this of its own", fix);
            }
        }
        let mut here = beside(config, &merged);
        for problem in here.errors.iter_mut().chain(&mut here.warnings) {
            let section = problem.key.split('.').next().unwrap_or_default();
            if OF_ROUTES.contains(&section) {
                problem.key = in_route(&problem.key);
            }
        }
        found.errors.append(&mut here.errors);
        found.warnings.append(&mut here.warnings);
    }
}
