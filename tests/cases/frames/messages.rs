//! Messages, control frames, and how they may be mixed.

use super::{
    BINARY, CLOSE, CONTINUATION, End, Event, FIN, MASK, PING, PONG, TEXT, Table, bytes,
    close_frame, frame, frame_with_mask, header_16, letters,
};

pub(super) fn messages(table: &mut Table) {
    let lengths = [
        0, 1, 2, 3, 4, 5, 7, 8, 63, 124, 125, 126, 127, 128, 255, 256, 1000, 4096, 65_535, 65_536,
    ];
    for length in lengths {
        let (text, binary) = (letters(length), bytes(length));
        let frames = [frame(FIN | TEXT, &text)];
        table.open(
            format!("text of {length} bytes"),
            &frames,
            vec![Event::Text(text)],
        );
        let frames = [frame(FIN | BINARY, &binary)];
        table.open(
            format!("binary of {length} bytes"),
            &frames,
            vec![Event::Binary(binary)],
        );
    }
    for mask in [[0; 4], [255; 4], [0, 0, 0, 1], *b"abcd"] {
        let frames = [frame_with_mask(FIN | TEXT, b"mask me", mask)];
        let events = vec![Event::Text(b"mask me".to_vec())];
        table.open(format!("mask {mask:?}"), &frames, events);
    }
    for count in [2, 3, 10, 100] {
        let frames = vec![frame(FIN | TEXT, b"again"); count];
        let events = vec![Event::Text(b"again".to_vec()); count];
        table.open(format!("{count} messages at once"), &frames, events);
    }
    let frames = [
        frame(FIN | TEXT, b"t"),
        frame(FIN | BINARY, b"\xff"),
        frame(FIN | TEXT, b""),
    ];
    let events = vec![
        Event::Text(b"t".to_vec()),
        Event::Binary(b"\xff".to_vec()),
        Event::Text(vec![]),
    ];
    table.open("text, binary, empty text", &frames, events);
}

pub(super) fn controls(table: &mut Table) {
    for length in [0, 1, 4, 5, 64, 124, 125] {
        let payload = bytes(length);
        let frames = [frame(FIN | PING, &payload)];
        let events = vec![Event::Ping(payload.clone())];
        table.open(format!("ping of {length} bytes"), &frames, events);
        let frames = [frame(FIN | PONG, &payload)];
        table.open(
            format!("pong of {length} bytes"),
            &frames,
            vec![Event::Pong(payload)],
        );
    }
    let frames: Vec<_> = (0..10).map(|n| frame(FIN | PING, &[n])).collect();
    let events = (0..10).map(|n| Event::Ping(vec![n])).collect();
    table.open("ten pings at once", &frames, events);
    for (opcode, name) in [(CLOSE, "close"), (PING, "ping"), (PONG, "pong")] {
        let frames = [frame(opcode, b"")];
        table.broken(
            format!("{name} that is not final"),
            &frames,
            1002,
            "control",
        );
        let frames = [frame(opcode, &letters(10)), frame(FIN, b"x")];
        table.broken(format!("{name} in fragments"), &frames, 1002, "control");
        for length in [126, 127, 200, 65_535, 65_536] {
            let frames = [frame(FIN | opcode, &letters(length))];
            table.broken(
                format!("{name} of {length} bytes"),
                &frames,
                1002,
                "control",
            );
        }
        let frames = [header_16(FIN | opcode, 5), MASK.to_vec()];
        table.broken(
            format!("{name} with a long length form"),
            &frames,
            1002,
            "control",
        );
    }
}

pub(super) fn fragments(table: &mut Table) {
    for (opcode, name) in [(TEXT, "text"), (BINARY, "binary")] {
        let event = |payload: &[u8]| {
            vec![if opcode == TEXT {
                Event::Text(payload.to_vec())
            } else {
                Event::Binary(payload.to_vec())
            }]
        };
        let two = [frame(opcode, b"one,"), frame(FIN, b"two")];
        table.open(format!("{name} in two fragments"), &two, event(b"one,two"));
        let three = [
            frame(opcode, b"one,"),
            frame(CONTINUATION, b"two,"),
            frame(FIN, b"three"),
        ];
        table.open(
            format!("{name} in three fragments"),
            &three,
            event(b"one,two,three"),
        );
        let empty = [
            frame(opcode, b""),
            frame(CONTINUATION, b""),
            frame(FIN, b""),
        ];
        table.open(format!("{name} in empty fragments"), &empty, event(b""));
        let ends = [
            frame(opcode, b""),
            frame(CONTINUATION, b"middle"),
            frame(FIN, b""),
        ];
        table.open(
            format!("{name} between empty fragments"),
            &ends,
            event(b"middle"),
        );
        let long = [frame(opcode, &letters(300)), frame(FIN, &letters(70))];
        let whole = [letters(300), letters(70)].concat();
        table.open(format!("{name} in long fragments"), &long, event(&whole));
        let mut single = vec![frame(opcode, b"x")];
        single.extend(vec![frame(CONTINUATION, b"x"); 98]);
        single.push(frame(FIN, b"x"));
        table.open(format!("{name} byte by byte"), &single, event(&[b'x'; 100]));
        let again = [two.concat(), three.concat(), two.concat()];
        let events = [
            event(b"one,two"),
            event(b"one,two,three"),
            event(b"one,two"),
        ]
        .concat();
        table.open(format!("fragmented {name} three times"), &again, events);
        let masks = [
            frame_with_mask(opcode, b"abcde", *b"wxyz"),
            frame_with_mask(FIN, b"fghij", [9, 8, 7, 6]),
        ];
        table.open(
            format!("{name} with two masks"),
            &masks,
            event(b"abcdefghij"),
        );
    }
}

pub(super) fn interleaving(table: &mut Table) {
    let (ping, pong) = (frame(FIN | PING, b"p"), frame(FIN | PONG, b"q"));
    let (first, last) = (frame(TEXT, b"begin "), frame(FIN, b"end"));
    let message = Event::Text(b"begin end".to_vec());
    let (pinged, ponged) = (Event::Ping(b"p".to_vec()), Event::Pong(b"q".to_vec()));

    let frames = [first.clone(), ping.clone(), last.clone()];
    table.open(
        "ping between fragments",
        &frames,
        vec![pinged.clone(), message.clone()],
    );
    let frames = [first.clone(), pong.clone(), last.clone()];
    table.open(
        "pong between fragments",
        &frames,
        vec![ponged.clone(), message.clone()],
    );
    let mut frames = vec![ping.clone(), first.clone()];
    frames.extend(vec![ping.clone(); 5]);
    frames.extend([
        frame(CONTINUATION, b""),
        pong.clone(),
        last.clone(),
        pong.clone(),
    ]);
    let mut events = vec![pinged; 6];
    events.extend([ponged.clone(), message.clone(), ponged]);
    table.open("pings and pongs around fragments", &frames, events);
    let frames = [first.clone(), frame(FIN | PING, &bytes(125)), last.clone()];
    table.open(
        "longest ping between fragments",
        &frames,
        vec![Event::Ping(bytes(125)), message],
    );

    let frames = [first.clone(), close_frame(1000, b"bye")];
    let events = vec![Event::Close(Some(1000), "bye".to_owned())];
    table.row("close between fragments", &frames, events, End::Closed);
    for (name, bad) in [
        ("long ping", frame(FIN | PING, &bytes(126))),
        ("ping in fragments", frame(PING, b"")),
    ] {
        let frames = [first.clone(), bad, last.clone()];
        table.broken(
            format!("{name} between fragments"),
            &frames,
            1002,
            "control",
        );
    }
}
