//! README and the manual in `docs/`: short enough, whole, and every link leads somewhere.

use crate::support::repository;
use std::collections::BTreeSet;
use std::path::Path;

/// Longest README, in lines.
const README_LINES_MAX: usize = 200;

/// The text of a file, by its path from the root of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect(path)
}

/// The names of a folder's files.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(repository().join(folder)).expect(folder);
    entries
        .map(|entry| entry.expect("an entry").file_name().display().to_string())
        .collect()
}

/// README and every chapter of the manual: paths from the root, and texts.
pub fn pages() -> Vec<(String, String)> {
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
pub fn section(name: &str) -> (String, String) {
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
pub struct Line {
    /// The whole line.
    pub text: String,
    /// Name and value of each variable set for it.
    pub variables: Vec<(String, String)>,
    /// The words after the program, without comments.
    pub arguments: Vec<String>,
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
pub fn lines_of(program: &str) -> Vec<Line> {
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

/// A page without its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The name by which a heading is linked: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    let heading = heading.trim().to_lowercase();
    heading
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// The anchors of a page, each of which stands once.
fn anchors(path: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(&read(path)).filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#');
        assert!(anchors.insert(anchor(heading)), "{path}: two {heading}");
    }
    anchors
}

/// The targets of the links in a text.
fn links(text: &str) -> Vec<String> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1));
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
}

#[test]
fn every_chapter_of_the_manual_is_on_the_map_and_the_other_way_round() {
    let readme = read("README.md");
    let (_, map) = readme.split_once("\n## The manual\n").expect("a map");
    let map = map.split("\n## ").next().unwrap_or_default();
    let linked: BTreeSet<String> = links(map)
        .iter()
        .filter_map(|link| Some(link.strip_prefix("docs/")?.to_owned()))
        .collect();
    assert_eq!(linked, names("docs"));
}

#[test]
fn every_file_and_heading_that_is_linked_exists() {
    let mut checked = 0;
    for (path, text) in pages() {
        let folder = Path::new(&path).parent().expect("a folder");
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => folder.join(file).display().to_string(),
            };
            assert!(repository().join(&target).exists(), "{path}: {link}");
            if !heading.is_empty() {
                assert!(anchors(&target).contains(heading), "{path}: {link}");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} links");
}

#[test]
fn every_configuration_that_is_named_is_shipped_and_the_other_way_round() {
    for (path, text) in pages() {
        for rest in text.split("config/").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|character| character.is_ascii_lowercase() || *character == '.')
                .collect();
            if name.ends_with(".toml") {
                let shipped = repository().join("config").join(&name).exists();
                assert!(shipped, "{path}: config/{name}");
            }
        }
    }
    let table = read("docs/configuration.md");
    for name in names("config") {
        let row = format!("\n| [config/{name}](../config/{name}) |");
        assert!(table.contains(&row), "{name} has no row");
    }
}

/// The figures on the first page are rows of the whole table, not others.
#[test]
fn the_headline_figures_are_those_of_the_chapter() {
    let (path, figures) = section("figures");
    assert_eq!(path, "README.md");
    let chapter = read("docs/performance.md");
    let rows: Vec<&str> = figures.lines().collect();
    assert!(rows.len() > 4, "{} rows", rows.len());
    for row in rows {
        assert!(chapter.lines().any(|line| line == row), "{row}");
    }
}
