//! What an endpoint answers: an embedding, or why there is none.

use crate::config::DIMENSION_MAX;
use crate::http_client::RequestError;
use bytes::Bytes;
use hyper::header::CONTENT_ENCODING;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use std::sync::Arc;

/// Why there is no embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoEmbedding {
    /// No connection, no answer in time, no whole one: the client's word for it.
    Request(&'static str),
    /// The key is not accepted: 401 and 403.
    Refused,
    /// Too many questions: 429.
    Limited,
    /// 5xx.
    ServerError,
    /// Any other status but 2xx.
    Status,
    /// A 2xx without an embedding of finite numbers.
    Malformed,
}

impl NoEmbedding {
    /// The reason's name, as a label of metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Request(label) => label,
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::ServerError => "server_error",
            Self::Status => "status",
            Self::Malformed => "malformed",
        }
    }

    /// May the same question be answered a moment later?
    pub(super) const fn is_passing(self) -> bool {
        match self {
            Self::Request(_) | Self::Limited | Self::ServerError => true,
            Self::Refused | Self::Status | Self::Malformed => false,
        }
    }
}

/// All labels of what a question for an embedding comes to.
pub(super) const LABELS: [&str; 12] = [
    "answered",
    "remembered",
    "company",
    "timeout",
    "connect",
    "too_long",
    "broken",
    "refused",
    "limited",
    "server_error",
    "status",
    "malformed",
];

/// What a body must say. What else is in there is the endpoint's business.
#[derive(Deserialize)]
struct EmbeddingBody {
    data: Vec<EmbeddingRow>,
}

#[derive(Deserialize)]
struct EmbeddingRow {
    embedding: Vec<f32>,
}

/// Reads an answer.
pub(super) fn read(
    answered: Result<Response<Bytes>, RequestError>,
) -> Result<Arc<[f32]>, NoEmbedding> {
    let answer = answered.map_err(|error| NoEmbedding::Request(error.label()))?;
    match answer.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(NoEmbedding::Refused),
        StatusCode::TOO_MANY_REQUESTS => return Err(NoEmbedding::Limited),
        status if status.is_server_error() => return Err(NoEmbedding::ServerError),
        _ => return Err(NoEmbedding::Status),
    }
    let encodings = answer.headers().get_all(CONTENT_ENCODING);
    if encodings.iter().any(|encoding| encoding != "identity") {
        return Err(NoEmbedding::Malformed);
    }
    embedding(answer.body()).ok_or(NoEmbedding::Malformed)
}

fn embedding(body: &[u8]) -> Option<Arc<[f32]>> {
    let body: EmbeddingBody = serde_json::from_slice(body).ok()?;
    // One question has one.
    let [row] = <[EmbeddingRow; 1]>::try_from(body.data).ok()?;
    let is_whole = (1..=DIMENSION_MAX).contains(&row.embedding.len())
        && row.embedding.iter().all(|number| number.is_finite());
    is_whole.then(|| row.embedding.into())
}
