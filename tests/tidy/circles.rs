//! No circle of files inside a folder: of two that need each other one is in the wrong place, or what they share is.
//!
//! The parts of a folder are its files and its folders, `mod.rs` among them. What `mod.rs` shows with `use` belongs to
//! the file it is from; a `pub use` alone needs nothing.

use super::report;
use super::source::{Source, is_word, product, sources, test_files};
use std::collections::{BTreeMap, BTreeSet};

/// Parts that are still in circles. This list only gets shorter.
const KNOWN: &[(&str, &[&str])] = &[];

/// What one file says of another: the path from the root of the crate, or as it stands where it starts nowhere known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention {
    path: Vec<String>,
    /// What it is called here.
    name: String,
    is_use: bool,
    is_shown: bool,
}

/// The paths that a `use` with groups stands for, each with what it is called.
fn expand(prefix: &str, tree: &str, found: &mut Vec<(String, String)>) {
    let tree = tree.trim();
    if let Some((before, group)) = tree.split_once('{') {
        let prefix = format!("{prefix}{before}");
        let (mut depth, mut start) = (0, 0);
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    expand(&prefix, group.get(start..at).unwrap_or_default(), found);
                    start = at + 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    } else if !tree.is_empty() {
        let whole = format!("{prefix}{tree}");
        let (path, name) = whole.split_once(" as ").unwrap_or((&whole, ""));
        let path = path.strip_suffix("::self").unwrap_or(path);
        let last = path.rsplit("::").next().unwrap_or_default();
        let name = if name.is_empty() { last } else { name };
        found.push((path.to_owned(), name.to_owned()));
    }
}

/// From the root of the crate, for a file that is this module.
fn absolute(path: &str, module: &[String]) -> Vec<String> {
    let mut base: Vec<String> = Vec::new();
    for (at, segment) in path.split("::").enumerate() {
        match segment {
            "crate" if at == 0 => {}
            "self" if at == 0 => base = module.to_vec(),
            "super" if at == 0 => {
                base = module
                    .split_last()
                    .map_or(Vec::new(), |(_, up)| up.to_vec())
            }
            "super" => {
                base.pop();
            }
            segment => base.push(segment.to_owned()),
        }
    }
    base
}

/// Everything that this code mentions by a path.
fn mentions(code: &str, module: &[String]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let words = line.trim_start();
        let (is_shown, tree) = match words.split_once("use ") {
            Some(("", tree)) => (false, tree),
            Some((before, tree)) if before.starts_with("pub") && !before.contains(" fn ") => {
                (true, tree)
            }
            _ => {
                rest.push_str(line);
                rest.push('\n');
                continue;
            }
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push_str(lines.next().expect("the end of a `use`"));
        }
        let mut paths = Vec::new();
        expand("", tree.trim_end_matches(';'), &mut paths);
        found.extend(paths.into_iter().map(|(path, name)| Mention {
            path: absolute(&path, module),
            name,
            is_use: true,
            is_shown,
        }));
    }
    let paths = rest.split(|character| !is_word(character) && character != ':');
    let paths = paths
        .map(|path| path.trim_matches(':'))
        .filter(|path| path.contains("::"));
    found.extend(paths.map(|path| Mention {
        path: absolute(path, module),
        name: String::new(),
        is_use: false,
        is_shown: false,
    }));
    found
}

/// A file of the library, without its tests.
struct File {
    /// The folders from `src/` down.
    folder: Vec<String>,
    /// Its module.
    module: Vec<String>,
    mentions: Vec<Mention>,
}

impl File {
    fn of(source: &Source) -> Option<Self> {
        let name = source.name();
        let mut path: Vec<String> = name
            .strip_prefix("src/")?
            .strip_suffix(".rs")?
            .split('/')
            .map(str::to_owned)
            .collect();
        let mut folder = path.clone();
        folder.pop();
        path.pop_if(|last| last == "mod");
        let mentions = mentions(&product(&source.text), &path);
        Some(Self {
            folder,
            module: path,
            mentions,
        })
    }

    fn is_mod(&self) -> bool {
        self.folder == self.module
    }

    /// The part of the folder that it is, or is in.
    fn part(&self, folder: &[String]) -> &str {
        self.module.get(folder.len()).map_or("mod", String::as_str)
    }
}

