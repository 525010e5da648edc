//! The knowledge file: questions and answers as TOML or Markdown. Pure: text in, entries out.
//!
//! TOML (any file name that does not end in `.md` or `.markdown`):
//!
//! ```toml
//! unknown = "Sorry, I do not know."        # optional; sent when nothing fits
//!
//! [[entry]]
//! question = "How do I pay?"
//! answer = "By card."
//! keywords = ["payment", "credit card"]    # optional: other words for it
//! business = 1                             # optional: only in this business's rooms
//!
//! [business.7]                             # the same, gathered by business
//! unknown = "Ask at the desk."
//! [[business.7.entry]]
//! question = "Where are you?"
//! answer = "On the quay."
//! ```
//!
//! Markdown: `## question`, then its answer up to the next heading. `# Business 7` begins the
//! entries of one business, any other `# heading` those for all, and `## (unknown)` holds the text
//! for what nothing fits. Headings in fenced code are text.

use crate::name::is_business_id;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// One question with its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KnowledgeEntry {
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) keywords: Vec<String>,
    /// Only for this business; `None` = for all.
    pub(super) business: Option<String>,
}

/// All that a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Knowledge {
    /// At least one.
    pub(super) entries: Vec<KnowledgeEntry>,
    /// What is said when nothing fits, for all (`None`) or for one business.
    pub(super) unknown: BTreeMap<Option<String>, String>,
}

/// A broken rule and its line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KnowledgeProblem {
    pub(super) line: u32,
    pub(super) text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnowledgeFile {
    unknown: Option<Spanned<String>>,
    #[serde(default)]
    entry: Vec<RawEntry>,
    #[serde(default)]
    business: BTreeMap<Spanned<String>, Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    unknown: Option<Spanned<String>>,
    #[serde(default)]
    entry: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    question: Spanned<String>,
    answer: Spanned<String>,
    #[serde(default)]
    keywords: Vec<String>,
    business: Option<Spanned<u64>>,
}

/// Reads a TOML knowledge file.
pub(super) fn from_toml(text: &str) -> Result<Knowledge, KnowledgeProblem> {
    let file: KnowledgeFile = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        problem(text, start, error.message())
    })?;
    let mut knowledge = Knowledge::default();
    knowledge.add(text, None, file.unknown, file.entry)?;
    for (id, section) in file.business {
        business_id(text, id.span().start, id.get_ref())?;
        let id = id.into_inner();
        knowledge.add(text, Some(id), section.unknown, section.entry)?;
    }
    knowledge.finish()
}

