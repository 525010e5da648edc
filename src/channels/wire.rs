//! From a [`Command`] to its answer: the one place where the pure half meets the client library.

use super::scripts::Command;
use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::prelude::FredResult;
use fred::types::{ClusterHash, CustomCommand, Value};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

type Answer = Pin<Box<dyn Future<Output = FredResult<Value>> + Send>>;

fn send(client: &Client, command: Command) -> Answer {
    let client = client.clone();
    Box::pin(async move {
        let Command { name, arguments } = command;
        let custom = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let arguments: Vec<Value> = arguments
            .into_iter()
            .map(|argument| Value::Bytes(argument.into()))
            .collect();
        client.custom(custom, arguments).await
    })
}

/// Sends one command and waits for its answer.
///
/// # Errors
/// Redis' refusal, or the connection's end.
pub(super) async fn run(client: &Client, command: Command) -> FredResult<Value> {
    send(client, command).await
}

/// Sends commands in one go, in order, and waits for all answers; the last one's.
///
/// # Errors
/// The first of theirs that is one, once all were sent.
pub(super) async fn run_all(client: &Client, commands: Vec<Command>) -> FredResult<Value> {
    // Polling a command once hands it over; what waits together leaves in one write.
    let mut answers = Vec::new();
    for command in commands {
        let mut answer = send(client, command);
        let first = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        answers.push((answer, first));
    }
    let mut last = Value::Null;
    for (answer, first) in answers {
        last = match first {
            Poll::Ready(answered) => answered?,
            Poll::Pending => answer.await?,
        };
    }
    Ok(last)
}

/// What BZPOPMIN gave: the key and a member.
pub(super) fn popped(answer: Value) -> Option<(Bytes, Bytes)> {
    let mut parts = array(answer)?.into_iter();
    Some((bytes(parts.next()?)?, bytes(parts.next()?)?))
}

/// What BZMPOP gave: the key and its members, lowest score first.
pub(super) fn popped_many(answer: Value) -> Option<(Bytes, Vec<Bytes>)> {
    let mut parts = array(answer)?.into_iter();
    Some((bytes(parts.next()?)?, members(parts.next()?)))
}

/// The members in the answer to ZPOPMIN, lowest score first: pairs in RESP3, in turns with their
/// scores in RESP2.
pub(super) fn members(answer: Value) -> Vec<Bytes> {
    let values = array(answer).unwrap_or_default();
    let is_flat = !values.iter().any(|value| matches!(value, Value::Array(_)));
    let step = if is_flat { 2 } else { 1 };
    let members = values.into_iter().step_by(step);
    members
        .filter_map(|value| match value {
            Value::Array(pair) => bytes(pair.into_iter().next()?),
            value => bytes(value),
        })
        .collect()
}

/// The texts in the answer to ZRANGE; what is no text is no name.
pub(super) fn texts(answer: Value) -> Vec<String> {
    let values = array(answer).unwrap_or_default().into_iter();
    values
        .filter_map(|value| String::from_utf8(bytes(value)?.into()).ok())
        .collect()
}

/// The number in an answer.
pub(super) fn number(answer: &Value) -> u64 {
    answer.as_u64().unwrap_or_default()
}

fn array(answer: Value) -> Option<Vec<Value>> {
    match answer {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::String(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(member: &str) -> [Value; 2] {
        [Value::from(member), Value::from(1.5)]
    }

    #[test]
    fn members_are_read_in_both_versions_of_the_protocol() {
        let flat = [pair("a"), pair("b")].concat();
        let nested = [pair("a"), pair("b")].map(|pair| Value::Array(pair.to_vec()));
        for values in [flat, nested.to_vec()] {
            assert_eq!(members(Value::Array(values)), ["a", "b"]);
        }
        assert!(members(Value::Null).is_empty());
    }

    #[test]
    fn a_pop_that_waited_in_vain_gives_nothing() {
        assert_eq!(popped(Value::Null), None);
        let [member, score] = pair("m");
        let answer = Value::Array(vec![Value::from("k"), member, score]);
        assert_eq!(popped(answer), Some(("k".into(), "m".into())));
        assert_eq!(popped_many(Value::Null), None);
        let pairs = [pair("a"), pair("b")].map(|pair| Value::Array(pair.to_vec()));
        let answer = Value::Array(vec![Value::from("k"), Value::Array(pairs.to_vec())]);
        let expected = ("k".into(), vec!["a".into(), "b".into()]);
        assert_eq!(popped_many(answer), Some(expected));
    }
}
