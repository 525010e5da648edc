//! What members say is shown to a view of the site, behind a real HTTP server, before anybody else reads it.

#[cfg(test)]
mod answers; // what the view is told, and what becomes of its answer
#[cfg(test)]
mod django; // the manual's view in a real Django site
#[cfg(test)]
mod ends; // authors that leave, nodes that end, sites that are away
#[cfg(test)]
mod hostile; // views that lie, stall and break
#[cfg(test)]
mod order; // order, turns and bounds
#[cfg(test)]
mod who; // whose messages are shown to the view

use crate::assistant::json_answer;
use crate::support::{Client, Gateway, PATIENCE, Redis, wait::until};
use crate::upstream::puppet::Request;
use crate::webhook::{SECRET, View};
use serde_json::{Value, json};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A gateway that has this view vet what is said, with more settings.
#[track_caller]
fn gateway(view: &View, more: &[&str]) -> Gateway {
    let url = format!("vet.url=http://{}/supportal/vet/", view.puppet.address());
    let secret = format!("vet.secret={SECRET}");
    let mut settings = vec![
        "chat.vet=webhook",
        &*url,
        &*secret,
        // A view that is waited for must not be given up because the machine is busy.
        "vet.timeout=60s",
        "limits.messages_per_second=0",
    ];
    settings.extend(more);
    Gateway::start(&settings)
}

/// As [`gateway`], a node of several, with its bridge up.
#[track_caller]
fn node(view: &View, redis: &Redis) -> Gateway {
    let urls = format!("bridge.urls={}", redis.url());
    let gateway = gateway(view, &["bridge.mode=pubsub", &urls]);
    until("the bridge is up", PATIENCE * 2, || {
        gateway.admin("/ready").text() == "ready\n"
    });
    gateway
}

/// How many messages ended like this.
fn result(gateway: &Gateway, result: &str) -> usize {
    let series = format!("supportal_vet_total{{result=\"{result}\"}}");
    gateway.metric(&series) as usize
}

/// A view that reads its orders in the message: `refuse …`, `change …`, and lets pass what is none.
fn obedient() -> View {
    View::start(|request, asked| obey(request, asked.message()))
}

fn obey(request: &mut Request, message: &str) -> bool {
    let body = match message.split_once(' ') {
        Some(("refuse", why)) => json!({ "refuse": why }),
        Some(("change", text)) => json!({ "message": text }),
        Some(("say", _)) => json!({ "pass": true }),
        _ => return request.say("HTTP/1.1 204 No Content\r\n\r\n"),
    };
    request.say(json_answer(&body.to_string()))
}

/// The text of the next frame, whoever has sent it, or its error.
#[track_caller]
fn text(client: &mut Client) -> String {
    let frame: Value = client.receive_json();
    let text = frame.get("message").or_else(|| frame.get("error"));
    let text = text.and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no text: {frame}"))
        .to_owned()
}

/// What a view waits for.
#[derive(Clone, Debug, Default)]
struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    fn open(&self) {
        let (is_open, changed) = &*self.0;
        *is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    fn wait(&self) {
        let (is_open, changed) = &*self.0;
        let is_open = is_open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_while(is_open, |is_open| !*is_open));
    }
}

/// A view that obeys, but keeps everything that begins with `slow` waiting until the latch is open.
fn latched() -> (View, Latch) {
    let latch = Latch::default();
    let waited_for = latch.clone();
    let view = View::start(move |request, asked| {
        if asked.message().starts_with("slow") {
            waited_for.wait();
        }
        obey(request, asked.message())
    });
    (view, latch)
}
