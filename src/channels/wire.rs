//! From a [`RedisCommand`] to its answer, and what the answers mean.

use crate::redis::RedisCommand;
use crate::redis::client::{RedisClient, hand_over};
use crate::redis::failure::CommandError;
use crate::redis::value::RedisValue;
use bytes::Bytes;

/// Sends commands in one go, in order, and waits for all answers; the last one's.
///
/// # Errors
/// The first of theirs that is one, once all were sent.
pub(super) async fn run_all(
    client: &dyn RedisClient,
    commands: Vec<RedisCommand>,
) -> Result<RedisValue, CommandError> {
    let mut answers = Vec::new();
    for command in commands {
        answers.push(hand_over(client.send(command)).await);
    }
    let mut last = RedisValue::Nil;
    for answer in answers {
        last = answer.answered().await?;
    }
    Ok(last)
}

/// What BZPOPMIN gave: the key and a member.
pub(super) fn popped(answer: RedisValue) -> Option<(Bytes, Bytes)> {
    let mut parts = array(answer)?.into_iter();
    Some((parts.next()?.into_bytes()?, parts.next()?.into_bytes()?))
}

/// What BZMPOP gave: the key and its members, lowest score first.
pub(super) fn popped_many(answer: RedisValue) -> Option<(Bytes, Vec<Bytes>)> {
    let mut parts = array(answer)?.into_iter();
    Some((parts.next()?.into_bytes()?, members(parts.next()?)))
}

/// The members in the answer to ZPOPMIN, lowest score first: pairs in RESP3, in turns with their
/// scores in RESP2.
pub(super) fn members(answer: RedisValue) -> Vec<Bytes> {
    let values = array(answer).unwrap_or_default();
    let is_flat = !values
        .iter()
        .any(|value| matches!(value, RedisValue::Array(_)));
    let step = if is_flat { 2 } else { 1 };
    let members = values.into_iter().step_by(step);
    members
        .filter_map(|value| match value {
            RedisValue::Array(pair) => pair.into_iter().next()?.into_bytes(),
            value => value.into_bytes(),
        })
        .collect()
}

/// The texts in the answer to ZRANGE; what is no text is no name.
pub(super) fn texts(answer: RedisValue) -> Vec<String> {
    let values = array(answer).unwrap_or_default().into_iter();
    values
        .filter_map(|value| String::from_utf8(value.into_bytes()?.into()).ok())
        .collect()
}

fn array(answer: RedisValue) -> Option<Vec<RedisValue>> {
    match answer {
        RedisValue::Array(values) => Some(values),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(member: &str) -> [RedisValue; 2] {
        [RedisValue::from(member), RedisValue::from("1.5")]
    }

    #[test]
    fn members_are_read_in_both_versions_of_the_protocol() {
        let flat = [pair("a"), pair("b")].concat();
        let nested = [pair("a"), pair("b")].map(|pair| RedisValue::Array(pair.to_vec()));
        for values in [flat, nested.to_vec()] {
            assert_eq!(members(RedisValue::Array(values)), ["a", "b"]);
        }
        assert!(members(RedisValue::Nil).is_empty());
    }

    #[test]
    fn a_pop_that_waited_in_vain_gives_nothing() {
        assert_eq!(popped(RedisValue::Nil), None);
        let [member, score] = pair("m");
        let answer = RedisValue::Array(vec![RedisValue::from("k"), member, score]);
        assert_eq!(popped(answer), Some(("k".into(), "m".into())));
        assert_eq!(popped_many(RedisValue::Nil), None);
        let pairs = [pair("a"), pair("b")].map(|pair| RedisValue::Array(pair.to_vec()));
        let answer = RedisValue::Array(vec![
            RedisValue::from("k"),
            RedisValue::Array(pairs.to_vec()),
        ]);
        let expected = ("k".into(), vec!["a".into(), "b".into()]);
        assert_eq!(popped_many(answer), Some(expected));
    }
}
