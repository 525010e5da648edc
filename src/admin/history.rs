//! `GET /history`: the newest messages of a room.

use super::{JSON, TEXT, reply};
use crate::bridge::streams::{Kept, NoHistory};
use crate::name::RoomName;
use crate::worker::Crew;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// Messages without `limit`.
const LIMIT: usize = 50;

pub(super) async fn answer(crew: &Crew, query: Option<&str>) -> Response<Full<Bytes>> {
    let Some((room, limit)) = asked(query.unwrap_or_default()) else {
        let text = "use /history?room=chat_BUSINESS_SESSION&limit=50\n";
        return reply(StatusCode::BAD_REQUEST, TEXT, text.to_owned());
    };
    let kept = match &crew.bridge {
        Some(bridge) => Box::pin(bridge.history(&room, limit)).await,
        None => Err(NoHistory::NotKept),
    };
    match kept {
        Ok(kept) => {
            let body = format!("{:#}\n", document(&room, &kept));
            reply(StatusCode::OK, JSON, body)
        }
        Err(error) => {
            let status = match error {
                NoHistory::NotKept => StatusCode::NOT_FOUND,
                NoHistory::Down => StatusCode::SERVICE_UNAVAILABLE,
                NoHistory::Refused(_) => StatusCode::BAD_GATEWAY,
            };
            reply(status, TEXT, format!("{error}\n"))
        }
    }
}

/// The room and the limit of a query.
fn asked(query: &str) -> Option<(RoomName, usize)> {
    let (mut room, mut limit) = (None, LIMIT);
    for pair in query.split('&') {
        match pair.split_once('=')? {
            ("room", name) => room = RoomName::parse(name),
            ("limit", number) => limit = number.parse().ok().filter(|&number| number > 0)?,
            _ => return None,
        }
    }
    Some((room?, limit))
}

fn document(room: &RoomName, kept: &Kept) -> Value {
    let messages = kept.messages.iter().map(|message| {
        json!({
            "offset": message.offset,
            "time_milliseconds": message.millis,
            "event": event(&message.event),
        })
    });
    json!({
        "room": room.as_str(),
        "epoch": kept.epoch,
        "offset": kept.offset,
        "messages": messages.collect::<Vec<Value>>(),
    })
}

/// An event as JSON; a text that is none as text.
fn event(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_no_json| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_room_and_at_most_a_limit() {
        let room = RoomName::chat("1", "abc").unwrap();
        assert_eq!(asked("room=chat_1_abc"), Some((room.clone(), LIMIT)));
        assert_eq!(asked("limit=3&room=chat_1_abc"), Some((room, 3)));
        for query in [
            "",
            "room=",
            "room=x",
            "limit=3",
            "room=chat_1_abc&limit=0",
            "room=chat_1_abc&x=1",
        ] {
            assert_eq!(asked(query), None, "{query}");
        }
    }
}
