//! What a model server may say, well or badly: each row's name is the question that is answered with it.

use super::deeds::{Deed, Row};
use super::{EVENTS, chunk, end, event, events, json_answer, piece, pieces, whole};
use serde_json::json;

/// Answers in every form that servers have for them, and what a customer reads.
pub(super) fn good() -> Vec<Row> {
    use Deed::{Says, SaysAndCloses, Trickles};
    let thinking = |field: &str| event(&json!({"choices": [{"index": 0, "delta": {field: "hm"}}]}));
    let usage = event(&json!({"choices": [], "usage": {"total_tokens": 7}}));
    let stop = event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    let second = event(&json!({"choices": [{"index": 1, "delta": {"content": "other"}}]}));
    let whole_answer = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"small:1b","choices":[{"index":0,"message":{"role":"assistant","content":"Hi there."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    let hi = || pieces("Hi there.");
    #[rustfmt::skip]
    let rows = vec![
        ("plain", Says(events(hi())), "Hi there."),
        ("single bytes", Trickles(events(pieces("Grüß dich 😀"))), "Grüß dich 😀"),
        ("one chunk an event", Says(chunks_of(&hi())), "Hi there."),
        ("no length", SaysAndCloses(closing(&hi())), "Hi there."),
        ("carriage returns", Says(events(hi().replace('\n', "\r\n"))), "Hi there."),
        ("byte order mark", Says(events(format!("\u{feff}{}", hi()))), "Hi there."),
        ("comments", Says(events(format!(": hello\n\n: ping\n\n{}", hi()))), "Hi there."),
        ("ids and types", Says(events(format!("id: 1\nevent: message\nretry: 9\n{}", hi()))), "Hi there."),
        ("usage at the end", Says(events(format!("{}{stop}{usage}data: [DONE]\n\n", piece("Hi there.")))), "Hi there."),
        ("thinks first", Says(events(format!("{}{}{}", thinking("reasoning_content"), thinking("reasoning"), hi()))), "Hi there."),
        ("two choices", Says(events(format!("{second}{}", hi()))), "Hi there."),
        ("no done", Says(events(format!("{}{stop}", piece("Hi there.")))), "Hi there."),
        ("done alone", Says(events(format!("{}data: [DONE]\n\n", piece("Hi there.")))), "Hi there."),
        ("json", Says(json_answer(whole_answer)), "Hi there."),
        ("type in capitals", Says(whole("200 OK", "content-type: Text/Event-Stream\r\n", hi())), "Hi there."),
        ("newlines within", Says(events(pieces("a\nb\n\nc"))), "a\nb\n\nc"),
    ];
    rows
}

/// [`good`] answers and odd ones.
pub(super) fn readable() -> Vec<Row> {
    good().into_iter().chain(odd()).collect()
}

/// Answers that other clients read in another way, or not at all, and what a customer reads.
fn odd() -> Vec<Row> {
    use Deed::{Says, SaysAndCloses};
    let stop = event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    let hi = || pieces("Hi there.");
    #[rustfmt::skip]
    let rows = vec![
        ("no type", Says(whole("200 OK", "", hi())), "Hi there."),
        ("no empty line at the end", SaysAndCloses(closing(format!("{}{stop}", piece("Hi there.")).trim_end())), "Hi there."),
        ("an empty reason", Says(events(format!("{}{}", event(&json!({"choices": [{"delta": {"content": "Hi "}, "finish_reason": ""}]})), pieces("there.")))), "Hi there."),
        ("thinks aloud", Says(events(pieces("<think>\nhm\n</think>\n\nHi there.\n"))), "Hi there."),
        ("null within", Says(events(format!("data: null\n\n{}", hi()))), "Hi there."),
    ];
    rows
}

/// Every event in a chunk of its own.
fn chunks_of(body: &str) -> Vec<u8> {
    let events = body.split_inclusive("\n\n").flat_map(chunk);
    EVENTS.bytes().chain(events).chain(*b"0\r\n\r\n").collect()
}

/// An answer that ends with its connection.
fn closing(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}").into_bytes()
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
            r#"{"error":{"message":"no","type":"some_error"}}"#,
        ))
    };
    let to = |line: &str| {
        Says(whole(
            line,
            "Location: http://127.0.0.1:1/v1/chat/completions\r\n",
            "",
        ))
    };
    let coded = |coding: &str| {
        let fields = format!("Content-Type: text/event-stream\r\nContent-Encoding: {coding}\r\n");
        Says(whole("200 OK", &fields, pieces("Hi")))
    };
    #[rustfmt::skip]
    let rows = vec![
        ("400", status("400 Bad Request"), "refused"),
        ("401", status("401 Unauthorized"), "refused"),
        ("403", status("403 Forbidden"), "refused"),
        ("404", status("404 Not Found"), "not_found"),
        ("408", status("408 Request Timeout"), "server_error"),
        ("409", status("409 Conflict"), "server_error"),
        ("413", status("413 Content Too Large"), "refused"),
        ("429", status("429 Too Many Requests"), "rate_limited"),
        ("500", status("500 Internal Server Error"), "server_error"),
        ("503", status("503 Service Unavailable"), "server_error"),
        ("599", status("599 Odd"), "server_error"),
        ("301", to("301 Moved Permanently"), "redirect"),
        ("302", to("302 Found"), "redirect"),
        ("307", to("307 Temporary Redirect"), "redirect"),
        ("308", to("308 Permanent Redirect"), "redirect"),
        ("304", Says(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()), "redirect"),
        ("204", Says(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()), "not_json"),
        ("gzip", coded("gzip"), "encoded"),
        ("br", coded("br"), "encoded"),
        ("html", Says(whole("200 OK", "Content-Type: text/html\r\n", "<html>Sign in</html>")), "not_json"),
        ("ndjson", Says(whole("200 OK", "Content-Type: application/x-ndjson\r\n", "{}\n")), "not_json"),
    ];
    rows
}

