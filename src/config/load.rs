//! Settings from four layers: flag > environment > file > default, each value with its source.
//!
//! The input is explicit ([`Loader`]): nothing here reads the process's environment, so tests cannot
//! disturb each other. Every mistake that can be found is found in one go; see [`Error`].

use super::environment::{self, PORT, REDIS_URL};
use super::layers::Layers;
use super::problem::{Error, Findings, Problem, Source};
use super::{AssistantKind, Config, Vet, archive, file, keys, path, redirect, validate};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::Value;

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
        finish(layers, warnings)
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

/// Every value was checked alone; here they are checked together.
fn finish(mut layers: Layers, mut warnings: Vec<Problem>) -> Result<Loaded, Error> {
    let mut root = toml::Table::new();
    for (path, value) in std::mem::take(&mut layers.values) {
        path::nest(&mut root, path, value);
    }
    warnings.append(&mut layers.warnings);
    let config: Config = match Value::Table(root).try_into() {
        Ok(config) => config,
        Err(_unreachable) => {
            // Every value was checked alone; never show the text, which may hold a secret.
            layers.report(
                Source::Default,
                "",
                "the values do not fit together",
                "report this as a fault",
            );
            return Err(Error::new(layers.problems));
        }
    };
    let findings = judge(&config);
    let mut problems = std::mem::take(&mut layers.problems);
    let located = |mut problem: Problem| {
        problem.source = layers.source_of(&problem.key);
        problem
    };
    warnings.extend(findings.warnings.into_iter().map(located));
    problems.extend(findings.errors.into_iter().map(located));
    if problems.is_empty() {
        Ok(Loaded {
            config,
            warnings,
            sources: layers.sources,
        })
    } else {
        Err(Error::new(problems))
    }
}

/// Checks settings that a program has made itself by the rules for those that are loaded.
///
/// # Errors
/// Every mistake found, each with its key and the fix.
pub fn check(config: &Config) -> Result<(), Error> {
    let Findings { errors, .. } = judge(config);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::new(errors))
    }
}

/// What is wrong with the values together, and which files are missing.
fn judge(config: &Config) -> Findings {
    let mut findings = validate::validate(config);
    findings.errors.extend(missing_files(config));
    findings.errors.extend(redirect::missing_folder(config));
    let folder = archive::missing_folder(&config.archive);
    findings.errors.extend(folder);
    findings
}

/// A file the user names must be there when the server starts, not when the first customer asks.
fn missing_files(config: &Config) -> Vec<Problem> {
    let (assistant, bridge) = (&config.assistant, &config.bridge);
    let knowledge = assistant.knowledge.as_ref();
    let openai = Some(&assistant.openai).filter(|_| assistant.kind == AssistantKind::OpenAi);
    let webhook = Some(&assistant.webhook).filter(|_| assistant.kind == AssistantKind::Webhook);
    let vet = Some(&config.vet).filter(|_| config.chat.vet == Vet::Webhook);
    let files = [
        (
            "vet.secret_file",
            vet.and_then(|vet| vet.secret_file.as_ref()),
        ),
        (
            "assistant.webhook.secret_file",
            webhook.and_then(|webhook| webhook.secret_file.as_ref()),
        ),
        (
            "assistant.openai.api_key_file",
            openai.and_then(|openai| openai.api_key_file.as_ref()),
        ),
        (
            "assistant.knowledge",
            knowledge.filter(|_| assistant.kind == AssistantKind::Faq),
        ),
        ("bridge.ca_file", bridge.ca_file.as_ref()),
        ("bridge.client_cert", bridge.client_cert.as_ref()),
        ("bridge.client_key", bridge.client_key.as_ref()),
    ];
    let missing = |(key, path): (&str, Option<&PathBuf>)| {
        let path = path.filter(|path| !path.is_file())?;
        Some(Problem::new(
            Source::Default,
            key,
            format!("{path:?} is not a file"),
            "give the path from the working directory, or leave the key out",
        ))
    };
    files.into_iter().filter_map(missing).collect()
}
