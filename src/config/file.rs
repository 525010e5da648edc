//! The TOML file: every key with its line.

use super::example;
use super::key::{Key, KeyKind};
use super::keys;
use super::layers::Layers;
use super::problem::Source;
use super::sections::SECTIONS;
use super::spelling::nearest_of;
use super::value;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

/// One file while it is read.
struct TomlFile<'text> {
    path: PathBuf,
    text: &'text str,
}

impl TomlFile<'_> {
    fn at(&self, offset: usize) -> Source {
        let before = self.text.as_bytes().iter().take(offset);
        Source::File {
            path: self.path.clone(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
        }
    }
}

/// Reads a file into the layers; what is wrong with it is reported there.
pub(super) fn read(path: &Path, layers: &mut Layers) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("cannot read {}: {error}", path.display());
            let fix = "give the path of a readable TOML file";
            return layers.report(Source::Flag("--config"), "", what, fix);
        }
    };
    let file = TomlFile {
        path: path.to_owned(),
        text: &text,
    };
    let (spans, values) = match (DeTable::parse(&text), toml::from_str::<toml::Table>(&text)) {
        (Ok(spans), Ok(values)) => (spans, values),
        (Err(error), _) | (_, Err(error)) => {
            let source = file.at(error.span().map_or(0, |span| span.start));
            // `message` without the excerpt: the line may hold a secret.
            let message = error.message().trim_end_matches(", expected nothing");
            let key = error.span().and_then(|span| key_at(&text, span.start));
            let fix = match key {
                _ if message.contains("duplicate key") => "leave it once".to_owned(),
                Some(key) => format!("write it as in {}", example::assignment(key)),
                None => String::new(),
            };
            let what = format!("not valid TOML: {message}");
            return layers.report(source, "", what, fix);
        }
    };
    read_section(&file, "", spans.get_ref(), &values, layers);
}

/// The key whose line of a file that is no TOML has this offset in it, if the line begins with one.
fn key_at(text: &str, offset: usize) -> Option<&'static Key> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |end| end + 1);
    let name = text.get(start..)?.split(['=', ':', '\n']).next()?.trim();
    let heading = |line: &str| {
        let inside = line.trim().strip_prefix('[')?.split(']').next()?;
        Some(inside.trim().to_owned())
    };
    let path = match text.get(..start)?.lines().rev().find_map(heading) {
        Some(section) => format!("{section}.{name}"),
        None => name.to_owned(),
    };
    keys::find(keys::today(&path))
}

/// Reads the keys of a section, and the sections in it; `section`: its name, empty for the file itself.
fn read_section(
    file: &TomlFile<'_>,
    section: &str,
    spans: &DeTable<'_>,
    values: &toml::Table,
    layers: &mut Layers,
) {
    // In the order of the lines, so that the mistakes are listed as the file is read.
    for (name, span) in in_order(spans) {
        let Some(value) = values.get(&name) else {
            continue;
        };
        let inner = spans.get(name.as_str());
        let path = match section {
            "" => name,
            section => format!("{section}.{name}"),
        };
        match (keys::is_section(&path), value, inner.map(Spanned::get_ref)) {
            (true, Value::Table(keys), Some(DeValue::Table(key_spans))) => {
                read_section(file, &path, key_spans, keys, layers);
            }
            (true, ..) => {
                let source = file.at(span.start);
                let fix = format!("write [{}]", keys::today(&path));
                layers.report(source, &path, "is a section", fix);
            }
            (false, Value::Table(_), _) if section.is_empty() && keys::find(&path).is_none() => {
                let sections = SECTIONS.iter().map(|section| section.name);
                let fix = nearest_of(&path, sections)
                    .map_or_else(String::new, |known| format!("did you mean [{known}]?"));
                let source = file.at(span.start);
                layers.report(source, &format!("[{path}]"), "unknown section", fix);
            }
            _ => read_key(file, &path, span.start, inner, value, layers),
        }
    }
}

fn read_key(
    file: &TomlFile<'_>,
    path: &str,
    offset: usize,
    spans: Option<&Spanned<DeValue<'_>>>,
    value: &Value,
    layers: &mut Layers,
) {
    let Some(key) = layers.find(path, &file.at(offset)) else {
        return layers.report_unknown(file.at(offset), path);
    };
    // An entry of an array of tables is reported at its own line.
    if let (KeyKind::Tables(_), Value::Array(_), Some(DeValue::Array(entries))) =
        (key.kind, value, spans.map(Spanned::get_ref))
        && let Err(mistakes) = value::check(key, value)
    {
        for mistake in mistakes {
            let entry = entries.get(mistake.index);
            let line = entry.map_or(offset, |entry| {
                offset_of(entry.get_ref(), &mistake.field).unwrap_or(entry.span().start)
            });
            let path = format!("{path}{}", mistake.below);
            layers.report(file.at(line), &path, mistake.what, mistake.fix);
        }
        return;
    }
    layers.set(key, value.clone(), file.at(offset));
    let entries = spans.and_then(|spans| spans.get_ref().as_array());
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let name = format!("{}[{index}]", key.path);
        note_lines(file, name, entry.span().start, entry.get_ref(), layers);
    }
}

/// Notes where an entry begins, and each of its fields.
fn note_lines(
    file: &TomlFile<'_>,
    name: String,
    offset: usize,
    value: &DeValue<'_>,
    layers: &mut Layers,
) {
    for (field, inner) in value.as_table().into_iter().flatten() {
        let name = format!("{name}.{}", field.get_ref());
        note_lines(file, name, field.span().start, inner.get_ref(), layers);
    }
    layers.entries.insert(name, file.at(offset));
}

/// Where a field of an entry begins; one of a table in there has a dot in its name.
fn offset_of(entry: &DeValue<'_>, field: &str) -> Option<usize> {
    let (name, rest) = field.split_once('.').unwrap_or((field, ""));
    let mut fields = entry.as_table()?.iter();
    let (own, value) = fields.find(|(own, _)| **own.get_ref() == *name)?;
    offset_of(value.get_ref(), rest).or(Some(own.span().start))
}

fn in_order(table: &DeTable<'_>) -> Vec<(String, std::ops::Range<usize>)> {
    let mut names: Vec<_> = table
        .keys()
        .map(|name| (name.get_ref().to_string(), name.span()))
        .collect();
    names.sort_by_key(|(_, span)| span.start);
    names
}
