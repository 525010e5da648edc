//! Calls of the functions, and what they answer.

use crate::support::Redis;
use crate::support::redis::{Conversation, Reply};

pub(super) const APPEND: &str = concat!(
    include_str!("../../../src/bridge/streams/append/head.lua"),
    include_str!("../../../src/bridge/streams/append/rare.lua"),
    include_str!("../../../src/bridge/streams/append/archive.lua"),
    include_str!("../../../src/bridge/streams/append/rooms.lua"),
);
pub(super) const READ: &str = include_str!("../../../src/bridge/streams/read.lua");
pub(super) const OLD_APPEND: &str = include_str!("../streams_before/append.lua");
pub(super) const OLD_READ: &str = include_str!("../streams_before/read.lua");

/// An entry's head is as long as that of an envelope.
pub(super) const HEAD: &str = "a head of as many bytes as it has";

/// What the nodes of these tests keep.
const KEEPS: [&str; 3] = ["100", "262144", "7200000"];

pub(super) struct Functions {
    pub(super) redis: Redis,
    pub(super) client: Conversation,
    /// Of this Redis, as INFO would say.
    pub(super) life: &'static str,
}

/// What one room says in a call.
#[derive(Clone, Default)]
pub(super) struct Said<'a> {
    pub(super) room: &'a str,
    pub(super) seen: Option<(u64, u64)>,
    pub(super) messages: Vec<(u64, String)>,
    pub(super) behind: Option<u64>,
    /// One for each message.
    pub(super) ids: Vec<&'a str>,
}

impl<'a> Said<'a> {
    pub(super) fn new(room: &'a str, numbers: impl IntoIterator<Item = u64>) -> Self {
        Self {
            room,
            messages: numbers.into_iter().map(|n| (n, format!("m{n}"))).collect(),
            ..Self::default()
        }
    }

    pub(super) fn seen(mut self, epoch: u64, offset: u64) -> Self {
        self.seen = Some((epoch, offset));
        self
    }

    pub(super) fn ids(mut self, ids: &[&'a str]) -> Self {
        self.ids = ids.to_vec();
        self
    }
}

/// Where a room's newest entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) appended: u64,
    pub(super) epoch: u64,
    pub(super) offset: u64,
}

pub(super) fn number(reply: &Reply) -> u64 {
    match reply {
        Reply::Number(number) => u64::try_from(*number).expect("a count"),
        Reply::Text(text) => text.parse().expect("a number"),
        other => panic!("no number: {other:?}"),
    }
}

pub(super) fn list(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(replies) => replies,
        other => panic!("no array: {other:?}"),
    }
}

pub(super) fn at(reply: &Reply) -> At {
    let values = list(reply.clone());
    At {
        appended: number(&values[0]),
        epoch: number(&values[1]),
        offset: number(&values[2]),
    }
}

pub(super) fn key(what: &str, room: &str) -> String {
    format!("supportal:{what}:{{{room}}}")
}

impl Functions {
    pub(super) fn new() -> Self {
        let redis = Redis::start(&[]);
        let client = redis.connect();
        Self {
            redis,
            client,
            life: "redis1",
        }
    }

    pub(super) fn evaluate(
        &mut self,
        function: &str,
        keys: &[String],
        arguments: &[String],
    ) -> Reply {
        let count = keys.len().to_string();
        let mut words = vec!["EVAL", function, &count];
        words.extend(keys.iter().chain(arguments).map(String::as_str));
        self.client.command(&words)
    }

    pub(super) fn call(&mut self, origin: &str, rooms: &[Said<'_>]) -> Reply {
        let mut arguments: Vec<String> = ["PUBLISH"]
            .into_iter()
            .chain(KEEPS)
            .map(Into::into)
            .collect();
        arguments.extend(["86400000", origin, self.life, "", "", ""].map(Into::into));
        let mut keys = Vec::new();
        for said in rooms {
            keys.extend(["stream", "origins"].map(|what| key(what, said.room)));
            let has_ids = !said.ids.is_empty();
            keys.extend(has_ids.then(|| key("ids", said.room)));
            let seen = said
                .seen
                .map(|(epoch, offset)| [epoch, offset].map(|n| n.to_string()));
            arguments.push(HEAD.into());
            arguments.extend(seen.unwrap_or_default());
            arguments.push(if has_ids { "1" } else { "" }.into());
            let behind = said.behind.map(|number| number.to_string());
            arguments.push(behind.unwrap_or_default());
            arguments.push(said.messages.len().to_string());
            for (place, (number, message)) in said.messages.iter().enumerate() {
                arguments.extend([number.to_string(), message.clone()]);
                arguments.extend(said.ids.get(place).map(|&id| id.to_owned()));
            }
        }
        self.evaluate(APPEND, &keys, &arguments)
    }

    pub(super) fn append(&mut self, origin: &str, said: Said<'_>) -> At {
        at(&list(self.call(origin, &[said]))[0])
    }

    pub(super) fn append_old(&mut self, origin: &str, room: &str, numbers: &[u64]) -> u64 {
        let mut arguments: Vec<String> = ["PUBLISH"]
            .into_iter()
            .chain(KEEPS)
            .map(Into::into)
            .collect();
        arguments.extend([origin, HEAD].map(Into::into));
        for number in numbers {
            arguments.extend([number.to_string(), format!("m{number}")]);
        }
        let keys = ["stream", "origins"].map(|what| key(what, room));
        number(&self.evaluate(OLD_APPEND, &keys, &arguments))
    }

    /// Epoch, seen and kept of the epoch before, and the epochs and ids of the entries.
    pub(super) fn read(&mut self, room: &str, after: &[&str]) -> (Vec<String>, Vec<String>) {
        let keys = ["stream", "origins"].map(|what| key(what, room));
        let mut arguments = vec!["128".to_owned(), "262144".to_owned()];
        arguments.extend(after.iter().map(|&word| word.to_owned()));
        let answer = list(self.evaluate(READ, &keys, &arguments));
        let mut texts = answer.iter().map(|value| value.text().to_owned());
        let head = texts.by_ref().take(5).collect();
        let rest: Vec<String> = texts.collect();
        let entries = rest.as_chunks::<4>().0.iter();
        let entry = |[epoch, id, _, message]: &[String; 4]| {
            let offset = id.split_once('-').expect("an id").1;
            format!("{epoch}-{offset} {message}")
        };
        (head, entries.map(entry).collect())
    }

    pub(super) fn offsets(&mut self, room: &str) -> Vec<String> {
        self.read(room, &["0", "0", "0"]).1
    }
}
