//! The two readers of JSON: which one reads is for nobody to see.

use proptest::prelude::*;
use proptest::sample::Index;

use super::json::{written_string, written_value};
use super::{BOTH, TEXT_BYTES_MAX, outcome};
use crate::config::Dialect;
use crate::protocol::command::KEEP_BYTES_MAX;
use crate::protocol::json::{self, Members, MessageField, SimdReader, Type};
use crate::protocol::{Command, Parser, Rejected};

/// All that a reader says of a payload; every command is made of that.
#[derive(Debug, PartialEq)]
struct Said {
    message: Option<Option<String>>,
    kind: Type,
    is_broken: bool,
    is_beyond_python: bool,
}

fn said(members: &Members, payload: &mut [u8]) -> Said {
    let (message, is_broken) = match &members.message {
        MessageField::Missing => (None, false),
        MessageField::Other => (Some(None), false),
        MessageField::Text(text) => (
            Some(Some(text.read(payload).expect("UTF-8").to_string())),
            text.is_broken,
        ),
    };
    Said {
        message,
        kind: members.kind,
        is_broken,
        is_beyond_python: members.is_beyond_python,
    }
}

fn by_the_first(payload: &[u8]) -> Option<Said> {
    let mut payload = payload.to_vec();
    let members = SimdReader::new().read(&mut payload)?;
    Some(said(&members, &mut payload))
}

fn by_the_second(payload: &[u8]) -> Option<Said> {
    let members = json::read(payload)?;
    Some(said(&members, &mut payload.to_vec()))
}

