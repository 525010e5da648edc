//! What a model is told before the conversation, with what is known filled in.

use crate::name::BUSINESS_ID_BYTES_MAX;

/// What a model is told unless the settings say something else: as little as any site can agree with.
pub(super) const PROMPT: &str = "You are the assistant of a customer-support chat. Answer briefly and politely, in the \
    language of the customer (if in doubt: {language}). Say so when you do not know something, and never invent facts \
    about the business.\n\nWhat the business says about it:\n{context}";

/// Fills in a template. What is filled in is never looked at again; a paragraph with `{context}` in it is left out where
/// nothing is known.
pub(super) fn render(template: &str, language: &str, business_id: &str, context: &str) -> String {
    let paragraphs = template.split("\n\n");
    let told = paragraphs.filter(|told| !context.is_empty() || !told.contains("{context}"));
    let told: Vec<&str> = told.collect();
    let told = told.join("\n\n");
    let mut filled = String::with_capacity(told.len() + context.len());
    let mut rest = told.as_str();
    while let Some((before, from)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
        filled.push_str(before);
        let known = [
            ("{language}", language),
            ("{business_id}", business_id),
            ("{context}", context),
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
        ("{context}", context_bytes),
    ];
    filled_in.iter().fold(template.len(), |sum, (name, bytes)| {
        let count = template.matches(name).count();
        sum.saturating_add(count.saturating_mul(*bytes))
    })
}

/// As many of these texts, the best first, as fit; each is a paragraph.
pub(super) fn context(passages: Vec<String>, bytes_max: usize) -> String {
    let mut context = String::new();
    for passage in passages {
        let passage = passage.trim();
        let between = if context.is_empty() { "" } else { "\n\n" };
        if context.len() + between.len() + passage.len() > bytes_max {
            break;
        }
        context.push_str(between);
        context.push_str(passage);
    }
    context
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
        let passages = || vec!["one ".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!(context(passages(), 100), "one\n\ntwo\n\nthree");
        assert_eq!(context(passages(), 8), "one\n\ntwo");
        assert_eq!(context(passages(), 2), "");
    }
}
