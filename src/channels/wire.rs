//! From a [`RedisCommand`] to its answer, and what the answers mean.

use crate::name::RoomName;
use crate::redis::RedisCommand;
use crate::redis::client::{HandedOver, RedisClient, hand_over};
use crate::redis::failure::{CommandError, ErrorKind};
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
    last_of(hand_over_all(client, commands).await).await
}

/// Sends commands in one go, in order: what follows is behind them.
pub(super) async fn hand_over_all(
    client: &dyn RedisClient,
    commands: Vec<RedisCommand>,
) -> Vec<HandedOver> {
    let mut answers = Vec::new();
    for command in commands {
        answers.push(hand_over(client.send(command)).await);
    }
    answers
}

/// Waits for all answers; the last one's.
///
/// # Errors
/// The first of theirs that is one.
pub(super) async fn last_of(answers: Vec<HandedOver>) -> Result<RedisValue, CommandError> {
    let mut last = Ok(RedisValue::Nil);
    for answer in answers {
        let answered = answer.answered().await;
        if last.is_ok() {
            last = answered;
        }
    }
    last
}

/// What BZPOPMIN gave: the key and a member.
pub(super) fn popped(answer: RedisValue) -> Option<(Bytes, Bytes)> {
    let mut parts = array(answer)?.into_iter();
    Some((parts.next()?.into_bytes()?, parts.next()?.into_bytes()?))
}

/// The messages of an answer that is nothing else.
pub(super) fn messages(answer: RedisValue) -> Vec<Bytes> {
    let values = array(answer).unwrap_or_default().into_iter();
    values.filter_map(RedisValue::into_bytes).collect()
}

/// Who did not get messages.
#[derive(Debug, Default)]
pub(super) struct Missed {
    /// Destinations that were full, for each message.
    pub(super) full: Vec<u64>,
    /// Destinations that are no queues of messages.
    pub(super) foreign: u64,
    /// What Redis says of one of those.
    pub(super) fault: Option<CommandError>,
}

/// What [`SEND`](super::scripts::lua::SEND) says of so many messages.
pub(super) fn missed(parts: &[RedisValue], messages: usize) -> Missed {
    let (full, further) = parts.split_at_checked(messages).unwrap_or_default();
    let (foreign, fault) = foreign(further);
    Missed {
        full: full.iter().map(RedisValue::number).collect(),
        foreign,
        fault,
    }
}

/// How many keys are something else, and what Redis says of one, if there is one: the two values of [`JOIN`] and [`LEAVE`].
///
/// [`JOIN`]: super::scripts::lua::JOIN
/// [`LEAVE`]: super::scripts::lua::LEAVE
pub(super) fn foreign(parts: &[RedisValue]) -> (u64, Option<CommandError>) {
    let number = parts.first().map_or(0, RedisValue::number);
    let text = parts.get(1).cloned().and_then(RedisValue::into_bytes);
    let fault = text.filter(|_| number > 0).map(|text| {
        CommandError::new(ErrorKind::Refused, "Redis", &String::from_utf8_lossy(&text))
    });
    (number, fault)
}

/// Of which of these names the keys are something else, as [`foreign`] counts them.
pub(super) fn foreign_of<'n>(
    parts: &[RedisValue],
    names: &'n [RoomName],
) -> impl Iterator<Item = &'n RoomName> {
    let places = parts.get(2).cloned().map(RedisValue::into_array);
    let places = places.into_iter().flatten();
    places.filter_map(|place| {
        let place = usize::try_from(place.number()).ok()?;
        names.get(place.checked_sub(1)?)
    })
}

/// The name that a process of Redis has for itself, in the answer to INFO.
pub(super) fn run_id(answer: RedisValue) -> Option<String> {
    let text = String::from_utf8(answer.into_bytes()?.into()).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("run_id:"));
    id.map(|id| id.trim().to_owned())
}

/// A mark that [`SEND`](super::scripts::lua::SEND) has left: its number, and what became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which message of those that went together.
    pub(super) number: usize,
    /// The destinations of that message.
    pub(super) destinations: u64,
    /// Of these, the full ones, and those that are no queues of messages.
    pub(super) missed: [u64; 2],
}

/// The marks in the answer to ZRANGE.
pub(super) fn marks(answer: RedisValue) -> Vec<Mark> {
    let mark = |text: String| {
        let mut numbers = text.split(':').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Mark {
            number: usize::try_from(next()?).ok()?,
            destinations: next()?,
            missed: [next()?, next()?],
        })
    };
    texts(answer).into_iter().filter_map(mark).collect()
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

    #[test]
    fn a_pop_that_waited_in_vain_gives_nothing() {
        assert_eq!(popped(RedisValue::Nil), None);
        let answer = RedisValue::Array(["k", "m", "1.5"].map(RedisValue::from).to_vec());
        assert_eq!(popped(answer), Some(("k".into(), "m".into())));
    }

    #[test]
    fn who_missed_messages_is_a_number_for_each_and_what_is_no_queue() {
        let read = |parts: &[RedisValue], messages| {
            let Missed {
                full,
                foreign,
                fault,
            } = missed(parts, messages);
            (full, foreign, fault.map(|fault| fault.fault()))
        };
        let [zero, two] = [0, 2].map(RedisValue::Integer);
        let nobody = [two.clone(), zero.clone(), zero, "".into()];
        assert_eq!(read(&nobody, 2), (vec![2, 0], 0, None));
        let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
        let parts = [two.clone(), two, text.into()];
        let expected = (vec![2], 2, Some(crate::redis::fault::RedisFault::Room));
        assert_eq!(read(&parts, 1), expected);
        assert_eq!(read(&[], 1), (vec![], 0, None));
    }

    #[test]
    fn marks_and_the_servers_name_are_read_from_texts() {
        let answer =
            RedisValue::Array(["3:2:1:0", "x:1", "4:1:0:0"].map(RedisValue::from).to_vec());
        let mark = |number, destinations, missed| Mark {
            number,
            destinations,
            missed,
        };
        assert_eq!(marks(answer), [mark(3, 2, [1, 0]), mark(4, 1, [0, 0])]);
        let info = "# Server\r\nrun_id:abc\r\ntcp_port:1\r\n";
        assert_eq!(run_id(info.into()).as_deref(), Some("abc"));
        assert_eq!(run_id("".into()), None);
    }

    #[test]
    fn messages_are_texts_and_nothing_else() {
        let values = vec![RedisValue::from("a"), RedisValue::Integer(1)];
        assert_eq!(messages(RedisValue::Array(values)), ["a"]);
        assert!(messages(RedisValue::Nil).is_empty());
    }
}
