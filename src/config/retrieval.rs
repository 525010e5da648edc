//! `[retrieval]`: what answers may stand on, and what finding it may take.

use super::assistant::{AssistantKind, AssistantSettings};
use super::http_url::{is_open_to_readers, url_fault};
use super::problem::Findings;
use super::secret::Secret;
use super::setting::{BYTES_MAX, CAPACITY_MAX, HOUR, SHORT, choice, seconds, section};
use super::units;
use std::path::PathBuf;
use std::time::Duration;

/// Most excerpts of one question: a prompt is read by a model that was not made for books.
const EXCERPTS_MAX: usize = 20;
/// Most numbers of a vector: 3072 is the most that OpenAI's models make.
pub const DIMENSION_MAX: usize = 4096;
/// Less than this holds no index at all.
const BYTES_MIN: usize = 8 * 1024 * 1024;
/// Most embeddings asked for at once, and most that are remembered.
const CONCURRENCY_MAX: usize = 256;
const CACHE_MAX: usize = 65_536;

section! {
    /// What answers may stand on: the pieces of a business's documents that are nearest to a question.
    ["retrieval"] RetrievalSettings {
        /// How they are found: `none` (not at all), `faiss` (by the vectors that the Django package keeps of them, and an embedding of the question) or `bm25` (by the words that they share with it; needs no model).
        kind: RetrievalKind = RetrievalKind::None, restart;
        /// Folder of the Django package's vectors (its VECTOR_DB_PATH), with `business_1.index` and `business_1_metadata.json` for business 1. `bm25` reads the metadata alone.
        path: Option<PathBuf> = None, restart;
        /// Folder with a folder for each business, named by its id, of documents as Markdown (`.md`) or text (`.txt`); for `bm25`.
        documents: Option<PathBuf> = None, restart;
        /// Pieces that an answer stands on, at most.
        excerpts: usize = 3, restart, in 1..=EXCERPTS_MAX;
        /// Most bytes of what is read of all businesses; what was asked for least recently goes first. One business may have half of it.
        bytes_max: usize = 256 * 1024 * 1024, restart, in BYTES_MIN..=BYTES_MAX;
        /// Most businesses that are remembered, those without documents among them.
        businesses: usize = 1000, restart, in 1..=CAPACITY_MAX;
        /// How often is looked for files that have changed. What has changed is taken once it stands still from one look to the next.
        #[serde(with = "units::duration")]
        interval: Duration = seconds(5), restart, in SHORT..=HOUR;
        /// Longest that an answer waits for what it may stand on; then it is given without.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(5), restart, in SHORT..=HOUR;
    }
    /// `[retrieval.embeddings]`.
    embeddings: EmbeddingSettings,
}

section! {
    /// Who makes vectors of questions for `faiss`: an endpoint that speaks as OpenAI's does.
    ["retrieval.embeddings"] EmbeddingSettings {
        /// Address of the API, `http` or `https`; `/embeddings` is added to its path. Unset = `assistant.openai.base_url`, with its key.
        base_url: Option<String> = None, restart;
        /// The model; the one that made the vectors of the documents.
        model: String = "text-embedding-ada-002".to_owned(), restart;
        /// Bearer token of the API. Prefer the environment to a file of settings.
        api_key: Option<Secret> = None, restart;
        /// File that holds the bearer token of the API, and nothing else.
        api_key_file: Option<PathBuf> = None, restart;
        /// File of PEM certificates of the authorities that `https` trusts; unset = the system's.
        ca_file: Option<PathBuf> = None, restart;
        /// Longest wait for an embedding, the wait for a turn included.
        #[serde(with = "units::duration")]
        timeout: Duration = seconds(4), restart, in SHORT..=HOUR;
        /// Most embeddings asked for at once; further questions wait.
        concurrency: usize = 8, restart, in 1..=CONCURRENCY_MAX;
        /// Most embeddings that are remembered, by their question's hash.
        cache_entries: usize = 1000, restart, in 1..=CACHE_MAX;
    }
}

choice! {
    /// How the pieces of documents are found.
    RetrievalKind {
        /// Not at all.
        None = "none",
        /// By the distance of vectors.
        Faiss = "faiss",
        /// By the words in common.
        Bm25 = "bm25",
    }
}

