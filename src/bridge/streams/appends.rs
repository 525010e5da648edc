//! What this node says, on its way into the streams: one call of the appending function for all rooms of a batch, so
//! far as Redis is not kept from others by it for longer than two milliseconds.
//!
//! What Redis refuses for a room alone is counted and done with; the others of the call go through.

use super::kept::{StreamArchive, record};
use super::redis_streams::Streams;
use super::scripts::{append_arguments, room_arguments};
use crate::bridge::envelope::{EnvelopeHead, EnvelopeWriter};
use crate::bridge::link::RedisLink;
use crate::bridge::order::SeenPlace;
use crate::bridge::outbox::{OutboxPiece, RoomBatch};
use crate::broker::room::Room;
use crate::metrics::count_all;
use crate::name::RoomName;
use crate::redis::client::{Answer, RedisClient};
use crate::redis::failure::{CommandError, ErrorKind};
use crate::redis::value::RedisValue;
use bytes::Bytes;
use std::sync::Arc;

/// Rooms in one call: one by itself takes 23 µs, and each of several 18.
const CALL_ROOMS: usize = 16;

/// Messages in one call: each takes 4 µs.
const CALL_ENTRIES: usize = 64;

/// Bytes of messages in one call, and one message more. As many are read again, to find what is to go.
const CALL_BYTES: usize = 32 * 1024;

/// How much a room says in a command.
#[derive(Debug)]
pub(in crate::bridge) struct RoomAppend {
    room: Arc<Room>,
    count: u64,
    /// The number of the last one.
    last: u64,
    /// That of one on its way in front of these.
    behind: Option<u64>,
}

/// Who says something in a command.
pub(in crate::bridge) type RoomAppends = Vec<RoomAppend>;

/// A command on its way.
pub(in crate::bridge) struct SentCommand {
    pub(in crate::bridge) answer: Answer,
    /// In mode `streams`.
    pub(in crate::bridge) rooms: RoomAppends,
}

/// A call that is being made up.
struct AppendCall {
    keys: Vec<String>,
    /// Behind those of the rooms.
    archive_key: Option<String>,
    arguments: Vec<Bytes>,
    rooms: RoomAppends,
    entries: usize,
    bytes: usize,
}

impl AppendCall {
    fn is_full(&self, is_cluster: bool) -> bool {
        // There the keys of a call are of one slot, which two rooms hardly ever share.
        let rooms_max = if is_cluster { 1 } else { CALL_ROOMS };
        self.rooms.len() >= rooms_max || self.entries >= CALL_ENTRIES || self.bytes >= CALL_BYTES
    }
}

