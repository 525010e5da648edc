//! Settings as documents: commented TOML, a Markdown table, environment variables.
//!
//! `config/default.toml` and the tables of `docs/configuration.md` are these renderings; tests compare them, and
//! `supportal config --default` and `supportal config --default --format markdown` print them anew.

use super::example;
use super::key::{Key, KeyKind};
use super::keys;
use super::load::Loaded;
use super::path;
use super::problem::Source;
use super::sections::SECTIONS;
use super::{ArchiveMode, AssistantKind, AuthMode, BridgeMode, Config, HistoryMode, Vet};
use toml::Value;

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentFormat {
    /// TOML with comments.
    Toml,
    /// `NAME=value` lines.
    Environment,
    /// A table for the manual.
    Markdown,
}

/// Every key with its value and source. Secrets are hidden.
#[must_use]
pub fn render(loaded: &Loaded, format: DocumentFormat) -> String {
    Document::of(&loaded.config, &|key| Some(loaded.source(key.path))).render(format)
}

/// Every key with its default and its sentence.
#[must_use]
pub fn render_default(format: DocumentFormat) -> String {
    Document::of(&Config::default(), &|_| None).render(format)
}

/// The keys that bound something, with their values and sentences, for `supportal check`: numbers and
/// times, without those of parts that are off.
#[must_use]
pub fn render_limits(loaded: &Loaded) -> String {
    let document = Document::of(&loaded.config, &|_| None);
    keys::all()
        .filter(|key| matches!(key.kind, KeyKind::Count | KeyKind::Size | KeyKind::Duration))
        .filter(|key| is_on(key, &loaded.config))
        .filter_map(|key| Some((key, document.value(key)?)))
        .map(|(key, value)| {
            let setting = format!("{} = {value}", key.path);
            format!("  {setting:<36}  {}\n", key.doc)
        })
        .collect()
}

/// Is the part that this key belongs to in use?
fn is_on(key: &Key, config: &Config) -> bool {
    let is_streams = config.bridge.mode == BridgeMode::Streams;
    let is_pubsub = config.bridge.mode == BridgeMode::Pubsub;
    match key.section() {
        "archive" => config.archive.mode != ArchiveMode::Off,
        "history" => is_streams || config.history.mode == HistoryMode::Journal,
        "bridge" if key.name() == "order_timeout" => is_streams,
        "bridge" if key.name().starts_with("marks_") => is_pubsub,
        "bridge" if key.name() == "arrivals_capacity" => config.bridge.mode != BridgeMode::Off,
        // A channel layer goes by the same outboxes and timeouts.
        "bridge" => config.bridge.mode != BridgeMode::Off || config.channels.enabled,
        "channels" => config.channels.enabled,
        "tls" => config.tls.is_on(),
        "auth.jwt" => config.auth.mode.contains(&AuthMode::Jwt),
        "auth.django_session" => config.auth.mode.contains(&AuthMode::DjangoSession),
        // The library's: this binary has none.
        "consumers" => false,
        "assistant" => config.assistant.kind != AssistantKind::None,
        "assistant.openai" => config.assistant.kind == AssistantKind::OpenAi,
        "vet" => config.chat.vet == Vet::Webhook,
        "assistant.webhook" => config.assistant.kind == AssistantKind::Webhook,
        _ => true,
    }
}

struct Document<'a> {
    values: toml::Table,
    /// `None` renders the sentence of each key in the place of its source.
    source: &'a dyn Fn(&Key) -> Option<Source>,
}

impl<'a> Document<'a> {
    fn of(config: &Config, source: &'a dyn Fn(&Key) -> Option<Source>) -> Self {
        Self {
            values: toml::Table::try_from(config).unwrap_or_default(),
            source,
        }
    }

    fn render(&self, format: DocumentFormat) -> String {
        match format {
            DocumentFormat::Toml => self.toml(),
            DocumentFormat::Environment => self.environment(),
            DocumentFormat::Markdown => self.markdown(),
        }
    }

    /// The value to show; `None` when it is unset or a secret.
    fn value(&self, key: &Key) -> Option<&Value> {
        path::at(&self.values, key.path).filter(|value| match key.kind {
            KeyKind::Secret => false,
            KeyKind::Secrets => value.as_array().is_some_and(Vec::is_empty),
            _ => true,
        })
    }

    fn is_set(&self, key: &Key) -> bool {
        path::at(&self.values, key.path).is_some()
    }

    fn toml(&self) -> String {
        let mut text =
            "# Settings of Supportal Gateway. Flags and the environment win over this file.\n\
             # Durations are texts with a unit (ms s m h d); sizes are bytes.\n"
                .to_owned();
        for section in SECTIONS {
            text.push('\n');
            if !section.name.is_empty() {
                text.push_str(&format!("# {}\n[{}]\n", section.doc, section.name));
            }
            let keys = section.keys.iter();
            for key in keys
                .clone()
                .filter(|key| !matches!(key.kind, KeyKind::Tables(_)))
            {
                self.toml_key(key, &mut text);
            }
            // Sub-tables end their section, so they come after its keys.
            for key in keys.filter(|key| matches!(key.kind, KeyKind::Tables(_))) {
                self.toml_tables(key, &mut text);
            }
        }
        text
    }

    fn toml_key(&self, key: &Key, text: &mut String) {
        let assignment = match self.value(key) {
            Some(value) => format!("{} = {value}", key.name()),
            // A comment: a file written from this must not set a token called "(hidden)".
            None if self.is_set(key) => format!("# {} = \"(hidden)\"", key.name()),
            None => format!("# {} = \"…\"", key.name()),
        };
        match (self.source)(key) {
            None => text.push_str(&format!("# {}\n{assignment}\n", key.doc)),
            Some(source) => text.push_str(&format!("{assignment} # {source}\n")),
        }
    }