fn broken() -> Vec<Row> {
    use Deed::{Drips, SaysAndCloses, SaysAndWaits};
    let begun = |text: &str| [EVENTS.as_bytes(), &chunk(piece(text))].concat();
    #[rustfmt::skip]
    let rows = vec![
        ("closes at once", SaysAndCloses(Vec::new()), "broken_off"),
        ("half a head", SaysAndCloses(b"HTTP/1.1 200 OK\r\nContent-".to_vec()), "broken_off"),
        ("garbage", SaysAndCloses(b"\x16\x03\x01 hello\r\n\r\n".to_vec()), "broken_off"),
        ("closes after the head", SaysAndCloses(EVENTS.as_bytes().to_vec()), "broken_off"),
        ("closes in the middle", SaysAndCloses(begun("Hi")), "broken_off"),
        ("closes without the end", SaysAndCloses(closing(&piece("Hi"))), "broken_off"),
        ("closes in an event", SaysAndCloses(closing("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}")), "broken_off"),
        ("a bad chunk", SaysAndCloses([EVENTS.as_bytes(), b"zz\r\nhello"].concat()), "broken_off"),
        ("silent", SaysAndWaits(Vec::new()), "first_token"),
        ("head alone", SaysAndWaits(EVENTS.as_bytes().to_vec()), "first_token"),
        ("comments for ever", Drips(EVENTS.as_bytes().to_vec(), chunk(": ping\n\n")), "first_token"),
        ("stops in the middle", SaysAndWaits(begun("Hi")), "between_tokens"),
        ("comments after a word", Drips(begun("Hi"), chunk(": ping\n\n")), "between_tokens"),
        ("half of a json", SaysAndWaits(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{" .to_vec()), "first_token"),
    ];
    rows
}

fn senseless() -> Vec<Row> {
    use Deed::Says;
    let data = |data: &str| Says(events(format!("data: {data}\n\n{}", end())));
    let after = |data: &str| Says(events(format!("{}data: {data}\n\n{}", piece("Hi"), end())));
    let bytes = |bytes: &[u8]| Says(events([b"data: ", bytes, b"\n\n"].concat()));
    #[rustfmt::skip]
    let rows = vec![
        ("no json", data("hello"), "malformed"),
        ("an array", data("[]"), "malformed"),
        ("half an object", data("{\"choices\":["), "malformed"),
        ("no choices", data("{}"), "malformed"),
        ("choices of another type", data(r#"{"choices":"Hi"}"#), "malformed"),
        ("content of another type", data(r#"{"choices":[{"delta":{"content":{"text":"Hi"}}}]}"#), "malformed"),
        ("a number as content", data(r#"{"choices":[{"delta":{"content":7}}]}"#), "malformed"),
        ("half a surrogate", data(r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#), "malformed"),
        ("garbage in the middle", after("\u{0}\u{1}"), "malformed"),
        ("very deep", data(&format!("{{\"choices\":{}", "[".repeat(50_000))), "malformed"),
        ("no utf-8", bytes(b"{\"choices\":[{\"delta\":{\"content\":\"\xf0\x9f\"}}]}"), "malformed"),
        ("an error at once", data(r#"{"error":{"message":"overloaded","code":503}}"#), "error"),
        ("an error in the middle", after(r#"{"error":{"message":"CUDA out of memory"}}"#), "error"),
        ("an event of errors", Says(events(format!("{}event: error\ndata: {{}}\n\n", piece("Hi")))), "error"),
        ("an error in json", Says(json_answer(r#"{"error":"no"}"#)), "error"),
        ("an error as the reason", data(r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"error"}]}"#), "error"),
        ("white space", Says(events(pieces(" \n "))), "empty"),
        ("thinks and says nothing", Says(events(pieces("<think>Hi"))), "empty"),
        ("empty", Says(events(end())), "empty"),
        ("empty choices", data(r#"{"choices":[]}"#), "empty"),
        ("tool calls", data(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#), "empty"),
        ("json without words", Says(json_answer(r#"{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}"#)), "empty"),
        ("json that is none", Says(json_answer("Hi")), "malformed"),
    ];
    rows
}

fn oversized() -> Vec<Row> {
    use Deed::{Repeats, Says};
    let head = || EVENTS.as_bytes().to_vec();
    let long = "x".repeat(1024 * 1024);
    let field = format!("X-Long: {long}\r\n");
    #[rustfmt::skip]
    let rows = vec![
        ("a delta of a mebibyte", Says(events(piece(&long))), "too_long"),
        ("a line without end", Repeats(head(), chunk("x".repeat(4096))), "too_long"),
        ("an event without end", Repeats(head(), chunk("data: x\n")), "too_long"),
        ("an answer without end", Repeats(head(), chunk(piece(&"x".repeat(100)))), "too_long"),
        ("a json of a mebibyte", Says(json_answer(&format!("{{\"x\":\"{long}\"}}"))), "too_long"),
        ("a head of a mebibyte", Says(whole("200 OK", &field, "")), "broken_off"),
    ];
    rows
}
