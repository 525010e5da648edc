//! What is JSON by RFC 8259, whoever reads it: values that nobody reads, and halves of surrogate
//! pairs in what is read.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{BOTH, outcome, parse};
use crate::config::Dialect;
use crate::protocol::json::DEPTH_MAX;

/// Legal values, at one of which another JSON reader stumbles.
const LEGAL: &[&str] = &[
    // Integers: as long as they like (§6).
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "340282366920938463463374607431768211456",
    "0",
    "-0",
    "-0.0",
    "0.30000000000000000000000000000000000000000000004",
    "1e400",
    "-1e400",
    "1E+999",
    "1E-999",
    "1e-0",
    "0e0",
    "-0e+00",
    "0.0e00007",
    "1.7976931348623159e308",
    "4.9e-324",
    "1e99999999999999999999999999",
    "9007199254740993",
    "true",
    "null",
    "\"\"",
    "[]",
    "{}",
    "[ ]",
    "{\t}",
    "[\n\r\t {}\n, [] ]",
    "{\"\":{\"\":{\"\":[]}}}",
    r#"{"a":1,"a":2}"#,
    r#"{"message":1,"message":[{"type":"x"}]}"#,
    // Every escape (§7), and nothing escaped that need not be.
    r#""\"\\\/\b\f\n\r\t\u0000\u001F\u00e9\u00E9\uFFFF""#,
    r#""\u0022\u005C\u005c\u002f""#,
    r#""\ud83d\ude00\uD83D\uDE00\uDBFF\uDFFF\ud800\udc00""#,
    "\"/ \u{7f}\u{80}\u{9f}\u{a0}\u{2028}\u{2029}\u{feff}\u{fffd}\u{ffff}\u{10ffff}\"",
    r#""\ud83d""#,
    r#""\uDFFF""#,
    r#""\ude00\ud83d""#,
    r#""\ud83d\ud83d\ude00""#,
    r#""\ud83dx\ude00""#,
    r#""\ud83d\n""#,
    r#""\ud83d\\ude00""#,
    r#"{"\ud800":"\udc00","\ud800":1}"#,
    r#"[[["\udbff"]]]"#,
];

/// No JSON: in the place of a value.
const ILLEGAL: &[&str] = &[
    "",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "-",
    "--1",
    "+1",
    "1e",
    "1e+",
    "1E-",
    "1.e5",
    "1.5.5",
    "1e5.5",
    "1e5e5",
    "1_000",
    "1,000",
    "0x1f",
    "1f",
    "0b1",
    "1n",
    "\u{664}",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "inf",
    "True",
    "TRUE",
    "nul",
    "nulll",
    "truefalse",
    "true false",
    "None",
    "undefined",
    "'x'",
    "`x`",
    "x",
    "\"x",
    "x\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\0\"",
    "\"\u{1f}\"",
    r#""\""#,
    r#""\x41""#,
    r#""\'""#,
    r#""\a""#,
    r#""\v""#,
    r#""\0""#,
    r#""\U0001F600""#,
    r#""\u""#,
    r#""\u1""#,
    r#""\u12""#,
    r#""\u123""#,
    r#""\u123g""#,
    r#""\u+123""#,
    r#""\u 123""#,
    r#""\ud83d\u""#,
    r#""\ud83d\ude0""#,
    r#""\ud83d\ude0g""#,
    "\"\\\u{e9}\"",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "[1",
    "[",
    "]",
    "[1}",
    "{1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1,,\"b\":2}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{null:1}",
    "{\"a\"::1}",
    "{\"a\":1]",
    "{\"a\":1",
    "1 // x",
    "1 /* x */",
    "/* x */ 1",
    "# x\n1",
    "\u{feff}1",
    "\u{a0}1",
    "\u{b}1",
    "\u{c}1",
    "1\0",
];

