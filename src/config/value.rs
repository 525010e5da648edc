//! One value: from text to TOML, and whether it fits its key, with an error that shows the fix.

use super::channels::HostAddress;
use super::key::{Key, KeyKind};
use super::keys;
use super::mistake::{Mistake, explain, show};
use super::path::nest;
use super::redis::RedisAddress;
use super::sections::Config;
use super::spelling::nearest_of;
use toml::Value;

/// The value a text from the environment or `--set` means: TOML where that fits, else the text.
pub(super) fn from_text(kind: KeyKind, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    let parsed = text.trim().parse::<Value>().ok();
    match (kind, parsed) {
        // Never taken apart: a token may look like anything.
        (KeyKind::Secret, _) => as_text(),
        (KeyKind::Secrets, Some(Value::Array(keys))) => Value::Array(keys),
        (KeyKind::Secrets, _) => Value::Array(vec![as_text()]),
        (
            KeyKind::Count
            | KeyKind::Decimal
            | KeyKind::Size
            | KeyKind::Switch
            | KeyKind::List
            | KeyKind::Choices(_)
            | KeyKind::Urls
            | KeyKind::Hosts
            | KeyKind::Tables(_),
            Some(value),
        ) => match value {
            // `a.example,b.example` is no TOML, but a single quoted host is.
            Value::String(host)
                if matches!(
                    kind,
                    KeyKind::List | KeyKind::Choices(_) | KeyKind::Urls | KeyKind::Hosts
                ) =>
            {
                Value::Array(vec![Value::String(host)])
            }
            value => value,
        },
        (KeyKind::Urls | KeyKind::Hosts, None) => {
            let addresses = addresses(text).into_iter();
            Value::Array(addresses.map(|one| Value::String(one.to_owned())).collect())
        }
        (KeyKind::List | KeyKind::Choices(_), None) => {
            // An empty one is kept: what is wrong with it is for its key to say.
            let entries = text.split(',').map(str::trim);
            Value::Array(
                entries
                    .map(|entry| Value::String(entry.to_owned()))
                    .collect(),
            )
        }
        (_, Some(Value::String(unquoted))) => Value::String(unquoted),
        _ => as_text(),
    }
}

/// The addresses of a text with commas between them. A password may hold a comma too: only one with
/// a scheme behind it divides.
fn addresses(text: &str) -> Vec<&str> {
    let begins = |rest: &str| {
        let scheme = rest
            .trim_start()
            .split_once("://")
            .map(|(scheme, _)| scheme);
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || b"+-".contains(&byte);
        scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(is_letter))
    };
    let mut addresses = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        let rest = text.get(comma + 1..).unwrap_or_default();
        if rest.trim().is_empty() || begins(rest) {
            addresses.extend(text.get(start..comma));
            start = comma + 1;
        }
    }
    addresses.extend(text.get(start..));
    let trimmed = addresses.into_iter().map(str::trim);
    trimmed.filter(|address| !address.is_empty()).collect()
}

/// Patterns and their capacities as a `settings.py` has them, as the list of tables that they stand for.
pub(super) fn spread(key: &Key, value: Value) -> Value {
    if key.path != "channels.channel_capacity" {
        return value;
    }
    let Value::Table(capacities) = value else {
        return value;
    };
    let entry = |(pattern, capacity)| {
        let pattern = ("pattern".to_owned(), Value::String(pattern));
        Value::Table(
            [pattern, ("capacity".to_owned(), capacity)]
                .into_iter()
                .collect(),
        )
    };
    Value::Array(capacities.into_iter().map(entry).collect())
}

/// Whether the value fits the key; several mistakes only in an array of tables.
pub(super) fn check(key: &Key, value: &Value) -> Result<(), Vec<Mistake>> {
    if let KeyKind::Tables(fields) = key.kind {
        return check_tables(key, fields, value);
    }
    if let (KeyKind::Urls | KeyKind::Hosts, Value::Array(entries)) = (key.kind, value) {
        return check_addresses(key.kind, entries);
    }
    let Err(serde_text) = deserialize(key, value.clone()) else {
        return Ok(());
    };
    Err(vec![explain(key, value, &serde_text)])
}

fn deserialize(key: &Key, value: Value) -> Result<(), String> {
    let mut root = toml::Table::new();
    nest(&mut root, key.path, value);
    let parsed: Result<Config, toml::de::Error> = Value::Table(root).try_into();
    parsed.map(drop).map_err(|error| error.message().to_owned())
}

