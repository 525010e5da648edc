//! JSON as Python reads and writes it.

use crate::protocol::python::{PythonFailure, read, to_json, to_str};

fn both(text: &str) -> (String, String) {
    let value = read(text).expect(text);
    (to_json(&value), to_str(&value).expect(text))
}

#[test]
fn numbers_are_written_as_python_writes_them() {
    for (text, written) in [
        ("5", "5"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1.0", "1.0"),
        ("1E5", "100000.0"),
        ("1e16", "1e+16"),
        ("1e15", "1000000000000000.0"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("1e-7", "1e-07"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1.5e300", "1.5e+300"),
        ("5e-324", "5e-324"),
        ("0.1", "0.1"),
        ("1233036922995747.2", "1233036922995747.2"),
        ("98804425046223.62", "98804425046223.62"),
        ("-0.30000000000000004", "-0.30000000000000004"),
        ("1e-400", "0.0"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
    ] {
        assert_eq!(both(text), (written.into(), written.into()), "{text}");
    }
    assert_eq!(both("1e400"), ("Infinity".into(), "inf".into()));
    assert_eq!(both("-1e400"), ("-Infinity".into(), "-inf".into()));
    assert_eq!(both("NaN"), ("NaN".into(), "nan".into()));
}

#[test]
fn containers_keep_order_and_the_last_of_equal_keys() {
    assert_eq!(
        both(r#"{"a":1,"b":[],"a":[true,null,{}],"c":"x"}"#),
        (
            r#"{"a": [true, null, {}], "b": [], "c": "x"}"#.into(),
            "{'a': [True, None, {}], 'b': [], 'c': 'x'}".into()
        )
    );
}

#[test]
fn text_inside_a_list_is_written_as_repr() {
    assert_eq!(
            both(r#"["a'b", "a\"b", "'\"", "\\\n\r\t\u0000\u007f\u00a0\u00ad\u200b", "é😀\u0301", "\ud800"]"#).1,
            "[\"a'b\", 'a\"b', '\\'\"', '\\\\\\n\\r\\t\\x00\\x7f\\xa0\\xad\\u200b', 'é😀\u{301}', '\\ud800']"
        );
}

#[test]
fn surrogate_escapes_pair_up_or_stay_alone() {
    assert_eq!(
        both(r#""\ud83d\ude00""#),
        (r#""\ud83d\ude00""#.into(), "😀".into())
    );
    let lone = read(r#""\ud800\u0041\udc00""#).expect("python reads it");
    assert_eq!(to_json(&lone), r#""\ud800A\udc00""#);
    assert_eq!(to_str(&lone), None);
}

#[test]
fn syntax_errors_and_unprocessable_values_are_told_apart() {
    for text in [
        "",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":1,}",
        "1.",
        "01",
        "+1",
        ".5",
        "1e",
        "-",
        "--1",
        "nul",
        "\"",
        "\"\\x41\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"a\nb\"",
        "1 2",
        "]",
        "\"\\ud800\\u12\"",
        "\u{feff}1",
        "\u{a0}1",
        "'a'",
        "nan",
    ] {
        assert_eq!(read(text).err(), Some(PythonFailure::Syntax), "{text:?}");
    }
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(read(&deep(900)).is_ok());
    for text in [
        deep(991),
        "[".repeat(100_000),
        "1".repeat(4301),
        "{\"a\":".repeat(5000),
    ] {
        assert_eq!(read(&text).err(), Some(PythonFailure::Unprocessable));
    }
    assert!(read(&"1".repeat(4300)).is_ok() && read(&("1".repeat(4301) + ".5")).is_ok());
}
