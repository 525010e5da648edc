//! Input that is wrong, and what it gets.

use super::outcome;
use crate::config::Dialect;

/// Input, what `guide` makes of it, what `django` does.
const HOSTILE: &[(&str, &str, &str)] = &[
    // Blank frames.
    ("", "empty", "empty"),
    (" ", "empty", "empty"),
    ("\t\r\n\u{b}\u{c}", "empty", "empty"),
    (
        "\u{1c}\u{1d}\u{1e}\u{1f}\u{85}\u{2028}\u{2029}",
        "empty",
        "empty",
    ),
    ("\u{a0}\u{3000}\u{205f}\u{202f}\u{1680}", "empty", "empty"),
    ("\u{200b}", "format", "format"),
    ("\u{feff}", "format", "format"),
    ("\0", "format", "format"),
    // Not one JSON value.
    ("hello", "format", "format"),
    ("{", "format", "format"),
    ("}", "format", "format"),
    ("{]", "format", "format"),
    ("[}", "format", "format"),
    ("{\"message\"", "format", "format"),
    ("{\"message\":", "format", "format"),
    ("{\"message\":\"x", "format", "format"),
    ("{\"message\":\"x\"", "format", "format"),
    ("{\"message\":\"x\",}", "format", "format"),
    ("{,\"message\":\"x\"}", "format", "format"),
    ("{\"message\" \"x\"}", "format", "format"),
    ("{\"message\":\"x\"}}", "format", "format"),
    ("{\"message\":\"x\"}{\"message\":\"y\"}", "format", "format"),
    ("{\"message\":\"x\"} trailing", "format", "format"),
    ("\u{feff}{\"message\":\"x\"}", "format", "format"),
    ("\u{a0}{\"message\":\"x\"}", "format", "format"),
    ("{'message':'x'}", "format", "format"),
    ("{message:\"x\"}", "format", "format"),
    ("{\"message\":\"x\"/*c*/}", "format", "format"),
    ("{\"message\":\"x\"}\0", "format", "format"),
    ("{1:2}", "format", "format"),
    ("<script>alert(1)</script>", "format", "format"),
    // Strings.
    ("{\"message\":\"a\nb\"}", "format", "format"),
    ("{\"message\":\"a\tb\"}", "format", "format"),
    ("{\"message\":\"a\0b\"}", "format", "format"),
    ("{\"message\":\"a\u{1f}b\"}", "format", "format"),
    (r#"{"message":"\x41"}"#, "format", "format"),
    (r#"{"message":"\u12"}"#, "format", "format"),
    (r#"{"message":"\u12g4"}"#, "format", "format"),
    (r#"{"message":"\"}"#, "format", "format"),
    (r#"{"message":"\U0001F600"}"#, "format", "format"),
    (r#"{"message":"\ud800"}"#, "User:\u{fffd}", "user_failed"),
    (
        r#"{"message":"\ud800","type":"system"}"#,
        "System:\u{fffd}",
        "system_failed",
    ),
    (r#"{"message":"x","k":"\ud800"}"#, "User:x", "User:x"),
    (
        r#"{"message":"x","type":"\ud800"}"#,
        "unknown_type",
        "ignored",
    ),
    // Literals and numbers.
    (r#"{"message":"x","k":+1}"#, "format", "format"),
    (r#"{"message":"x","k":.5}"#, "format", "format"),
    (r#"{"message":"x","k":1.}"#, "format", "format"),
    (r#"{"message":"x","k":1e}"#, "format", "format"),
    (r#"{"message":"x","k":01}"#, "format", "format"),
    (r#"{"message":"x","k":-}"#, "format", "format"),
    (r#"{"message":"x","k":0x1}"#, "format", "format"),
    (r#"{"message":"x","k":tru}"#, "format", "format"),
    (r#"{"message":"x","k":nullx}"#, "format", "format"),
    (r#"{"message":"x","k":undefined}"#, "format", "format"),
    (r#"{"message":"x","k":NaN}"#, "format", "User:x"),
    (r#"{"message":"x","k":-Infinity}"#, "format", "User:x"),
    (r#"{"message":"x","k":1e999999}"#, "User:x", "User:x"),
    (
        r#"{"message":"x","k":123456789012345678901234567890}"#,
        "User:x",
        "User:x",
    ),
    // Not the documented shape.
    ("[]", "format", "failed"),
    ("[\"message\"]", "format", "failed"),
    ("5", "format", "failed"),
    ("-0", "format", "failed"),
    ("null", "format", "failed"),
    ("true", "format", "failed"),
    ("\"message\"", "format", "failed"),
    ("NaN", "format", "failed"),
    ("{}", "missing_field", "missing_field"),
    (r#"{"type":"user"}"#, "missing_field", "missing_field"),
    (r#"{"type":"nonsense"}"#, "missing_field", "missing_field"),
    (r#"{"Message":"x"}"#, "missing_field", "missing_field"),
    (r#"{"k":{"message":"x"}}"#, "missing_field", "missing_field"),
    (r#"{"message":null}"#, "format", "user_failed"),
    (
        r#"{"message":null,"type":"system"}"#,
        "format",
        "system_failed",
    ),
    (r#"{"message":null,"type":"x"}"#, "format", "ignored"),
    (r#"{"message":5}"#, "format", "User:5"),
    (r#"{"message":true}"#, "format", "User:True"),
    (r#"{"message":["a",1.0]}"#, "format", "User:['a', 1.0]"),
    (
        r#"{"message":{"message":"x"}}"#,
        "format",
        "User:{'message': 'x'}",
    ),
    (r#"{"message":""}"#, "empty", "User:"),
    (
        r#"{"message":" \t\u001c\u2028"}"#,
        "empty",
        "User: \t\u{1c}\u{2028}",
    ),
    // Types.
    (
        r#"{"message":"x","type":"assistant"}"#,
        "unknown_type",
        "ignored",
    ),
    (
        r#"{"message":"x","type":"USER"}"#,
        "unknown_type",
        "ignored",
    ),
    (
        r#"{"message":"x","type":"user "}"#,
        "unknown_type",
        "ignored",
    ),
    (r#"{"message":"x","type":""}"#, "unknown_type", "ignored"),
    (r#"{"message":"x","type":null}"#, "unknown_type", "ignored"),
    (r#"{"message":"x","type":1}"#, "unknown_type", "ignored"),
    (
        r#"{"message":"x","type":["user"]}"#,
        "unknown_type",
        "ignored",
    ),
    (r#"{"message":"","type":"x"}"#, "unknown_type", "ignored"),
    // Odd, and right.
    (
        r#"{"message":"a","message":"b","type":"x","type":"system"}"#,
        "System:b",
        "System:b",
    ),
    (r#"{"message":null,"message":"b"}"#, "User:b", "User:b"),
    (r#"{"message":"a","message":null}"#, "format", "user_failed"),
    (
        r#"{"\u006dessage":"x","t\u0079pe":"s\u0079stem"}"#,
        "System:x",
        "System:x",
    ),
    (
        r#"{"k":[[{"message":1},[]],{}],"message":"x","z":{"type":0}}"#,
        "User:x",
        "User:x",
    ),
    (
        r#"{"message":"\u0000\/\ud83d\ude00"}"#,
        "User:\0/😀",
        "User:\0/😀",
    ),
    (
        "{\"message\":\"a\u{7f}b\"}",
        "User:a\u{7f}b",
        "User:a\u{7f}b",
    ),
    (" \r\n\t{\"message\":\"x\"}\n ", "User:x", "User:x"),
    (
        r#"{"message":"x","sender":"assistant","timestamp":0,"":1}"#,
        "User:x",
        "User:x",
    ),
];

#[test]
fn hostile_input_gets_the_documented_error() {
    assert!(HOSTILE.len() >= 60);
    for (input, guide, django) in HOSTILE {
        assert_eq!(
            outcome(Dialect::Guide, input.as_bytes()),
            *guide,
            "guide {input:?}"
        );
        assert_eq!(
            outcome(Dialect::Django, input.as_bytes()),
            *django,
            "django {input:?}"
        );
    }
}

#[test]
fn deep_and_long_input_is_answered() {
    let deep = |open: &str, depth: usize, close: &str| {
        format!(
            r#"{{"message":"x","k":{}0{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    let cases = [
        ("[".repeat(100_000), "format", "failed"),
        ("{\"a\":".repeat(100_000), "format", "failed"),
        (deep("[", 400, "]"), "User:x", "User:x"),
        (deep("[", 900, "]"), "User:x", "User:x"),
        (deep("{\"a\":", 900, "}"), "User:x", "User:x"),
        (deep("[", 10_000, "]"), "format", "failed"),
        (deep(&"9".repeat(60_000), 1, ""), "User:x", "failed"),
        (deep("9", 4300, "") + ".5", "format", "failed"),
        ("\u{3000}".repeat(30_000), "empty", "empty"),
        ("\"".repeat(100_001), "format", "format"),
        ("\\".repeat(100_000), "format", "format"),
    ];
    for (input, guide, django) in cases {
        let head: String = input.chars().take(40).collect();
        assert_eq!(
            outcome(Dialect::Guide, input.as_bytes()),
            guide,
            "guide {head}"
        );
        assert_eq!(
            outcome(Dialect::Django, input.as_bytes()),
            django,
            "django {head}"
        );
    }
}
