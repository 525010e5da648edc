//! What is known about a question, and who knows it.

use std::fmt;
use std::pin::Pin;

/// A text that is known about a question.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownPassage {
    /// The text, as the model reads it.
    pub text: String,
    /// The document that it is from, by the site's own id: it stands in the meta of an answer that the text was told for.
    pub document_id: Option<String>,
}

impl From<String> for KnownPassage {
    /// A text of no document.
    fn from(text: String) -> Self {
        Self {
            text,
            document_id: None,
        }
    }
}

/// Without the words.
impl fmt::Debug for KnownPassage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownPassage")
            .field("document_id", &self.document_id)
            .finish_non_exhaustive()
    }
}

/// Texts that are known about a question, the best first.
pub type Passages = Pin<Box<dyn Future<Output = Vec<KnownPassage>> + Send>>;

/// Who knows something about questions: what `{context}` in the prompt of a model stands for.
pub trait Retrieve: Send + Sync + 'static {
    /// Looks for what is known about a question of this business. The wait for it is part of `assistant.openai.first_token`;
    /// must not block. Dropped when nobody waits any more. Not called for a prompt without `{context}`.
    fn passages(&self, business_id: &str, question: &str) -> Passages;
}
