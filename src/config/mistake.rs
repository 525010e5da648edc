//! What is said of a value that does not fit its key, with the fix.

use super::example;
use super::key::{Key, KeyKind};
use super::spelling::nearest_of;
use super::units;
use std::net::SocketAddr;
use toml::Value;

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct Mistake {
    /// What follows the key's path: empty, or `[1].handler`.
    pub(super) below: String,
    /// The entry of an array of tables, from 0.
    pub(super) index: usize,
    /// The field of that entry, empty for the entry itself.
    pub(super) field: String,
    pub(super) what: String,
    pub(super) fix: String,
}

impl Mistake {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            below: String::new(),
            index: 0,
            field: String::new(),
            what: what.into(),
            fix: fix.into(),
        }
    }

    pub(super) fn in_entry(
        index: usize,
        field: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let dot = if field.is_empty() { "" } else { "." };
        Self {
            // As in the log, the metrics and the answers that name an entry.
            below: format!("[{index}]{dot}{field}"),
            index,
            field: field.to_owned(),
            ..Self::new(what, fix)
        }
    }
}

/// What is wrong with a value of another type than its key's.
pub(super) fn explain(key: &Key, value: &Value, serde_text: &str) -> Mistake {
    let name = key.name();
    match (key.kind, value) {
        (KeyKind::Secret, _) => Mistake::new("is not text", format!("write {name} = \"…\"")),
        // None is shown: a password may be in it.
        (KeyKind::Hosts, _) => Mistake::new(
            "is not a list of hosts",
            format!(
                "write {name} = [\"redis://localhost:6379\"], [[\"localhost\", 6379]], or tables as settings.py has them"
            ),
        ),
        (KeyKind::Secrets, _) => {
            Mistake::new("is not a list of texts", format!("write {name} = [\"…\"]"))
        }
        (KeyKind::Urls, _) => Mistake::new(
            "is not a list of addresses",
            format!("write {name} = [\"redis://localhost:6379\"]"),
        ),
        (KeyKind::Count, Value::Integer(number)) if *number >= 0 => Mistake::new(
            format!("{number} is too large"),
            format!("write at most {}", u32::MAX),
        ),
        (KeyKind::Count, _) => Mistake::new(
            format!("{} is not a whole number of at least 0", show(value)),
            number_instead(key, value, "write a bare number"),
        ),
        (KeyKind::Decimal, _) => no_decimal(key, value),
        (KeyKind::Size, _) => Mistake::new(
            format!("{} is neither \"auto\" nor a number of bytes", show(value)),
            number_instead(
                key,
                value,
                &format!("write {name} = \"auto\", or a bare number"),
            ),
        ),
        (KeyKind::Switch, _) => Mistake::new(
            format!("{} is neither true nor false", show(value)),
            match switch_meant(value) {
                Some(meant) => format!("write {name} = {meant}"),
                None => format!("write {name} = true or {name} = false"),
            },
        ),
        (KeyKind::Address, _) => Mistake::new(
            format!("{} is not an address", show(value)),
            format!(
                "write an IP address and a port, such as {name} = \"{}\"",
                address_instead(key, value)
            ),
        ),
        (KeyKind::Choice(words), _) => choice(words, value),
        (KeyKind::Choices(words), Value::Array(entries)) => {
            let is_word = |entry: &&Value| entry.as_str().is_some_and(|text| words.contains(&text));
            let odd = entries.iter().find(|entry| !is_word(entry));
            choice(words, odd.unwrap_or(value))
        }
        (KeyKind::Duration, Value::String(text)) => {
            Mistake::new(units::parse_duration(text).err().unwrap_or_default(), "")
        }
        (KeyKind::Duration, Value::Integer(_)) => Mistake::new(serde_text, ""),
        (KeyKind::Duration, _) => Mistake::new(
            format!("{} is not a duration", show(value)),
            "write a number and a unit, such as \"60s\" (units: ms s m h d)",
        ),
        (KeyKind::List | KeyKind::Choices(_), _) => Mistake::new(
            format!("{} is not a list of texts", show(value)),
            format!("write {}", example::assignment(key)),
        ),
        _ => Mistake::new(
            format!("{} is not text", show(value)),
            format!("write it in quotes, as in {}", example::assignment(key)),
        ),
    }
}

fn no_decimal(key: &Key, value: &Value) -> Mistake {
    Mistake::new(
        format!("{} is not a number of at least 0", show(value)),
        format!("write a bare number, such as {}", example::assignment(key)),
    )
}

/// The number that was probably meant, for a line of the file, behind `write`; else an example.
fn number_instead(key: &Key, value: &Value, write: &str) -> String {
    let text = match value {
        Value::String(text) => text.trim().replace('_', ""),
        other => other.to_string(),
    };
    let whole = text.strip_suffix(".0").unwrap_or(&text);
    let is_bytes = key.kind == KeyKind::Size || key.name().contains("bytes");
    let bytes = || units::parse_bytes(whole).filter(|_| is_bytes);
    match whole.parse::<u32>().map(u64::from).ok().or_else(bytes) {
        Some(meant) => format!("{write}: {} = {meant}", key.name()),
        None if key.kind == KeyKind::Size => {
            format!("{write} such as {} = 536870912", key.name())
        }
        None => format!("{write}, such as {}", example::assignment(key)),
    }
}

fn switch_meant(value: &Value) -> Option<bool> {
    let text = match value {
        Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    match text.as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The example of the key, with the port that was given if one was.
fn address_instead(key: &Key, value: &Value) -> String {
    let example = example::value(key);
    let example = example.trim_matches('"');
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let port = text.rsplit(':').next().and_then(|port| port.parse().ok());
    match (example.parse::<SocketAddr>(), port) {
        (Ok(mut address), Some(port)) => {
            address.set_port(port);
            address.to_string()
        }
        _ => example.to_owned(),
    }
}

fn choice(words: &'static [&'static str], value: &Value) -> Mistake {
    let list: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let list = list.join(", ");
    let likely = value
        .as_str()
        .and_then(|text| nearest_of(text, words.iter().copied()));
    let fix = match likely {
        Some(word) => format!("did you mean \"{word}\"? (one of {list})"),
        None => format!("write one of {list}"),
    };
    Mistake::new(format!("{} is not a choice", show(value)), fix)
}

/// A value in a message: short, and without control characters.
pub(super) fn show(value: &Value) -> String {
    const SHOWN_CHARS: usize = 60; // a line of the terminal, with the key before it
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    if text.chars().count() > SHOWN_CHARS {
        let start: String = text.chars().take(SHOWN_CHARS).collect();
        return format!("{start}…");
    }
    text
}
