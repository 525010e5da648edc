//! What the site is asked.

use super::super::remote::AnswerFault;
use super::super::{ChatLine, Question};
use crate::http_client::{SignedRequests, request_body};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde::Serialize;

/// The types of an answer.
const ACCEPTED: &str = "application/json, text/event-stream, application/x-ndjson";

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

    /// One try, signed at `now` in seconds since the Unix epoch.
    pub(super) fn request(
        &self,
        requests: &SignedRequests,
        now: u64,
    ) -> Result<Request<Full<Bytes>>, AnswerFault> {
        let request = requests.post(ACCEPTED, &self.id, self.body.clone(), now);
        request.map_err(|_no_request| AnswerFault::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RoomName;
    use crate::protocol::Sender;
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
}
