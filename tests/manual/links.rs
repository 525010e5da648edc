//! README is short, every chapter is on its map, every link leads somewhere.

use super::{names, pages, read, section};
use crate::support::repository;
use std::collections::BTreeSet;
use std::path::Path;

/// Longest README, in lines.
const README_LINES_MAX: usize = 200;

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
    let mut chapters = names("docs");
    // The whole program of a chapter is compiled as it stands.
    chapters.retain(|name| name.ends_with(".md"));
    assert_eq!(linked, chapters);
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
