//! What is kept of what is said: settings that cannot be, each with what its refusal must say.

use super::{assert_refused, load_file};

const BAD_FILES: &[(&str, &[&str])] = &[
    (
        "[archive]\nmode = \"journal\"",
        &["archive.path: names no file", "such as"],
    ),
    (
        "[archive]\nmode = \"journal\"\npath = \"a\"\nqueue_bytes = 1000",
        &["archive.queue_bytes: 1000 is too small"],
    ),
    (
        "[archive]\nmode = \"streams\"",
        &["archive.mode: is in the streams of the bridge"],
    ),
    (
        "[archive]\nmode = \"streams\"\n[bridge]\nmode = \"streams\"\nurls = [\"redis-cluster://a\"]",
        &["archive.mode: needs all rooms of a Redis on one server"],
    ),
    (
        "[archive]\nmode = \"streams\"\n[bridge]\nmode = \"streams\"\nurls = [\"redis://a\"]\n[chat]\ndeliver = \"sender\"",
        &["archive.mode: has what goes through the rooms"],
    ),
    ("[archive]\nmode = \"redis\"", &["archive.mode"]),
    (
        "[archive]\nmode = \"journal\"\npath = \"no/such/folder/a\"",
        &["archive.path: \"no/such/folder\" is not a folder", "create"],
    ),
    (
        "[history]\nmode = \"journal\"",
        &["history.mode: is read from the archive's journal"],
    ),
    (
        "[history]\nmode = \"journal\"\n[archive]\nmode = \"journal\"\npath = \"a\"\n[bridge]\nmode = \"pubsub\"",
        &["history.mode: is of one node"],
    ),
    ("[archive]\nfull = \"wait\"", &["archive.full"]),
    (
        "[archive]\nbytes_max = 1",
        &["archive.bytes_max: 1 is too small"],
    ),
    (
        "[archive]\ninterval = \"2m\"",
        &["archive.interval: is longer than 60s"],
    ),
];

#[test]
fn a_journal_that_nobody_can_read_is_warned_of() {
    for (more, expected) in [
        ("", 1),
        ("[api]\ntoken = \"0123456789abcdef\"", 0),
        ("[api]\nlisten = \"127.0.0.1:8011\"", 0),
        ("[history]\nmode = \"journal\"", 0),
    ] {
        let text = format!("[archive]\nmode = \"journal\"\npath = \"a\"\n{more}");
        let loaded = load_file(&text).unwrap();
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        let of_it = warnings.filter(|warning| warning.contains("nobody can read"));
        assert_eq!(of_it.count(), expected, "{more}");
    }
}

#[test]
fn what_cannot_be_kept_so_is_refused_with_the_fix() {
    for (text, fragments) in BAD_FILES {
        assert_refused(text, load_file(text), fragments);
    }
}
