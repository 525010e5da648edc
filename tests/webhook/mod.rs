//! A view of the site that answers, behind a real HTTP server that does what a test says, down to the byte.

#[cfg(test)]
mod answers; // what the view is asked, and what becomes of its answer
#[cfg(test)]
mod django; // the manual's view in a real Django site
#[cfg(test)]
mod hostile; // views that lie, stall and break
#[cfg(test)]
mod outage; // retries, the breaker
#[cfg(test)]
mod rows; // what the view may say

use crate::assistant::deeds::Row;
use crate::assistant::outcome;
use crate::support::Gateway;
use crate::upstream::puppet::{Puppet, Request};
use ring::hmac;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What questions are signed with.
pub(crate) const SECRET: &str = "secret-of-the-tests-0123456789";

/// One question, as the view has it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `Idempotency-Key`.
    pub(crate) key: String,
    pub(crate) body: Value,
}

impl Asked {
    /// The customer's words.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().expect("words")
    }
}

/// A site with one view, and what the view was asked. Whatever is not signed as it should be is refused.
pub(crate) struct View {
    pub(crate) puppet: Puppet,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl View {
    /// A view that answers each question by `answer`, which says whether the connection goes on.
    pub(crate) fn start(
        answer: impl Fn(&mut Request, &Asked) -> bool + Send + Sync + 'static,
    ) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let puppet = Puppet::start(move |request| {
            let body = request.whole_body();
            let signature = request.field("x-supportal-signature").unwrap_or_default();
            if !is_signed(signature, &body) {
                return request.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            }
            let key = request.field("idempotency-key").expect("a key");
            let question = Asked {
                key: key.to_owned(),
                body: serde_json::from_slice(&body).expect("JSON"),
            };
            noted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(question.clone());
            answer(request, &question)
        });
        Self { puppet, asked }
    }

    /// A view that does a row's deed when it is asked the row's name, and goes when it is asked anything else.
    pub(crate) fn of(rows: Vec<Row>) -> Self {
        Self::start(move |request, asked| {
            let row = rows.iter().find(|(row, ..)| *row == asked.message());
            row.is_some_and(|(_, deed, _)| deed.perform(request))
        })
    }

    /// A view that repeats the question behind `re: `.
    fn parrot() -> Self {
        Self::start(|request, asked| request.say(says(&format!("re: {}", asked.message()))))
    }

    fn url(&self) -> String {
        format!("http://{}/supportal/answer/", self.puppet.address())
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A gateway that asks this view, with more settings.
    #[track_caller]
    fn gateway(&self, more: &[&str]) -> Gateway {
        gateway(&self.url(), more)
    }
}

/// A gateway that asks the view at this address, with more settings.
#[track_caller]
fn gateway(url: &str, more: &[&str]) -> Gateway {
    let url = format!("assistant.webhook.url={url}");
    let secret = format!("assistant.webhook.secret={SECRET}");
    let mut settings = vec![
        "assistant.kind=webhook",
        &*url,
        &*secret,
        "limits.messages_per_second=0",
    ];
    settings.extend(more);
    Gateway::start(&settings)
}

/// Is this the signature of these bytes, made within the last minute?
fn is_signed(signature: &str, body: &[u8]) -> bool {
    let parts = signature.split_once(",v1=");
    let Some((time, hex)) = parts.and_then(|(time, hex)| Some((time.strip_prefix("t=")?, hex)))
    else {
        return false;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    let is_fresh = time
        .parse()
        .is_ok_and(|time: u64| now.as_secs().abs_diff(time) < 60);
    let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let tag: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digit).collect();
    let signed = [time.as_bytes(), b".", body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let is_ours = |tag: Vec<u8>| hmac::verify(&key, &signed, &tag).is_ok();
    is_fresh && tag.is_some_and(is_ours)
}

/// An answer with this text.
pub(crate) fn says(text: &str) -> Vec<u8> {
    let body = serde_json::json!({ "message": text });
    crate::assistant::json_answer(&body.to_string())
}
