//! Broken headers, lengths and sequences, messages over the limits, and frames cut short.

use super::{
    BINARY, CLOSE, CONTINUATION, End, Event, FIN, FRAGMENTS, MASK, MESSAGE_BYTES, PING, PONG, TEXT,
    Table, bytes, close_frame, frame, header, header_16, header_64, letters,
};

pub(super) fn headers(table: &mut Table) {
    for reserved in 1..8_u8 {
        for (opcode, name) in [(TEXT, "text"), (PING, "ping"), (CLOSE, "close")] {
            let frames = [frame(FIN | reserved << 4 | opcode, b"")];
            let name = format!("{name} with reserved bits {reserved:03b}");
            table.broken(name, &frames, 1002, "reserved");
        }
        let frames = [frame(TEXT, b"a"), frame(FIN | reserved << 4, b"b")];
        let name = format!("continuation with reserved bits {reserved:03b}");
        table.broken(name, &frames, 1002, "reserved");
    }
    for opcode in (0x3..0x8).chain(0xb..0x10) {
        for (first, name) in [(FIN | opcode, "final"), (opcode, "not final")] {
            let name = format!("opcode {opcode:#x}, {name}");
            table.broken(&name, &[frame(first, b"x")], 1002, "opcode");
        }
    }
    for (opcode, name) in [
        (TEXT, "text"),
        (BINARY, "binary"),
        (CLOSE, "close"),
        (PING, "ping"),
        (PONG, "pong"),
    ] {
        let frames = [vec![FIN | opcode, 2, b'h', b'i']];
        table.broken(format!("{name} without a mask"), &frames, 1002, "mask");
        let frames = [vec![FIN | opcode, 0]];
        table.broken(
            format!("empty {name} without a mask"),
            &frames,
            1002,
            "mask",
        );
    }
    let frames = [vec![FIN | TEXT, 126, 0, 200], letters(200)];
    table.broken("long text without a mask", &frames, 1002, "mask");
    let frames = [frame(TEXT, b"a"), vec![FIN, 1, b'b']];
    table.broken("continuation without a mask", &frames, 1002, "mask");

    let frames = [frame(FIN | TEXT, b"good"), frame(FIN | 0x3, b"")];
    let end = End::Violation(1002, "opcode");
    table.row(
        "message before an unknown opcode",
        &frames,
        vec![Event::Text(b"good".to_vec())],
        end,
    );
    let frames = [frame(FIN | PING, b"p"), vec![FIN | TEXT, 1, b'x']];
    let end = End::Violation(1002, "mask");
    table.row(
        "ping before a missing mask",
        &frames,
        vec![Event::Ping(b"p".to_vec())],
        end,
    );
    let frames = [frame(FIN | 0x3, b""), frame(FIN | TEXT, b"too late")];
    table.broken("message after a violation", &frames, 1002, "opcode");
}

pub(super) fn lengths(table: &mut Table) {
    for length in [0, 1, 2, 124, 125] {
        let frames = [header_16(FIN | BINARY, length), MASK.to_vec()];
        table.broken(
            format!("length {length} in 16 bits"),
            &frames,
            1002,
            "length",
        );
    }
    for length in [0, 1, 125, 126, 1000, 65_534, 65_535] {
        let frames = [header_64(FIN | BINARY, length), MASK.to_vec()];
        table.broken(
            format!("length {length} in 64 bits"),
            &frames,
            1002,
            "length",
        );
    }
    for length in [1 << 63, (1 << 63) + 1, u64::MAX, (1 << 63) + 65_536] {
        let frames = [header_64(FIN | BINARY, length), MASK.to_vec()];
        table.broken(format!("length {length:#x}"), &frames, 1002, "length");
    }
}

pub(super) fn sequences(table: &mut Table) {
    for (first, name) in [(FIN, "final"), (CONTINUATION, "not final")] {
        for payload in [&b""[..], b"orphan"] {
            let name = format!("{name} continuation of {} bytes first", payload.len());
            table.broken(name, &[frame(first, payload)], 1002, "sequence");
        }
        let frames = [frame(FIN | TEXT, b"whole"), frame(first, b"orphan")];
        let events = vec![Event::Text(b"whole".to_vec())];
        let end = End::Violation(1002, "sequence");
        table.row(
            format!("{name} continuation after a whole message"),
            &frames,
            events,
            end,
        );
        let frames = [frame(TEXT, b"a"), frame(FIN, b"b"), frame(first, b"orphan")];
        let events = vec![Event::Text(b"ab".to_vec())];
        table.row(
            format!("{name} continuation after the last fragment"),
            &frames,
            events,
            end,
        );
    }
    for (outer, name) in [(TEXT, "text"), (BINARY, "binary")] {
        for (first, inside) in [
            (TEXT, "text fragment"),
            (FIN | TEXT, "text"),
            (BINARY, "binary fragment"),
            (FIN | BINARY, "binary"),
        ] {
            let frames = [
                frame(outer, b"one"),
                frame(first, b"two"),
                frame(FIN, b"three"),
            ];
            table.broken(
                format!("{inside} inside a fragmented {name}"),
                &frames,
                1002,
                "sequence",
            );
        }
    }
}