/// What each kind needs is there, and what it does not read is said.
pub(super) fn check(
    retrieval: &RetrievalSettings,
    assistant: &AssistantSettings,
    found: &mut Findings,
) {
    retrieval.check_ranges(found);
    if retrieval.kind != RetrievalKind::None {
        let own = assistant.businesses.iter().map(|own| &own.prompt);
        let mut own = own.flatten();
        let for_all = assistant.openai.prompt.as_ref();
        let says = |prompt: &String| prompt.contains("{context}");
        let is_told = for_all.is_none_or(says) || own.any(says);
        if assistant.kind != AssistantKind::OpenAi {
            let what = "has no effect: who answers does not ask for it";
            let fix = "remove it, or have a model answer (assistant.kind)";
            found.warn("retrieval.kind", what, fix);
        } else if !is_told {
            let what = "finds what no model is told: assistant.openai.prompt is without {context}";
            let fix = "write {context} where the prompt is to say it";
            found.warn("retrieval.kind", what, fix);
        }
    }
    let (path, documents) = (&retrieval.path, &retrieval.documents);
    match retrieval.kind {
        RetrievalKind::None if path.is_some() || documents.is_some() => {
            let fix = "set it to \"faiss\" or \"bm25\", or remove the folders";
            found.warn("retrieval.kind", "\"none\" reads no folder", fix);
        }
        RetrievalKind::None => {}
        RetrievalKind::Faiss => {
            if path.is_none() {
                let fix = "write the package's VECTOR_DB_PATH as retrieval.path";
                found.error("retrieval.kind", "faiss has no vectors to read", fix);
            }
            if documents.is_some() {
                let fix = "remove it, or set retrieval.kind = \"bm25\"";
                found.warn("retrieval.documents", "is not read by faiss", fix);
            }
            let has_model = assistant.kind == AssistantKind::OpenAi;
            if retrieval.embeddings.base_url.is_none() && !has_model {
                let what = "faiss has nobody to ask for the vector of a question";
                let fix = "write retrieval.embeddings.base_url = \"https://api.openai.com/v1\", or set it to \"bm25\"";
                found.error("retrieval.kind", what, fix);
            }
        }
        RetrievalKind::Bm25 if path.is_none() && documents.is_none() => {
            let fix = "write a folder of documents as retrieval.documents";
            found.error("retrieval.kind", "bm25 has nothing to read", fix);
        }
        RetrievalKind::Bm25 => {}
    }
    check_embeddings(&retrieval.embeddings, retrieval.kind, found);
}

fn check_embeddings(embeddings: &EmbeddingSettings, kind: RetrievalKind, found: &mut Findings) {
    let url = embeddings.base_url.as_deref().unwrap_or_default();
    let example = "write it as \"https://api.openai.com/v1\"";
    let instead = "remove it: a key has a setting of its own";
    let fault = url_fault(url, example, instead);
    if let Some((what, fix)) = fault.filter(|_| embeddings.base_url.is_some()) {
        found.error("retrieval.embeddings.base_url", what, fix);
    } else if url.contains('?') {
        let fix = "cut off the ? and what follows it";
        found.error("retrieval.embeddings.base_url", "has a query", fix);
    }
    let has_key = embeddings.api_key.is_some() || embeddings.api_key_file.is_some();
    if kind == RetrievalKind::Faiss && has_key && is_open_to_readers(url) {
        let what = "is off this machine and without TLS: the key and what customers write can be read on the way";
        let fix = "write an https address, or that of a tunnel on this machine";
        found.warn("retrieval.embeddings.base_url", what, fix);
    }
    if embeddings.model.trim().is_empty() {
        let fix = "write the model that made the vectors of the documents";
        found.error("retrieval.embeddings.model", "is empty", fix);
    }
    if let Some(key) = &embeddings.api_key {
        let text = key.expose();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "is empty, or has characters that no Authorization header carries";
            let fix = "use printable ASCII without spaces, or unset it";
            found.error("retrieval.embeddings.api_key", what, fix);
        }
        if embeddings.api_key_file.is_some() {
            let fix = "keep one of the two";
            let what = "names a file, and the key is given as well";
            found.error("retrieval.embeddings.api_key_file", what, fix);
        }
    }
    let is_meant = *embeddings != EmbeddingSettings::default();
    if is_meant && kind != RetrievalKind::Faiss {
        let fix = "set retrieval.kind = \"faiss\", or remove it";
        found.warn(
            "retrieval.embeddings",
            "has no effect: no vectors are compared",
            fix,
        );
    }
}
