//! A model behind a real HTTP server that does what a test says, down to the byte.

#[cfg(test)]
mod breaker; // whom a model that fails costs their answers
#[cfg(test)]
mod client; // the official Python client reads the stand-in too
#[cfg(test)]
mod context; // what the site says was said before
#[cfg(test)]
mod conversation; // what the model is asked, and what becomes of its answer
#[cfg(test)]
pub(crate) mod deeds; // what a server may do with what it is asked
#[cfg(test)]
mod demo; // the commands of the chapter
#[cfg(test)]
mod hostile; // servers that lie, stall and break
#[cfg(test)]
mod outage; // retries, the breaker, restarts
#[cfg(test)]
mod rows; // what the stand-in may say

use crate::support::{Client, Gateway, user};
use crate::upstream::puppet::{Puppet, Request};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a customer reads where there is no answer.
pub(crate) const APOLOGY: &str = "Sorry, I'm having trouble processing your request right now.";

/// How long an answer may take on a busy machine.
const ANSWER: Duration = Duration::from_secs(20);

/// A model server, and what it was asked.
pub(crate) struct Model {
    puppet: Puppet,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    /// A server that answers each question by `answer`, which says whether the connection goes on. It lists one model.
    fn start(answer: impl Fn(&mut Request, &Value) -> bool + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let puppet = Puppet::start(move |request| {
            if request.target() == "/v1/models" {
                return request.say(json_answer(
                    r#"{"object":"list","data":[{"id":"small:1b","object":"model"},{"id":"large"}]}"#,
                ));
            }
            let body = request.whole_body();
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            noted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(body.clone());
            answer(request, &body)
        });
        Self { puppet, asked }
    }

    /// A server that repeats the question behind `re: `, in pieces of one character.
    pub(crate) fn parrot() -> Self {
        Self::start(|request, asked| {
            let text = format!("re: {}", question(asked));
            request.say(events(pieces(&text)))
        })
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.puppet.address())
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A gateway that asks this model, with more settings.
    #[track_caller]
    fn gateway(&self, more: &[&str]) -> Gateway {
        let base_url = format!("assistant.openai.base_url={}", self.base_url());
        let mut settings = vec![
            "assistant.kind=openai",
            &*base_url,
            "limits.messages_per_second=0",
        ];
        settings.extend(more);
        Gateway::start(&settings)
    }
}

/// The words of the customer in a request.
fn question(asked: &Value) -> &str {
    let messages = asked["messages"].as_array().expect("messages");
    let last = messages.last().expect("a question");
    assert_eq!(last["role"], "user");
    last["content"].as_str().expect("words")
}

/// Roles and texts of a request, the model's instructions left out.
fn conversation(asked: &Value) -> Vec<String> {
    let messages = asked["messages"].as_array().expect("messages").iter();
    let messages = messages.filter(|message| message["role"] != "system");
    messages
        .map(|message| {
            let text = |field: &str| message[field].as_str().expect("text").to_owned();
            format!("{}: {}", text("role"), text("content"))
        })
        .collect()
}

/// One event's line, as OpenAI writes it.
fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// One piece of an answer, as OpenAI writes it.
fn piece(text: &str) -> String {
    event(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small:1b",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": null, "finish_reason": null}],
    }))
}

/// Every event of an answer of these characters but the head.
pub(crate) fn pieces(text: &str) -> String {
    let mut events = event(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small:1b",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}],
    }));
    events.extend(text.chars().map(|one| piece(&one.to_string())));
    events + &end()
}

/// The last piece, and the end.
fn end() -> String {
    let last = event(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small:1b",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    }));
    last + "data: [DONE]\n\n"
}

/// The head of an answer in events, in chunks.
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";

/// One chunk.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// A whole answer of these events.
pub(crate) fn events(body: impl AsRef<[u8]>) -> Vec<u8> {
    [EVENTS.as_bytes(), &chunk(body), b"0\r\n\r\n"].concat()
}

/// A whole answer with this status, these fields and this body.
pub(crate) fn whole(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A whole answer in JSON.
pub(crate) fn json_answer(body: &str) -> Vec<u8> {
    whole("200 OK", "Content-Type: application/json\r\n", body)
}

/// How many questions ended like this.
pub(crate) fn outcome(gateway: &Gateway, outcome: &str) -> usize {
    let series = format!("supportal_assistant_answers_total{{outcome=\"{outcome}\"}}");
    gateway.metric(&series) as usize
}

/// A question is answered with the apology, the only one that ends like this.
#[track_caller]
fn assert_one_apology(gateway: &Gateway, name: &str) {
    assert!(ask(&mut gateway.join("abc"), "Hello?").starts_with(APOLOGY));
    assert_eq!(outcome(gateway, name), 1);
}

/// The next answer that this client hears is the apology.
#[track_caller]
pub(crate) fn assert_apology(client: &mut Client, name: &str) {
    let text = answer(client);
    assert!(text.starts_with(APOLOGY), "{name}: {text}");
}

/// A client in a room of this business.
pub(crate) fn join_business(gateway: &Gateway, business: u64, session: &str) -> Client {
    let mut client = gateway.connect(&format!("/ws/chat/{business}/{session}/"));
    client.skip_welcome();
    client
}

/// A client in each of two businesses.
pub(crate) fn join_two_businesses(gateway: &Gateway) -> [Client; 2] {
    [1, 2].map(|business| join_business(gateway, business, "abc"))
}

/// Says something, passes over its echo, and reads the answer.
#[track_caller]
pub(crate) fn ask(client: &mut Client, text: &str) -> String {
    client.send_text(&user(text));
    answer(client)
}

/// The next answer of the assistant.
#[track_caller]
pub(crate) fn answer(client: &mut Client) -> String {
    loop {
        let frame = client.receive_within(ANSWER);
        let Some(crate::support::Frame::Text(frame)) = frame else {
            panic!("no answer: {frame:?}");
        };
        let frame: Value = serde_json::from_str(&frame).expect("JSON");
        if frame["sender"] == "assistant" {
            return frame["message"].as_str().expect("text").to_owned();
        }
    }
}
