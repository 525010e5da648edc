//! What an event means to the clients, in both dialects, and what a worker is told.

use std::borrow::Cow;

use super::super::codec::text;
use super::super::event::Ignored;
use super::super::{Mapping, Outcome};
use super::{Map, Value};
use crate::config::Dialect::{self, Django, Guide};
use crate::config::channels::ChannelsSettings;
use crate::name::RoomName;
use crate::protocol::{EventOrigin, Moment, Sender, Stamp};

fn map(json: &str) -> Map<'static> {
    text::read(json.as_bytes()).expect("a dictionary")
}

fn outcome(settings: &str, dialect: Dialect, event: &Map<'_>) -> Result<String, Outcome> {
    let channels: ChannelsSettings = toml::from_str(settings).expect("settings");
    let mapping = Mapping::new(&channels, dialect, "n1");
    let stamp = Stamp::new(1_704_110_400, 97_401);
    let mut out = b"before".to_vec();
    match mapping.read(event, &stamp, &mut out) {
        Outcome::Frame => {
            let frame = out.split_off(6);
            Ok(String::from_utf8(frame).expect("UTF-8"))
        }
        other => {
            assert_eq!(out, b"before");
            Err(other)
        }
    }
}

fn case(dialect: Dialect, json: &str) -> Result<String, Outcome> {
    outcome("", dialect, &map(json))
}