/// Half a surrogate pair in a message, and the text that the guide makes of it.
const BROKEN: &[(&str, &str)] = &[
    (r"thanks \ud83d", "thanks \u{fffd}"),
    (r"\ud83d", "\u{fffd}"),
    (r"\uDE00", "\u{fffd}"),
    (r"\ud800", "\u{fffd}"),
    (r"\udbff", "\u{fffd}"),
    (r"\udc00", "\u{fffd}"),
    (r"\udfff", "\u{fffd}"),
    (r"\uD83Dx", "\u{fffd}x"),
    (r"\ud83d\n", "\u{fffd}\n"),
    (r"\ud83d\u0041", "\u{fffd}A"),
    (r"\ud83d\\ude00", "\u{fffd}\\ude00"),
    (r"\ud83d \ude00", "\u{fffd} \u{fffd}"),
    (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
    (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
    (r"\ud83d\ude00\ude00", "😀\u{fffd}"),
    (r"\ud83d\ude00\ud83d", "😀\u{fffd}"),
    (r"\ud83d\ud83d\ud83d", "\u{fffd}\u{fffd}\u{fffd}"),
    (r"é\ud83dé", "é\u{fffd}é"),
    (r"\ufffd\ud83d", "\u{fffd}\u{fffd}"),
    (r"\u0000\ud83d\u0000", "\0\u{fffd}\0"),
];

/// Where a value may stand that nobody reads: before, between, behind and below what is read.
fn around(value: &str) -> Vec<String> {
    [
        r#"{"id":@,"message":"x"}"#,
        r#"{"message":"x","id":@,"type":"user"}"#,
        r#"{"message":"x","id":@}"#,
        r#" { "message" : "x" , "a" : [ @ , {"b": @ } , @ ] } "#,
        r#"{"message":"x","id":@,"message":"x"}"#,
        r#"{"message":@,"message":"x"}"#,
    ]
    .iter()
    .map(|frame| frame.replace('@', value))
    .collect()
}

#[test]
fn any_legal_value_may_stand_where_nobody_reads() {
    let long = [
        "7".repeat(400),
        format!(
            "-{}.{}e-{}",
            "7".repeat(400),
            "1".repeat(999),
            "9".repeat(99)
        ),
        "7".repeat(4300),
        format!("\"{}\"", "x".repeat(20_000)),
        format!("\"{}\"", r"\ud83d".repeat(3_000)),
        format!("[{}1]", "1,".repeat(9_000)),
        format!("{{{}\"a\":1}}", "\"a\":1,".repeat(5_000)),
    ];
    let values = LEGAL.iter().map(ToString::to_string).chain(long);
    assert!(LEGAL.len() + ILLEGAL.len() + BROKEN.len() >= 80);
    for value in values {
        assert!(
            serde_json::from_str::<IgnoredAny>(&value).is_ok(),
            "{value}"
        );
        for payload in around(&value) {
            for dialect in BOTH {
                assert_eq!(outcome(dialect, payload.as_bytes()), "User:x", "{payload}");
            }
        }
        // A name of any escapes is no other name.
        if value.starts_with('"') {
            let payload = format!(r#"{{{value}:1,"message":"x"}}"#);
            assert_eq!(outcome(Dialect::Guide, payload.as_bytes()), "User:x");
        }
    }
}

#[test]
fn what_is_no_json_is_refused_wherever_it_stands() {
    // Python reads these three, whatever RFC 8259 says.
    let python = ["NaN", "Infinity", "-Infinity"];
    for value in ILLEGAL {
        for payload in around(value) {
            assert_eq!(
                outcome(Dialect::Guide, payload.as_bytes()),
                "format",
                "{payload}"
            );
            if !python.contains(value) {
                assert_eq!(
                    outcome(Dialect::Django, payload.as_bytes()),
                    "format",
                    "{payload}"
                );
            }
        }
    }
}

#[test]
fn a_truncated_object_is_refused_at_every_byte() {
    let whole = r#"{"a":[{"b":-1.5e+3},"\ud83d\ude00",true],"message":"hé\n","type":"user"}"#;
    assert_eq!(outcome(Dialect::Guide, whole.as_bytes()), "User:hé\n");
    for end in 1..whole.len() {
        let bytes = whole.as_bytes().get(..end).expect("a part");
        for dialect in BOTH {
            assert_eq!(outcome(dialect, bytes), "format", "{end}");
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    for bad in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\x80",
    ] {
        for frame in [
            r#"{"message":"@"}"#,
            r#"{"message":"x","@":1}"#,
            r#"{"a":["@"],"message":"x"}"#,
            r#"@{"message":"x"}"#,
        ] {
            let (before, behind) = frame.split_once('@').expect("a mark");
            let payload = [before.as_bytes(), bad, behind.as_bytes()].concat();
            for dialect in BOTH {
                assert_eq!(outcome(dialect, &payload), "format", "{payload:?}");
            }
        }
    }
}

#[test]
fn half_a_surrogate_pair_becomes_one_replacement_character() {
    for (written, text) in BROKEN {
        let payload = format!(r#"{{"message":"{written}"}}"#);
        assert_eq!(
            outcome(Dialect::Guide, payload.as_bytes()),
            format!("User:{text}"),
            "{written}"
        );
        // The package's database takes no such text.
        assert_eq!(
            outcome(Dialect::Django, payload.as_bytes()),
            "user_failed",
            "{written}"
        );
    }
    for name in [r"mess\ud800age", r"\ud800message"] {
        let payload = format!(r#"{{"{name}":"x"}}"#);
        assert_eq!(outcome(Dialect::Guide, payload.as_bytes()), "missing_field");
    }
}

#[test]
fn nesting_has_one_limit_in_both_dialects() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]")] {
        let per_round = open.matches(['[', '{']).count();
        let nested = |levels: usize| {
            let rounds = levels / per_round;
            format!(
                r#"{{"message":"x","k":{}0{}}}"#,
                open.repeat(rounds),
                close.repeat(rounds)
            )
        };
        // One level is the outermost object's own.
        let most = DEPTH_MAX - 1 - (DEPTH_MAX - 1) % per_round;
        for dialect in BOTH {
            assert_eq!(outcome(dialect, nested(most).as_bytes()), "User:x");
        }
        assert_eq!(
            outcome(Dialect::Guide, nested(most + per_round).as_bytes()),
            "format"
        );
        assert_eq!(
            outcome(Dialect::Django, nested(most + per_round).as_bytes()),
            "failed"
        );
    }
    let wide = format!(
        r#"{{"k":[{}0],"message":"x"}}"#,
        "[[[]]],{\"a\":{}},".repeat(5_000)
    );
    assert_eq!(outcome(Dialect::Guide, wide.as_bytes()), "User:x");
}

#[test]
fn an_integer_that_python_does_not_read_fails_in_its_dialect_alone() {
    for (digits, django) in [(4300, "User:x"), (4301, "failed"), (60_000, "failed")] {
        let payload = format!(r#"{{"message":"x","id":-{}}}"#, "9".repeat(digits));
        assert_eq!(outcome(Dialect::Guide, payload.as_bytes()), "User:x");
        assert_eq!(
            outcome(Dialect::Django, payload.as_bytes()),
            django,
            "{digits}"
        );
        // With a fraction it is a float, of any length.
        let payload = payload.replace('}', ".0}");
        assert_eq!(outcome(Dialect::Django, payload.as_bytes()), "User:x");
    }
}

/// Characters of a JSON string, as one of the ways to write each.
fn written_character() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ -!#-\\[\\]-~]",
        2 => "\\PC",
        1 => Just("\\\"".to_string()),
        1 => "\\\\[\\\\/bfnrt]",
        1 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => (0xd7f0_u16..0xe010).prop_map(|unit| format!("\\u{unit:04X}")),
        1 => any::<char>().prop_map(|character| {
            character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }),
    ]
    .prop_filter("no bare quote or backslash", |text| text != "\"" && text != "\\")
}

pub(super) fn written_string() -> impl Strategy<Value = String> {
    prop::collection::vec(written_character(), 0..24)
        .prop_map(|characters| format!("\"{}\"", characters.concat()))
}

/// Any JSON value, with white space in every place where it may be.
pub(super) fn written_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "true|false|null",
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,6})?",
        written_string(),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let member = (written_string(), inner.clone());
        let space = "[ \t\r\n]{0,2}";
        prop_oneof![
            (prop::collection::vec(inner, 0..5), space).prop_map(|(items, space)| {
                format!(
                    "[{space}{}{space}]",
                    items.join(&format!("{space},{space}"))
                )
            }),
            (prop::collection::vec(member, 0..5), space).prop_map(|(members, space)| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{name}{space}:{space}{value}"))
                    .collect();
                format!(
                    "{{{space}{}{space}}}",
                    members.join(&format!("{space},{space}"))
                )
            }),
        ]
    })
}

