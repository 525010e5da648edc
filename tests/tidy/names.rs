//! A type's name stands once: who reads it need not ask which.

use super::report;
use super::source::{declaration, product, sources, test_files};
use std::collections::BTreeMap;

/// Always said with its module, as the standard library does.
const EVERYWHERE: &str = "Error";

/// The types that a file declares: by a keyword, or as `section!` and `choice!` of the configuration take them.
fn types(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_macro = false;
    for line in code.lines() {
        if let Some(("struct" | "enum" | "trait" | "type" | "union", name)) = declaration(line) {
            found.push(name);
        }
        is_macro = match line {
            "section! {" | "choice! {" => true,
            "}" => false,
            _ => is_macro,
        };
        let declared = line.strip_prefix("    ").filter(|_| is_macro);
        let declared = declared.and_then(|line| line.strip_suffix('{'));
        let name = declared.and_then(|line| line.split(' ').rfind(|word| !word.is_empty()));
        found.extend(name.filter(|_| !line.starts_with("     ")));
    }
    found
}

#[test]
fn a_type_is_seen_however_it_is_declared() {
    let code = r#"
pub(super) struct Keeps {
    place: Place,
}
type Edges = BTreeMap<String, u8>;
section! {
    ["queue"] Queue {
        capacity: usize = 100, restart;
    }
}
choice! {
    Overflow {
        DropNewest = "drop_newest",
    }
}
fn f() {
    Queue {
        capacity: 1,
    }
}
"#;
    assert_eq!(types(code), ["Keeps", "Edges", "Queue", "Overflow"]);
}

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
        let code = product(&source.text);
        for name in types(&code) {
            places
                .entry(name.to_owned())
                .or_default()
                .push(source.name());
        }
    }
    assert!(places.len() > 200, "found only {} types", places.len());
    places.retain(|name, places| places.len() > 1 && name != EVERYWHERE);
    let faults: Vec<String> = places
        .iter()
        .map(|(name, places)| format!("{name} is declared in {}", places.join(", ")))
        .collect();
    report(&faults);
}