impl Knowledge {
    fn add(
        &mut self,
        text: &str,
        section: Option<String>,
        unknown: Option<Spanned<String>>,
        entries: Vec<RawEntry>,
    ) -> Result<(), KnowledgeProblem> {
        if let Some(unknown) = unknown {
            let unknown = filled(text, "unknown", unknown)?;
            self.unknown.insert(section.clone(), unknown);
        }
        for raw in entries {
            let business = match raw.business {
                Some(id) => {
                    let named = id.get_ref().to_string();
                    business_id(text, id.span().start, &named)?;
                    if section.as_ref().is_some_and(|section| *section != named) {
                        let what = "`business` contradicts the section it is in; leave it out";
                        return Err(problem(text, id.span().start, what));
                    }
                    Some(named)
                }
                None => section.clone(),
            };
            self.entries.push(KnowledgeEntry {
                question: filled(text, "question", raw.question)?,
                answer: filled(text, "answer", raw.answer)?,
                keywords: raw.keywords,
                business,
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<Self, KnowledgeProblem> {
        if self.entries.is_empty() {
            return Err(KnowledgeProblem {
                line: 1,
                text: "no entry; add one, or set assistant.kind = \"none\"".to_owned(),
            });
        }
        Ok(self)
    }
}

fn filled(text: &str, key: &str, value: Spanned<String>) -> Result<String, KnowledgeProblem> {
    let start = value.span().start;
    let trimmed = value.get_ref().trim();
    if trimmed.is_empty() {
        return Err(problem(text, start, &format!("`{key}` is empty")));
    }
    Ok(trimmed.to_owned())
}

fn business_id(text: &str, start: usize, id: &str) -> Result<(), KnowledgeProblem> {
    if is_business_id(id) {
        return Ok(());
    }
    let what = format!("`{id}` is no business id: 1 to 18 digits without a leading zero");
    Err(problem(text, start, &what))
}

fn problem(text: &str, start: usize, what: &str) -> KnowledgeProblem {
    let before = text.bytes().take(start);
    KnowledgeProblem {
        line: line(before.filter(|byte| *byte == b'\n').count()),
        text: what.to_owned(),
    }
}

fn line(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Reads a Markdown knowledge file.
pub(super) fn from_markdown(text: &str) -> Result<Knowledge, KnowledgeProblem> {
    let mut reader = KnowledgeReader::default();
    let mut fenced = false;
    for (index, row) in text.lines().enumerate() {
        let line = line(index);
        fenced ^= row.trim_start().starts_with("```");
        if fenced {
            reader.text(row);
        } else if let Some(heading) = row.strip_prefix("## ") {
            reader.end_entry()?;
            reader.question = Some((line, heading.trim().to_owned()));
        } else if let Some(heading) = row.strip_prefix("# ") {
            reader.end_entry()?;
            reader.business = section(line, heading.trim())?;
        } else {
            reader.text(row);
        }
    }
    reader.end_entry()?;
    reader.knowledge.finish()
}

#[derive(Default)]
struct KnowledgeReader {
    knowledge: Knowledge,
    business: Option<String>,
    question: Option<(u32, String)>,
    answer: String,
}

impl KnowledgeReader {
    fn text(&mut self, row: &str) {
        self.answer.push_str(row);
        self.answer.push('\n');
    }

    fn end_entry(&mut self) -> Result<(), KnowledgeProblem> {
        let answer = std::mem::take(&mut self.answer).trim().to_owned();
        // Text before the first question is an introduction for those who edit the file.
        let Some((line, question)) = self.question.take() else {
            return Ok(());
        };
        if question.is_empty() || answer.is_empty() {
            let text = "a question without text or without an answer under it".to_owned();
            return Err(KnowledgeProblem { line, text });
        }
        let business = self.business.clone();
        if question.eq_ignore_ascii_case("(unknown)") {
            self.knowledge.unknown.insert(business, answer);
        } else {
            self.knowledge.entries.push(KnowledgeEntry {
                question,
                answer,
                keywords: Vec::new(),
                business,
            });
        }
        Ok(())
    }
}

fn section(line: u32, heading: &str) -> Result<Option<String>, KnowledgeProblem> {
    let mut words = heading.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    match second {
        Some(id) if first.eq_ignore_ascii_case("business") && words.next().is_none() => {
            if is_business_id(id) {
                return Ok(Some(id.to_owned()));
            }
            // "# Business hours" is a heading like any other; "# Business 007" is a slip.
            if !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok(None);
            }
            let text = format!("`{id}` is no business id: 1 to 18 digits without a leading zero");
            Err(KnowledgeProblem { line, text })
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_gathers_entries_for_all_and_per_business() {
        let text = "unknown = 'eh'\n[[entry]]\nquestion='q'\nanswer='a'\nkeywords=['k']\n\
            [[entry]]\nquestion='own'\nanswer='b'\nbusiness=1\n\
            [business.7]\nunknown='ask'\n[[business.7.entry]]\nquestion='r'\nanswer='c'\n";
        let knowledge = from_toml(text).expect("legal");
        let who: Vec<_> = knowledge
            .entries
            .iter()
            .map(|entry| entry.business.as_deref())
            .collect();
        assert_eq!(who, [None, Some("1"), Some("7")]);
        assert_eq!(knowledge.entries[0].keywords, ["k"]);
        assert_eq!(knowledge.unknown[&None], "eh");
        assert_eq!(knowledge.unknown[&Some("7".to_owned())], "ask");
    }

    #[test]
    fn every_broken_rule_names_its_line() {
        for (text, line, what) in [
            ("", 1, "no entry"),
            ("x = [", 1, ""),
            (
                "\n[[entry]]\nquestion = 'q'\nanswer = ' '\n",
                4,
                "`answer` is empty",
            ),
            ("[[entry]]\nquestion = 'q'\n", 1, "missing field `answer`"),
            (
                "[[entry]]\nquestion = 'q'\nanswer = 'a'\nkeyword = []\n",
                4,
                "unknown field",
            ),
            ("\n[business.07]\nunknown = 'x'\n", 2, "no business id"),
            (
                "[[business.1.entry]]\nquestion='q'\nanswer='a'\nbusiness=2\n",
                4,
                "contradicts",
            ),
        ] {
            let problem = from_toml(text).expect_err(text);
            assert_eq!(problem.line, line, "{text:?} {problem:?}");
            assert!(problem.text.contains(what), "{text:?} {problem:?}");
        }
    }

    #[test]
    fn markdown_headings_are_questions() {
        let text = "# Shop\nIntro.\n## How?\nSo.\n\n```\n## no heading\n```\n\
            # Business hours\n## When?\nNow.\n# Business 7\n## Where?\nHere.\n## (unknown)\nAsk.\n";
        let knowledge = from_markdown(text).expect("legal");
        let entries: Vec<_> = knowledge
            .entries
            .iter()
            .map(|entry| {
                (
                    entry.question.as_str(),
                    entry.answer.as_str(),
                    entry.business.as_deref(),
                )
            })
            .collect();
        let how = ("How?", "So.\n\n```\n## no heading\n```", None);
        assert_eq!(
            entries,
            [how, ("When?", "Now.", None), ("Where?", "Here.", Some("7"))]
        );
        assert_eq!(knowledge.unknown[&Some("7".to_owned())], "Ask.");
    }

    #[test]
    fn markdown_slips_name_their_line() {
        for (text, line) in [
            ("Just text.", 1),
            ("\n## Q\n\n## R\nA", 2),
            ("# Business 007", 1),
        ] {
            assert_eq!(from_markdown(text).expect_err(text).line, line, "{text:?}");
        }
    }
}
