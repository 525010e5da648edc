//! Bad requests: each with its exact status and kind of problem, and nothing of it said again.

use super::*;
use crate::support::Canaries;
use std::io::Write;
use std::time::Duration;

/// The kind of an answer's problem document, which says nothing of the request again.
#[track_caller]
fn problem(response: &Response) -> String {
    let text = response.text();
    assert!(
        !text.contains(TOKEN) && !text.contains("my-own-text"),
        "{text}"
    );
    response.problem()
}

/// Bodies for `POST /api/publish`: what is wrong, the body, status, kind, and the field that is named.
#[rustfmt::skip]
const PUBLISH: &[(&str, u16, &str, &str)] = &[
    ("", 400, "not-json", ""),
    ("{", 400, "not-json", ""),
    ("[]", 400, "not-json", ""),
    ("null", 400, "not-json", ""),
    ("\"my-own-text\"", 400, "not-json", ""),
    ("{} {}", 400, "not-json", ""),
    ("{'room':1}", 400, "not-json", ""),
    ("{\"message\":\"my-own-text\\ud800\"}", 400, "not-json", ""),
    ("{\"message\":\"my-own-text\n\"}", 400, "not-json", ""),
    (r#"{"room":"chat_1_a","message":"my-own-text","message":"b"}"#, 400, "duplicate-field", "message"),
    (r#"{"room":"chat_1_a","message":"a","meta":{"x":1,"x":2}}"#, 400, "duplicate-field", "x"),
    ("{}", 422, "missing-field", "room"),
    (r#"{"message":"my-own-text"}"#, 422, "missing-field", "room"),
    (r#"{"room":"chat_1_a"}"#, 422, "missing-field", "message"),
    (r#"{"business_id":"1","message":"a"}"#, 422, "missing-field", "session_id"),
    (r#"{"session_id":"a","message":"a"}"#, 422, "missing-field", "business_id"),
    (r#"{"room":"chat_1_a","message":"a","colour":"my-own-text"}"#, 422, "unknown-field", "colour"),
    (r#"{"room":"chat_1_a","message":"a","Id":"1"}"#, 422, "unknown-field", "Id"),
    (r#"{"room":"chat_1_a","message":"a","":1}"#, 422, "unknown-field", ""),
    (r#"{"publish":{"room":"chat_1_a","message":"a"}}"#, 422, "unknown-field", "publish"),
    (r#"{"room":"lobby","message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":"chat_01_a","message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":"chat_1_a b","message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":"chat_1_*","message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":"","message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":null,"message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":7,"message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"room":"chat_1_a","business_id":"1","message":"a"}"#, 422, "invalid-field", "room"),
    (r#"{"business_id":"-1","session_id":"a","message":"a"}"#, 422, "invalid-field", "business_id"),
    (r#"{"business_id":1.5,"session_id":"a","message":"a"}"#, 422, "invalid-field", "business_id"),
    (r#"{"business_id":1e300,"session_id":"a","message":"a"}"#, 422, "invalid-field", "business_id"),
    (r#"{"business_id":"1234567890123456789","session_id":"a","message":"a"}"#, 422, "invalid-field", "business_id"),
    (r#"{"business_id":true,"session_id":"a","message":"a"}"#, 422, "invalid-field", "business_id"),
    (r#"{"business_id":1,"session_id":"a/b","message":"a"}"#, 422, "invalid-field", "session_id"),
    (r#"{"room":"chat_1_a","message":""}"#, 422, "invalid-field", "message"),
    (r#"{"room":"chat_1_a","message":" \t\n "}"#, 422, "invalid-field", "message"),
    (r#"{"room":"chat_1_a","message":{"text":"my-own-text"}}"#, 422, "invalid-field", "message"),
    (r#"{"room":"chat_1_a","message":"a","sender":"root"}"#, 422, "invalid-field", "sender"),
    (r#"{"room":"chat_1_a","message":"a","sender":""}"#, 422, "invalid-field", "sender"),
    (r#"{"room":"chat_1_a","message":"a","id":""}"#, 422, "invalid-field", "id"),
    (r#"{"room":"chat_1_a","message":"a","id":"a\u0000"}"#, 422, "invalid-field", "id"),
    (r#"{"room":"chat_1_a","message":"a","id":17}"#, 422, "invalid-field", "id"),
    (r#"{"room":"chat_1_a","message":"a","meta":"my-own-text"}"#, 422, "invalid-field", "meta"),
    (r#"{"room":"chat_1_a","message":"a","meta":null}"#, 422, "invalid-field", "meta"),
    (r#"{"room":"chat_1_a","message":"a","meta":[1]}"#, 422, "invalid-field", "meta"),
];

#[rustfmt::skip]
const OTHERS: &[(&str, &str, u16, &str, &str)] = &[
    ("broadcast", "{}", 422, "missing-field", "message"),
    ("broadcast", r#"{"room":"chat_1_a","message":"a"}"#, 422, "unknown-field", "room"),
    ("broadcast", r#"{"business_id":"x","message":"a"}"#, 422, "invalid-field", "business_id"),
    ("broadcast", r#"{"business_id":null,"message":"a"}"#, 422, "invalid-field", "business_id"),
    ("disconnect", "{}", 422, "missing-field", "user or room or connection"),
    ("disconnect", r#"{"user":""}"#, 422, "invalid-field", "user"),
    ("disconnect", r#"{"user":"a","room":"chat_1_a"}"#, 422, "invalid-field", "user, room, connection"),
    ("disconnect", r#"{"room":"*"}"#, 422, "invalid-field", "room"),
    ("disconnect", r#"{"connection":"7"}"#, 422, "invalid-field", "connection"),
    ("disconnect", r#"{"connection":"../../../../../../../../../../../../../"}"#, 422, "invalid-field", "connection"),
    ("disconnect", r#"{"user":"a","code":1005}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":1006}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":1015}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":2999}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":5000}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":69536}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":-1}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","code":"4000"}"#, 422, "invalid-field", "code"),
    ("disconnect", r#"{"user":"a","reason":7}"#, 422, "invalid-field", "reason"),
    ("batch", "{}", 422, "missing-field", "commands"),
    ("batch", r#"{"commands":{}}"#, 422, "invalid-field", "commands"),
    ("batch", r#"{"commands":[]}"#, 422, "invalid-field", "commands"),
    ("batch", r#"{"commands":[{},{},{},{}]}"#, 422, "invalid-field", "commands"),
    ("batch", r#"{"commands":[],"x":1}"#, 422, "unknown-field", "x"),
];

/// Commands of a batch, each wrong.
#[rustfmt::skip]
const WITHIN: &[(&str, u16, &str, &str)] = &[
    ("{}", 422, "missing-field", "commands.0.publish or broadcast or disconnect"),
    ("7", 422, "invalid-field", "commands.0"),
    (r#"{"fly":{}}"#, 422, "unknown-field", "commands.0.fly"),
    (r#"{"presence":{"room":"chat_1_a"}}"#, 422, "unknown-field", "commands.0.presence"),
    (r#"{"batch":{"commands":[]}}"#, 422, "unknown-field", "commands.0.batch"),
    (r#"{"publish":[]}"#, 422, "invalid-field", "commands.0.publish"),
    (r#"{"publish":{}}"#, 422, "missing-field", "commands.0.publish.room"),
    (r#"{"publish":{},"broadcast":{}}"#, 422, "invalid-field", "commands.0.broadcast"),
];

#[test]
fn a_bad_command_gets_its_problem_and_names_its_field() {
    let gateway = gateway(&["api.batch=3"]);
    let canaries = Canaries::start(&gateway);
    let publish = PUBLISH
        .iter()
        .map(|(body, status, kind, field)| ("publish", *body, *status, *kind, *field));
    for (endpoint, body, status, kind, field) in publish.chain(OTHERS.iter().copied()) {
        let bytes = request("POST", &format!("/api/{endpoint}"), &GOOD, body.as_bytes());
        let answer = http::exchange(gateway.public(), &bytes).expect("an answer");
        assert_eq!(
            (answer.status, problem(&answer).as_str()),
            (status, kind),
            "{body}"
        );
        let named = answer.json()["field"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(named, field, "{body}");
    }
    for (command, status, kind, field) in WITHIN {
        let body = format!(r#"{{"commands":[{command}]}}"#);
        let bytes = request("POST", "/api/batch", &GOOD, body.as_bytes());
        let answer = http::exchange(gateway.public(), &bytes).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let result = &answer.json()["results"][0];
        assert_eq!(result["status"], *status, "{command}");
        assert_eq!(
            result["problem"]["type"],
            format!("urn:supportal:problem:{kind}"),
            "{command}"
        );
        assert_eq!(result["problem"]["field"], *field, "{command}");
    }
    canaries.finish();
    assert!(!gateway.log().contains("my-own-text") && !gateway.log().contains(TOKEN));
}

#[test]
fn a_value_at_its_bound_is_taken_and_one_more_is_not() {
    let gateway = gateway(&["chat.text_bytes_max=100"]);
    let api = Asker::of(&gateway);
    let long = |count: usize| "é".repeat(count);
    let meta = |bytes: usize| json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) });
    let publish = |field: &str, value: Value| {
        let mut body = json!({ "room": "chat_1_abc", "message": "a" });
        body[field] = value;
        api.post("publish", &body).status
    };
    let disconnect = |field: &str, value: Value| {
        let mut body = json!({ "user": "a" });
        body[field] = value;
        api.post("disconnect", &body).status
    };
    assert_eq!(
        (
            publish("message", long(50).into()),
            publish("message", long(51).into())
        ),
        (200, 422)
    );
    assert_eq!(
        (
            publish("id", long(64).into()),
            publish("id", long(65).into())
        ),
        (200, 422)
    );
    assert_eq!(
        (publish("meta", meta(1024)), publish("meta", meta(1025))),
        (200, 422)
    );
    assert_eq!(
        (
            disconnect("user", long(256).into()),
            disconnect("user", long(257).into())
        ),
        (200, 422)
    );
    assert_eq!(
        (
            disconnect("reason", long(61).into()),
            disconnect("reason", long(62).into())
        ),
        (200, 422)
    );
    for code in [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4000, 4999] {
        assert_eq!(disconnect("code", code.into()), 200, "{code}");
    }
}

/// A request to `POST /api/publish` or another target, and its answer.
#[track_caller]
fn ask(gateway: &Gateway, method: &str, target: &str, fields: &[&str], body: &[u8]) -> Response {
    let bytes = request(method, target, fields, body);
    http::exchange(gateway.public(), &bytes).expect("an answer")
}

/// A body that is right.
const BODY: &[u8] = br#"{"room":"chat_1_abc","message":"a"}"#;

#[test]
fn whoever_has_no_token_gets_one_answer_whatever_is_asked() {
    let gateway = gateway(&[]);
    let json = GOOD[1];
    let unauthorized: [&[&str]; 9] = [
        &[json],
        &[json, "Authorization: Bearer"],
        &[json, "Authorization: Bearer token-of-the-tests-012345678"],
        &[json, "Authorization: Bearer token-of-the-tests-01234567890"],
        &[json, "Authorization: Bearer TOKEN-OF-THE-TESTS-0123456789"],
        &[json, "Authorization: Basic token-of-the-tests-0123456789"],
        &[json, "Authorization: token-of-the-tests-0123456789"],
        &[json, GOOD[0], GOOD[0]],
        &[json, "X-Api-Key: token-of-the-tests-0123456789"],
    ];
    let mut texts = Vec::new();
    for fields in unauthorized {
        for target in ["/api/publish", "/api/nowhere", "/api/", "/api/openapi.json"] {
            let answer = ask(&gateway, "POST", target, fields, BODY);
            let kind = problem(&answer);
            assert_eq!(
                (answer.status, kind.as_str()),
                (401, "unauthorized"),
                "{fields:?}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            texts.push(answer.text());
        }
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

/// Method, target, status, kind, `Allow`.
type BadTarget = (
    &'static str,
    &'static str,
    u16,
    &'static str,
    Option<&'static str>,
);

#[rustfmt::skip]
const TARGETS: &[BadTarget] = &[
    ("GET", "/api/publish", 405, "method", Some("POST")),
    ("PUT", "/api/publish", 405, "method", Some("POST")),
    ("DELETE", "/api/disconnect", 405, "method", Some("POST")),
    ("OPTIONS", "/api/batch", 405, "method", Some("POST")),
    ("POST", "/api/presence", 405, "method", Some("GET, HEAD")),
    ("PATCH", "/api/openapi.json", 405, "method", Some("GET, HEAD")),
    ("POST", "/api/", 404, "not-found", None),
    ("POST", "/api/publish/", 404, "not-found", None),
    ("POST", "/api/Publish", 404, "not-found", None),
    ("POST", "/api/../publish", 404, "not-found", None),
    ("POST", "/api/publish?x=1", 400, "query", None),
    ("GET", "/api/openapi.json?x", 400, "query", None),
    ("GET", "/api/presence", 400, "query", None),
    ("GET", "/api/presence?room=", 400, "query", None),
    ("GET", "/api/presence?room=*", 400, "query", None),
    ("GET", "/api/presence?room=chat_1_a&room=chat_1_b", 400, "query", None),
    ("GET", "/api/presence?room=chat_1_a&limit=1", 400, "query", None),
    ("GET", "/api/presence?room=%ff", 400, "query", None),
];

#[test]
fn a_bad_target_a_bad_type_and_a_long_body_are_refused() {
    let gateway = gateway(&["api.body_bytes=40000"]);
    for (method, target, status, kind, allow) in TARGETS {
        let answer = ask(&gateway, method, target, &GOOD, BODY);
        let given = (answer.status, problem(&answer));
        assert_eq!(given, (*status, (*kind).to_owned()), "{method} {target}");
        assert_eq!(answer.header("allow"), *allow, "{method} {target}");
    }
    for fields in [
        &[GOOD[0]][..],
        &[GOOD[0], "Content-Type: text/plain"],
        &[GOOD[0], "Content-Type: application/x-www-form-urlencoded"],
        &[GOOD[0], GOOD[1], GOOD[1]],
        &[GOOD[0], GOOD[1], "Content-Encoding: gzip"],
    ] {
        let answer = ask(&gateway, "POST", "/api/publish", fields, BODY);
        assert_eq!(
            (answer.status, problem(&answer).as_str()),
            (415, "media-type"),
            "{fields:?}"
        );
    }
    let long = vec![b' '; 40_001];
    let answer = ask(&gateway, "POST", "/api/publish", &GOOD, &long);
    assert_eq!(
        (answer.status, problem(&answer).as_str()),
        (413, "body-too-long")
    );
    let deep = format!("{{\"meta\":{}", "[".repeat(39_000));
    let answer = ask(&gateway, "POST", "/api/publish", &GOOD, deep.as_bytes());
    assert_eq!(
        (answer.status, problem(&answer).as_str()),
        (400, "not-json")
    );
}

#[test]
fn a_body_of_unknown_length_has_the_same_bounds() {
    let gateway = gateway(&["api.body_bytes=40000"]);
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\n{}\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\n",
        GOOD[0], GOOD[1]
    );
    let chunk = |bytes: &str| format!("{:x}\r\n{bytes}\r\n", bytes.len());
    let whole = [
        head.clone(),
        chunk(r#"{"room":"chat_1_abc","#),
        chunk(r#""message":"a"}"#),
        "0\r\n\r\n".to_owned(),
    ];
    let answer = http::exchange(gateway.public(), whole.concat().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let long = [head, chunk(&" ".repeat(30_000)), chunk(&" ".repeat(10_001))].concat();
    let answer = http::exchange(gateway.public(), long.as_bytes()).expect("an answer");
    assert_eq!(
        (answer.status, problem(&answer).as_str()),
        (413, "body-too-long")
    );
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_and_holds_a_place_for_so_long_only() {
    let gateway = gateway(&["server.handshake_timeout=300ms", "api.requests=1"]);
    let mut slow = http::open(gateway.public());
    let head = request("POST", "/api/publish", &GOOD, &[b' '; 100]);
    slow.write_all(&head[..head.len() - 50]).expect("sent");
    // Until it is refused, nobody else is answered.
    crate::support::wait::until("a place to be taken", Duration::from_secs(5), || {
        let answer =
            Asker::of(&gateway).post("publish", &json!({ "room": "chat_1_a", "message": "x" }));
        answer.status == 503
            && problem(&answer) == "busy"
            && answer.header("retry-after") == Some("1")
    });
    let (answer, _) = http::read_response(&mut slow).expect("an answer");
    assert_eq!(
        (answer.status, problem(&answer).as_str()),
        (408, "body-timeout")
    );
    Asker::of(&gateway).publish("abc", "x");
}
