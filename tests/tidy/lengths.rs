//! How long files and functions are.

use super::report;
use super::source::{Source, sources, test_files};

/// Longest file.
const FILE_LINES_MAX: usize = 500;
/// Lines of the library's files without its tests: half are at most so long, and nine of ten.
const FILE_LINES_MEDIAN: usize = 150;
const FILE_LINES_P90: usize = 350;
/// Longest function, blank lines and comments not counted.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_are_at_most_500_lines_long() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines", source.name()));
        }
    }
    report(&faults);
}

#[test]
fn most_files_are_short() {
    let sources = sources();
    let tests = test_files(&sources);
    let is_product = |source: &&Source| {
        let is_test = tests.iter().any(|test| source.path.starts_with(test));
        source.name().starts_with("src/") && !is_test
    };
    let mut files: Vec<(usize, String)> = sources
        .iter()
        .filter(is_product)
        .map(|source| (source.text.lines().count(), source.name()))
        .collect();
    files.sort_unstable();
    for (share, most) in [(50, FILE_LINES_MEDIAN), (90, FILE_LINES_P90)] {
        let (lines, name) = files.get(files.len() * share / 100).expect("files");
        assert!(*lines <= most, "{share}%: {name} has {lines}, over {most}");
    }
}

#[test]
fn functions_are_at_most_70_lines_long() {
    let mut faults = Vec::new();
    for source in sources() {
        let mut open: Option<(String, usize, usize)> = None;
        for (number, line) in source.code() {
            let body = line.trim_start();
            let indent = line.split_at(line.len() - body.len()).0;
            if let Some((end, start, count)) = &mut open {
                if line.trim_end() == *end {
                    if *count > FUNCTION_LINES_MAX {
                        faults.push(format!("{}:{start}: {count} lines", source.name()));
                    }
                    open = None;
                } else {
                    *count += usize::from(!body.trim().is_empty());
                }
            } else if is_function(body) && !line.trim_end().ends_with([';', '}']) {
                open = Some((format!("{indent}}}"), number, 0));
            }
        }
    }
    report(&faults);
}

fn is_function(line: &str) -> bool {
    let mut words = line.split(' ').take(6);
    let before = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "unsafe",
        "extern",
        "\"C\"",
    ];
    words.find(|word| !before.contains(word)) == Some("fn")
}
