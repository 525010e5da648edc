//! Close frames: codes, reasons, and what follows them.

use super::{CLOSE, End, Event, FIN, PING, TEXT, Table, close_frame, frame};

pub(super) fn closes(table: &mut Table) {
    legal_codes(table);
    illegal(table);
    reasons(table);
    nothing_after(table);
}

fn closed(
    table: &mut Table,
    name: impl Into<String>,
    frames: &[Vec<u8>],
    code: Option<u16>,
    reason: &str,
) {
    let events = vec![Event::Close(code, reason.to_owned())];
    table.row(name, frames, events, End::Closed);
}

fn legal_codes(table: &mut Table) {
    closed(
        table,
        "close without a code".to_owned(),
        &[frame(FIN | CLOSE, b"")],
        None,
        "",
    );
    let legal = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
    ];
    for code in legal
        .into_iter()
        .chain([3000, 3999, 4000, 4008, 4499, 4500, 4999])
    {
        let frames = [close_frame(code, b"why")];
        closed(
            table,
            format!("close with code {code}"),
            &frames,
            Some(code),
            "why",
        );
    }
}

fn illegal(table: &mut Table) {
    let illegal = [
        0, 1, 500, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999,
    ];
    for code in illegal
        .into_iter()
        .chain([5000, 5001, 9999, 32_768, 65_535])
    {
        let frames = [close_frame(code, b"")];
        table.broken(format!("close with code {code}"), &frames, 1002, "close");
    }
    table.broken(
        "close with half a code",
        &[frame(FIN | CLOSE, &[3])],
        1002,
        "close",
    );
    for (name, reason) in [
        ("a stray byte", &b"ab\xff"[..]),
        ("a cut character", b"ab\xe2\x82"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("an overlong slash", b"\xc0\xaf"),
    ] {
        let frames = [close_frame(1000, reason)];
        table.broken(format!("close reason with {name}"), &frames, 1007, "utf8");
    }
}

fn reasons(table: &mut Table) {
    let longest = "r".repeat(123);
    let frames = [close_frame(1000, longest.as_bytes())];
    closed(
        table,
        "close with the longest reason",
        &frames,
        Some(1000),
        &longest,
    );
    let reason = "h\u{e9} \u{20ac} \u{1f600}";
    let frames = [close_frame(1000, reason.as_bytes())];
    closed(
        table,
        "close with a reason in UTF-8",
        &frames,
        Some(1000),
        reason,
    );
}

fn nothing_after(table: &mut Table) {
    for (name, after) in [
        ("a message", frame(FIN | TEXT, b"late")),
        ("a ping", frame(FIN | PING, b"late")),
        ("a second close", close_frame(1001, b"")),
        ("garbage", vec![0xff; 100]),
        ("half a header", vec![FIN | TEXT]),
    ] {
        let frames = [close_frame(1000, b""), after];
        closed(
            table,
            format!("{name} after a close"),
            &frames,
            Some(1000),
            "",
        );
    }
    let frames = [frame(FIN | TEXT, b"last words"), close_frame(1000, b"")];
    let events = vec![
        Event::Text(b"last words".to_vec()),
        Event::Close(Some(1000), String::new()),
    ];
    table.row("close after a message", &frames, events, End::Closed);
}
