//! The server under test, and a client of it that can send any byte.

pub(crate) mod canary;
pub(crate) mod client;
pub(crate) mod deployment;
pub(crate) mod django;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod rights;
pub(crate) mod site;
pub(crate) mod tls;
pub(crate) mod wait;

pub(crate) use canary::Canaries;
pub(crate) use client::{Client, Frame, frame};
pub(crate) use django::Django;
pub(crate) use gateway::{Gateway, Signal};
pub(crate) use redis::{Blow, Redis};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `tests/run` puts tools and environments; git ignores it.
pub(crate) fn tools_dir() -> PathBuf {
    repository().join("tests/.tools")
}

/// A user message of the guide.
pub(crate) fn user(text: &str) -> String {
    serde_json::json!({ "message": text, "type": "user" }).to_string()
}
