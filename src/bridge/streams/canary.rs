//! The proof that appending works: a node's canary goes through a stream of its own, since a Redis that is full publishes
//! and does not append. So does that of `supportal check`, with all that the functions use.

use super::appends::fault_of;
use super::redis_streams::{Hashes, Streams, canary};
use super::scripts::{self, Keeps, PAGE_BYTES, append_arguments, room_arguments};
use crate::bridge::envelope::HEAD_BYTES;
use crate::bridge::link::RedisLink;
use crate::bridge::order::Position;
use crate::redis::client::{RedisClient, RedisCommand};
use crate::redis::deployment::Deployment;
use crate::redis::failure::{CommandError, LinkFailure};
use crate::redis::value::RedisValue;
use bytes::Bytes;
use std::time::Duration;

/// How long the stream of a node's canary is kept.
const KEPT: Duration = Duration::from_secs(60);

/// A canary's head.
const HEAD: Bytes = Bytes::from_static(&[0; HEAD_BYTES]);

impl Streams {
    /// Sends one canary.
    ///
    /// # Errors
    /// When Redis does not answer in time, or refuses it.
    pub(in crate::bridge) async fn send_canary(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
        number: u64,
    ) -> Result<(), LinkFailure> {
        let name = canary(&format!("{:?}", link.node));
        let keys = vec![self.stream(&name), self.origins(&name)];
        let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
        let keeps = Keeps::one(PAGE_BYTES, KEPT);
        let life = self.life.lock().clone();
        let mut arguments = append_arguments(&link.deployment, keeps, link.node.0, life, None);
        arguments.extend(room_arguments(HEAD, None, false, None, 1));
        arguments.extend([Bytes::from(number.to_string()), bytes]);
        let hash = self.hashes().map(|hashes| hashes.append);
        let append = client.evaluate(hash.unwrap_or_default(), keys, arguments);
        Ok(done(append.await?)?)
    }
}

/// An answer of the appending function for one room.
fn done(answer: RedisValue) -> Result<(), CommandError> {
    let room = answer.into_array().into_iter().next();
    room.and_then(fault_of).map_or(Ok(()), Err)
}

/// A key of a canary that `supportal check` sends.
fn probe_key(prefix: &str, what: &str, who: &str) -> String {
    format!("{prefix}:{what}:{{{}}}", canary(who))
}

/// The stream of a canary that `supportal check` sends.
pub(in crate::bridge) fn probe_stream(prefix: &str, who: &str) -> String {
    probe_key(prefix, "stream", who)
}

/// Appends a canary to that stream, and reads where it stands; it is gone a second later.
///
/// # Errors
/// When Redis does not answer in time, or forbids something.
pub(in crate::bridge) async fn probe(
    deployment: &Deployment,
    client: &dyn RedisClient,
    hashes: &Hashes,
    prefix: &str,
    who: &str,
) -> Result<(), LinkFailure> {
    let [stream, origins, ids] =
        ["stream", "origins", "ids"].map(|what| probe_key(prefix, what, who));
    // Above its bytes whatever it has: it is trimmed.
    let keeps = Keeps::one(1, Duration::from_secs(1));
    let mut arguments = append_arguments(deployment, keeps, [0; 16], Bytes::new(), None);
    arguments.extend(room_arguments(HEAD, None, true, None, 1));
    arguments.extend([b"1".as_slice(), b"canary", b"id"].map(Bytes::from_static));
    let keys = vec![stream.clone(), origins.clone(), ids];
    let append = client.evaluate(hashes.append.clone(), keys, arguments);
    done(append.await?)?;
    let newest = scripts::newest_arguments(1, PAGE_BYTES, None);
    let page = scripts::read_arguments(Some(Position::default()));
    for arguments in [newest, page] {
        let keys = vec![stream.clone(), origins.clone()];
        client
            .evaluate(hashes.read.clone(), keys, arguments)
            .await?;
    }
    // What the appending function does once many nodes have spoken.
    let origins = origins.as_bytes();
    client
        .send(RedisCommand::new("HGET", [origins, b"sweep"]))
        .await?;
    client.send(RedisCommand::new("HGETALL", [origins])).await?;
    client
        .send(RedisCommand::new("HDEL", [origins, b"nobody"]))
        .await?;
    Ok(())
}
