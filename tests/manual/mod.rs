//! README and the manual in `docs/`, read: its pages, their marked sections and their command lines.

#[cfg(test)]
mod links; // the map, and where every link leads
#[cfg(test)]
mod log; // what troubleshooting quotes
#[cfg(test)]
mod program; // the library's whole program

use crate::support::repository;
use std::collections::BTreeSet;

/// The text of a file, by its path from the root of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect(path)
}

/// The names of a folder's files.
pub(crate) fn names(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(repository().join(folder)).expect(folder);
    entries
        .map(|entry| entry.expect("an entry").file_name().display().to_string())
        .collect()
}

/// README and every chapter of the manual: paths from the root, and texts.
pub(crate) fn pages() -> Vec<(String, String)> {
    let chapters = names("docs");
    assert!(chapters.len() > 5, "{chapters:?}");
    let chapters = chapters.iter().map(|name| format!("docs/{name}"));
    ["README.md".to_owned()]
        .into_iter()
        .chain(chapters)
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

/// The one page that has a text between `<!-- name -->` and `<!-- /name -->`, and that text.
pub(crate) fn section(name: &str) -> (String, String) {
    let (start, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let mut found = pages().into_iter().filter_map(|(path, text)| {
        let (_, rest) = text.split_once(&start)?;
        let (section, _) = rest.split_once(&end)?;
        Some((path, section.trim().to_owned()))
    });
    let first = found.next();
    let first = first.unwrap_or_else(|| panic!("no page has a section {start} … {end}"));
    assert!(found.next().is_none(), "two pages have a section {start}");
    first
}

/// A command line of a page: variables before the program, words after it.
pub(crate) struct Line {
    /// The whole line.
    pub(crate) text: String,
    /// Name and value of each variable set for it.
    pub(crate) variables: Vec<(String, String)>,
    /// The words after the program, without comments.
    pub(crate) arguments: Vec<String>,
}

impl Line {
    /// Reads a line, if it runs `program`.
    fn read(text: &str, program: &str) -> Option<Self> {
        let mut words = text.split_whitespace().take_while(|word| *word != "#");
        let mut variables = Vec::new();
        let named = words.find(|word| match word.split_once('=') {
            Some((name, value)) => {
                variables.push((name.to_owned(), value.to_owned()));
                false
            }
            None => true,
        });
        (named == Some(program)).then(|| Self {
            text: text.to_owned(),
            variables,
            arguments: words.map(str::to_owned).collect(),
        })
    }
}

/// The lines of shell blocks that run `program`, on every page.
pub(crate) fn lines_of(program: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (_, text) in pages() {
        let mut is_shell = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("```") {
                is_shell = line == "```sh";
            } else if is_shell {
                lines.extend(Line::read(line, program));
            }
        }
    }
    lines
}