pub(super) fn limits(table: &mut Table) {
    for over in [1, 2, 1000, 1 << 20, 1 << 40, (1 << 62) - 65_536] {
        let length = MESSAGE_BYTES as u64 + over;
        for (opcode, name) in [(TEXT, "text"), (BINARY, "binary")] {
            // The header alone: refused before any payload.
            let frames = [header(FIN | opcode, length), MASK.to_vec()];
            table.broken(format!("{name} of {length} bytes"), &frames, 1009, "size");
        }
    }
    let begun = frame(BINARY, &bytes(MESSAGE_BYTES - 1));
    let frames = [begun.clone(), frame(FIN, b"x")];
    let whole = [bytes(MESSAGE_BYTES - 1), b"x".to_vec()].concat();
    table.open(
        "fragments of exactly the limit",
        &frames,
        vec![Event::Binary(whole.clone())],
    );
    let frames = [begun.clone(), frame(FIN, b"xy")];
    table.broken("fragments one byte over the limit", &frames, 1009, "size");
    let frames = [begun.clone(), frame(CONTINUATION, b"x"), frame(FIN, b"")];
    table.open(
        "empty fragment at the limit",
        &frames,
        vec![Event::Binary(whole)],
    );
    let frames = [begun, frame(CONTINUATION, b"x"), header(FIN, 1)];
    table.broken("announced byte over the limit", &frames, 1009, "size");
    let mut frames = vec![frame(TEXT, &letters(1000))];
    frames.extend(vec![frame(CONTINUATION, &letters(1000)); 64]);
    frames.push(header(FIN, 1000));
    table.broken(
        "65 fragments of 1000 bytes and one announced",
        &frames,
        1009,
        "size",
    );

    let continued = |count: usize, payload: &[u8]| {
        let mut frames = vec![frame(TEXT, payload)];
        frames.extend(vec![frame(CONTINUATION, payload); count - 2]);
        frames.push(frame(FIN, payload));
        frames
    };
    for payload in [&b""[..], b"x"] {
        let length = payload.len();
        let frames = continued(FRAGMENTS, payload);
        let events = vec![Event::Text(payload.repeat(FRAGMENTS))];
        table.open(
            format!("{FRAGMENTS} fragments of {length} bytes"),
            &frames,
            events,
        );
        for count in [FRAGMENTS + 1, 1000] {
            let name = format!("{count} fragments of {length} bytes");
            table.broken(name, &continued(count, payload), 1008, "fragments");
        }
    }
    let twice = [continued(FRAGMENTS, b"y"), continued(FRAGMENTS, b"z")].concat();
    let events = vec![
        Event::Text(b"y".repeat(FRAGMENTS)),
        Event::Text(b"z".repeat(FRAGMENTS)),
    ];
    table.open("most fragments twice", &twice, events);
}

pub(super) fn incomplete(table: &mut Table) {
    let waiting = |table: &mut Table, name: &str, frames: &[Vec<u8>], events| {
        table.row(name, frames, events, End::Waiting);
    };
    waiting(table, "one byte of a header", &[vec![FIN | TEXT]], vec![]);
    waiting(
        table,
        "header without its mask",
        &[header(FIN | TEXT, 5)],
        vec![],
    );
    let half_mask = [header(FIN | TEXT, 5), vec![1, 2]];
    waiting(table, "header with half its mask", &half_mask, vec![]);
    let cut = [header_64(FIN | TEXT, 65_536).into_iter().take(6).collect()];
    waiting(table, "half a 64-bit length", &cut, vec![]);
    let only = [header(FIN | TEXT, 5), MASK.to_vec()];
    waiting(table, "header without its payload", &only, vec![]);
    let cut = |bytes: Vec<u8>| vec![bytes.iter().copied().take(bytes.len() - 1).collect()];
    waiting(
        table,
        "text short of a byte",
        &cut(frame(FIN | TEXT, b"hello")),
        vec![],
    );
    waiting(
        table,
        "ping short of a byte",
        &cut(frame(FIN | PING, b"hello")),
        vec![],
    );
    waiting(
        table,
        "close short of a byte",
        &cut(close_frame(1000, b"bye")),
        vec![],
    );
    waiting(
        table,
        "first fragment only",
        &[frame(TEXT, b"begin")],
        vec![],
    );
    let frames = [frame(TEXT, b"begin"), frame(FIN | PING, b"p")];
    waiting(
        table,
        "first fragment and a ping",
        &frames,
        vec![Event::Ping(b"p".to_vec())],
    );
    let cut = cut(frame(FIN | TEXT, "\u{20ac}\u{20ac}".as_bytes()));
    waiting(table, "text cut inside a character", &cut, vec![]);
    // Autobahn 6.4.3 and 6.4.4: the first impossible byte ends it, whatever else is announced.
    for (name, text) in [
        ("above the last character", &b"\xce\xba\xf4\x90"[..]),
        ("a surrogate", b"ok \xed\xa0"),
        ("byte ff", b"\xff"),
        ("an overlong form", b"\xe0\x80"),
    ] {
        let masked = frame(FIN | TEXT, text);
        let masked = masked.get(2..).unwrap_or_default().to_vec();
        let frames = [vec![FIN | TEXT, 0x80 | 100], masked];
        table.broken(
            format!("incomplete frame with {name}"),
            &frames,
            1007,
            "utf8",
        );
        let frames = [frame(TEXT, text)];
        table.broken(format!("first fragment with {name}"), &frames, 1007, "utf8");
    }
}