#[test]
fn a_chat_message_becomes_a_frame_of_the_dialect() {
    let event = r#"{"type": "chat.message", "message": "hé", "n": [1.0, NaN, {"a": null}]}"#;
    assert_eq!(
        case(Guide, event).as_deref(),
        Ok(
            r#"{"message":"hé","n":[1.0,null,{"a":null}],"sender":"system","timestamp":"2024-01-01T12:00:00Z"}"#
        )
    );
    assert_eq!(
        case(Django, event).as_deref(),
        Ok(r#"{"message": "h\u00e9", "n": [1.0, NaN, {"a": null}]}"#)
    );
}

#[test]
fn what_the_sender_says_of_itself_stays() {
    let event =
        r#"{"message": "m", "sender": "assistant", "type": "chat_message", "timestamp": "t"}"#;
    assert_eq!(
        case(Guide, event).as_deref(),
        Ok(r#"{"message":"m","sender":"assistant","timestamp":"t"}"#)
    );
    let event = r#"{"type": "chat_message", "order": 7}"#;
    assert_eq!(case(Guide, event).as_deref(), Ok(r#"{"order":7}"#));
    assert_eq!(
        case(Guide, r#"{"type": "chat.message"}"#).as_deref(),
        Ok("{}")
    );
}

#[test]
fn text_alone_is_sent_as_it_is() {
    let event = r#"{"type": "chat.message", "text": "{\"a\": é}"}"#;
    assert_eq!(case(Guide, event).as_deref(), Ok("{\"a\": é}"));
    let event = r#"{"text": "a", "type": "chat.message", "b": 1}"#;
    assert_eq!(case(Guide, event).as_deref(), Ok(r#"{"text":"a","b":1}"#));
    let event = r#"{"text": 5, "type": "chat.message"}"#;
    assert_eq!(case(Guide, event).as_deref(), Ok(r#"{"text":5}"#));
}

#[test]
fn the_packages_own_error_event_is_the_packages_error_frame() {
    let event = r#"{"type": "send.error.message", "error": "full", "n": 1}"#;
    assert_eq!(
        case(Django, event).as_deref(),
        Ok(
            r#"{"error": {"type": "send.error.message", "error": "full", "n": 1}, "sender": "system"}"#
        )
    );
    assert_eq!(
        outcome("full_error = false", Guide, &map(event)).as_deref(),
        Ok(r#"{"error":"full","sender":"system"}"#)
    );
    let event = map(r#"{"type": "send_error_message", "n": 1}"#);
    assert_eq!(
        outcome("full_error = false", Guide, &event).as_deref(),
        Ok(r#"{"error":{"type":"send_error_message","n":1},"sender":"system"}"#)
    );
}

#[test]
fn an_unknown_event_is_ignored_and_never_ends_a_connection() {
    for kind in [
        "chat.other",
        "_chat",
        "",
        "websocket.disconnect",
        "websocket.close",
        "websocket.receive",
        "handle.user.message",
        "disconnect",
        "close",
        "send",
    ] {
        let event = map(&format!(
            r#"{{"type": "{kind}", "code": 1000, "text": "x"}}"#
        ));
        let unknown = Err(Outcome::Ignored(Ignored::UnknownType));
        assert_eq!(outcome("", Guide, &event), unknown, "{kind}");
    }
    for event in ["{}", r#"{"type": 5}"#, r#"{"type": null}"#] {
        let nothing = Err(Outcome::Ignored(Ignored::NoType));
        assert_eq!(case(Guide, event), nothing, "{event}");
    }
    let mut event = map(r#"{"type": "chat.message", "message": "m"}"#);
    event.push("file", Value::Bytes(Cow::Borrowed(&[1, 2])));
    assert_eq!(
        outcome("", Guide, &event),
        Err(Outcome::Ignored(Ignored::Bytes))
    );
}

#[test]
fn a_configured_close_type_closes_with_the_given_code() {
    let close = |event: &str| {
        outcome(
            "close_types = [\"websocket.disconnect\"]",
            Guide,
            &map(event),
        )
    };
    for (code, sent) in [
        ("1000", 1000),
        ("4001", 4001),
        ("1005", 4500),
        ("1015", 4500),
        ("5000", 4500),
        ("-1", 4500),
        ("\"1000\"", 4500),
        ("null", 4500),
    ] {
        let event = format!(r#"{{"type": "websocket.disconnect", "code": {code}}}"#);
        assert_eq!(close(&event), Err(Outcome::Close(sent)), "{code}");
    }
    assert_eq!(
        close(r#"{"type": "websocket_disconnect"}"#),
        Err(Outcome::Close(4500))
    );
}

#[test]
fn a_worker_is_told_what_it_needs_to_answer() {
    let mapping = Mapping::new(&ChannelsSettings::default(), Guide, "n1");
    let room = RoomName::chat("42", "a_b").expect("legal");
    let told = |sender, author| {
        let said = (sender, Value::from("Hi"));
        let event = mapping.write(&room, said, "2024-01-01T12:00:00Z", author);
        let mut json = Vec::new();
        let mut writer = text::JsonWriter {
            out: &mut json,
            dialect: Django,
            first: true,
        };
        writer.value(&Value::Map(event)).expect("writable");
        String::from_utf8(json).expect("UTF-8")
    };
    let of_ann = told(Sender::User, Some("ann"));
    assert!(
        of_ann.ends_with(r#""node": "n1", "author": "ann"}"#),
        "{of_ann}"
    );
    assert_eq!(
        told(Sender::User, None),
        r#"{"type": "chat.message", "message": "Hi", "sender": "user", "business_id": 42, "session_id": "a_b", "group": "chat_42_a_b", "timestamp": "2024-01-01T12:00:00Z", "node": "n1"}"#
    );
    let of_the_system = told(Sender::System, None);
    assert!(
        of_the_system.contains(r#""message": "Hi", "sender": "system","#),
        "{of_the_system}"
    );
}

#[test]
fn what_is_kept_of_an_event_is_the_message_that_all_clients_are_shown() {
    let mapping = Mapping::new(&ChannelsSettings::default(), Guide, "n1");
    let moment = Moment::from((7, 5));
    let said = |json: &str| {
        let event = map(json);
        let said = mapping.said(&event, moment)?;
        let origin = said.details.as_ref().map(|details| details.origin);
        assert_eq!((said.moment, origin), (moment, Some(EventOrigin::Django)));
        Some((said.sender, said.text.into_owned()))
    };
    for (json, expected) in [
        (
            r#"{"type": "chat.message", "message": "hé"}"#,
            Some((Sender::System, "hé")),
        ),
        (
            r#"{"type": "chat_message", "message": "m", "sender": "user"}"#,
            Some((Sender::User, "m")),
        ),
        (
            r#"{"type": "chat_message", "message": "m", "sender": "assistant"}"#,
            Some((Sender::Assistant, "m")),
        ),
        (
            r#"{"type": "chat_message", "message": "m", "sender": "bob"}"#,
            Some((Sender::System, "m")),
        ),
        (r#"{"type": "chat_message", "message": 5}"#, None),
        (r#"{"type": "chat_message", "text": "m"}"#, None),
        (r#"{"type": "send.error.message", "message": "m"}"#, None),
        (r#"{"type": "typing", "message": "m"}"#, None),
        (r#"{"message": "m"}"#, None),
    ] {
        let expected = expected.map(|(sender, text)| (sender, text.to_owned()));
        assert_eq!(said(json), expected, "{json}");
    }
}
