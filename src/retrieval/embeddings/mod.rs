//! Vectors of questions, from an endpoint that speaks as OpenAI's does (`POST /embeddings`).
//!
//! One question that many ask at once is asked once, and what it came to is remembered; that it came to nothing is not.
//! A question is asked once more, after [`PAUSE`], if the endpoint may be better by then.
//!
//! Limits: all of `[retrieval.embeddings]`; [`ANSWER_BYTES_MAX`] of an answer.

mod answer;
mod cache;
#[cfg(test)]
pub(super) mod tests;

use super::error::Error;
use crate::clock::Clock;
use crate::config::EmbeddingSettings;
use crate::http_client::{ClientLimits, HttpClient, Trust};
use crate::metrics::{Metrics, count, declare};
use crate::redis::log_limiter::FaultLines;
use answer::NoEmbedding;
use bytes::Bytes;
use cache::{EmbeddingCache, TextHash};
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of an answer's body: the numbers of the longest vector, each with its digits and its line.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest that a connection to the endpoint may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long until a question is asked once more.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest file of a key.
const KEY_BYTES_MAX: u64 = 4096;

/// The endpoint, and what it has said.
#[derive(Debug)]
pub(super) struct Embeddings {
    client: HttpClient,
    uri: Uri,
    model: String,
    /// Marked as sensitive, so that it is not printed.
    authorization: Option<HeaderValue>,
    cache: Mutex<EmbeddingCache>,
    /// What the log has been told of it.
    lines: Mutex<FaultLines<NoEmbedding>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Embeddings {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// If the address is none, or a file cannot be read.
    pub(super) fn new(
        settings: &EmbeddingSettings,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let base = settings.base_url.as_deref().unwrap_or_default();
        let uri = format!("{}/embeddings", base.trim_end_matches('/'));
        let uri: Uri = uri.parse().map_err(|_invalid| Error::Address)?;
        let limits = ClientLimits {
            connect_timeout: settings.timeout.min(CONNECT_TIMEOUT),
            timeout: settings.timeout,
            body_bytes: ANSWER_BYTES_MAX,
            connections: settings.concurrency,
        };
        let trust = Trust::for_url(&uri, settings.ca_file.as_deref());
        let client = HttpClient::new(limits, trust)
            .map_err(|error| Error::Trust(error.to_string().into()))?;
        declare(&metrics.retrieval_embeddings, "outcome", answer::LABELS);
        Ok(Self {
            client,
            uri,
            model: settings.model.clone(),
            authorization: authorization(settings)?,
            cache: Mutex::new(EmbeddingCache::new(settings.cache_entries)),
            lines: Mutex::default(),
            metrics: Arc::clone(metrics),
            clock,
        })
    }

    /// The vector of a text; `None` if there is none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the question to those who wait for it as well; without any, its connection is closed.
    pub(super) async fn of(&self, text: &str) -> Option<Arc<[f32]>> {
        let hash: TextHash = Sha256::digest(text).into();
        let (cell, is_known) = self.cache.lock().cell(&hash);
        if is_known {
            let by = if cell.initialized() {
                "remembered"
            } else {
                "company"
            };
            count(&self.metrics.retrieval_embeddings, "outcome", by);
        }
        let embedding = cell.get_or_init(|| self.ask(text)).await.clone();
        if embedding.is_err() {
            self.cache.lock().forget(&hash, &cell);
        }
        embedding.ok()
    }

    async fn ask(&self, text: &str) -> Result<Arc<[f32]>, NoEmbedding> {
        let mut embedding = answer::read(self.client.send(self.request(text)).await);
        if embedding.as_ref().is_err_and(|fault| fault.is_passing()) {
            tokio::time::sleep(PAUSE).await;
            embedding = answer::read(self.client.send(self.request(text)).await);
        }
        let fault = embedding.as_ref().err().copied();
        let label = fault.map_or("answered", NoEmbedding::label);
        count(&self.metrics.retrieval_embeddings, "outcome", label);
        self.note(fault);
        embedding
    }

    fn request(&self, text: &str) -> Request<Full<Bytes>> {
        let body = serde_json::json!({ "model": self.model, "input": text });
        let mut request = Request::new(Full::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let json = HeaderValue::from_static("application/json");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, json.clone());
        headers.insert(CONTENT_TYPE, json);
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// Tells the log when the endpoint begins to answer, and when it ends.
    fn note(&self, fault: Option<NoEmbedding>) {
        if !self.lines.lock().is_due(fault, self.clock.now()) {
            return;
        }
        match fault.map(NoEmbedding::label) {
            Some(cause) => {
                tracing::warn!(
                    cause,
                    "no embedding of a question; its answer stands on no document"
                );
            }
            None => tracing::info!("embeddings of questions are there again"),
        }
    }
}

/// The field with the key, if there is one.
fn authorization(settings: &EmbeddingSettings) -> Result<Option<HeaderValue>, Error> {
    let key = match (&settings.api_key, &settings.api_key_file) {
        (Some(key), _) => key.expose().to_owned(),
        (None, Some(path)) => key_of(path)?,
        (None, None) => return Ok(None),
    };
    let value = HeaderValue::try_from(format!("Bearer {key}"));
    let mut value = value.map_err(|_unprintable| Error::Key)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn key_of(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::KeyFile {
        path: path.to_owned(),
        source,
    };
    let facts = std::fs::metadata(path).map_err(unreadable)?;
    if !facts.is_file() || facts.len() > KEY_BYTES_MAX {
        return Err(Error::Key);
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Key);
    }
    Ok(key.to_owned())
}
