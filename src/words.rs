//! Text to the words that are compared: lower case, without stop words, stemmed.
//!
//! Bounded whatever a customer sends: the text is (`chat.text_bytes_max`), [`WORDS_MAX`] different
//! words are compared, each of at most [`WORD_BYTES_MAX`] bytes. Stop words and stems are English; text in other languages that part
//! words by spaces or punctuation is compared by its (consistently stemmed) words.

use bm25::{TokenEmbedder, Tokenizer};
use rust_stemmers::{Algorithm, Stemmer};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Most words of a question that count. People ask in fewer than 64; the rest of a page pasted into
/// the chat only costs time.
pub(crate) const WORDS_MAX: usize = 64;

/// Longest word in bytes; longer runs are numbers, keys or noise and are left out.
const WORD_BYTES_MAX: usize = 64;

/// English words that say nothing about the subject. Sorted, for the binary search. Our own list:
/// the ones that questions to a support desk are built of.
const STOP_WORDS: [&str; 110] = [
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "but", "by", "can", "cant", "could", "did", "do", "does", "dont", "for", "from", "get",
    "give", "had", "has", "have", "he", "her", "here", "his", "how", "i", "id", "if", "ill", "im",
    "in", "into", "is", "isnt", "it", "its", "ive", "just", "know", "let", "like", "make", "may",
    "me", "might", "mine", "must", "my", "need", "no", "not", "now", "of", "on", "or", "our",
    "please", "shall", "she", "should", "so", "some", "such", "tell", "than", "that", "thats",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "too", "us",
    "very", "want", "was", "we", "were", "what", "whats", "when", "where", "which", "who", "why",
    "will", "with", "wont", "would", "you", "your", "youre", "yours", "yourself",
];

/// Lower-case words of `text`: runs of letters and digits, apostrophes left out of the middle.
pub(crate) fn plain(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '\u{2019}'))
        .map(|run| run.replace(['\'', '\u{2019}'], ""))
        .filter(|word| (1..=WORD_BYTES_MAX).contains(&word.len()))
        .map(|word| word.to_lowercase())
}

/// The words of `text` that say something about its subject, stemmed, repetitions included.
pub(crate) fn telling(text: &str) -> impl Iterator<Item = String> {
    let stemmer = Stemmer::create(Algorithm::English);
    plain(text)
        .filter(|word| STOP_WORDS.binary_search(&word.as_str()).is_err())
        .map(move |word| stemmer.stem(&word).into_owned())
}

/// `text` as one line of plain words, to find a question asked word by word; its first
/// [`WORDS_MAX`] words.
pub(crate) fn phrase(text: &str) -> String {
    plain(text).take(WORDS_MAX).collect::<Vec<_>>().join(" ")
}

/// A word's place in an index of `bm25`: 64 bits of its hash, so that no two words of a language meet.
#[derive(Debug)]
pub(crate) struct Term;

impl TokenEmbedder for Term {
    type EmbeddingSpace = u64;

    fn embed(word: &str) -> u64 {
        // Fixed keys: both sides of a comparison must agree, and an attacker gains nothing but a
        // wrong answer from two words that meet.
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        hasher.finish()
    }
}

/// Hands the words of [`telling`] to `bm25`.
#[derive(Debug, Default)]
pub(crate) struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        telling(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted_for_their_search() {
        let mut sorted = STOP_WORDS;
        sorted.sort_unstable();
        assert_eq!(sorted, STOP_WORDS);
    }

    #[test]
    fn forms_of_a_word_are_one_word() {
        let words: Vec<_> = telling("What're the OPENING hours? Opens an hour").collect();
        assert_eq!(words[1..], ["open", "hour", "open", "hour"]);
    }

    #[test]
    fn hostile_text_ends_in_words_or_nothing() {
        for text in ["", "'''", "\u{0}\u{7}", "?!…", &"x".repeat(100_000)] {
            assert_eq!(telling(text).count(), 0, "{} bytes", text.len());
        }
        assert_eq!(telling("où est ma COMMANDE № 12").count(), 5);
        assert_eq!(phrase("Who’s there?"), "whos there");
    }
}
