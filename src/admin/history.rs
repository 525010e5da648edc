//! `GET /history`: the newest messages of a room.

use super::reply::{TEXT, json, reply};
use super::sources::Sources;
use crate::broker::history::{Kept, NoHistory};
use crate::http;
use crate::name::RoomName;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// Messages without `limit`.
const LIMIT: usize = 50;

pub(super) async fn answer(sources: &Sources, query: Option<&str>) -> Response<Full<Bytes>> {
    let Some((room, limit)) = asked(query) else {
        let text = "use /history?room=chat_BUSINESS_SESSION&limit=50\n";
        return reply(StatusCode::BAD_REQUEST, TEXT, text);
    };
    let kept = match (&sources.history, &sources.bridge) {
        (Some(journal), _) => journal.newest(&room, limit).await,
        (None, Some(bridge)) => Box::pin(bridge.history(&room, limit)).await,
        (None, None) => Err(NoHistory::NotKept),
    };
    match kept {
        Ok(kept) => json(&document(&room, &kept)),
        Err(error) => {
            let status = match error {
                NoHistory::NotKept => StatusCode::NOT_FOUND,
                NoHistory::Down | NoHistory::Busy | NoHistory::Unreadable(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                NoHistory::Unanswered(_) | NoHistory::Refused(_) | NoHistory::Foreign(_) => {
                    StatusCode::BAD_GATEWAY
                }
            };
            reply(status, TEXT, format!("{error}\n"))
        }
    }
}

/// The room and the limit of a query; `None` if one of them is none.
fn asked(query: Option<&str>) -> Option<(RoomName, usize)> {
    let room = RoomName::parse(&http::parameter(query, "room")?)?;
    let limit = match http::parameter(query, "limit") {
        Some(number) => number.parse().ok().filter(|&number| number > 0)?,
        None => LIMIT,
    };
    Some((room, limit))
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
        for (query, limit) in [
            ("room=chat_1_abc", LIMIT),
            ("limit=3&room=chat_1_abc", 3),
            ("room=chat_1_abc&limit=3&x=1", 3),
            ("x&room=chat%5F1_ab%63", LIMIT),
            ("room=x&limit=0&limit=7&room=chat_1_abc", 7),
        ] {
            assert_eq!(asked(Some(query)), Some((room.clone(), limit)), "{query}");
        }
        for query in [
            "",
            "room=",
            "room=x",
            "limit=3",
            "room=chat_1_abc&limit=0",
            "room=chat_1_abc&limit=",
            "room=chat_1_abc&limit=-1",
            "room=chat_1_abc+",
        ] {
            assert_eq!(asked(Some(query)), None, "{query}");
        }
        assert_eq!(asked(None), None);
    }
}