    fn toml_tables(&self, key: &Key, text: &mut String) {
        let entries = self.value(key).and_then(Value::as_array);
        match (self.source)(key) {
            None => {
                text.push_str(&format!("# {}\n# [[{}]]\n", key.doc, key.path));
                for line in example::entry(key) {
                    text.push_str(&format!("# {line}\n"));
                }
            }
            Some(source) => {
                let none = entries.is_none_or(Vec::is_empty);
                let note = if none { "none, " } else { "" };
                text.push_str(&format!("# {}: {note}{source}\n", key.path));
                for entry in entries.into_iter().flatten() {
                    text.push_str(&format!("[[{}]]\n", key.path));
                    // Inline, whatever is in it: a heading of its own would be another section's.
                    for (name, value) in entry.as_table().into_iter().flatten() {
                        text.push_str(&format!("{name} = {value}\n"));
                    }
                }
            }
        }
    }

    fn environment(&self) -> String {
        let mut text = String::new();
        for key in keys::all() {
            let name = key.environment();
            match (self.source)(key) {
                None => text.push_str(&format!("# {}\n", key.doc)),
                Some(source) => text.push_str(&format!("# {source}\n")),
            }
            match self.value(key) {
                Some(value) => text.push_str(&format!("{name}={}\n", quoted(&bare(value)))),
                None if self.is_set(key) => text.push_str(&format!("# {name}=(hidden)\n")),
                None => text.push_str(&format!("# {name}=\n")),
            }
        }
        text
    }

    fn markdown(&self) -> String {
        let has_sources = keys::all().any(|key| (self.source)(key).is_some());
        let value_heading = if has_sources { "Value" } else { "Default" };
        let source_heading = if has_sources { "From" } else { "Kind" };
        let mut text = format!(
            "| Key | {value_heading} | {source_heading} | Change | Meaning |\n|---|---|---|---|---|\n"
        );
        for key in keys::all() {
            let value = match self.value(key) {
                Some(value) => format!("`{value}`").replace('|', "\\|"),
                None if self.is_set(key) => "(hidden)".to_owned(),
                None => "unset".to_owned(),
            };
            let third = (self.source)(key)
                .map_or_else(|| key.kind.word().to_owned(), |source| source.to_string());
            let route = if key.per_route { ", route" } else { "" };
            text.push_str(&format!(
                "| `{}` | {value} | {third} | {}{route} | {} |\n",
                key.path,
                key.change.word(),
                key.doc
            ));
        }
        text
    }
}

/// A value as the environment has it: text without quotes.
fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Quotes for a shell, where one would take the text apart.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/,=@+".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Loader;
    use super::super::{Config, Secret};
    use super::*;

    #[test]
    fn the_committed_default_file_is_the_rendering() {
        assert!(
            include_str!("../../config/default.toml") == render_default(DocumentFormat::Toml),
            "write it anew: supportal config --default > config/default.toml"
        );
    }

    #[test]
    fn the_default_document_sets_the_defaults() {
        let parsed: Config = toml::from_str(&render_default(DocumentFormat::Toml)).unwrap();
        assert_eq!(parsed, Config::default());
    }

    #[test]
    fn examples_in_the_default_document_parse_without_their_comment_sign() {
        let uncommented: String = render_default(DocumentFormat::Toml)
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(code)
                    if code.starts_with("[[") || code.contains(" = ") && !code.contains("; ") =>
                {
                    format!("{code}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let start = uncommented.find("[[routes]]").unwrap();
        let end = uncommented.find("[server]").unwrap();
        let parsed: Config = toml::from_str(uncommented.get(start..end).unwrap()).unwrap();
        assert_eq!(parsed.routes, Config::default().routes_or_default());
    }

    #[test]
    fn a_dump_loads_to_the_same_settings() {
        let loader = Loader {
            sets: [
                "queue.capacity=7",
                "origin.allowed=a.example,.b.example",
                "routes=[{path=\"/e/\", handler=\"echo\"}]",
                "assistant.kind=none",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Loader::default()
        };
        let loaded = loader.load().unwrap();
        let parsed: Config = toml::from_str(&render(&loaded, DocumentFormat::Toml)).unwrap();
        assert_eq!(parsed, loaded.config);
        let environment = render(&loaded, DocumentFormat::Environment)
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| !name.starts_with('#'))
            .map(|(name, text)| (name.to_owned(), text.trim_matches('\'').to_owned()))
            .collect();
        let again = Loader {
            environment,
            ..Loader::default()
        };
        assert_eq!(again.load().unwrap().config, loaded.config);
    }

    #[test]
    fn no_document_shows_a_secret() {
        let mut loaded = Loaded::default();
        loaded.config.admin.token = Some(Secret::new("hunter2hunter2hunter2"));
        for format in [
            DocumentFormat::Toml,
            DocumentFormat::Environment,
            DocumentFormat::Markdown,
        ] {
            let text = render(&loaded, format);
            assert!(text.contains("(hidden)"));
            assert!(!text.contains("hunter2"));
            assert!(!text.contains("token = \"(hidden)\"") || text.contains("# token"));
        }
    }

    #[test]
    fn every_document_names_every_key() {
        for key in keys::all() {
            assert!(
                render_default(DocumentFormat::Markdown).contains(&format!("| `{}` |", key.path))
            );
            assert!(render_default(DocumentFormat::Environment).contains(&key.environment()));
        }
    }
}