type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// Which part of a folder needs which, and one path that says so.
fn edges(folder: &[String], files: &[File]) -> Edges {
    let inside: Vec<&File> = files
        .iter()
        .filter(|file| file.folder.starts_with(folder))
        .collect();
    let parts: BTreeSet<&str> = inside.iter().map(|file| file.part(folder)).collect();
    let root = inside
        .iter()
        .find(|file| file.is_mod() && file.folder == folder);
    let own = |mention: &Mention| -> Option<String> {
        let first = mention
            .path
            .strip_prefix(folder)
            .unwrap_or(&mention.path)
            .first()?;
        Some(parts.get(first.as_str())?.to_string())
    };
    // What `mod.rs` calls by a name of its own: a part's, or `None` where it is from outside.
    let shown: BTreeMap<&str, Option<String>> = root
        .iter()
        .flat_map(|root| root.mentions.iter().filter(|mention| mention.is_use))
        .map(|mention| (mention.name.as_str(), own(mention)))
        .collect();
    let mut edges = Edges::new();
    for file in &inside {
        let part = file.part(folder);
        let is_root = file.is_mod() && file.folder == folder;
        for mention in &file.mentions {
            let needed = if is_root {
                own(mention).filter(|_| !mention.is_shown)
            } else {
                let Some(first) = mention
                    .path
                    .strip_prefix(folder)
                    .and_then(<[String]>::first)
                else {
                    continue;
                };
                match shown.get(first.as_str()) {
                    _ if parts.contains(first.as_str()) => Some(first.clone()),
                    Some(part) => part.clone(),
                    None => Some("mod".to_owned()),
                }
            };
            if let Some(needed) = needed.filter(|needed| needed != part) {
                let said = mention.path.join("::");
                edges
                    .entry(part.to_owned())
                    .or_default()
                    .entry(needed)
                    .or_insert(said);
            }
        }
    }
    edges
}

/// The parts from which one comes back to them.
fn circle(edges: &Edges) -> BTreeSet<&str> {
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(part) = next.pop() {
            let needs = edges.get(&part).into_iter().flat_map(BTreeMap::keys);
            next.extend(needs.filter(|part| seen.insert((*part).clone())).cloned());
        }
        seen
    };
    let parts = edges.keys().map(String::as_str);
    parts.filter(|part| reached(part).contains(*part)).collect()
}

#[test]
fn no_files_of_a_folder_need_each_other_in_a_circle() {
    let sources = sources();
    let tests = test_files(&sources);
    let files = sources
        .iter()
        .filter(|source| !tests.iter().any(|test| source.path.starts_with(test)));
    let files: Vec<File> = files.filter_map(File::of).collect();
    let folders: BTreeSet<&[String]> = files.iter().map(|file| file.folder.as_slice()).collect();
    assert!(
        folders.len() > 10 && files.len() > 100,
        "{} folders",
        folders.len()
    );
    let mut faults = Vec::new();
    // Of the modules of `src/` itself the floors make sure.
    for folder in folders.into_iter().filter(|folder| !folder.is_empty()) {
        let name = folder.join("/");
        let known = KNOWN
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&[][..], |(_, parts)| parts);
        let edges = edges(folder, &files);
        let found = circle(&edges);
        for part in &found {
            if !known.contains(part) {
                let needs = edges
                    .get(*part)
                    .into_iter()
                    .flatten()
                    .filter(|(other, _)| found.contains(other.as_str()));
                let needs: Vec<String> = needs
                    .map(|(other, said)| format!("{other} ({said})"))
                    .collect();
                faults.push(format!(
                    "src/{name}: {part} is in a circle, by {}",
                    needs.join(", ")
                ));
            }
        }
        let gone = known.iter().filter(|part| !found.contains(*part));
        faults.extend(
            gone.map(|part| format!("src/{name}: {part} is in no circle: take it off the list")),
        );
    }
    let folder = |name: &str| files.iter().any(|file| file.folder.join("/") == name);
    let gone = KNOWN.iter().filter(|(name, _)| !folder(name));
    faults.extend(gone.map(|(name, _)| format!("src/{name} is gone: take it off the list")));
    report(&faults);
}

/// A folder `x` of these files.
fn folder(files: &[(&str, &str)]) -> Edges {
    let file = |(name, code): &(&str, &str)| {
        let mut module = vec!["x".to_owned()];
        module.extend((*name != "mod").then(|| (*name).to_owned()));
        File {
            folder: vec!["x".to_owned()],
            mentions: mentions(code, &module),
            module,
        }
    };
    let files: Vec<File> = files.iter().map(file).collect();
    edges(&["x".to_owned()], &files)
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    for (one, other) in [
        ("use super::b::B;", "use super::a::A;"),
        (
            "use crate::{name::Name, x::{b::{self, B}}};",
            "fn f() { super::a::g() }",
        ),
        ("use super::B;", "pub(super) fn f(a: crate::x::a::A) {}"),
        ("pub use super::b::B;", "use super::Renamed;"),
    ] {
        let root = "mod a;\nmod b;\npub use a::A as Renamed;\nuse b::{\n    B,\n};";
        let edges = folder(&[("mod", root), ("a", one), ("b", other)]);
        assert_eq!(circle(&edges), BTreeSet::from(["a", "b"]), "{one} {other}");
    }
    let edges = folder(&[
        ("mod", "struct Own;\nfn f() { a::g() }"),
        ("a", "use super::Own;"),
    ]);
    assert_eq!(circle(&edges), BTreeSet::from(["a", "mod"]));
}

#[test]
fn what_is_shown_or_from_elsewhere_makes_no_circle() {
    let root = "pub use a::A;\nuse crate::y::Y;\nuse b::B;\nstruct Own(B);";
    let edges = folder(&[
        ("mod", root),
        (
            "a",
            "use super::{Y, b::B};\nuse crate::y::a::Z;\nuse std::a::b;",
        ),
        ("b", "use crate::y;"),
    ]);
    assert_eq!(circle(&edges), BTreeSet::new());
}
