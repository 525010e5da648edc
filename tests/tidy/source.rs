//! The files that are judged, read as text.

use crate::support::repository;
use std::fs;
use std::path::{Path, PathBuf};

/// One source file of ours.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// Path from the root of the repository.
    pub(super) fn name(&self) -> String {
        self.path
            .strip_prefix(repository())
            .unwrap_or(&self.path)
            .display()
            .to_string()
    }

    /// The module of `src/` it belongs to, `None` for other folders and for `lib.rs`.
    pub(super) fn module(&self) -> Option<String> {
        let inside = self.path.strip_prefix(repository().join("src")).ok()?;
        let first = inside.iter().next()?.to_str()?;
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (module != "lib").then(|| module.to_owned())
    }

    /// Line numbers and lines, comments cut off.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

/// Every Rust file we wrote.
pub(super) fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "loadtest", "flamegraphs", "fuzz"] {
        collect(&repository().join(folder), &mut sources);
    }
    assert!(sources.len() > 10, "found only {} files", sources.len());
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            collect(&path, sources);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("UTF-8 source");
            sources.push(Source { path, text });
        }
    }
}

/// The declaration at the start of a line, whoever may see it: its keyword and its name.
pub(super) fn declaration(line: &str) -> Option<(&str, &str)> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => line,
    };
    let (keyword, rest) = line.trim_start().split_once(' ')?;
    let is_here = !line.starts_with("  ");
    let name = identifier(rest);
    (is_here && !name.is_empty()).then_some((keyword, name))
}

/// Is what stands behind this attribute compiled for tests alone?
fn is_for_tests(attribute: &str) -> bool {
    let attribute = attribute.trim_start();
    attribute.starts_with("#[cfg(") && attribute.contains("test") && !attribute.contains("not(test")
}

/// Code without comments and without what is compiled for tests alone.
pub(super) fn product(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    while let Some(line) = lines.next() {
        if !is_for_tests(line) {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        let indent = line.split_at(line.len() - line.trim_start().len()).0;
        let last = [format!("{indent}}}"), format!("{indent}}};")];
        // One line, or up to the line that ends it.
        let mut of_item = lines
            .by_ref()
            .skip_while(|line| line.trim_start().starts_with("#["));
        let first = of_item.next().unwrap_or_default().trim_end();
        if !first.ends_with([';', ',', '}']) {
            of_item.find(|line| last.iter().any(|last| line.trim_end() == last));
        }
    }
    code
}

/// Files and folders of test code alone.
pub(super) fn test_files(sources: &[Source]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for source in sources {
        let mut lines = source.text.lines();
        while let Some(line) = lines.next() {
            if !is_for_tests(line) {
                continue;
            }
            if let Some(("mod", name)) = lines.next().and_then(declaration) {
                let folder = source.path.parent().expect("a folder");
                found.extend([folder.join(name), folder.join(format!("{name}.rs"))]);
            }
        }
    }
    found
}

pub(super) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The identifier at the start of `text`.
pub(super) fn identifier(text: &str) -> &str {
    text.split(|character| !is_word(character))
        .next()
        .unwrap_or_default()
}
