//! A type's name stands once: who reads it need not ask which.

use super::report;
use super::source::{declaration, product, sources, test_files};
use std::collections::{BTreeMap, BTreeSet};

/// Always said with its module, as the standard library does.
const EVERYWHERE: &str = "Error";

/// Names that still stand more than once. This list only gets shorter.
const KNOWN: &[&str] = &[
    "Batch",
    "Command",
    "Connection",
    "Destination",
    "Entry",
    "Envelope",
    "Facts",
    "Failure",
    "Fault",
    "File",
    "Heard",
    "Host",
    "Key",
    "Kind",
    "Parcel",
    "Parts",
    "Poison",
    "Reader",
    "State",
    "Target",
    "Value",
    "Writer",
];

#[test]
fn a_type_s_name_stands_once() {
    let sources = sources();
    let tests = test_files(&sources);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in &sources {
        if !source.name().starts_with("src/")
            || tests.iter().any(|test| source.path.starts_with(test))
        {
            continue;
        }
        for line in product(&source.text).lines() {
            if let Some(("struct" | "enum" | "trait" | "type" | "union", name)) = declaration(line)
            {
                places
                    .entry(name.to_owned())
                    .or_default()
                    .push(source.name());
            }
        }
    }
    assert!(places.len() > 200, "found only {} types", places.len());
    places.retain(|name, places| places.len() > 1 && name != EVERYWHERE);
    let known: BTreeSet<&str> = KNOWN.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, places) in &places {
        if !known.contains(name.as_str()) {
            faults.push(format!("{name} is declared in {}", places.join(", ")));
        }
    }
    let gone = known.iter().filter(|name| !places.contains_key(**name));
    faults.extend(gone.map(|name| format!("{name} stands once: take it off the list")));
    report(&faults);
}
