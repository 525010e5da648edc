//! The values given so far, layer over layer.

use super::environment::{PORT, REDIS_URL};
use super::key::{Key, KeyKind};
use super::keys;
use super::problem::{Problem, Source};
use super::sections::Config;
use super::value;
use std::collections::BTreeMap;
use toml::Value;

/// The values collected so far, and the mistakes in them.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) values: BTreeMap<&'static str, Value>,
    pub(super) sources: BTreeMap<&'static str, Source>,
    /// Where an entry of a list of tables stands, and each of its fields: `routes[1]`, `routes[1].path`.
    pub(super) entries: BTreeMap<String, Source>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// The name by which each key was given first, and where.
    names: BTreeMap<&'static str, (String, Source)>,
}

impl Layers {
    /// The key with this path, of today or from before it moved; an old one is warned of.
    pub(super) fn find(&mut self, path: &str, source: &Source) -> Option<&'static Key> {
        let key = keys::find(keys::today(path))?;
        let given = || (path.to_owned(), source.clone());
        let is_new = !self.names.contains_key(key.path);
        let (name, first) = self.names.entry(key.path).or_insert_with(given);
        let fix = format!("write {} alone", key.path);
        if name.as_str() != path {
            let what = format!("is the same key as {name}, which {first} gives");
            self.report(source.clone(), path, what, fix);
        } else if is_new && path != key.path {
            let what = format!("is read as {}, its name since it moved", key.path);
            let warning = Problem::new(source.clone(), path, what, fix);
            self.warnings.push(warning);
        }
        Some(key)
    }

    /// Where the value stands that a check names by this key, or what it stands in.
    pub(super) fn source_of(&self, key: &str) -> Source {
        let mut inner = key;
        loop {
            if let Some(source) = self.entries.get(inner) {
                return source.clone();
            }
            let Some((outer, _)) = inner.rsplit_once('.') else {
                break;
            };
            inner = outer;
        }
        let path = key.split('[').next().unwrap_or_default();
        self.sources.get(path).cloned().unwrap_or_default()
    }

    pub(super) fn report(
        &mut self,
        source: Source,
        key: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.problems.push(Problem::new(source, key, what, fix));
    }

    pub(super) fn report_unknown(&mut self, source: Source, path: &str) {
        if keys::is_section(path) {
            let fix = format!("set one of its keys: {}.<key>", keys::today(path));
            return self.report(source, path, "is a section, not a key", fix);
        }
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !path.chars().all(is_legal) {
            // Perhaps a piece of an address, with a piece of its password.
            let what = "names no key; it is not shown, since it may hold a secret";
            return self.report(source, "", what, "write section.key=value, in quotes");
        }
        let fix = keys::nearest(path)
            .map_or_else(String::new, |known| format!("did you mean `{known}`?"));
        self.report(source, path, "unknown key", fix);
    }

    /// Takes a value if its type fits; later layers replace earlier ones.
    pub(super) fn set(&mut self, key: &'static Key, value: Value, source: Source) {
        let value = value::spread(key, value);
        match value::check(key, &value) {
            Ok(()) => {
                let begins = format!("{}[", key.path);
                self.entries.retain(|entry, _| !entry.starts_with(&begins));
                self.values.insert(key.path, value);
                self.sources.insert(key.path, source);
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    let path = format!("{}{}", key.path, mistake.below);
                    self.report(source.clone(), &path, mistake.what, mistake.fix);
                }
            }
        }
    }

    pub(super) fn set_text(&mut self, key: &'static Key, text: &str, source: Source) {
        let is_list = matches!(
            key.kind,
            KeyKind::List | KeyKind::Choices(_) | KeyKind::Secrets | KeyKind::Urls | KeyKind::Hosts
        );
        if is_list && text.trim().is_empty() {
            // Mostly a variable of a shell that was not set; some lists are open when they are empty.
            let fix = "write [] for an empty list, or leave it out";
            return self.report(source, key.path, "is empty", fix);
        }
        self.set(key, value::from_text(key.kind, text), source);
    }

    /// Whoever gives the guide's address of Redis without a word on the mode wants it used.
    pub(super) fn turn_on_bridge(&mut self) {
        let source = match self.sources.get("bridge.urls") {
            Some(source @ Source::Flag("--redis-url")) => source.clone(),
            Some(source @ Source::Environment(name)) if name == REDIS_URL => source.clone(),
            _ => return,
        };
        if let Some(key) =
            keys::find("bridge.mode").filter(|key| !self.values.contains_key(key.path))
        {
            self.set(key, Value::String("pubsub".to_owned()), source);
        }
    }

    /// `PORT` keeps the host that is configured below it.
    pub(super) fn set_port(&mut self, text: &str) {
        let source = Source::Environment(PORT.to_owned());
        let Some(key) = keys::find("server.listen") else {
            return;
        };
        let Ok(port) = text.trim().parse::<u16>() else {
            let fix = "write a number from 0 to 65535, such as PORT=8000";
            return self.report(source, "", format!("{text:?} is not a port"), fix);
        };
        let mut listen = self
            .values
            .get(key.path)
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .unwrap_or(Config::default().server.listen);
        listen.set_port(port);
        self.set(key, Value::String(listen.to_string()), source);
    }
}
