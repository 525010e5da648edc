//! Legal and illegal UTF-8, whole and in fragments.

use super::{BINARY, CONTINUATION, End, Event, FIN, PING, TEXT, Table, frame, letters};

pub(super) fn legal_text(table: &mut Table) {
    for text in [
        "\u{0}",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{feff}bom",
        "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
        "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!",
        "\u{1f469}\u{200d}\u{1f4bb} types",
    ] {
        let name = text.escape_unicode();
        let events = vec![Event::Text(text.as_bytes().to_vec())];
        table.open(
            format!("text {name}"),
            &[frame(FIN | TEXT, text.as_bytes())],
            events.clone(),
        );
        // A fragment may end inside a character (RFC 6455 section 5.6).
        let mut frames = vec![frame(TEXT, b"")];
        frames.extend(text.bytes().map(|byte| frame(CONTINUATION, &[byte])));
        frames.push(frame(FIN, b""));
        table.open(
            format!("text {name} in fragments of a byte"),
            &frames,
            events,
        );
    }
}

pub(super) fn illegal_text(table: &mut Table) {
    for (name, text) in [
        ("a continuation byte", &b"ab\x80cd"[..]),
        ("two continuation bytes", b"\xbf\xbf"),
        ("an overlong slash of 2 bytes", b"\xc0\xaf"),
        ("an overlong letter of 2 bytes", b"\xc1\xbf"),
        ("an overlong slash of 3 bytes", b"\xe0\x80\xaf"),
        ("an overlong slash of 4 bytes", b"\xf0\x80\x80\xaf"),
        ("an overlong character of 3 bytes", b"\xe0\x9f\xbf"),
        ("an overlong character of 4 bytes", b"\xf0\x8f\xbf\xbf"),
        ("the first high surrogate", b"\xed\xa0\x80"),
        ("the last low surrogate", b"\xed\xbf\xbf"),
        ("a surrogate pair", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("a character above the last", b"\xf4\x90\x80\x80"),
        ("a character of 5 bytes", b"\xf8\x88\x80\x80\x80"),
        ("a character of 6 bytes", b"\xfc\x84\x80\x80\x80\x80"),
        ("byte fe", b"\xfe"),
        ("byte ff", b"ok\xff"),
        ("2 bytes cut by a letter", b"\xc3a"),
        ("3 bytes cut by a letter", b"\xe2\x82a"),
        ("4 bytes cut by a letter", b"\xf0\x9f\x98a"),
        ("2 bytes cut by the end", b"caf\xc3"),
        ("3 bytes cut by the end", b"\xe2\x82"),
        ("4 bytes cut by the end", b"\xf0\x9f\x98"),
        ("Latin-1", b"caf\xe9 au lait"),
        (
            "Autobahn's edited word",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        ),
    ] {
        let frames = [frame(FIN | TEXT, text)];
        table.broken(format!("text with {name}"), &frames, 1007, "utf8");
        let half = text.len() / 2;
        let (front, back) = text.split_at(half);
        let frames = [frame(TEXT, front), frame(FIN | PING, b""), frame(FIN, back)];
        let bytes = frames.concat();
        // Whether the ping is reached depends on which fragment holds the impossible byte.
        let early = std::str::from_utf8(front).is_err_and(|error| error.error_len().is_some());
        let events = if early {
            vec![]
        } else {
            vec![Event::Ping(vec![])]
        };
        let end = End::Violation(1007, "utf8");
        table.row(
            format!("fragmented text with {name}"),
            &[bytes],
            events,
            end,
        );
        let frames = [frame(FIN | BINARY, text)];
        let events = vec![Event::Binary(text.to_vec())];
        table.open(format!("binary with {name}"), &frames, events);
    }
    let long = [letters(40_000), b"\xff".to_vec(), letters(100)].concat();
    table.broken(
        "long text with byte ff",
        &[frame(FIN | TEXT, &long)],
        1007,
        "utf8",
    );
}
