//! What is declared of every setting: loader, documents and `supportal config` read it.

use super::SECTIONS;

/// What a key's value is, in the words of its error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of at least zero.
    Count,
    /// `true` or `false`.
    Switch,
    /// Text.
    Text,
    /// Text that is never printed.
    Secret,
    /// Text such as `"60s"`.
    Duration,
    /// Text such as `"127.0.0.1:8000"`.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of texts that are never printed.
    Secrets,
    /// A list of addresses with passwords in them, printed without.
    Urls,
    /// A list of hosts, each an address as in `Urls` or in another form of channels_redis.
    Hosts,
    /// An array of tables whose entries have these fields.
    Tables(&'static [&'static str]),
}

impl Kind {
    /// The word for the kind in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "number",
            Self::Switch => "switch",
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Duration => "duration",
            Self::Address => "address",
            Self::Choice(_) => "choice",
            Self::List => "list",
            Self::Secrets => "secrets",
            Self::Urls => "addresses",
            Self::Hosts => "hosts",
            Self::Tables(_) => "tables",
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`, a section being one name or several with dots; only `routes` has none.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// When a new value counts.
    pub change: Applies,
    /// May an entry of `[[routes]]` have a value of its own?
    pub per_route: bool,
    /// One sentence: unit, meaning, what zero means.
    pub doc: &'static str,
}

/// When the new value of a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// From a reload on, while the node runs.
    Live,
    /// From the next start on.
    Restart,
}

impl Applies {
    /// The word for it in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct SectionKeys {
    /// Its heading, empty for the top level.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Its keys, in the order of the documents.
    pub keys: &'static [Key],
}

impl Key {
    /// The section, empty for a key of the top level.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The key inside its section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn environment(&self) -> String {
        format!(
            "{ENVIRONMENT_PREFIX}{}",
            self.path.replace('.', "__").to_ascii_uppercase()
        )
    }
}

/// What the names of our environment variables begin with.
pub const ENVIRONMENT_PREFIX: &str = "SUPPORTAL_";

/// Every key of [`Config`](super::Config), in the order of the documents.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The key with this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// The section that `channels` was, inside `bridge`; its keys are still read there, with a warning.
pub(super) const OLD_CHANNELS: &str = "bridge.channels";

/// The path by which a key is known today: that of a key which has moved, or the same.
pub(super) fn today(path: &str) -> &str {
    let is_old = path
        .strip_prefix(OLD_CHANNELS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let moved = path.split_once('.').map_or(path, |(_, rest)| rest);
    if is_old { moved } else { path }
}

/// Is this a section, by its name of today or its old one?
pub(super) fn is_section(path: &str) -> bool {
    let name = today(path);
    !name.is_empty() && SECTIONS.iter().any(|section| section.name == name)
}

/// The known key an unknown one was probably meant to be.
///
/// The same name in another section is taken first: a key under the wrong heading is the usual slip.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    let path = today(path);
    let name = path.rsplit('.').next().unwrap_or(path);
    let moved = all().find(|key| key.name() == name);
    moved
        .map(|key| key.path)
        .or_else(|| nearest_of(path, all().map(|key| key.path)))
}

/// The word of `known` that looks most like `word`, if any looks like it at all.
pub(super) fn nearest_of(
    word: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    known
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Secret};
    use super::*;
    use std::collections::BTreeSet;

    fn paths_of(config: &Config) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        collect("", &toml::Table::try_from(config).unwrap(), &mut paths);
        paths
    }

    fn collect(section: &str, table: &toml::Table, paths: &mut BTreeSet<String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(keys) => collect(&format!("{section}{name}."), keys, paths),
                _ => {
                    paths.insert(format!("{section}{name}"));
                }
            }
        }
    }

    #[test]
    fn the_table_lists_exactly_the_keys_of_the_settings() {
        let mut config = Config::default();
        // Unset values are not serialised.
        config.assistant.knowledge = Some("faq.toml".into());
        config.bridge.ca_file = Some("ca.pem".into());
        config.bridge.client_cert = Some("cert.pem".into());
        config.bridge.client_key = Some("key.pem".into());
        config.channels.send_to = Some("a".to_owned());
        config.channels.send_to_group = Some("a".to_owned());
        config.admin.token = Some(Secret::new("x"));
        let listed: BTreeSet<String> = all().map(|key| key.path.to_owned()).collect();
        assert_eq!(listed, paths_of(&config));
        assert_eq!(listed.len(), all().count(), "a key is listed twice");
    }

    #[test]
    fn the_nearest_key_is_a_sensible_one() {
        assert_eq!(nearest("queue.capasity"), Some("queue.capacity"));
        assert_eq!(nearest("server.capacity"), Some("queue.capacity"));
        assert_eq!(nearest("zzz"), None);
    }
}
