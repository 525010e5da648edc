//! What the site is asked, and by what it knows who asks.

use super::super::remote::{AnswerFault, request_body};
use super::super::{ChatLine, Question};
use crate::config::Secret;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use ring::hmac;
use serde::Serialize;

/// The field with the time and the signature.
const SIGNATURE: &str = "x-supportal-signature";
/// The field that is the same for all tries of a question (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[derive(Serialize)]
struct QuestionBody<'q> {
    id: &'q str,
    room: &'q str,
    /// `None` of a room that is no chat's.
    business_id: Option<u64>,
    session_id: Option<&'q str>,
    /// `None` where nobody knows.
    author: Option<&'q str>,
    message: &'q str,
    turns: Vec<TurnBody<'q>>,
}

#[derive(Serialize)]
struct TurnBody<'q> {
    role: &'static str,
    content: &'q str,
}

impl<'q> TurnBody<'q> {
    fn of(line: &'q ChatLine) -> Self {
        Self {
            role: line.by.as_str(),
            content: &line.text,
        }
    }
}

/// A question as it is sent, again and again if need be.
#[derive(Debug)]
pub(super) struct WebhookQuestion {
    id: String,
    body: Bytes,
}

impl WebhookQuestion {
    /// A question under an id that no other has; `None` if it cannot be written.
    pub(super) fn new(id: String, question: &Question) -> Option<Self> {
        let room = &question.room;
        let session_id = Some(room.session_id()).filter(|id| !id.is_empty());
        let body = request_body(&QuestionBody {
            id: &id,
            room: room.as_str(),
            business_id: room.business_id().parse().ok(),
            session_id,
            author: question.user.as_deref(),
            message: &question.text,
            turns: question.past.iter().map(TurnBody::of).collect(),
        });
        Some(Self { body: body?, id })
    }
}

/// Where questions go, and what they are signed with.
#[derive(Debug)]
pub(super) struct WebhookRequests {
    uri: Uri,
    /// `None`: that of the address.
    host: Option<HeaderValue>,
    key: hmac::Key,
}

impl WebhookRequests {
    /// Requests to this address, and to this host there unless it is empty; `None` if one of them is none.
    pub(super) fn new(url: &str, host: &str, secret: &Secret) -> Option<Self> {
        let own = Some(host).filter(|host| !host.is_empty());
        let host = own.map(HeaderValue::try_from).transpose().ok()?;
        Some(Self {
            uri: url.parse().ok()?,
            host,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
        })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The question, signed at `now` in seconds since the Unix epoch.
    pub(super) fn ask(
        &self,
        question: &WebhookQuestion,
        now: u64,
    ) -> Result<Request<Full<Bytes>>, AnswerFault> {
        let accepted = "application/json, text/event-stream, application/x-ndjson";
        let mut request = Request::builder();
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        let request = request
            .method(Method::POST)
            .uri(&self.uri)
            .header(ACCEPT, HeaderValue::from_static(accepted))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(IDEMPOTENCY_KEY, &question.id)
            .header(SIGNATURE, self.signature(&question.body, now))
            .body(Full::new(question.body.clone()));
        request.map_err(|_no_request| AnswerFault::Refused)
    }

    /// `t=<time>,v1=<HMAC-SHA-256 of "time.body" in hexadecimal>`: the time is signed, so that a request which somebody
    /// has kept is known for an old one.
    fn signature(&self, body: &[u8], now: u64) -> String {
        let mut signing = hmac::Context::with_key(&self.key);
        signing.update(format!("{now}.").as_bytes());
        signing.update(body);
        let tag = signing.sign();
        let tag: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("t={now},v1={tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RoomName;
    use crate::protocol::Sender;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    fn question() -> Question {
        let line = |by, text: &str| ChatLine {
            by,
            text: text.to_owned(),
        };
        Question {
            room: RoomName::chat("7", "a-b").expect("legal"),
            user: Some("ann".into()),
            text: "Hello \u{1f600}".to_owned(),
            past: vec![line(Sender::User, "Hi"), line(Sender::Assistant, "Yes?")],
        }
    }

    #[test]
    fn a_question_says_who_asks_what_where_and_after_what() {
        let asked = WebhookQuestion::new("x1".to_owned(), &question()).expect("written");
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        let expected = json!({
            "id": "x1", "room": "chat_7_a-b", "business_id": 7, "session_id": "a-b", "author": "ann",
            "message": "Hello \u{1f600}",
            "turns": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
        });
        assert_eq!(body, expected);
        let unknown = Question {
            user: None,
            past: Vec::new(),
            ..question()
        };
        let asked = WebhookQuestion::new("x2".to_owned(), &unknown).expect("written");
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert_eq!(
            (&body["author"], &body["turns"]),
            (&Value::Null, &json!([]))
        );
    }

    #[test]
    fn a_room_that_is_no_chat_s_belongs_to_no_business() {
        let routed = Question {
            room: RoomName::routed(&["a"]).expect("legal"),
            ..question()
        };
        let asked = WebhookQuestion::new("x".to_owned(), &routed).expect("written");
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert_eq!(
            (&body["business_id"], &body["session_id"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[tokio::test]
    async fn a_request_is_signed_over_its_time_and_its_body() {
        let secret = Secret::new("a-secret-of-the-site");
        let requests =
            WebhookRequests::new("http://site/answer/?a=b", "example.com", &secret).expect("good");
        let asked = WebhookQuestion::new("x1".to_owned(), &question()).expect("written");
        let request = requests.ask(&asked, 1_700_000_000).expect("a request");
        assert_eq!(request.uri(), "http://site/answer/?a=b");
        assert_eq!(request.headers()[IDEMPOTENCY_KEY], "x1");
        assert_eq!(request.headers()[HOST], "example.com");
        let signature = request.headers()[SIGNATURE]
            .to_str()
            .expect("ASCII")
            .to_owned();
        let body = request
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let signed = [b"1700000000.", &body[..]].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-secret-of-the-site");
        let (time, hex) = signature.split_once(",v1=").expect("two parts");
        assert_eq!((time, hex.len()), ("t=1700000000", 64));
        let bytes: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2).expect("two"), 16).expect("digits"))
            .collect();
        assert!(hmac::verify(&key, &signed, &bytes).is_ok());
        // A witness from outside: openssl dgst -sha256 -hmac.
        let known = WebhookRequests::new("http://site/", "", &Secret::new("key")).expect("good");
        let tag = "1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224";
        assert_eq!(known.signature(b"{}", 1), format!("t=1,v1={tag}"));
        assert!(!format!("{requests:?}").contains("a-secret"));
    }
}
