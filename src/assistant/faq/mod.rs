//! The assistant that works offline: the best entry of a local knowledge file, or a polite
//! "I do not know". This backend ranks words; it understands nothing and invents nothing.
//!
//! Ranking is BM25 (crate `bm25`, k1 = 1.2, b = 0.75) over question, keywords and answer, where
//! question and keywords weigh three times. Two rules stand round it. A question asked word by word
//! as in the file finds its entry, stop words and all ("who are you"). And the best entry is used
//! only if it covers [`COVERAGE_MIN`] of what was asked, because BM25 alone always has a winner.
//!
//! Limits: [`KNOWLEDGE_BYTES_MAX`] of file, the words of a question as in `words`. A question costs
//! at most words x entries, on the runtime's blocking threads, `assistant.concurrency` at a time.

mod knowledge;

use super::{Assistant, Error, Failure, Piece, Question, Replies};
use crate::panics::caught;
use crate::words::{self, Term, Words};
use bm25::{Embedder, EmbedderBuilder, Scorer, TokenEmbedder};
use knowledge::{Knowledge, KnowledgeEntry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Largest knowledge file in bytes. All of it is indexed in memory, and a question may look at all
/// of it, so this also bounds what one question costs.
pub const KNOWLEDGE_BYTES_MAX: usize = 1024 * 1024;

/// Part of a question's weight that an entry must cover. At 0.4, one shared word of three is not
/// enough and one of two is; the tests hold examples of both sides.
const COVERAGE_MIN: f32 = 0.4;

/// What a word counts that stands only in an entry's answer: half a hit.
const ANSWER_ONLY: f32 = 0.5;

/// How often question and keywords are indexed for once the answer.
const QUESTION_WEIGHT: usize = 3;

/// An entry of the room's own business wins over one for all that scores as much and a quarter more.
const OWN_BUSINESS: f32 = 1.25;

/// Said when nothing fits and the file has no `unknown`.
const UNKNOWN: &str = "Sorry, I don't know the answer to that. \
    Could you ask in other words, or wait for a colleague?";

const EMBEDDED: &str = include_str!("../../../config/faq.toml");

/// The offline assistant. See the module.
pub struct Faq(Arc<Index>);

impl std::fmt::Debug for Faq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faq")
            .field("entries", &self.0.entries.len())
            .finish()
    }
}

impl Faq {
    /// Reads the knowledge file at `path`, or the small one inside the binary.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no regular file of at most [`KNOWLEDGE_BYTES_MAX`] bytes, or
    /// breaks a rule of its form.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let embedded = Path::new("config/faq.toml");
        match path {
            None => Self::parse(embedded, EMBEDDED),
            Some(path) => Self::parse(path, &read(path)?),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let markdown = path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("md") || extension.eq_ignore_ascii_case("markdown")
        });
        let knowledge = if markdown {
            knowledge::from_markdown(text)
        } else {
            knowledge::from_toml(text)
        };
        match knowledge {
            Ok(knowledge) => Ok(Self(Arc::new(Index::new(knowledge)))),
            Err(problem) => Err(Error::Knowledge {
                path: path.to_owned(),
                line: problem.line,
                problem: problem.text.into_boxed_str(),
            }),
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let too_large = || Error::Size {
        path: path.to_owned(),
    };
    // A pipe would block the start for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(too_large());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let limit = u64::try_from(KNOWLEDGE_BYTES_MAX).unwrap_or(u64::MAX);
    let length = file.metadata().map_err(failed)?.len();
    if length > limit {
        return Err(too_large());
    }
    // The length was a promise; the limit is not.
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

impl Assistant for Faq {
    fn answer(&self, question: Question) -> Replies {
        let (pieces, replies) = Replies::channel();
        let index = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let found = caught(|| index.find(question.room.business_id(), &question.text));
            let piece = found.map(|text| Piece::Text(text.to_owned()));
            for piece in [piece.ok_or(Failure::Panicked), Ok(Piece::End)] {
                if pieces.blocking_send(piece).is_err() {
                    // Nobody waits any more: the prompt has timed out and was apologised for.
                    return;
                }
            }
        });
        replies
    }

    fn name(&self) -> &'static str {
        "faq"
    }
}

struct Index {
    entries: Vec<Indexed>,
    unknown: BTreeMap<Option<String>, String>,
    scorer: Scorer<usize, u64>,
    embedder: Embedder<Term, Words>,
    /// Entries that hold a word, for the weight of a question's words.
    frequency: HashMap<u64, u32>,
    /// Questions and keywords as written, to their entries in the file's order.
    phrases: HashMap<String, Vec<usize>>,
}

struct Indexed {
    answer: String,
    business: Option<String>,
    asked: HashSet<u64>,
    answered: HashSet<u64>,
}

