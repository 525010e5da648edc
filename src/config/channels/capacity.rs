//! Capacities by pattern: shell globs and regular expressions as `channels` 4.3 compiles them
//! (`BaseChannelLayer.compile_capacities`, `fnmatch.translate` of Python 3.11).

use regex::Regex;
use serde::{Deserialize, Serialize};

/// One entry of `channel_capacity`: `{ pattern = "http.*", capacity = 200 }`, or `regex` in the
/// place of `pattern` for what is `re.compile(…)` in a `settings.py`.
///
/// A glob fits the whole name, a regular expression its beginning; both are tested against the full
/// name of the channel. Look-around and back references, which Rust's engine has not, are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "CapacityEntry", into = "CapacityEntry")]
pub struct ChannelCapacity {
    entry: CapacityEntry,
    compiled: Regex,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapacityEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
    capacity: usize,
}

impl ChannelCapacity {
    /// A capacity for the names that fit a glob.
    ///
    /// # Errors
    /// If the glob is too large to compile.
    pub fn glob(pattern: &str, capacity: usize) -> Result<Self, String> {
        Self::try_from(CapacityEntry {
            pattern: Some(pattern.to_owned()),
            regex: None,
            capacity,
        })
    }

    /// A capacity for the names that begin as a regular expression says.
    ///
    /// # Errors
    /// If it is not an expression of Rust's `regex`.
    pub fn regex(expression: &str, capacity: usize) -> Result<Self, String> {
        Self::try_from(CapacityEntry {
            pattern: None,
            regex: Some(expression.to_owned()),
            capacity,
        })
    }

    /// Does the full name of a channel fit?
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        self.compiled.is_match(channel)
    }

    /// Most messages waiting.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.entry.capacity
    }
}

impl PartialEq for ChannelCapacity {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl Eq for ChannelCapacity {}

impl TryFrom<CapacityEntry> for ChannelCapacity {
    type Error = String;

    fn try_from(entry: CapacityEntry) -> Result<Self, String> {
        let expression = match (&entry.pattern, &entry.regex) {
            (Some(glob), None) => translate(glob),
            (None, Some(regex)) => format!(r"\A(?:{regex})"),
            _ => return Err("write either pattern or regex".to_owned()),
        };
        let compiled = Regex::new(&expression).map_err(|error| error.to_string())?;
        Ok(Self { entry, compiled })
    }
}

impl From<ChannelCapacity> for CapacityEntry {
    fn from(capacity: ChannelCapacity) -> Self {
        capacity.entry
    }
}

/// A glob as a regular expression: `*`, `?`, `[abc]`, `[a-c]`, `[!abc]`; all else is itself.
fn translate(glob: &str) -> String {
    let chars: Vec<char> = glob.chars().collect();
    let mut expression = String::from(r"(?s)\A");
    let mut rest = chars.as_slice();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => match class_end(tail) {
                Some(end) => {
                    let (class, tail) = tail.split_at(end);
                    push_class(&mut expression, class);
                    rest = tail.get(1..).unwrap_or_default();
                }
                None => expression.push_str(r"\["),
            },
            _ => push_char(&mut expression, first),
        }
    }
    expression.push_str(r"\z");
    expression
}

/// Where the `]` is that ends a class; one directly after `[` or `[!` belongs to the class.
fn class_end(tail: &[char]) -> Option<usize> {
    let start = usize::from(tail.first() == Some(&'!'));
    let start = start + usize::from(tail.get(start) == Some(&']'));
    let rest = tail.get(start..)?;
    rest.iter().position(|&c| c == ']').map(|end| start + end)
}

fn push_class(expression: &mut String, class: &[char]) {
    let (negated, class) = match class {
        ['!', class @ ..] => (true, class),
        class => (false, class),
    };
    let ranges = ranges(class);
    if ranges.is_empty() {
        // Every range was upside down: nothing fits, or everything.
        return expression.push_str(if negated { "." } else { r"[^\s\S]" });
    }
    expression.push_str(if negated { "[^" } else { "[" });
    for (low, high) in ranges {
        push_char(expression, low);
        expression.push('-');
        push_char(expression, high);
    }
    expression.push(']');
}

/// The ranges of a class, single characters being ranges of one.
///
/// Python splits at each hyphen that has something on both sides; upside-down ranges vanish
/// together with their ends.
fn ranges(class: &[char]) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut rest = class;
    loop {
        match rest {
            [] => return ranges,
            [low, '-', high, tail @ ..] => {
                if low <= high {
                    ranges.push((*low, *high));
                }
                rest = tail;
            }
            [single, tail @ ..] => {
                ranges.push((*single, *single));
                rest = tail;
            }
        }
    }
}

/// One character, in a form that means itself inside and outside of a class.
fn push_char(expression: &mut String, character: char) {
    expression.push_str(&format!(r"\x{{{:x}}}", u32::from(character)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(pattern: &str, name: &str) -> bool {
        let capacity = ChannelCapacity::glob(pattern, 1);
        capacity.expect("compiles").matches(name)
    }

    #[test]
    fn a_glob_fits_the_whole_name_and_a_regex_its_beginning() {
        assert!(glob("http.response!*", "http.response!abc"));
        assert!(!glob("http", "http.request") && !glob("request", "http.request"));
        let regex = ChannelCapacity::regex("a|bc", 1).expect("compiles");
        assert!(regex.matches("ax") && regex.matches("bcx") && !regex.matches("xa"));
    }

    #[test]
    fn either_a_pattern_or_a_regex_is_written() {
        let read = |text: &str| toml::from_str::<ChannelCapacity>(text).map_err(Box::new);
        assert!(read("pattern = \"a\"\ncapacity = 1").is_ok());
        assert!(read("capacity = 1").is_err());
        assert!(read("pattern = \"a\"\nregex = \"a\"\ncapacity = 1").is_err());
        assert!(read("regex = \"(?=a)\"\ncapacity = 1").is_err());
    }

    proptest! {
        #[test]
        fn every_glob_compiles(pattern in "[\\[\\]!*?a-c\\-^&~|\\\\]{0,12}", name in "[a-c!]{0,6}") {
            let _ = glob(&pattern, &name);
        }

        #[test]
        fn a_name_fits_itself(name in "[A-Za-z0-9._!-]{0,40}") {
            prop_assert!(glob(&name, &name));
        }
    }
}
