//! What a person reads is a template that is filled with the same JSON that goes into the files.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// A whole number with separators.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A template of this program with these values. A mistake in the template is said in its place.
pub(crate) fn fill(template: &str, values: impl Serialize) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true);
    let syntax = syntax.keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("invariant: the usual delimiters"));
    environment.add_filter("count", |number: f64| count(number as u64));
    environment.add_filter("plain", |number: f64| number.to_string());
    environment.add_filter("fixed", fixed);
    environment.add_filter("pad", |name: String, width: usize| {
        format!("{name:<width$}")
    });
    let text = environment.render_str(template, Serde(values));
    text.unwrap_or_else(|error| format!("{error:#}\n"))
}

/// So many digits after the point; other words where there is no number.
fn fixed(number: Option<f64>, digits: usize, none: Option<String>) -> String {
    match number {
        Some(number) => format!("{number:.digits$}"),
        None => none.unwrap_or_default(),
    }
}
