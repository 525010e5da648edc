//! Names that say something, and comments that name their subject.

use super::report;
use super::source::{identifier, sources};

/// Words that name no thing. `Handler` is the configuration's own word for what serves a route.
const BANNED: &[&str] = &[
    "util", "utils", "helper", "helpers", "manager", "handler", "common",
];
const BANNED_EXCEPT: &[&str] = &["Handler"];

/// The words of `CamelCase` or `snake_case`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if character == '_' || character == '-' || character == '.' || character.is_uppercase() {
            words.push(String::new());
        }
        if character.is_alphanumeric() {
            words
                .last_mut()
                .expect("never empty")
                .extend(character.to_lowercase());
        }
    }
    words
}

fn is_banned(name: &str) -> bool {
    let banned = |word: &String| BANNED.contains(&word.as_str());
    !BANNED_EXCEPT.contains(&name) && words(name).iter().any(banned)
}

#[test]
fn files_types_and_modules_have_names_that_say_something() {
    let mut faults = Vec::new();
    for source in sources() {
        let file = source
            .path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if is_banned(&file) {
            faults.push(format!("{}: file name", source.name()));
        }
        for (number, line) in source.code() {
            let mut parts = line
                .split_whitespace()
                .skip_while(|part| part.starts_with("pub"));
            let keyword = parts.next().unwrap_or_default();
            let name = identifier(parts.next().unwrap_or_default());
            if ["struct", "enum", "trait", "type", "mod"].contains(&keyword) && is_banned(name) {
                faults.push(format!("{}:{number}: {keyword} {name}", source.name()));
            }
        }
    }
    report(&faults);
}

/// Words that stand for a subject which the reader would have to look for.
const PRONOUNS: &[&str] = &["It", "Its", "They", "Their", "Them"];

/// Does a sentence begin with a word for a subject that is not named? `text`: a comment's line without its slashes.
fn hides_its_subject(text: &str) -> bool {
    let starts = [". ", ": ", "; "].into_iter().flat_map(|end| {
        let sentences = text.split(end).skip(1);
        sentences.map(str::trim_start)
    });
    let mut starts = starts.chain([text.trim_start()]);
    starts.any(|sentence| PRONOUNS.contains(&identifier(sentence)))
}

#[test]
fn comments_name_their_subject() {
    assert!(hides_its_subject(" It ends.") && hides_its_subject(" The end. Its time"));
    assert!(!hides_its_subject(" Items. What it is, they say."));
    let mut faults = Vec::new();
    for source in sources() {
        let name = source.name();
        if !name.starts_with("src/") {
            continue;
        }
        for (index, line) in source.text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//");
            let comment = comment.map(|comment| comment.trim_start_matches(['/', '!']));
            if comment.is_some_and(hides_its_subject) {
                faults.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    report(&faults);
}
