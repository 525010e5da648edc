//! What a model is told before the conversation, with what is known filled in.

use super::super::KnownPassage;
use crate::name::BUSINESS_ID_BYTES_MAX;

/// Where what is known about a question stands in a template.
const CONTEXT: &str = "{context}";

/// What a model is told unless the settings say something else: as little as any site can agree with.
pub(super) const PROMPT: &str = "You are the assistant of a customer-support chat. Answer briefly and politely, in the \
    language of the customer (if in doubt: {language}). Say so when you do not know something, and never invent facts \
    about the business.\n\nWhat the business says about it:\n{context}";

/// Fills in a template. What is filled in is never looked at again; a paragraph with `{context}` in it is left out where
/// nothing is known.
pub(super) fn render(template: &str, language: &str, business_id: &str, context: &str) -> String {
    let paragraphs = template.split("\n\n");
    let told = paragraphs.filter(|told| !context.is_empty() || !told.contains(CONTEXT));
    let told: Vec<&str> = told.collect();
    let told = told.join("\n\n");
    let mut filled = String::with_capacity(told.len() + context.len());
    let mut rest = told.as_str();
    while let Some((before, from)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
        filled.push_str(before);
        let known = [
            ("{language}", language),
            ("{business_id}", business_id),
            (CONTEXT, context),
        ];
        let found = known
            .into_iter()
            .find_map(|(name, value)| from.strip_prefix(name).map(|rest| (value, rest)));
        rest = match found {
            Some((value, rest)) => {
                filled.push_str(value);
                rest
            }
            None => {
                filled.push('{');
                from.strip_prefix('{').unwrap_or_default()
            }
        };
    }
    filled.push_str(rest);
    filled
}

/// Most bytes that [`render`] makes of a template, or of [`PROMPT`] without one, whatever is known.
pub(in crate::assistant) fn told_bytes_max(
    template: Option<&str>,
    language: &str,
    context_bytes: usize,
) -> usize {
    let template = template.unwrap_or(PROMPT);
    let filled_in = [
        ("{language}", language.len()),
        ("{business_id}", BUSINESS_ID_BYTES_MAX),
        (CONTEXT, context_bytes),
    ];
    filled_in.iter().fold(template.len(), |sum, (name, bytes)| {
        let count = template.matches(name).count();
        sum.saturating_add(count.saturating_mul(*bytes))
    })
}

/// Does this template say what is known?
pub(super) fn asks_for_context(template: &str) -> bool {
    template.contains(CONTEXT)
}

/// What is known about a question, as it is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PromptContext {
    pub(super) text: String,
    /// The documents that it is from, each once.
    pub(super) documents: Vec<String>,
}

impl PromptContext {
    /// As many of these texts, the best first, as fit; each is a paragraph.
    pub(super) fn of(passages: Vec<KnownPassage>, bytes_max: usize) -> Self {
        let mut context = Self::default();
        for KnownPassage { text, document_id } in passages {
            let text = text.trim();
            let between = if context.text.is_empty() { "" } else { "\n\n" };
            if context.text.len() + between.len() + text.len() > bytes_max {
                break;
            }
            context.text.push_str(between);
            context.text.push_str(text);
            if let Some(id) = document_id.filter(|id| !context.documents.contains(id)) {
                context.documents.push(id);
            }
        }
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PLACEHOLDERS;

    #[test]
    fn placeholders_are_filled_in_once_and_other_braces_stay() {
        let template =
            "In {language} for {business_id}: {\"a\": {x}} {language\n\nKnown:\n{context}\n\nEnd {";
        let filled = render(template, "de", "7", "{language} {context}");
        let expected =
            "In de for 7: {\"a\": {x}} {language\n\nKnown:\n{language} {context}\n\nEnd {";
        assert_eq!(filled, expected);
    }

    #[test]
    fn a_paragraph_about_what_is_known_is_left_out_where_nothing_is() {
        assert_eq!(render("a\n\nKnown: {context}\n\nb", "", "", ""), "a\n\nb");
        assert_eq!(render("{context}", "", "", ""), "");
        assert_eq!(render("", "", "", "x"), "");
    }

    #[test]
    fn without_a_prompt_the_model_is_told_what_fits_every_business() {
        let told = render(PROMPT, "de", "7", "");
        assert!(told.ends_with("about the business.") && told.contains("if in doubt: de"));
        assert!(render(PROMPT, "de", "7", "Open at 9.").ends_with("\nOpen at 9."));
    }

    #[test]
    fn what_is_told_is_never_longer_than_is_counted_with() {
        let long = "{context} {language} {business_id} {context}\n\n{context}\n\n{other}";
        for template in ["", "{", "plain", long, PROMPT] {
            for known in ["", "x", &"{context}".repeat(9)] {
                let told = render(template, "de", "123456789012345678", known);
                let most = told_bytes_max(Some(template), "de", known.len());
                assert!(told.len() <= most, "{template:?} {known:?}");
            }
        }
        assert_eq!(
            told_bytes_max(None, "", 0),
            told_bytes_max(Some(PROMPT), "", 0)
        );
    }

    #[test]
    fn every_placeholder_of_the_settings_is_filled_in() {
        let filled = render(&PLACEHOLDERS.join(" "), "l", "b", "c");
        assert_eq!(filled, "l c b");
    }

    #[test]
    fn the_best_passages_that_fit_are_the_context() {
        let of = |bytes_max| {
            let passages = [("one ", "7"), ("two", "7"), ("three", "a.md")];
            let passages = passages.map(|(text, id)| KnownPassage {
                text: text.to_owned(),
                document_id: Some(id.to_owned()),
            });
            let context = PromptContext::of(passages.into(), bytes_max);
            (context.text, context.documents.join(" "))
        };
        let own = |(text, documents): (&str, &str)| (text.to_owned(), documents.to_owned());
        assert_eq!(of(100), own(("one\n\ntwo\n\nthree", "7 a.md")));
        assert_eq!(of(8), own(("one\n\ntwo", "7")));
        assert_eq!(of(2), own(("", "")));
        let unnamed = PromptContext::of(vec!["more".to_owned().into()], 9);
        assert_eq!((&*unnamed.text, unnamed.documents.len()), ("more", 0));
    }
}
