//! What stands around an answer and is not of it: white space, and before the first word a block in which a model thinks aloud.

use super::fault::AnswerFault;

/// What a block of thinking begins with, as the templates of models write it.
const THINK: &str = "<think>";
/// What the block ends with.
const END_OF_THINK: &str = "</think>";
/// Most bytes before the first word of an answer: 1 MiB. Nothing of them is kept.
const CUT_BYTES_MAX: usize = 1024 * 1024;

/// Cuts off what is not of an answer, however the text is cut into pieces. Holds back at most the white space behind the last
/// word, or as many bytes as a mark of a block of thinking has.
#[derive(Debug)]
pub(super) struct AnswerOpening {
    place: AnswerPlace,
    may_think_aloud: bool,
    /// What may be of the answer, or not.
    held: String,
    /// Bytes before the first word so far.
    cut: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerPlace {
    /// Before all.
    Start,
    /// In the block of thinking.
    Thinking,
    /// Behind it, before the first word.
    Thought,
    /// From the first word on.
    Words,
}

impl AnswerOpening {
    pub(super) fn new(may_think_aloud: bool) -> Self {
        Self {
            place: AnswerPlace::Start,
            may_think_aloud,
            held: String::new(),
            cut: 0,
        }
    }

    /// Bytes held back.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// What is of the answer for sure, once this has come.
    pub(super) fn take(&mut self, text: &str) -> Result<String, AnswerFault> {
        if self.place != AnswerPlace::Words {
            self.cut += text.len();
            if self.cut > CUT_BYTES_MAX {
                return Err(AnswerFault::TooLong);
            }
        }
        self.held.push_str(text);
        if self.place == AnswerPlace::Start {
            self.start();
        }
        if self.place == AnswerPlace::Thinking {
            self.think();
        }
        if self.place == AnswerPlace::Thought {
            self.drop_first(self.held.len() - self.held.trim_start().len());
            if !self.held.is_empty() {
                self.place = AnswerPlace::Words;
            }
        }
        if self.place != AnswerPlace::Words {
            return Ok(String::new());
        }
        let space = self.held.split_off(self.held.trim_end().len());
        Ok(std::mem::replace(&mut self.held, space))
    }

    /// The rest of the answer, which has ended.
    pub(super) fn end(&mut self) -> String {
        match self.place {
            // What has looked like the beginning of a block.
            AnswerPlace::Start => std::mem::take(&mut self.held),
            _ => String::new(),
        }
    }

    fn start(&mut self) {
        self.drop_first(self.held.len() - self.held.trim_start().len());
        if self.may_think_aloud && self.held.starts_with(THINK) {
            self.drop_first(THINK.len());
            self.place = AnswerPlace::Thinking;
        } else if !self.may_think_aloud || !THINK.starts_with(&*self.held) {
            self.place = AnswerPlace::Thought;
        }
    }

    fn think(&mut self) {
        if let Some(at) = self.held.find(END_OF_THINK) {
            self.drop_first(at + END_OF_THINK.len());
            self.place = AnswerPlace::Thought;
            return;
        }
        // The end may have begun.
        let kept = (1..END_OF_THINK.len()).rev();
        let mut begun = kept.filter_map(|bytes| END_OF_THINK.get(..bytes));
        let begun = begun.find(|begun| self.held.ends_with(begun));
        self.drop_first(self.held.len() - begun.map_or(0, str::len));
    }

    fn drop_first(&mut self, bytes: usize) {
        self.held.drain(..bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'t>(pieces: impl IntoIterator<Item = &'t str>, may_think_aloud: bool) -> String {
        let mut opening = AnswerOpening::new(may_think_aloud);
        let mut shown = String::new();
        for piece in pieces {
            shown.push_str(&opening.take(piece).expect("short"));
        }
        shown + &opening.end()
    }

    #[test]
    fn thinking_and_white_space_are_cut_off_however_the_pieces_are_cut() {
        for (text, expected) in [
            ("<think>hm\n</think>\n\nHi there.", "Hi there."),
            (" \n<think></think>Hi", "Hi"),
            ("<think>a < b </thin </think> \u{fc}ber", "\u{fc}ber"),
            ("<think>\u{1f600}</</think>Hi </think>", "Hi </think>"),
            ("<think>never at an end", ""),
            ("<think>never at an end </thi", ""),
            ("<think>all</think> \n", ""),
            ("Hi <think>x</think>", "Hi <think>x</think>"),
            ("<thin", "<thin"),
            ("<think", "<think"),
            ("<b>Hi</b>", "<b>Hi</b>"),
            ("<think>a</think><think>b</think>", "<think>b</think>"),
            (" \n Hi  there.\n\n ", "Hi  there."),
            (" \t\n", ""),
            ("", ""),
        ] {
            assert_eq!(shown([text], true), expected, "{text:?}");
            let singles = text.split("").filter(|one| !one.is_empty());
            assert_eq!(shown(singles, true), expected, "{text:?} by characters");
            for (cut, _) in text.char_indices() {
                let (one, other) = text.split_at(cut);
                assert_eq!(shown([one, other], true), expected, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn who_does_not_think_aloud_may_say_what_looks_like_it() {
        let text = " <think>x</think> ";
        assert_eq!(shown([text], false), text.trim());
    }

    #[test]
    fn what_comes_before_the_first_word_is_bounded_and_none_of_it_is_kept() {
        for first in ["<think>", " "] {
            let mut opening = AnswerOpening::new(true);
            assert_eq!(opening.take(first), Ok(String::new()));
            let more = " ".repeat(1024);
            let mut taken = 0;
            while opening.take(&more).is_ok() {
                assert!(opening.held_bytes() < END_OF_THINK.len());
                taken += 1;
            }
            assert_eq!(taken, 1023);
        }
    }
}
