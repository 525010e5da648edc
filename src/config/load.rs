//! Settings from four layers: flag > environment > file > default, each value with its source.
//!
//! The input is explicit ([`Loader`]): nothing here reads the process's environment, so tests cannot
//! disturb each other. Every mistake that can be found is found in one go; see [`Error`].

use super::keys::{self, Key, Kind};
use super::problem::{Error, Problem, Source};
use super::{AssistantKind, Config, environment, file, validate, value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::Value;

/// The variable of hosting platforms for the port to listen on.
const PORT: &str = "PORT";
/// The guide's variable for the address of Redis.
const REDIS_URL: &str = "REDIS_URL";

/// What the user gave, before any of it is understood.
#[derive(Clone, Default)]
pub struct Loader {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The environment; names that are not ours are ignored, empty texts are "not given".
    pub environment: BTreeMap<String, String>,
    /// The `section.key=value` of every `--set`, in order: the last of a key wins.
    pub sets: Vec<String>,
    /// `--listen`; wins over `--set server.listen`.
    pub listen: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--workers`.
    pub workers: Option<String>,
    /// `--redis-url`.
    pub redis_url: Option<String>,
}

impl fmt::Debug for Loader {
    // The environment, `--set` and the Redis URL may carry secrets: names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("file", &self.file)
            .field("environment", &self.environment.keys())
            .field("sets", &self.sets.len())
            .finish_non_exhaustive()
    }
}

/// A configuration that passed every check.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Advice for the operator: legal, but probably not meant.
    pub warnings: Vec<Problem>,
    sources: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where the value of a key came from.
    #[must_use]
    pub fn source(&self, path: &str) -> Source {
        self.sources.get(path).cloned().unwrap_or_default()
    }
}

impl Loader {
    /// Merges the layers and checks the result.
    ///
    /// # Errors
    /// Every mistake found: unreadable or malformed file, unknown keys, wrong types, and what
    /// [`validate`](super::validate::validate) refuses.
    pub fn load(self) -> Result<Loaded, Error> {
        let mut layers = Layers::default();
        if let Some(path) = &self.file {
            file::read(path, &mut layers);
        }
        self.read_environment(&mut layers);
        self.read_flags(&mut layers);
        let warnings = self.ignored_values(&layers);
        layers.finish(warnings)
    }

    /// The variables with anything in them; see [`environment::is_given`].
    fn given(&self) -> impl Iterator<Item = (&String, &String)> {
        let all = self.environment.iter();
        all.filter(|(_, text)| environment::is_given(text))
    }

    fn variable(&self, name: &str) -> Option<&String> {
        let text = self.environment.get(name);
        text.filter(|text| environment::is_given(text))
    }

    fn read_environment(&self, layers: &mut Layers) {
        for (name, text) in self.given() {
            let source = || Source::Environment(name.clone());
            let path = environment::path_of(name);
            let key = path
                .as_deref()
                .and_then(|path| layers.find(path, &source()));
            let is_read = key.is_some() || [PORT, REDIS_URL].contains(&name.as_str());
            if is_read && text.contains(char::REPLACEMENT_CHARACTER) {
                let fix = "write it in UTF-8";
                layers.report(source(), "", "is not UTF-8 text", fix);
            } else if let Some(key) = key {
                layers.set_text(key, text, source());
            } else if environment::is_ours(name) && !environment::is_service_link(name, text) {
                let fix = environment::guess(name).map_or_else(String::new, |key| {
                    format!("did you mean {}?", key.environment())
                });
                layers.report(source(), "", "no setting has this name", fix);
            }
        }
        if self.variable("SUPPORTAL_SERVER__LISTEN").is_none()
            && let Some(text) = self.variable(PORT)
        {
            layers.set_port(text);
        }
        if self.variable("SUPPORTAL_BRIDGE__URLS").is_none()
            && let Some(text) = self.variable(REDIS_URL)
            && let Some(key) = keys::find("bridge.urls")
        {
            layers.set_text(key, text, Source::Environment(REDIS_URL.to_owned()));
        }
    }

    fn read_flags(&self, layers: &mut Layers) {
        for (index, set) in self.sets.iter().enumerate() {
            let source = Source::Flag("--set");
            let Some((path, text)) = set.split_once('=') else {
                // Not printed: it may be a secret with a forgotten `=`.
                layers.report(
                    source,
                    "",
                    format!("number {} has no `=`", index + 1),
                    "write --set section.key=value",
                );
                continue;
            };
            match layers.find(path.trim(), &source) {
                Some(key) => layers.set_text(key, text.trim(), source),
                None => layers.report_unknown(source, path.trim()),
            }
        }
        for (path, flag, text) in [
            ("server.listen", "--listen", &self.listen),
            ("admin.listen", "--admin", &self.admin),
            ("server.workers", "--workers", &self.workers),
            ("bridge.urls", "--redis-url", &self.redis_url),
        ] {
            if let (Some(text), Some(key)) = (text, keys::find(path)) {
                layers.set_text(key, text, Source::Flag(flag));
            }
        }
        layers.turn_on_bridge();
    }

    /// Values that are accepted and have no effect.
    fn ignored_values(&self, layers: &Layers) -> Vec<Problem> {
        let mut warnings = Vec::new();
        let port_source = Source::Environment(PORT.to_owned());
        if self.variable(PORT).is_some()
            && layers.sources.get("server.listen") != Some(&port_source)
            && let Some(winner) = layers.sources.get("server.listen")
        {
            warnings.push(Problem::new(
                port_source,
                "",
                format!("not used: server.listen is set by {winner}"),
                "remove one of the two",
            ));
        }
        warnings
    }
}

/// The values collected so far, and the mistakes in them.
#[derive(Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, Value>,
    sources: BTreeMap<&'static str, Source>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
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

    fn set_text(&mut self, key: &'static Key, text: &str, source: Source) {
        let is_list = matches!(
            key.kind,
            Kind::List | Kind::Secrets | Kind::Urls | Kind::Hosts
        );
        if is_list && text.trim().is_empty() {
            // Mostly a variable of a shell that was not set; some lists are open when they are empty.
            let fix = "write [] for an empty list, or leave it out";
            return self.report(source, key.path, "is empty", fix);
        }
        self.set(key, value::from_text(key.kind, text), source);
    }

    /// Whoever gives the guide's address of Redis without a word on the mode wants it used.
    fn turn_on_bridge(&mut self) {
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
    fn set_port(&mut self, text: &str) {
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

    fn finish(mut self, mut warnings: Vec<Problem>) -> Result<Loaded, Error> {
        let mut root = toml::Table::new();
        for (path, value) in std::mem::take(&mut self.values) {
            value::nest(&mut root, path, value);
        }
        warnings.append(&mut self.warnings);
        let config: Config = match Value::Table(root).try_into() {
            Ok(config) => config,
            Err(_unreachable) => {
                // Every value was checked alone; never show the text, which may hold a secret.
                self.report(
                    Source::Default,
                    "",
                    "the values do not fit together",
                    "report this as a fault",
                );
                return Err(Error::new(self.problems));
            }
        };
        let findings = validate::validate(&config);
        let located = |mut problem: Problem| {
            let path = problem.key.split('[').next().unwrap_or_default();
            problem.source = self.sources.get(path).cloned().unwrap_or_default();
            problem
        };
        warnings.extend(findings.warnings.into_iter().map(located));
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(findings.errors.into_iter().map(located));
        problems.extend(missing_knowledge(&config).map(located));
        problems.extend(missing_certificates(&config).into_iter().map(located));
        if problems.is_empty() {
            Ok(Loaded {
                config,
                warnings,
                sources: self.sources,
            })
        } else {
            Err(Error::new(problems))
        }
    }
}

/// A file the user names must be there when the server starts, not when the first customer asks.
fn missing_knowledge(config: &Config) -> Option<Problem> {
    let path = config.assistant.knowledge.as_ref()?;
    let missing = config.assistant.kind == AssistantKind::Faq && !path.is_file();
    missing.then(|| {
        Problem::new(
            Source::Default,
            "assistant.knowledge",
            format!("{path:?} is not a file"),
            "give the path from the working directory, or leave the key out",
        )
    })
}

fn missing_certificates(config: &Config) -> Vec<Problem> {
    let bridge = &config.bridge;
    let files = [
        ("bridge.ca_file", &bridge.ca_file),
        ("bridge.client_cert", &bridge.client_cert),
        ("bridge.client_key", &bridge.client_key),
    ];
    let missing = |(key, path): (&str, &Option<PathBuf>)| {
        let path = path.as_ref().filter(|path| !path.is_file())?;
        Some(Problem::new(
            Source::Default,
            key,
            format!("{path:?} is not a file"),
            "give the path from the working directory, or leave the key out",
        ))
    };
    files.into_iter().filter_map(missing).collect()
}
