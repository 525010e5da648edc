//! The HTTP API: what the site's own programs publish, close and ask.

mod bad;
mod examples;
mod nodes;
mod one_node;

pub(crate) use one_node::api_address;

use crate::support::http::{self, Response};
use crate::support::{Client, Gateway};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The token of these tests.
const TOKEN: &str = "token-of-the-tests-0123456789";

/// A node with the API on its public listener.
#[track_caller]
fn gateway(settings: &[&str]) -> Gateway {
    let token = format!("api.token={TOKEN}");
    let mut all = vec![token.as_str()];
    all.extend(settings);
    Gateway::start(&all)
}

/// A request with these fields and this body, as it is sent.
fn request(method: &str, target: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for field in fields {
        bytes.push_str(&format!("{field}\r\n"));
    }
    bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [bytes.as_bytes(), body].concat()
}

/// The fields of a good request.
const GOOD: [&str; 2] = [
    "Authorization: Bearer token-of-the-tests-0123456789",
    "Content-Type: application/json",
];

/// Answers of one address to good requests.
#[derive(Clone, Copy, Debug)]
struct Asker(SocketAddr);

impl Asker {
    fn of(gateway: &Gateway) -> Self {
        Self(gateway.public())
    }

    #[track_caller]
    fn post(self, endpoint: &str, body: &Value) -> Response {
        let target = format!("/api/{endpoint}");
        let bytes = request("POST", &target, &GOOD, body.to_string().as_bytes());
        http::exchange(self.0, &bytes).expect("an answer")
    }

    /// The document of an answer with 200.
    #[track_caller]
    fn post_ok(self, endpoint: &str, body: &Value) -> Value {
        let response = self.post(endpoint, body);
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"));
        response.json()
    }

    #[track_caller]
    fn publish(self, session: &str, message: &str) -> Value {
        let body = json!({ "business_id": "1", "session_id": session, "message": message });
        self.post_ok("publish", &body)
    }

    #[track_caller]
    fn presence(self, room: &str) -> Value {
        let target = format!("/api/presence?room={room}");
        let response = http::exchange(self.0, &request("GET", &target, &GOOD, b""));
        let response = response.expect("an answer");
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }
}

/// The next event, without its moment.
#[track_caller]
fn event(client: &mut Client) -> Value {
    let mut event = client.receive_json();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("timestamp").expect("a moment");
    }
    event
}
