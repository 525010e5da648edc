//! What a view may say, well or badly: each row's name is the question that is answered with it.

use crate::assistant::deeds::{Deed, Row};
use crate::assistant::{chunk, json_answer, whole};

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const LINES: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

const HI: &str = r#"{"delta":"Hi "}"#;
const THERE: &str = r#"{"delta":"there."}"#;
const DONE: &str = r#"{"done":true}"#;

/// A whole answer of these lines, each in a chunk of its own.
fn lines(lines: &[&str]) -> Vec<u8> {
    let chunks = lines.iter().flat_map(|line| chunk(format!("{line}\n")));
    LINES.bytes().chain(chunks).chain(*b"0\r\n\r\n").collect()
}

/// A whole answer of these events.
fn events(pieces: &[&str]) -> Vec<u8> {
    let body: String = pieces
        .iter()
        .map(|piece| format!("data: {piece}\n\n"))
        .collect();
    [EVENTS.as_bytes(), &chunk(body), b"0\r\n\r\n"].concat()
}

/// Answers in every form, and what a customer reads.
pub(super) fn good() -> Vec<Row> {
    use Deed::{Says, SaysAndCloses, Trickles};
    let closing = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n{body}").into_bytes()
    };
    let typed =
        |kind: &str, body: &str| whole("200 OK", &format!("Content-Type: {kind}\r\n"), body);
    let message = r#"{"message":"Hi there."}"#;
    let last = r#"{"delta":"there.","done":true}"#;
    let umlaut = r#"{"delta":"Grüß 😀","done":true}"#;
    let escaped = r#"{"delta":"a\nb","done":true}"#;
    #[rustfmt::skip]
    let rows = vec![
        ("json", Says(json_answer(message)), "Hi there."),
        ("json with more", Says(json_answer(r#"{"message":"Hi there.","meta":null,"tokens":5}"#)), "Hi there."),
        ("json with a charset", Says(typed("application/json; charset=utf-8", message)), "Hi there."),
        ("json in single bytes", Trickles(json_answer(message)), "Hi there."),
        ("lines", Says(lines(&[HI, THERE, DONE])), "Hi there."),
        ("lines, the last says more", Says(lines(&[HI, last])), "Hi there."),
        ("empty lines", Says(lines(&["", HI, "", " ", THERE, DONE])), "Hi there."),
        ("carriage returns", Says(lines(&["{\"delta\":\"Hi \"}\r", THERE, DONE])), "Hi there."),
        ("lines in single bytes", Trickles(lines(&[umlaut])), "Grüß 😀"),
        ("lines without length", SaysAndCloses(closing(&format!("{HI}\n{THERE}\n{DONE}\n"))), "Hi there."),
        ("a last line without end", SaysAndCloses(closing(&format!("{HI}\n{THERE}\n{DONE}"))), "Hi there."),
        ("a newline within", Says(lines(&[escaped])), "a\nb"),
        ("a type in capitals", Says(typed("Application/X-NDJSON", &format!("{HI}\n{THERE}\n{DONE}\n"))), "Hi there."),
        ("events", Says(events(&[HI, THERE, DONE])), "Hi there."),
        ("events in single bytes", Trickles(events(&[umlaut])), "Grüß 😀"),
        ("events, the last says more", Says(events(&[HI, last])), "Hi there."),
        ("what comes behind the end", Says(lines(&[HI, last, "garbage"])), "Hi there."),
    ];
    rows
}

/// What is no answer, and the outcome that is counted.
pub(super) fn bad() -> Vec<Row> {
    let mut rows = refusals();
    rows.extend(broken());
    rows.extend(senseless());
    rows.extend(oversized());
    rows
}

fn refusals() -> Vec<Row> {
    use Deed::Says;
    let status = |line: &str| {
        Says(whole(
            line,
            "Content-Type: application/json\r\n",
            r#"{"message":"Hi"}"#,
        ))
    };
    let to = |line: &str| Says(whole(line, "Location: http://127.0.0.1:1/login/\r\n", ""));
    let coded = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    #[rustfmt::skip]
    let rows = vec![
        ("400", status("400 Bad Request"), "refused"),
        ("401", status("401 Unauthorized"), "refused"),
        ("403", status("403 Forbidden"), "refused"),
        ("404", status("404 Not Found"), "not_found"),
        ("408", status("408 Request Timeout"), "server_error"),
        ("409", status("409 Conflict"), "server_error"),
        ("410", status("410 Gone"), "refused"),
        ("429", status("429 Too Many Requests"), "rate_limited"),
        ("500", status("500 Internal Server Error"), "server_error"),
        ("503", status("503 Service Unavailable"), "server_error"),
        ("201", status("201 Created"), "malformed"),
        ("206", status("206 Partial Content"), "malformed"),
        ("301", to("301 Moved Permanently"), "redirect"),
        ("302", to("302 Found"), "redirect"),
        ("307", to("307 Temporary Redirect"), "redirect"),
        ("gzip", Says(whole("200 OK", coded, "\u{1f}")), "encoded"),
        ("html", Says(whole("200 OK", "Content-Type: text/html\r\n", "<html>Sign in</html>")), "not_json"),
        ("no type", Says(whole("200 OK", "", r#"{"message":"Hi"}"#)), "not_json"),
        ("no body", Says(whole("200 OK", "", "")), "not_json"),
    ];
    rows
}

fn broken() -> Vec<Row> {
    use Deed::{Drips, SaysAndCloses, SaysAndWaits};
    let begun = [LINES.as_bytes(), &chunk(format!("{HI}\n"))].concat();
    let head = || LINES.as_bytes().to_vec();
    let half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    #[rustfmt::skip]
    let rows = vec![
        ("closes at once", SaysAndCloses(Vec::new()), "broken_off"),
        ("half a head", SaysAndCloses(b"HTTP/1.1 200 OK\r\nContent-".to_vec()), "broken_off"),
        ("garbage", SaysAndCloses(b"\x16\x03\x01 hello\r\n\r\n".to_vec()), "broken_off"),
        ("closes after the head", SaysAndCloses(head()), "broken_off"),
        ("closes in the middle", SaysAndCloses(begun.clone()), "broken_off"),
        ("closes in a json", SaysAndCloses(half.to_vec()), "broken_off"),
        ("ends without the end", SaysAndCloses(lines(&[HI, THERE])), "broken_off"),
        ("ends in the last line", SaysAndCloses(lines(&[HI, r#"{"done":tr"#])), "malformed"),
        ("silent", SaysAndWaits(Vec::new()), "timeout"),
        ("head alone", SaysAndWaits(head()), "first_token"),
        ("half of a json", SaysAndWaits(half.to_vec()), "first_token"),
        ("empty lines for ever", Drips(head(), chunk("\n")), "first_token"),
        ("empty pieces for ever", Drips(head(), chunk("{\"delta\":\"\"}\n")), "first_token"),
        ("stops in the middle", SaysAndWaits(begun.clone()), "between_tokens"),
        ("empty lines after a word", Drips(begun, chunk("\n")), "between_tokens"),
    ];
    rows
}

fn senseless() -> Vec<Row> {
    use Deed::Says;
    let json = |body: &str| Says(json_answer(body));
    let meta = format!(
        r#"{{"message":"Hi","meta":{{"a":"{}"}}}}"#,
        "x".repeat(1024)
    );
    let no_text = [
        LINES.as_bytes(),
        &chunk(b"{\"delta\":\"\xf0\x9f\"}\n"),
        b"0\r\n\r\n",
    ]
    .concat();
    #[rustfmt::skip]
    let rows = vec![
        ("json that is none", json("Hi"), "malformed"),
        ("an empty object", json("{}"), "malformed"),
        ("an array", json(r#"["Hi"]"#), "malformed"),
        ("null", json("null"), "malformed"),
        ("a message of another type", json(r#"{"message":{"text":"Hi"}}"#), "malformed"),
        ("half a surrogate", json(r#"{"message":"\ud83d"}"#), "malformed"),
        ("very deep", json(&format!("{{\"message\":{}", "[".repeat(50_000))), "malformed"),
        ("meta that is none", json(r#"{"message":"Hi","meta":"a"}"#), "malformed"),
        ("meta that is too long", json(&meta), "too_long"),
        ("an error", json(r#"{"error":"no"}"#), "error"),
        ("no words", json(r#"{"message":""}"#), "empty"),
        ("lines without words", Says(lines(&[DONE])), "empty"),
        ("a line that is none", Says(lines(&[HI, "garbage", DONE])), "malformed"),
        ("a line that says nothing", Says(lines(&[HI, "{}", DONE])), "malformed"),
        ("a whole answer as a line", Says(lines(&[r#"{"message":"Hi"}"#])), "malformed"),
        ("a delta of another type", Says(lines(&[r#"{"delta":7}"#, DONE])), "malformed"),
        ("an error in the middle", Says(lines(&[HI, r#"{"error":"no"}"#])), "error"),
        ("an event that says nothing", Says(events(&["{}", DONE])), "malformed"),
        ("the end of another contract", Says(events(&[HI, "[DONE]"])), "malformed"),
        ("no utf-8", Says(no_text), "malformed"),
    ];
    rows
}

fn oversized() -> Vec<Row> {
    use Deed::{Repeats, Says};
    let head = || LINES.as_bytes().to_vec();
    let long = "x".repeat(1024 * 1024);
    let field = format!("X-Long: {long}\r\n");
    let delta = |text: &str| format!("{{\"delta\":\"{text}\"}}");
    #[rustfmt::skip]
    let rows = vec![
        ("a delta of a mebibyte", Says(lines(&[&delta(&long), DONE])), "too_long"),
        ("a reply of 33 kibibytes", Says(lines(&[&delta(&"x".repeat(33 * 1024)), DONE])), "too_long"),
        ("a line without end", Repeats(head(), chunk("x".repeat(4096))), "too_long"),
        ("an answer without end", Repeats(head(), chunk(delta(&"x".repeat(100)) + "\n")), "too_long"),
        ("a json of a mebibyte", Says(json_answer(&format!("{{\"x\":\"{long}\"}}"))), "too_long"),
        ("a head of a mebibyte", Says(whole("200 OK", &field, "")), "broken_off"),
    ];
    rows
}
