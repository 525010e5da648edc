//! Whatever a view does, a message is published or refused as the policy says, is counted, and costs no more than its
//! bounds.

use super::{gateway, result, text};
use crate::assistant::deeds::{Deed, Row, check_rows};
use crate::assistant::{chunk, json_answer, whole};
use crate::support::Client;
use crate::webhook::View;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What is no answer, and the result that is counted.
fn bad() -> Vec<Row> {
    [refusals(), broken(), senseless(), oversized()]
        .into_iter()
        .flatten()
        .collect()
}

fn refusals() -> Vec<Row> {
    use Deed::Says;
    let status = |line: &str| Says(whole(line, "", ""));
    let to = |line: &str| Says(whole(line, "Location: http://127.0.0.1:1/\r\n", ""));
    let pass = r#"{"pass":true}"#;
    let kind = |fields: &str| Says(whole("200 OK", fields, pass));
    #[rustfmt::skip]
    let rows = vec![
        ("400", status("400 Bad Request"), "client_error"),
        ("403", status("403 Forbidden"), "client_error"),
        ("404", status("404 Not Found"), "client_error"),
        ("408", status("408 Request Timeout"), "server_error"),
        ("429", status("429 Too Many Requests"), "server_error"),
        ("500", status("500 Internal Server Error"), "server_error"),
        ("503 with a page", Says(whole("503 Down", "Content-Type: text/html\r\n", "x".repeat(1 << 20))), "server_error"),
        ("301", to("301 Moved Permanently"), "redirect"),
        ("302", to("302 Found"), "redirect"),
        ("308", to("308 Permanent Redirect"), "redirect"),
        ("201", Says(whole("201 Created", "Content-Type: application/json\r\n", pass)), "malformed"),
        ("202", status("202 Accepted"), "malformed"),
        ("gzip", kind("Content-Type: application/json\r\nContent-Encoding: gzip\r\n"), "encoded"),
        ("no type", kind(""), "not_json"),
        ("text", kind("Content-Type: text/plain\r\n"), "not_json"),
        ("html", kind("Content-Type: text/html\r\n"), "not_json"),
    ];
    rows
}

fn broken() -> Vec<Row> {
    use Deed::{Drips, SaysAndCloses, SaysAndWaits};
    let half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    let head = || CHUNKED.as_bytes().to_vec();
    #[rustfmt::skip]
    let rows = vec![
        ("closes at once", SaysAndCloses(Vec::new()), "broken_off"),
        ("half a head", SaysAndCloses(b"HTTP/1.1 200 OK\r\nContent-".to_vec()), "broken_off"),
        ("garbage", SaysAndCloses(b"\x16\x03\x01 hello\r\n\r\n".to_vec()), "broken_off"),
        ("closes in the body", SaysAndCloses(half.to_vec()), "broken_off"),
        ("a bad chunk", SaysAndCloses([CHUNKED.as_bytes(), b"zz\r\nhello"].concat()), "broken_off"),
        ("silent", SaysAndWaits(Vec::new()), "timeout"),
        ("head alone", SaysAndWaits(head()), "timeout"),
        ("half a body", SaysAndWaits(half.to_vec()), "timeout"),
        ("blanks for ever", Drips(head(), chunk(" ")), "timeout"),
    ];
    rows
}

fn senseless() -> Vec<Row> {
    let json = |body: &str| Deed::Says(json_answer(body));
    #[rustfmt::skip]
    let rows = vec![
        ("nothing", json(""), "malformed"),
        ("no json", json("yes"), "malformed"),
        ("an empty object", json("{}"), "malformed"),
        ("an array", json("[true]"), "malformed"),
        ("null", json("null"), "malformed"),
        ("pass that is none", json(r#"{"pass":false}"#), "malformed"),
        ("two answers", json(r#"{"pass":true,"refuse":"no"}"#), "malformed"),
        ("another type", json(r#"{"message":{"text":"Hi"}}"#), "malformed"),
        ("a blank message", json(r#"{"message":" "}"#), "malformed"),
        ("a blank refusal", json(r#"{"refuse":""}"#), "malformed"),
        ("half a surrogate", json(r#"{"message":"\ud83d"}"#), "malformed"),
        ("no utf-8", Deed::Says(whole("200 OK", "Content-Type: application/json\r\n", b"{\"message\":\"\xff\"}")), "malformed"),
        ("very deep", json(&format!("{{\"message\":{}", "[".repeat(50_000))), "malformed"),
    ];
    rows
}

fn oversized() -> Vec<Row> {
    use Deed::{Repeats, Says};
    let long = "x".repeat(1024 * 1024);
    let message = |bytes: usize| format!("{{\"message\":\"{}\"}}", "x".repeat(bytes));
    let refusal = format!("{{\"refuse\":\"{}\"}}", "x".repeat(1025));
    let field = format!("X-Long: {long}\r\n");
    #[rustfmt::skip]
    let rows = vec![
        ("a message beyond its limit", Says(json_answer(&message(32 * 1024 + 1))), "too_long"),
        ("a refusal beyond its limit", Says(json_answer(&refusal)), "too_long"),
        ("a message of a mebibyte", Says(json_answer(&message(1024 * 1024))), "too_long"),
        ("an answer without end", Repeats(CHUNKED.as_bytes().to_vec(), chunk(&long)), "too_long"),
        ("a head of a mebibyte", Says(whole("200 OK", &field, "")), "broken_off"),
    ];
    rows
}

#[test]
fn views_that_lie_stall_and_break_leave_it_to_the_policy_are_counted_and_stay_within_their_bounds()
{
    for (policy, is_refused) in [("refuse", true), ("pass", false)] {
        let view = View::of(bad());
        let on_timeout = format!("vet.on_timeout={policy}");
        let gateway = gateway(
            &view,
            &[
                &on_timeout,
                "vet.timeout=5s",
                "vet.concurrency_per_business=64",
                "limits.connections_per_ip=0",
                "limits.handshakes_per_ip=0",
            ],
        );
        let rows = bad();
        assert!(rows.len() >= 40, "{}", rows.len());
        let check_told = |client: &mut Client, name: &str| {
            let told = if is_refused {
                "Too busy, please try again"
            } else {
                name
            };
            assert_eq!(text(client), told, "{policy}: {name}");
        };
        check_rows(&gateway, &rows, check_told, |name| result(&gateway, name));
        assert_eq!(gateway.metric("supportal_vet_open") as usize, 0);
    }
}
