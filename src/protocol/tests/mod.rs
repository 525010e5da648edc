//! The contract as a whole: shapes and properties here, hostile input and the recorded consumer
//! beside.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::config::Dialect;

mod hostile;
mod json;
mod python;
mod readers;
mod replay;

const BOTH: [Dialect; 2] = [Dialect::Guide, Dialect::Django];

/// `chat.text_bytes_max` large enough for every recorded message that is replayed.
const TEXT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a parser makes of its first message.
fn parse(
    dialect: Dialect,
    text_bytes_max: usize,
    payload: &mut [u8],
) -> Result<Command<'_>, Rejected> {
    Parser::new().parse(dialect, text_bytes_max, payload)
}

/// What a message comes to: `kind:text`, the label of an error, or `ignored`.
fn outcome(dialect: Dialect, payload: &[u8]) -> String {
    let mut payload = payload.to_vec();
    match parse(dialect, TEXT_BYTES_MAX, &mut payload) {
        Ok(command) => format!("{:?}:{}", command.kind, command.text),
        Err(Rejected::Error(code)) => code.label().into(),
        Err(Rejected::Ignored) => "ignored".into(),
    }
}

#[test]
fn a_text_may_be_as_long_as_the_limit_and_no_longer() {
    for dialect in BOTH {
        let mut exact = r#"{"message":"éé\u00e9"}"#.as_bytes().to_vec();
        let mut longer = r#"{"message":"ééé."}"#.as_bytes().to_vec();
        assert!(parse(dialect, 6, &mut exact).is_ok());
        assert_eq!(
            parse(dialect, 6, &mut longer),
            Err(Rejected::Error(ErrorCode::TooLong))
        );
    }
}

#[test]
fn the_guide_borrows_the_text_from_the_payload() {
    let mut payload = br#"{"message":"a\n\u00e9","type":"user"}"#.to_vec();
    let range = payload.as_ptr_range();
    let command = parse(Dialect::Guide, 99, &mut payload).expect("valid");
    assert!(range.contains(&command.text.as_ptr()));
    assert!(matches!(command.text, std::borrow::Cow::Borrowed("a\né")));
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn errors_and_welcomes_have_the_shape_of_their_dialect() {
    let (guide, django) = (
        EventWriter::new(Dialect::Guide),
        EventWriter::new(Dialect::Django),
    );
    let stamp = Stamp::new(1_704_110_400, 0);
    let error = |writer: EventWriter, code| written(|out| writer.error(out, code));
    assert_eq!(
        error(guide, ErrorCode::Empty),
        r#"{"error":"Empty message received","sender":"system"}"#
    );
    assert_eq!(
        error(django, ErrorCode::Empty),
        r#"{"error": "Empty message received"}"#
    );
    assert_eq!(
        error(django, ErrorCode::TooMany),
        r#"{"error": "Too many messages", "sender": "system"}"#
    );
    assert_eq!(
        written(|out| guide.welcome(out, "1", "a\"é", &stamp)),
        "{\"message\":\"Connected to chat for business 1, session a\\\"é\",\"sender\":\"system\",\
         \"timestamp\":\"2024-01-01T12:00:00Z\"}"
    );
    assert_eq!(
        written(|out| django.welcome(out, "١", "session-123", &stamp)),
        r#"{"message": "Connected to chat for business \u0661, session session-123", "sender": "system"}"#
    );
    assert_eq!(
        written(|out| django.message(out, Sender::Assistant, APOLOGY, &stamp)),
        r#"{"message": "Sorry, I'm having trouble processing your request right now. please try again", "sender": "assistant", "timestamp": "2024-01-01 12:00:00+00:00"}"#
    );
    assert_eq!(
        written(|out| guide.system(out, "x", &stamp)),
        r#"{"message":"x","sender":"system","timestamp":"2024-01-01T12:00:00Z"}"#
    );
}

#[test]
fn a_stamp_follows_the_time_and_drops_an_empty_fraction() {
    let mut stamp = Stamp::new(0, 0);
    let text =
        |stamp: &Stamp, dialect| String::from_utf8(stamp.text(dialect).to_vec()).expect("ascii");
    assert_eq!(text(&stamp, Dialect::Guide), "1970-01-01T00:00:00Z");
    assert_eq!(text(&stamp, Dialect::Django), "1970-01-01 00:00:00+00:00");
    for (second, micros, guide, django) in [
        (
            1_795_379_571,
            97_401,
            "2026-11-22T20:32:51Z",
            "2026-11-22 20:32:51.097401+00:00",
        ),
        (
            1_795_379_571,
            0,
            "2026-11-22T20:32:51Z",
            "2026-11-22 20:32:51+00:00",
        ),
        (
            1_795_379_571,
            1,
            "2026-11-22T20:32:51Z",
            "2026-11-22 20:32:51.000001+00:00",
        ),
        (
            1_709_251_199,
            999_999,
            "2024-02-29T23:59:59Z",
            "2024-02-29 23:59:59.999999+00:00",
        ),
        (
            1_709_251_200,
            999_999,
            "2024-03-01T00:00:00Z",
            "2024-03-01 00:00:00.999999+00:00",
        ),
        (
            u64::MAX,
            0,
            "9999-12-30T22:00:00Z",
            "9999-12-30 22:00:00+00:00",
        ),
    ] {
        stamp.set(second, micros);
        assert_eq!(text(&stamp, Dialect::Guide), guide);
        assert_eq!(text(&stamp, Dialect::Django), django);
    }
}

proptest! {
    #[test]
    fn any_text_survives_writing_and_parsing(
        text in "(\\PC|[\\x00-\\x7f]|[\"\\\\]){1,200}", system in any::<bool>()
    ) {
        prop_assume!(!command::is_blank(&text));
        let kind = if system { "system" } else { "user" };
        let moment = Moment::from((1_704_110_400, 97_401));
        for dialect in BOTH {
            let mut payload = serde_json::to_vec(&serde_json::json!({"message": text, "type": kind}))?;
            let command = parse(dialect, TEXT_BYTES_MAX, &mut payload).expect("valid");
            prop_assert_eq!(&command.text, &text);
            let event = command.event(moment);
            let mut stamp = Stamp::new(0, 0);
            let event = written(|out| EventWriter::new(dialect).event(out, &event, &mut stamp));
            let value: Value = serde_json::from_str(&event)?;
            let prefix = if system && dialect == Dialect::Django { "System message: " } else { "" };
            let shown = format!("{prefix}{text}");
            prop_assert_eq!(value["message"].as_str(), Some(shown.as_str()));
            prop_assert_eq!(value["sender"].as_str(), Some(kind));
            // An event is itself a command, so what is written parses to what was said.
            let mut again = event.into_bytes();
            let again = parse(dialect, TEXT_BYTES_MAX, &mut again).expect("valid");
            prop_assert_eq!(again.text, shown);
        }
    }

    #[test]
    fn no_bytes_stop_the_parser(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        jsonish in "[\\[\\]{}\":,\\\\u0-9eE+.a-f \\-]{0,120}",
    ) {
        for dialect in BOTH {
            for mut payload in [bytes.clone(), jsonish.clone().into_bytes()] {
                // Only that it returns.
                drop(parse(dialect, 100, &mut payload));
            }
        }
    }
}