/// Every entry is judged on its own; none is shown, since a password may be in it.
fn check_addresses(kind: KeyKind, entries: &[Value]) -> Result<(), Vec<Mistake>> {
    let read = |entry: &Value| match (kind, entry) {
        (KeyKind::Hosts, _) => HostAddress::read(entry).map(drop),
        (_, Value::String(text)) => RedisAddress::parse(text).map(drop),
        _ => Err("is no text; write \"redis://localhost:6379\"".to_owned()),
    };
    let results = entries.iter().enumerate();
    let mistakes: Vec<Mistake> = results
        .filter_map(|(index, entry)| {
            let what = read(entry).err()?;
            Some(Mistake::in_entry(
                index,
                "",
                format!("the address {what}"),
                "",
            ))
        })
        .collect();
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(mistakes)
    }
}

fn check_tables(
    key: &Key,
    fields: &'static [&'static str],
    value: &Value,
) -> Result<(), Vec<Mistake>> {
    let heading = format!("write [[{}]] with {}", key.path, fields.join(", "));
    let Value::Array(entries) = value else {
        let what = format!("{} is not an array of tables", show(value));
        // The environment and a flag have one line, and are read as TOML: what JSON writes is another text.
        let needed = fields.iter().filter(|field| !keys::is_section(field));
        let one_line: Vec<String> = needed.map(|field| format!("{field} = …")).collect();
        let fix = format!(
            "{heading}; in one line, as in the environment: [{{ {} }}]",
            one_line.join(", ")
        );
        return Err(vec![Mistake::new(what, fix)]);
    };
    let mut mistakes = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Value::Table(table) = entry else {
            let what = format!("{} is not a table", show(entry));
            mistakes.push(Mistake::in_entry(index, "", what, heading.clone()));
            continue;
        };
        let unknown: Vec<&String> = table
            .keys()
            .filter(|field| !fields.contains(&field.as_str()))
            .collect();
        for field in &unknown {
            let fix = nearest_of(field, fields.iter().copied())
                .map_or_else(String::new, |known| format!("did you mean `{known}`?"));
            mistakes.push(Mistake::in_entry(index, field, "unknown key", fix));
        }
        let known = mistakes.len();
        for section in fields.iter().filter(|field| keys::is_section(field)) {
            if let Some(own) = table.get(*section) {
                mistakes.extend(own_mistakes(index, section, own));
            }
        }
        let alone = Value::Array(vec![entry.clone()]);
        if unknown.is_empty()
            && mistakes.len() == known
            && let Err(serde_text) = deserialize(key, alone)
        {
            mistakes.push(entry_mistake(key, fields, index, table, serde_text));
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(mistakes)
    }
}

/// What is wrong with the keys of a section that a route has of its own.
fn own_mistakes(index: usize, section: &str, own: &Value) -> Vec<Mistake> {
    let Value::Table(own) = own else {
        let what = format!("{} is not a table", show(own));
        let fix = format!("write {section}.<key> = …");
        return vec![Mistake::in_entry(index, section, what, fix)];
    };
    let mistake = |(name, value): (&String, &Value)| {
        let field = format!("{section}.{name}");
        let Some(key) = keys::find(&field) else {
            let known = keys::all().filter(|key| key.section() == section);
            let fix = nearest_of(name, known.map(Key::name))
                .map_or_else(String::new, |known| format!("did you mean `{known}`?"));
            return Some(Mistake::in_entry(index, &field, "unknown key", fix));
        };
        let Mistake { what, fix, .. } = check(key, value).err()?.pop()?;
        Some(Mistake::in_entry(index, &field, what, fix))
    };
    own.iter().filter_map(mistake).collect()
}

/// Finds the field at fault, which serde does not name: the one without which the text changes.
fn entry_mistake(
    key: &Key,
    fields: &'static [&'static str],
    index: usize,
    table: &toml::Table,
    serde_text: String,
) -> Mistake {
    let needed = fields.iter().copied();
    let needed: Vec<&str> = needed.filter(|field| !keys::is_section(field)).collect();
    let is_complete = !serde_text.starts_with("missing field");
    let guilty = fields
        .iter()
        .copied()
        .filter(|_| is_complete)
        .find(|field| {
            let mut rest = table.clone();
            rest.remove(*field).is_some()
                && deserialize(key, Value::Array(vec![Value::Table(rest)]))
                    .err()
                    .is_none_or(|text| text != serde_text)
        });
    match guilty {
        Some(field) => {
            let shown = table.get(field).map(show).unwrap_or_default();
            Mistake::in_entry(
                index,
                field,
                format!("{shown} does not fit: {serde_text}"),
                "",
            )
        }
        None => Mistake::in_entry(
            index,
            "",
            serde_text,
            format!("needs {}", needed.join(", ")),
        ),
    }
}
