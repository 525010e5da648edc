//! `limits.memory`: a number of bytes, `"auto"`, or nothing at all.

use super::super::MemoryLimit;
use super::{assert_refused, load_environment, load_file, load_sets};

/// A value in a file, and what its refusal says.
const BAD: &[(&str, &[&str])] = &[
    (
        "1000000",
        &[
            "1000000 is too small",
            "at least 33554432",
            "0 for no limit",
        ],
    ),
    ("33554431", &["33554431 is too small"]),
    ("9000000000000000000", &["9000000000000000000 is too large"]),
    (
        "\"512MiB\"",
        &[
            "\"512MiB\" is neither \"auto\" nor a number of bytes",
            "memory = \"auto\"",
            "memory = 536870912",
        ],
    ),
    ("\"536870912\"", &["neither \"auto\" nor a number"]),
    ("\"Auto\"", &["\"Auto\" is neither"]),
    ("\"off\"", &["\"off\" is neither"]),
    ("\"\"", &["neither \"auto\""]),
    ("-1", &["-1 is neither \"auto\" nor a number of bytes"]),
    ("1.5", &["1.5 is neither \"auto\""]),
    ("true", &["true is neither \"auto\""]),
    ("[1]", &["neither \"auto\""]),
];

#[test]
fn what_is_no_limit_is_refused_with_what_to_write() {
    for (value, parts) in BAD {
        let mut parts = parts.to_vec();
        parts.extend(["limits.memory", ":2: "]);
        assert_refused(
            value,
            load_file(&format!("[limits]\nmemory = {value}")),
            &parts,
        );
    }
    let pairs = [("SUPPORTAL_LIMITS__MEMORY", "much")];
    assert_refused(
        "much",
        load_environment(&pairs),
        &["limits.memory", "\"much\""],
    );
}

#[test]
fn numbers_auto_and_zero_are_read_from_everywhere() {
    for (text, limit) in [
        ("536870912", MemoryLimit::Bytes(536_870_912)),
        ("33554432", MemoryLimit::Bytes(33_554_432)),
        ("0", MemoryLimit::Off),
        ("auto", MemoryLimit::Auto),
    ] {
        let quoted = text.replace("auto", "\"auto\"");
        for loaded in [
            load_file(&format!("[limits]\nmemory = {quoted}")),
            load_sets(&[&format!("limits.memory={text}")]),
            load_environment(&[("SUPPORTAL_LIMITS__MEMORY", text)]),
        ] {
            assert_eq!(loaded.expect(text).config.limits.memory, limit);
        }
    }
}