impl Index {
    fn new(knowledge: Knowledge) -> Self {
        let documents: Vec<String> = knowledge.entries.iter().map(document).collect();
        let lengths = documents.iter().map(|text| words::telling(text).count());
        let average = lengths.sum::<usize>() as f32 / documents.len().max(1) as f32;
        let mut index = Self {
            entries: Vec::with_capacity(documents.len()),
            unknown: knowledge.unknown,
            scorer: Scorer::new(),
            embedder: EmbedderBuilder::with_avgdl(average).build(),
            frequency: HashMap::new(),
            phrases: HashMap::new(),
        };
        for (id, (entry, document)) in knowledge.entries.into_iter().zip(documents).enumerate() {
            index.scorer.upsert(&id, index.embedder.embed(&document));
            for phrase in std::iter::once(&entry.question).chain(&entry.keywords) {
                let ids = index.phrases.entry(words::phrase(phrase)).or_default();
                ids.push(id);
            }
            let asked = terms(&format!("{} {}", entry.question, entry.keywords.join(" ")));
            let answered: HashSet<u64> = terms(&entry.answer).difference(&asked).copied().collect();
            for term in asked.union(&answered) {
                *index.frequency.entry(*term).or_default() += 1;
            }
            index.entries.push(Indexed {
                answer: entry.answer,
                business: entry.business,
                asked,
                answered,
            });
        }
        index
    }

    fn find(&self, business: &str, text: &str) -> &str {
        self.word_by_word(business, text)
            .or_else(|| self.ranked(business, text))
            .map_or_else(|| self.unknown(business), |entry| entry.answer.as_str())
    }

    fn word_by_word(&self, business: &str, text: &str) -> Option<&Indexed> {
        let ids = self.phrases.get(&words::phrase(text))?;
        let visible = || ids.iter().filter_map(|id| self.visible(*id, business));
        visible()
            .find(|entry| entry.business.is_some())
            .or_else(|| visible().next())
    }

    fn ranked(&self, business: &str, text: &str) -> Option<&Indexed> {
        // Each word once: who repeats a word does not mean it twice.
        let mut seen = HashSet::new();
        let query: Vec<String> = words::telling(text)
            .filter(|word| seen.insert(Term::embed(word)))
            .take(words::WORDS_MAX)
            .collect();
        let query: Vec<u64> = query.iter().map(|word| Term::embed(word)).collect();
        let values = query.iter().map(|term| bm25::TokenEmbedding {
            index: *term,
            value: 1.0,
        });
        let matches = self.scorer.matches(&bm25::Embedding(values.collect()));
        let scored = matches.into_iter().filter_map(|scored| {
            let entry = self.visible(scored.id, business)?;
            let own = if entry.business.is_some() {
                OWN_BUSINESS
            } else {
                1.0
            };
            (self.coverage(&query, entry) >= COVERAGE_MIN).then_some((
                scored.score * own,
                scored.id,
                entry,
            ))
        });
        // The crate's order of equals is random; the file's first one wins.
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        best.map(|(_, _, entry)| entry)
    }

    fn visible(&self, id: usize, business: &str) -> Option<&Indexed> {
        let entry = self.entries.get(id)?;
        let own = entry.business.as_deref();
        (own.is_none() || own == Some(business)).then_some(entry)
    }

    /// Part of the question's weight that `entry` covers, 0 to 1. A word's weight is its rarity, so
    /// that sharing common words does not make an answer; a word nobody has counts as a rare one.
    fn coverage(&self, query: &[u64], entry: &Indexed) -> f32 {
        let (mut covered, mut all) = (0.0, 0.0);
        for term in query {
            let entries = self.entries.len() as f32;
            let holders = self.frequency.get(term).copied().unwrap_or(1) as f32;
            let weight = (1.0 + (entries - holders + 0.5) / (holders + 0.5)).ln();
            all += weight;
            if entry.asked.contains(term) {
                covered += weight;
            } else if entry.answered.contains(term) {
                covered += weight * ANSWER_ONLY;
            }
        }
        if all > 0.0 { covered / all } else { 0.0 }
    }

    fn unknown(&self, business: &str) -> &str {
        self.unknown
            .get(&Some(business.to_owned()))
            .or_else(|| self.unknown.get(&None))
            .map_or(UNKNOWN, String::as_str)
    }
}

fn document(entry: &KnowledgeEntry) -> String {
    let asked = format!("{}\n{}\n", entry.question, entry.keywords.join("\n"));
    asked.repeat(QUESTION_WEIGHT) + &entry.answer
}

fn terms(text: &str) -> HashSet<u64> {
    words::telling(text)
        .map(|word| Term::embed(&word))
        .collect()
}

#[cfg(test)]
mod tests;