/// Payloads, whether the first reader takes them, and what comes of each in `guide` and `django`.
const ROWS: &[(&str, bool, &str, &str)] = &[
    (r#"{"message":"a\tb"}"#, true, "User:a\tb", "User:a\tb"),
    (r#"{"message":"","type":"user"}"#, true, "empty", "User:"),
    (
        r#"{"\u006dessage":"x","typ\u0065":"syste\u006d"}"#,
        true,
        "System:x",
        "System:x",
    ),
    (
        r#"{"message":"a","message":"b\n"}"#,
        true,
        "User:b\n",
        "User:b\n",
    ),
    // Read again for Python, from what the escapes were.
    (
        r#"{"k":"\n","message":["\u00e9\n"]}"#,
        true,
        "format",
        "User:['é\\n']",
    ),
    (r#"{"k":"\n\n\n","message":7}"#, true, "format", "User:7"),
    (r#"{"message":7}"#, true, "format", "User:7"),
    (
        r#"{"k":"\"","type":"user"}"#,
        true,
        "missing_field",
        "missing_field",
    ),
    // Refused behind escapes that are undone already.
    (
        r#"{"message":"a\tb\u00e9","id":18446744073709551616}"#,
        false,
        "User:a\tbé",
        "User:a\tbé",
    ),
    (
        r#"{"k":"\\\\\\","message":"a\"b","id":1e400}"#,
        false,
        "User:a\"b",
        "User:a\"b",
    ),
    (
        r#"{"message":"\n\ud83d"}"#,
        false,
        "User:\n\u{fffd}",
        "user_failed",
    ),
    (
        r#"{"k":"\ud83d\ude00\ud83d","message":"\n"}"#,
        false,
        "empty",
        "User:\n",
    ),
    (
        r#"{"message":"a\nb","type":"system","k":"\udc00"}"#,
        false,
        "System:a\nb",
        "System:a\nb",
    ),
    (
        r#"{"k":"\n","message":["\u00e9\n",1e400]}"#,
        false,
        "format",
        "User:['é\\n', inf]",
    ),
    (
        r#"{"k":"\t","message":"a\tb","n":NaN}"#,
        false,
        "format",
        "User:a\tb",
    ),
    (r#"{"message":"a\tb"}}"#, false, "format", "format"),
    // Refused, and nothing to restore.
    (
        r#"{"message":"é","id":-9223372036854775809}"#,
        false,
        "User:é",
        "User:é",
    ),
    (
        r#"{"message":[18446744073709551616]}"#,
        false,
        "format",
        "User:[18446744073709551616]",
    ),
    (r#"["message"]"#, false, "format", "failed"),
];

#[test]
fn what_comes_of_a_payload_is_the_same_whoever_reads_it() {
    for (payload, is_first, guide, django) in ROWS {
        assert_eq!(
            by_the_first(payload.as_bytes()).is_some(),
            *is_first,
            "{payload}"
        );
        for (dialect, expected) in BOTH.into_iter().zip([guide, django]) {
            assert_eq!(&outcome(dialect, payload.as_bytes()), expected, "{payload}");
        }
    }
}

#[test]
fn the_second_reader_lends_the_text_too() {
    let mut payload = br#"{"message":"a\n\u00e9","id":1e400}"#.to_vec();
    let range = payload.as_ptr_range();
    let command = Parser::new()
        .parse(Dialect::Guide, 99, &mut payload)
        .expect("valid");
    assert!(range.contains(&command.text.as_ptr()));
    assert_eq!(command.text, "a\né");
}

#[test]
fn one_long_message_does_not_keep_its_size() {
    let long = |bytes| format!(r#"{{"message":"\n{}"}}"#, "x".repeat(bytes)).into_bytes();
    for dialect in BOTH {
        let mut parser = Parser::new();
        assert!(
            parser
                .parse(dialect, TEXT_BYTES_MAX, &mut long(1000))
                .is_ok()
        );
        assert!((1000..2000).contains(&parser.original_bytes()));
        assert!(
            parser
                .parse(dialect, TEXT_BYTES_MAX, &mut long(KEEP_BYTES_MAX))
                .is_ok()
        );
        assert_eq!(parser.original_bytes(), 0);
        // Without a backslash there is nothing to keep.
        let mut plain = br#"{"message":"x","id":1e400}"#.to_vec();
        assert!(parser.parse(dialect, TEXT_BYTES_MAX, &mut plain).is_ok());
        assert_eq!(parser.original_bytes(), 0);
    }
}

/// An object with the names that are read and others, or something that is nearly one.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        3 => Just(r#""message""#.to_string()),
        2 => Just(r#""type""#.to_string()),
        1 => Just(r#""mess\u0061ge""#.to_string()),
        2 => written_string(),
    ];
    let value = prop_oneof![
        2 => written_string(),
        2 => Just(r#""system""#.to_string()),
        1 => Just(r#""us\u0065r""#.to_string()),
        3 => written_value(),
        1 => "[\\[\\]{}\":,0-9eE+.truefalsn \\-]{0,12}",
    ];
    let slip = (any::<Index>(), prop::collection::vec(any::<u8>(), 0..2));
    (
        prop::collection::vec((name, value), 0..5),
        prop::option::weighted(0.3, slip),
    )
        .prop_map(|(members, slip)| {
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{name} :{value}"))
                .collect();
            let mut payload = format!("{{{}}}", members.join(", ")).into_bytes();
            if let Some((position, replacement)) = slip {
                let at = position.index(payload.len());
                payload.splice(at..=at, replacement);
            }
            payload
        })
}

fn owned(parsed: Result<Command<'_>, Rejected>) -> Result<(String, String), Rejected> {
    parsed.map(|command| (format!("{:?}", command.kind), command.text.into_owned()))
}

proptest! {
    #[test]
    fn the_second_reader_agrees_with_what_the_first_accepts(payload in payload()) {
        if let Some(first) = by_the_first(&payload) {
            prop_assert_eq!(Some(first), by_the_second(&payload));
        }
    }

    #[test]
    fn a_payload_without_a_backslash_is_unchanged_even_if_refused(
        mut payload in payload(), bytes in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        payload.retain(|byte| *byte != b'\\');
        for payload in [&payload, &bytes].map(|bytes| bytes.as_slice()) {
            if payload.contains(&b'\\') {
                continue;
            }
            let mut read = payload.to_vec();
            let _: Option<Members> = SimdReader::new().read(&mut read);
            prop_assert_eq!(read, payload);
        }
    }

    #[test]
    fn a_parser_remembers_nothing(payloads in prop::collection::vec(payload(), 1..6)) {
        for dialect in BOTH {
            let mut used = Parser::new();
            for payload in &payloads {
                let (mut one, mut other) = (payload.clone(), payload.clone());
                let used = owned(used.parse(dialect, TEXT_BYTES_MAX, &mut one));
                let fresh = owned(Parser::new().parse(dialect, TEXT_BYTES_MAX, &mut other));
                prop_assert_eq!(used, fresh);
            }
        }
    }
}