impl Streams {
    fn call(&self, link: &RedisLink, archive: Option<&StreamArchive>) -> AppendCall {
        let life = self.life.lock().clone();
        let archive_key = archive.map(StreamArchive::key);
        let archive = archive.map(StreamArchive::arguments);
        let (deployment, node) = (&link.deployment, link.node.0);
        AppendCall {
            keys: Vec::new(),
            archive_key,
            arguments: append_arguments(deployment, self.keeps, node, life, archive),
            rooms: Vec::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Appends what rooms have to say, and publishes it.
    pub(in crate::bridge) fn append(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
        parcels: Vec<RoomBatch>,
    ) -> Vec<SentCommand> {
        let is_cluster = link.deployment.is_cluster;
        let archive = self.archive.as_ref();
        let (mut sent, mut call) = (Vec::new(), self.call(link, archive));
        for parcel in parcels {
            let (head, pieces) = parcel.pieces();
            let mut pieces = pieces.into_iter().peekable();
            while pieces.peek().is_some() {
                if call.is_full(is_cluster) {
                    let full = std::mem::replace(&mut call, self.call(link, archive));
                    sent.push(self.send(client, full));
                }
                self.add(link, &mut call, (&parcel.room, &head), &mut pieces);
            }
        }
        if !call.rooms.is_empty() {
            sent.push(self.send(client, call));
        }
        sent
    }

    /// Adds what fits of a room's.
    fn add(
        &self,
        link: &RedisLink,
        call: &mut AppendCall,
        (room, head): (&Arc<Room>, &Bytes),
        pieces: &mut std::iter::Peekable<impl Iterator<Item = OutboxPiece>>,
    ) {
        let name = room.name().as_str();
        call.keys.extend([self.stream(name), self.origins(name)]);
        let seen = link.order(name, |order| order.seen()).flatten();
        let seen = seen.max(self.spoken.lock().seen(name));
        let place = call.arguments.len();
        call.arguments
            .extend(room_arguments(head.clone(), seen, false, None, 0));
        let (mut count, mut last) = (0, 0);
        while call.entries < CALL_ENTRIES && call.bytes < CALL_BYTES {
            let Some(piece) = pieces.next() else {
                break;
            };
            (count, last) = (count + 1, piece.number);
            call.entries += 1;
            call.bytes += piece.message.len();
            let kept = self.archive.as_ref().map(|_| {
                let kept = piece.event.as_deref().map(record);
                kept.unwrap_or_default()
            });
            call.bytes += kept.as_ref().map_or(0, Bytes::len);
            let number = Bytes::from(piece.number.to_string());
            call.arguments.extend([number, piece.message]);
            call.arguments.extend(kept);
        }
        let behind = self.on_the_way.lock().leave(room.name(), last);
        if let Some([before, messages]) = call.arguments.get_mut(place + 4..place + 6) {
            *before = behind.map_or_else(Bytes::new, |number| number.to_string().into());
            *messages = count.to_string().into();
        }
        call.rooms.push(RoomAppend {
            room: Arc::clone(room),
            count,
            last,
            behind,
        });
    }

    fn send(&self, client: &dyn RedisClient, call: AppendCall) -> SentCommand {
        let AppendCall {
            mut keys,
            archive_key,
            arguments,
            rooms,
            ..
        } = call;
        keys.extend(archive_key);
        let hash = self.hashes().map(|hashes| hashes.append);
        SentCommand {
            answer: client.evaluate(hash.unwrap_or_default(), keys, arguments),
            rooms,
        }
    }

    /// Redis has answered a call.
    ///
    /// # Errors
    /// Where not only a room is to blame.
    pub(in crate::bridge) fn settle(
        &self,
        link: &RedisLink,
        rooms: &RoomAppends,
        answered: Result<RedisValue, CommandError>,
    ) -> Result<(), CommandError> {
        let settled = self.settle_rooms(link, rooms, answered);
        let mut on_the_way = self.on_the_way.lock();
        for RoomAppend { room, last, .. } in rooms {
            on_the_way.settle(room.name(), *last);
        }
        settled
    }

    fn settle_rooms(
        &self,
        link: &RedisLink,
        rooms: &RoomAppends,
        answered: Result<RedisValue, CommandError>,
    ) -> Result<(), CommandError> {
        let answers = match answered.map(RedisValue::into_array) {
            Ok(answers) if answers.len() == rooms.len() => answers,
            Ok(_) => return Err(strange()),
            Err(error) if error.is_about_room() || error.is_about_slot() => {
                for RoomAppend { room, count, .. } in rooms {
                    self.refuse(link, room.name(), &error, *count);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut failure = Ok(());
        for (said, answer) in rooms.iter().zip(answers) {
            let RoomAppend {
                room,
                count,
                behind,
                ..
            } = said;
            match read(answer) {
                Ok((appended, newest)) => {
                    link.metrics.bridge_appended.inc_by(appended);
                    let repeated = count.saturating_sub(appended);
                    link.metrics.bridge_repeated.inc_by(repeated);
                    let name = room.name().as_str();
                    let known = link.order(name, |order| order.appended(newest, appended));
                    if known.is_none() && newest.0 > 0 {
                        let now = link.clock.now();
                        self.spoken.lock().add(room.name(), newest, now);
                    }
                }
                Err(error) if error.is_about_room() => {
                    self.refuse(link, room.name(), &error, *count);
                }
                Err(error) => {
                    let is_done = |behind| self.on_the_way.lock().is_refused(room.name(), behind);
                    if is_behind(&error) && behind.is_some_and(is_done) {
                        self.refuse(link, room.name(), &error, *count);
                    } else {
                        failure = Err(error);
                    }
                }
            }
        }
        failure
    }

    fn refuse(&self, link: &RedisLink, name: &RoomName, error: &CommandError, count: u64) {
        count_all(&link.metrics.bridge_dropped, "cause", "refused", count);
        self.on_the_way.lock().refuse(name);
        let key = |name: &str| self.stream(name);
        self.refused.add(link, (name, key), error);
    }

    /// Tells Redis how much of a room was seen here. What that means for the room is published, and heard here too. What is
    /// wrong with the room's keys is of the room alone, and what is wrong with the archive of none: nothing is said.
    ///
    /// # Errors
    /// When Redis does not answer in time, or refuses it for more than the room.
    pub(super) async fn tell(
        &self,
        link: &RedisLink,
        client: &dyn RedisClient,
        name: &RoomName,
        seen: SeenPlace,
    ) -> Result<(), CommandError> {
        let mut call = self.call(link, None);
        let keys = [self.stream(name.as_str()), self.origins(name.as_str())];
        call.keys.extend(keys);
        let head = EnvelopeHead {
            node: link.node,
            epoch: 0,
            incarnation: 0,
        };
        let head = EnvelopeWriter::new(&head, 0).finish();
        let arguments = room_arguments(head, Some(seen), false, None, 0);
        call.arguments.extend(arguments);
        let answer = self.send(client, call).answer.await;
        let told = answer.and_then(|answer| {
            let room = answer.into_array().into_iter().next();
            room.and_then(fault_of).map_or(Ok(()), Err)
        });
        match told {
            Err(error) if error.is_about_room() => {
                let key = |name: &str| self.stream(name);
                self.refused.add(link, (name, key), &error);
                Ok(())
            }
            told => told,
        }
    }
}

/// What the appending function answers of a room: how many were appended, and where the newest entry is.
fn read(answer: RedisValue) -> Result<(u64, SeenPlace), CommandError> {
    match answer {
        RedisValue::Array(values) => {
            let mut numbers = values.iter().map(RedisValue::number);
            let mut next = || numbers.next().unwrap_or_default();
            Ok((next(), (next(), next())))
        }
        fault => Err(fault_of(fault).unwrap_or_else(strange)),
    }
}

/// Is that in front of it missing, and nothing else wrong?
fn is_behind(error: &CommandError) -> bool {
    error.to_string().contains("BEHIND what was not appended")
}

/// What is wrong with a room, if that is the answer.
pub(super) fn fault_of(answer: RedisValue) -> Option<CommandError> {
    if matches!(answer, RedisValue::Array(_)) {
        return None;
    }
    let Some(text) = answer.into_bytes() else {
        return Some(strange());
    };
    let text = String::from_utf8_lossy(&text);
    Some(CommandError::new(ErrorKind::Refused, "Redis", &text))
}

fn strange() -> CommandError {
    let kind = ErrorKind::Refused;
    CommandError::new(kind, "Redis", "ERR an answer of another form")
}
