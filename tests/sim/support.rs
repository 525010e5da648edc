//! What starts a real Redis, of the integration tests' support.

#[expect(dead_code, reason = "of a Redis, only what the model is compared by")]
#[path = "../support/redis.rs"]
pub(crate) mod redis;
#[expect(dead_code, reason = "of a wait, only what a Redis starts by")]
#[path = "../support/wait.rs"]
pub(crate) mod wait;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