/// A JSON string's text, read by the units of UTF-16 it is made of.
fn text_of(written: &str) -> String {
    let inside = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let mut rest = inside.expect("quotes").chars();
    let mut units = Vec::new();
    while let Some(character) = rest.next() {
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match rest.next().expect("a letter") {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits: String = rest.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).expect("four digits")
            }
            other => u16::try_from(u32::from(other)).expect("ASCII"),
        });
    }
    String::from_utf16_lossy(&units)
}

proptest! {
    #[test]
    fn a_legal_object_with_a_text_says_it(
        before in prop::collection::vec((written_string(), written_value()), 0..4),
        text in written_string(),
        behind in prop::collection::vec((written_string(), written_value()), 0..4),
    ) {
        let others = |members: &[(String, String)]| -> Vec<String> {
            // Written names of what is read would replace it.
            members.iter().map(|(name, value)| format!("{}:{value}", name.replacen('"', "\"-", 1))).collect()
        };
        let mut members = others(&before);
        members.push(format!("\"message\":{text}"));
        members.extend(others(&behind));
        let payload = format!("{{{}}}", members.join(","));
        prop_assert!(serde_json::from_str::<IgnoredAny>(&payload).is_ok(), "{}", payload);
        let text = text_of(&text);
        let expected = if super::command::is_blank(&text) { "empty".into() } else { format!("User:{text}") };
        prop_assert_eq!(outcome(Dialect::Guide, payload.as_bytes()), expected, "{}", payload);
    }

    #[test]
    fn the_guide_agrees_with_serde_json_about_what_is_json(
        value in prop_oneof![
            written_value(),
            "[\\[\\]{}\":,0-9eE+.truefalsn \\-]{0,12}",
            "\"[\\\\ud89cDE0-9nx\"]{0,14}\"",
        ],
        position in any::<prop::sample::Index>(),
        replacement in "[\\[\\]{}\":,\\\\u0-9dDeE+. \\-\u{0}\n]{0,2}",
    ) {
        let mut value: Vec<char> = value.chars().collect();
        let at = position.index(value.len().max(1)).min(value.len().saturating_sub(1));
        let range = at..(at + 1).min(value.len());
        value.splice(range, replacement.chars());
        let value: String = value.into_iter().collect();
        let payload = format!(r#"{{"k":{value},"message":"x"}}"#);
        let theirs = serde_json::from_str::<IgnoredAny>(&payload);
        let ours = outcome(Dialect::Guide, payload.as_bytes());
        prop_assert_eq!(ours == "format", theirs.is_err(), "{}: {} {:?}", payload, ours, theirs);
        // Where it can say what the object means, the two mean the same.
        if let Ok(Value::Object(fields)) = serde_json::from_str(&payload) {
            let text = fields.get("message").and_then(Value::as_str).unwrap_or_default();
            let mut payload = payload.clone().into_bytes();
            if let Ok(command) = parse(Dialect::Guide, 1 << 20, &mut payload) {
                prop_assert_eq!(command.text, text);
            }
        }
    }
}
